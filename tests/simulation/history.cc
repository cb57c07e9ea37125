#include "tests/simulation/history.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "log/annotate.h"
#include "log/merkle_tree.h"
#include "tests/engine/fold/reference_conflicts.h"
#include "tests/simulation/migrations.h"

namespace assay {
namespace {

absl::Status Violation(absl::string_view invariant, absl::string_view what) {
  return absl::InternalError(absl::StrCat(invariant, ": ", what));
}

std::string Show(const ColumnText& text) { return text ? *text : "NULL"; }

ColumnText TextOf(bool has_value, const std::string& value) { return has_value ? ColumnText(value) : ColumnText(); }

// What stands between the name of a table and that of its key.
constexpr char kKeyedBy[] = " by ";

TableName PlainName(const TableName& rows) { return {rows.schema, rows.table.substr(0, rows.table.find(kKeyedBy))}; }

bool IsRekeyed(const TableName& rows) { return rows.table.find(kKeyedBy) != std::string::npos; }

TableName Keyed(const SimDatabase& database, TableName table, const std::vector<std::string>& key) {
  const SimTable* found = database.Find(table);
  if (found != nullptr && found->first_key != key) absl::StrAppend(&table.table, kKeyedBy, absl::StrJoin(key, ","));
  return table;
}

absl::StatusOr<HistoricChange> ChangeOf(const v1::Event& event, const OriginId& origin,
                                        const std::map<uint64_t, v1::TableSchema>& schemas,
                                        const SimDatabase& database) {
  auto schema = schemas.find(event.row().schema());
  if (schema == schemas.end())
    return Violation("one history", "a row change names a schema that was not declared before it");
  HistoricChange change;
  change.version = {HlcStamp{event.stamp()}, origin, Sequence{event.sequence()}};
  change.operation = event.row().operation();
  const TableName table{schema->second.schema_name(), schema->second.table_name()};
  const auto name_of = [&](uint32_t ordinal) {
    const v1::TableSchema::Column& column = schema->second.columns(static_cast<int>(ordinal));
    return ColumnIn(database, table, column.name(), column.number());
  };
  std::vector<std::string> key;
  for (const uint32_t ordinal : schema->second.key()) key.push_back(name_of(ordinal));
  change.row.first = Keyed(database, table, key);
  change.row.second.assign(event.row().key().begin(), event.row().key().end());
  for (const v1::ColumnChange& column : event.row().columns()) {
    const std::string name = name_of(column.ordinal());
    if (column.has_value() || column.is_null()) change.new_values[name] = TextOf(column.has_value(), column.value());
    change.types[name] = schema->second.columns(column.ordinal()).type();
    if (column.has_old_value() || column.old_is_null()) {
      change.old_values[name] = TextOf(column.has_old_value(), column.old_value());
    }
  }
  return change;
}

// Each segment has whole transactions, or a piece of one and nothing else: the hub takes no others.
absl::Status CheckSegments(LogFile* file, EventLog& log, const HistoricChain& chain) {
  ASSAY_ASSIGN_OR_RETURN(const OriginIndex origin, log.IndexOf(chain.origin));
  ASSAY_ASSIGN_OR_RETURN(Statement segments,
                         file->Prepare("SELECT first, last FROM segment WHERE origin = ?1 ORDER BY last"));
  segments.BindInt(1, origin.value);
  auto transaction = chain.transactions.begin();
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, segments.Step());
    if (!row) return absl::OkStatus();
    const Sequence first{static_cast<uint64_t>(segments.Int("first"))},
        last{static_cast<uint64_t>(segments.Int("last"))};
    while (transaction != chain.transactions.end() && transaction->last < first) ++transaction;
    auto end = transaction;
    while (end != chain.transactions.end() && end->last < last) ++end;
    if (end == chain.transactions.end()) return Violation("dense chain", "a segment is of no transaction");
    if (transaction == end || (transaction->first == first && end->last == last)) continue;
    return Violation("dense chain", absl::StrCat("the segment of ", first.value, " to ", last.value,
                                                 " has a piece of a transaction, and more"));
  }
}

// As the branch's log has named it, by an event that is about it.
SimRowName RowBehind(const std::map<Version, SimRowName>& written, const Version& version, const SimRowName& plain) {
  const auto by = written.find(version);
  return by == written.end() ? plain : by->second;
}

}  // namespace

// Of all other tables each name is the first. They are most of what is looked at.
static bool IsAltered(const TableName& rows) { return absl::StartsWith(rows.table, kShopPrices.table); }

std::string ColumnIn(const SimDatabase& database, const TableName& table, const std::string& name, uint32_t number) {
  if (!IsAltered(table)) return name;
  const SimTable* found = database.Find(table);
  if (found == nullptr) return name;
  const auto known = found->first_names.find(number);
  return known == found->first_names.end() ? name : known->second;
}

TableName RowsOf(const SimDatabase& database, const TableShape& shape) {
  if (!IsAltered(shape.name)) return shape.name;
  std::vector<std::string> key;
  for (const uint32_t column : shape.key)
    key.push_back(ColumnIn(database, shape.name, shape.columns[column].name, shape.columns[column].number));
  return Keyed(database, shape.name, key);
}

SimRowName RowIn(const SimDatabase& database, const TableShape& shape, const SimValues& values) {
  return {RowsOf(database, shape), KeyOf(shape, values)};
}

const SimTable* TableOf(const SimDatabase& database, const TableName& of_row) {
  if (!IsAltered(of_row)) return database.Find(of_row);
  const SimTable* table = database.Find(PlainName(of_row));
  if (table == nullptr) return nullptr;
  return RowsOf(database, *table->shape) == of_row ? table : nullptr;
}

std::string Show(const SimRowName& row) {
  return absl::StrCat(row.first.ToString(), "(", absl::StrJoin(row.second, ","), ")");
}
std::string Show(const HistoricChange& change) {
  return absl::StrCat(
      v1::RowChange::Operation_Name(change.operation), " ", Show(change.row), " {",
      absl::StrJoin(change.new_values, ", ",
                    [](std::string* out, const auto& v) { absl::StrAppend(out, v.first, "=", Show(v.second)); }),
      "}");
}

absl::StatusOr<HistoricBranch> History::Read(const std::string& name, const OriginId& own, const SimDatabase* database,
                                             LogFile* file, EventLog& log, UnsettledRows& rows, TableNames& names,
                                             Conflicts& conflicts) {
  HistoricBranch branch;
  branch.name = name;
  branch.origin = own;
  branch.database = database;
  std::map<Version, SimRowName> written;
  for (const OriginId& origin : log.Origins()) {
    HistoricChain& chain = branch.chains[origin];
    chain.origin = origin;
    std::map<uint64_t, v1::TableSchema> schemas;
    std::map<OriginId, Sequence> seen;
    EventReader reader = log.Read(origin, Sequence{1});
    HlcStamp stamp;
    bool inside = false;
    for (;;) {
      ASSAY_ASSIGN_OR_RETURN(const StoredEvent* stored, reader.Next());
      if (stored == nullptr) break;
      const uint64_t sequence = chain.bytes.size() + 1;
      if (stored->sequence.value != sequence)
        return Violation("dense chain", absl::StrCat("event ", sequence, " is missing"));
      if (inside ? stored->stamp != stamp : stored->stamp <= stamp) {
        return Violation("dense chain", absl::StrCat("stamps do not rise by transaction at event ", sequence));
      }
      stamp = chain.newest = stored->stamp;
      if (!inside) chain.transactions.push_back({Sequence{sequence}, {}, {}, {}});
      HistoricTransaction& transaction = chain.transactions.back();
      transaction.last = Sequence{sequence};
      inside = !stored->ends_transaction;
      chain.bytes.emplace_back(stored->bytes);
      chain.leaves.push_back(stored->leaf);
      if (stored->masked) continue;
      if (LeafHash(stored->bytes) != stored->leaf) return Violation("one history", "a leaf is not its event's hash");
      v1::Event event;
      if (!event.ParseFromString(chain.bytes.back()) || event.sequence() != sequence || event.stamp() != stamp.value ||
          event.transaction_first() != transaction.first.value ||
          event.ends_transaction() != stored->ends_transaction) {
        return Violation("dense chain", absl::StrCat("event ", sequence, " contradicts its place"));
      }
      if (event.has_transaction()) transaction.header = event.transaction();
      for (const v1::Seen& entry : event.transaction().seen()) {
        ASSAY_ASSIGN_OR_RETURN(const OriginId other, OriginId::FromBytes(entry.origin()));
        seen[other] = std::max(seen[other], Sequence{entry.sequence()});
      }
      transaction.seen = seen;
      if (event.has_schema()) schemas[sequence] = event.schema();
      if (!event.has_row()) continue;
      ASSAY_ASSIGN_OR_RETURN(HistoricChange change, ChangeOf(event, origin, schemas, *database));
      written[change.version] = change.row;
      transaction.changes.push_back(std::move(change));
    }
    if (inside) return Violation("dense chain", "a reader is shown the beginning of a transaction");
    if (chain.bytes.size() != log.Head(origin).complete.value)
      return Violation("dense chain", "the head is not the last event");
    ASSAY_RETURN_IF_ERROR(CheckSegments(file, log, chain));
  }
  ASSAY_ASSIGN_OR_RETURN(const std::vector<UnsettledRow> unsettled, rows.List(UnsettledRows::Which::kAll, 1'000'000));
  for (const UnsettledRow& row : unsettled) {
    ASSAY_ASSIGN_OR_RETURN(RowKey key, DecodeKey(row.key));
    const auto by = std::find_if(written.begin(), written.end(), [&](const auto& each) {
      return each.first.origin == row.origin && each.first.sequence == row.sequence;
    });
    const SimRowName plain{names.NameOf(row.row.table), std::move(key)};
    branch.unsettled.insert(by == written.end() ? plain : by->second);
  }
  ASSAY_ASSIGN_OR_RETURN(const std::vector<Conflict> listed, conflicts.List(0, 1'000'000));
  for (const Conflict& conflict : listed) {
    ASSAY_ASSIGN_OR_RETURN(RowKey key, DecodeKey(conflict.key));
    const std::string column = conflict.column ? names.ColumnNameOf(conflict.row.table, *conflict.column) : "";
    const SimRowName row = RowBehind(written, conflict.winner, {names.NameOf(conflict.row.table), std::move(key)});
    if (!branch.conflicts.insert({row, column, conflict.winner, conflict.loser}).second) {
      return Violation("conflicts", absl::StrCat(name, " lists one twice"));
    }
  }
  return branch;
}

uint64_t History::events() const {
  uint64_t events = 0;
  for (const HistoricBranch& branch : branches_) events += branch.chains.at(branch.origin).bytes.size();
  return events;
}

// ---- One history ----

absl::Status History::CheckOneHistory(const SimHub& hub) const {
  for (const HistoricBranch& owner : branches_) {
    const HistoricChain& chain = owner.chains.at(owner.origin);
    const auto check = [&](const std::string& where, const std::vector<Hash>& leaves) {
      if (leaves.size() > chain.leaves.size())
        return Violation("one history", absl::StrCat(where, " has more than ", owner.name));
      for (size_t i = 0; i < leaves.size(); ++i) {
        if (leaves[i] == chain.leaves[i]) continue;
        return Violation("one history", absl::StrCat(where, " has another event ", i + 1, " of ", owner.name));
      }
      return absl::OkStatus();
    };
    for (const HistoricBranch& other : branches_) {
      auto it = other.chains.find(owner.origin);
      if (it != other.chains.end()) ASSAY_RETURN_IF_ERROR(check(other.name, it->second.leaves));
    }
    auto it = hub.chains().find(owner.origin);
    if (it == hub.chains().end()) continue;
    std::vector<Hash> leaves;
    for (const SimHub::Event& event : it->second.events) leaves.push_back(event.leaf);
    ASSAY_RETURN_IF_ERROR(check("the hub", leaves));
  }
  return absl::OkStatus();
}

// ---- Captured once ----

namespace {

// What one WAL transaction of the app must become: per item, its changes; those of a TRUNCATE in any order.
class Expectation {
 public:
  Expectation(const std::map<TableName, TablePolicy>* policies, const SimDatabase* database)
      : policies_(policies), database_(database) {}

  // The catalog is ahead of the stream: rows that were written before their table got another key may be recorded under
  // that already, and from then on all are.
  void NoteKeys(const HistoricTransaction& recorded) {
    for (const HistoricChange& change : recorded.changes) {
      if (IsRekeyed(change.row.first)) rekeyed_.insert(PlainName(change.row.first));
    }
  }

  // The changes of `item`, which the rows then follow.
  std::vector<HistoricChange> Take(const WalItem& item) {
    std::vector<HistoricChange> changes;
    if (item.kind == CaptureItem::Kind::kMessage || item.kind == CaptureItem::Kind::kUnreadable) return changes;
    TableShape shape = *item.relation;
    if (rekeyed_.contains(shape.name)) shape.key = database_->Find(shape.name)->shape->key;
    if (item.kind == CaptureItem::Kind::kTruncate) {
      // It shows no row by another key: until one has come, the table's are known by the old one.
      const TableName name = rekeyed_.contains(shape.name) ? RowsOf(*database_, shape) : shape.name;
      for (auto it = rows_.begin(); it != rows_.end();) {
        if (it->first != name) {
          ++it;
          continue;
        }
        changes.push_back(Change(v1::RowChange::DELETE, *it));
        it = rows_.erase(it);
      }
      return changes;
    }
    const bool has_old = item.kind != CaptureItem::Kind::kInsert, has_new = item.kind != CaptureItem::Kind::kDelete;
    const SimRowName old_row = has_old ? RowIn(*database_, shape, item.old_values) : SimRowName();
    const SimRowName new_row = has_new ? RowIn(*database_, shape, item.new_values) : SimRowName();
    const bool known = has_old && rows_.erase(old_row) > 0;
    if (has_old && has_new && old_row == new_row) {
      HistoricChange change = Change(v1::RowChange::UPDATE, new_row);
      for (size_t i = 0; i < shape.columns.size(); ++i) {
        if (item.old_values[i] != item.new_values[i]) Claim(shape, i, item, &change);
      }
      // An update that changes nothing leaves no event: by that nobody knows the row.
      if (known || !change.new_values.empty()) rows_.insert(new_row);
      if (!change.new_values.empty()) changes.push_back(std::move(change));
      return changes;
    }
    if (has_old) {
      changes.push_back(Change(v1::RowChange::DELETE, old_row));
      Fill(shape, item.old_values, &changes.back().old_values);
    }
    if (has_new) {
      rows_.insert(new_row);
      changes.push_back(Change(v1::RowChange::INSERT, new_row));
      Fill(shape, item.new_values, &changes.back().new_values);
    }
    return changes;
  }

 private:
  static HistoricChange Change(v1::RowChange::Operation operation, SimRowName row) {
    return {{}, operation, std::move(row), {}, {}};
  }
  static bool IsKey(const TableShape& shape, size_t column) {
    return std::count(shape.key.begin(), shape.key.end(), column) > 0;
  }
  std::string Name(const TableShape& shape, size_t column) const {
    return ColumnIn(*database_, shape.name, shape.columns[column].name, shape.columns[column].number);
  }
  void Fill(const TableShape& shape, const SimValues& values, std::map<std::string, ColumnText>* out) const {
    for (size_t i = 0; i < shape.columns.size(); ++i) {
      if (!IsKey(shape, i)) (*out)[Name(shape, i)] = values[i];
    }
  }
  // `column` was written, and with it what the policy moves together.
  void Claim(const TableShape& shape, size_t column, const WalItem& item, HistoricChange* change) const {
    const auto write = [&](size_t i) {
      change->new_values[Name(shape, i)] = item.new_values[i];
      change->old_values[Name(shape, i)] = item.old_values[i];
    };
    write(column);
    auto policy = policies_->find(shape.name);
    if (policy == policies_->end()) return;
    for (size_t i = 0; i < shape.columns.size(); ++i) {
      if (IsKey(shape, i)) continue;
      bool together = policy->second.whole_row;
      for (const std::vector<std::string>& group : policy->second.column_groups) {
        together |= std::count(group.begin(), group.end(), shape.columns[i].name) > 0 &&
                    std::count(group.begin(), group.end(), shape.columns[column].name) > 0;
      }
      if (together) write(i);
    }
  }

  const std::map<TableName, TablePolicy>* policies_;
  const SimDatabase* database_;
  std::set<TableName> rekeyed_;
  std::set<SimRowName> rows_;
};

// Same row, operation and values; `old_values` too where the expectation has them.
bool Matches(const HistoricChange& expected, const HistoricChange& found) {
  return expected.operation == found.operation && expected.row == found.row &&
         expected.new_values == found.new_values &&
         (expected.old_values.empty() || expected.old_values == found.old_values);
}

absl::Status CompareTransaction(const WalTransaction& wal, const std::vector<std::vector<HistoricChange>>& expected,
                                const HistoricTransaction& found) {
  if (found.header.commit_time_us() != wal.commit_time_us || found.header.xid() != wal.xid) {
    return Violation("captured once", "the header is not that of the transaction");
  }
  size_t at = 0;
  for (const std::vector<HistoricChange>& item : expected) {
    if (found.changes.size() - at < item.size()) return Violation("captured once", "changes are missing");
    for (const HistoricChange& change : item) {
      const auto begin = found.changes.begin() + static_cast<ptrdiff_t>(at);
      const bool in_order = item.size() <= 2 && item[0].operation != item.back().operation;
      const bool matches = in_order ? Matches(change, *(begin + (&change - &item[0])))
                                    : std::any_of(begin, begin + static_cast<ptrdiff_t>(item.size()),
                                                  [&](const HistoricChange& c) { return Matches(change, c); });
      if (!matches)
        return Violation("captured once", absl::StrCat("no event for ", Show(change), "; there is ", Show(*begin)));
    }
    at += item.size();
  }
  if (at == found.changes.size()) return absl::OkStatus();
  return Violation("captured once", absl::StrCat("an event for nothing: ", Show(found.changes[at])));
}

}  // namespace

absl::Status History::CheckCapturedOnce() {
  captured_.resize(branches_.size());
  for (size_t b = 0; b < branches_.size(); ++b) {
    const HistoricBranch& branch = branches_[b];
    std::map<Lsn, const HistoricTransaction*>& by_lsn = captured_[b];
    Lsn last;
    for (const HistoricTransaction& transaction : branch.chains.at(branch.origin).transactions) {
      if (transaction.changes.empty()) continue;  // The opening.
      const Lsn lsn{transaction.header.commit_lsn()};
      if (lsn <= last)
        return Violation("captured once", absl::StrCat(branch.name, ": out of commit order at ", lsn.ToString()));
      by_lsn[last = lsn] = &transaction;
    }
    Expectation expectation(&branch.policies, branch.database);
    size_t matched = 0;
    for (const WalTransaction& wal : branch.database->wal()) {
      std::vector<std::vector<HistoricChange>> expected;
      auto found = by_lsn.find(wal.commit_lsn);
      if (found != by_lsn.end()) expectation.NoteKeys(*found->second);
      for (const WalItem& item : wal.items) {
        std::vector<HistoricChange> changes = expectation.Take(item);
        if (!changes.empty() && (!wal.projected || item.aside)) expected.push_back(std::move(changes));
      }
      const std::string where = absl::StrCat(branch.name, " at ", wal.commit_lsn.ToString());
      if (found == by_lsn.end()) {
        if (!expected.empty()) return Violation("captured once", absl::StrCat(where, ": a commit is not in the log"));
        continue;
      }
      ++matched;
      // What was written before the key moved, and came by after it, is taken for the row that has the new key.
      if (wal.projected && std::all_of(found->second->changes.begin(), found->second->changes.end(),
                                       [](const HistoricChange& change) { return IsRekeyed(change.row.first); })) {
        continue;
      }
      if (expected.empty()) {
        return Violation("captured once", absl::StrCat(where, wal.projected ? ": a projection" : ": nothing",
                                                       " taken as local: ", Show(found->second->changes.front())));
      }
      ASSAY_RETURN_IF_ERROR(Annotate(CompareTransaction(wal, expected, *found->second), where));
    }
    if (matched != by_lsn.size())
      return Violation("captured once", absl::StrCat(branch.name, " has a transaction nobody made"));
  }
  return absl::OkStatus();
}

absl::Status History::CheckHeaders() const {
  for (const HistoricBranch& owner : branches_) {
    const std::vector<HistoricTransaction>& own = owner.chains.at(owner.origin).transactions;
    for (const HistoricBranch& reader : branches_) {
      const auto chain = reader.chains.find(owner.origin);
      if (&reader == &owner || chain == reader.chains.end()) continue;
      for (size_t i = 0; i < std::min(own.size(), chain->second.transactions.size()); ++i) {
        const HistoricTransaction& given = chain->second.transactions[i];
        if (given.changes.empty()) continue;  // Withheld.
        if (given.seen == own[i].seen && given.header.commit_lsn() == own[i].header.commit_lsn()) continue;
        return Violation("who had seen what", absl::StrCat(reader.name, " was not given what ",
                                                           EventName(owner.origin, given.first), " had seen"));
      }
    }
  }
  return absl::OkStatus();
}

// ---- The fold ----

History::Writes History::WritesIn(const HistoricBranch& branch) {
  Writes writes;
  for (const auto& [origin, chain] : branch.chains) {
    for (const HistoricTransaction& transaction : chain.transactions) {
      for (const HistoricChange& change : transaction.changes) {
        writes[change.row].push_back({change.version, change.operation == v1::RowChange::DELETE, change.new_values});
      }
    }
  }
  return writes;
}

std::set<SimRowName> History::RowsSeenWhole() const {
  std::set<SimRowName> whole;
  for (const HistoricBranch& branch : branches_) {
    for (const HistoricTransaction& transaction : branch.chains.at(branch.origin).transactions) {
      for (const HistoricChange& change : transaction.changes) {
        if (change.operation == v1::RowChange::INSERT) whole.insert(change.row);
      }
    }
  }
  return whole;
}

std::set<SimRowName> History::RowsOfTwoColumns() const {
  std::map<SimRowName, std::map<std::string, Version>> newest;
  for (const HistoricBranch& branch : branches_) {
    for (const HistoricTransaction& transaction : branch.chains.at(branch.origin).transactions) {
      for (const HistoricChange& change : transaction.changes) {
        if (PlainName(change.row.first) != kShopPrices) continue;
        for (const auto& [column, value] : change.new_values) {
          Version& known = newest[change.row][column];
          known = std::max(known, change.version);
        }
      }
    }
  }
  std::set<SimRowName> rows;
  for (const auto& [row, columns] : newest) {
    for (const auto& [column, version] : columns) {
      const auto old = columns.find(column.substr(0, column.find('\'')));
      if (old != columns.end() && old->second > version) rows.insert(row);
    }
  }
  return rows;
}

std::string History::LifeOf(const SimRowName& row, const HistoricBranch& branch) {
  std::map<Version, std::string> life;
  for (const auto& [origin, chain] : branch.chains) {
    for (const HistoricTransaction& transaction : chain.transactions) {
      for (const HistoricChange& change : transaction.changes) {
        // Rows of an altered table may be the same under another key.
        const bool is_it =
            IsAltered(row.first) ? PlainName(change.row.first) == PlainName(row.first) : change.row == row;
        if (is_it) life[change.version] = Show(change);
      }
    }
  }
  std::string text;
  for (const auto& [version, change] : life)
    absl::StrAppend(&text, "\n    ", version.stamp.value, " ", EventName(version.origin, version.sequence), ": ",
                    change);
  return text;
}

absl::Status History::CheckRowsAreTheFold() const {
  const std::set<SimRowName> whole = RowsSeenWhole(), of_two_columns = RowsOfTwoColumns();
  for (const HistoricBranch& branch : branches_) {
    const Writes writes = WritesIn(branch);
    const auto differs = [&](const SimRowName& row, absl::string_view how) {
      return Violation("projection = fold", absl::StrCat(branch.name, ": ", Show(row), " ", how, LifeOf(row, branch)));
    };
    for (const auto& [row, set] : writes) {
      const SimTable* table = TableOf(*branch.database, row.first);
      if (table == nullptr || branch.unsettled.contains(row)) continue;
      const ReferenceRow fold = ReferenceFold(set);
      auto here = table->rows.find(row.second);
      if (!fold.IsLive()) {
        if (here != table->rows.end()) return differs(row, "is there, and deleted in the fold");
        continue;
      }
      if (here == table->rows.end()) return differs(row, "is missing");
      if (!whole.contains(row)) continue;  // Where it was already: the log knows what was changed of it.
      for (size_t i = 0; i < table->shape->columns.size(); ++i) {
        if (std::count(table->shape->key.begin(), table->shape->key.end(), i) > 0) continue;
        const std::string column = ColumnIn(*branch.database, table->shape->name, table->shape->columns[i].name,
                                            table->shape->columns[i].number);
        if (column.back() == '\'' && of_two_columns.contains(row)) continue;
        auto value = fold.values.find(column);
        const ColumnText expected = value == fold.values.end() ? ColumnText() : value->second;
        if (here->second.values[i] == expected) continue;
        if (value == fold.values.end() && IsFill(table->shape->columns[i].name, here->second.values[i])) continue;
        return differs(row, absl::StrCat("has ", table->shape->columns[i].name, " = ", Show(here->second.values[i]),
                                         ", the fold says ", Show(expected)));
      }
    }
    for (const auto& [name, table] : branch.database->tables()) {
      if (TableOf(*branch.database, name) == nullptr) continue;  // Its rows may be from when they had another key.
      for (const auto& [key, row] : table.rows) {
        if (!writes.contains({name, key}) && !branch.database->IsUnheard({name, key}))
          return differs({name, key}, "is there, and nobody wrote it");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status History::CheckEqualTables() const {
  const HistoricBranch& a = branches_[0];
  const std::set<SimRowName> whole = RowsSeenWhole(), of_two_columns = RowsOfTwoColumns();
  for (const HistoricBranch& b : branches_) {
    for (const auto& [name, table] : a.database->tables()) {
      const auto is_denied = [&](const HistoricBranch& branch) {
        return branch.denied.contains(name.ToString()) && !branch.granted_late;
      };
      if (is_denied(a) || is_denied(b)) continue;
      const SimTable& other = *b.database->Find(name);
      const bool rekeyed = TableOf(*a.database, name) == nullptr;
      std::set<RowKey> keys;
      for (const auto& [key, row] : table.rows) keys.insert(key);
      for (const auto& [key, row] : other.rows) keys.insert(key);
      for (const RowKey& key : keys) {
        const SimRowName row{RowsOf(*a.database, *table.shape), key};
        if (!whole.contains(row)) {
          if (rekeyed) continue;  // From when the rows had another key.
          for (const HistoricBranch* each : {&a, &b}) {
            if (!each->database->Find(name)->rows.contains(key) || each->database->IsUnheard({name, key})) continue;
            return Violation("rows seen whole", absl::StrCat(each->name, " made ", Show({name, key}), " of an update"));
          }
          continue;
        }
        if (a.unsettled.contains(row) || b.unsettled.contains(row)) continue;
        auto in_a = table.rows.find(key);
        auto in_b = other.rows.find(key);
        const auto same = [&](const SimValues& one, const SimValues& another) {
          for (size_t i = 0; i < one.size(); ++i) {
            const std::string& column = table.shape->columns[i].name;
            if (one[i] == another[i]) continue;
            const std::string first = ColumnIn(*a.database, name, column, table.shape->columns[i].number);
            if (first.back() == '\'' && of_two_columns.contains(row)) continue;
            // Of a column that nobody has written.
            if (!(IsFill(column, one[i]) && !another[i]) && !(IsFill(column, another[i]) && !one[i])) return false;
          }
          return one.size() == another.size();
        };
        if (in_a == table.rows.end() || in_b == other.rows.end() || !same(in_a->second.values, in_b->second.values)) {
          return Violation("equal tables",
                           absl::StrCat(Show({name, key}), " differs between ", a.name, " and ", b.name));
        }
      }
    }
  }
  return absl::OkStatus();
}

std::set<HistoricConflict> History::ConflictsIn(const HistoricBranch& branch) {
  std::map<std::pair<SimRowName, std::string>, std::vector<ReferenceEdit>> cells;
  HlcStamp newest;  // The log's own time, which also what is withheld moves.
  for (const auto& [origin, chain] : branch.chains) {
    newest = std::max(newest, chain.newest);
    for (const HistoricTransaction& transaction : chain.transactions) {
      for (const HistoricChange& change : transaction.changes) {
        const bool deletes = change.operation == v1::RowChange::DELETE;
        cells[{change.row, ""}].push_back({change.version, transaction.seen, deletes ? "delete" : "edit"});
        for (const auto& [column, value] : change.new_values)  // Under a name that is given on it is the same column.
          cells[{change.row, column.substr(0, column.find('\''))}].push_back({change.version, transaction.seen, value});
      }
    }
  }
  const uint64_t kept = HlcStamp::FromMillis(kConflictDays * 24 * 3600 * 1000).value;
  std::set<HistoricConflict> conflicts;
  for (const auto& [cell, edits] : cells) {
    for (const auto& [winner, loser] : ReferenceConflicts(edits)) {
      if (loser.stamp.value + kept >= newest.value) conflicts.insert({cell.first, cell.second, winner, loser});
    }
  }
  return conflicts;
}

// Of writes under the old and the new name of a column no conflict is listed: engine/LIMITS.md.
static bool HasTwoNames(const SimDatabase& database, const TableName& rows, const std::string& column) {
  const SimTable* table = database.Find(PlainName(rows));
  return table != nullptr && std::any_of(table->types.begin(), table->types.end(), [&](const auto& known) {
           std::set<std::string> names;
           for (const std::string& type : known.second) names.insert(type.substr(0, type.find(' ')));
           return names.size() > 1 && names.contains(column);
         });
}

absl::Status History::CheckConflicts() const {
  std::set<std::string> written_blind;  // By a branch that may not read it: engine/LIMITS.md.
  for (const HistoricBranch& branch : branches_) written_blind.insert(branch.denied.begin(), branch.denied.end());
  for (const HistoricBranch& branch : branches_) {
    std::set<HistoricConflict> expected = ConflictsIn(branch), listed = branch.conflicts;
    for (std::set<HistoricConflict>* conflicts : {&expected, &listed}) {
      std::erase_if(*conflicts, [&](const HistoricConflict& conflict) {
        const TableName& table = std::get<0>(conflict).first;
        return written_blind.contains(table.ToString()) || HasTwoNames(*branch.database, table, std::get<1>(conflict));
      });
    }
    if (listed == expected) continue;
    std::string differ;
    const auto tell = [&](absl::string_view how, const std::set<HistoricConflict>& of,
                          const std::set<HistoricConflict>& not_of) {
      for (const HistoricConflict& conflict : of) {
        if (not_of.contains(conflict)) continue;
        const auto& [row, column, winner, loser] = conflict;
        absl::StrAppend(&differ, "\n  ", how, " ", Show(row), " ", column, ": ",
                        EventName(winner.origin, winner.sequence), " over ", EventName(loser.origin, loser.sequence),
                        LifeOf(row, branch));
      }
    };
    tell("too many:", listed, expected);
    tell("missing:", expected, listed);
    return Violation("conflicts", absl::StrCat(branch.name, " does not list those that the log has", differ));
  }
  return absl::OkStatus();
}

absl::Status History::CheckParked() const {
  const std::set<SimRowName> whole = RowsSeenWhole();
  for (const HistoricBranch& branch : branches_) {
    const Writes writes = WritesIn(branch);
    for (const SimRowName& row : branch.unsettled) {
      const SimTable* table = TableOf(*branch.database, row.first);
      if (table == nullptr) continue;  // Its rows have another key by now.
      const TableShape& shape = *table->shape;
      ReferenceRow fold = ReferenceFold(writes.at(row));
      SimValues values;
      for (const TableColumn& column : shape.columns)
        values.push_back(fold.values[ColumnIn(*branch.database, shape.name, column.name, column.number)]);
      for (size_t i = 0; i < row.second.size(); ++i) values[shape.key[i]] = row.second[i];
      if (fold.IsLive() && !branch.database->WouldTake(shape.name, values).ok()) continue;
      if (fold.IsLive() && !whole.contains(row)) continue;
      bool of_another_type = false;  // Which it waits for, whatever its value.
      for (size_t i = 0; i < values.size(); ++i)
        of_another_type |=
            values[i].has_value() && IsAnotherTypeElsewhere(branches_, branch, shape.name, shape.columns[i].name);
      if (of_another_type) continue;
      return Violation("parked with a cause", absl::StrCat(branch.name, " would take ", Show(row)));
    }
  }
  return absl::OkStatus();
}

uint64_t History::parked_rows() const {
  uint64_t rows = 0;
  for (const HistoricBranch& branch : branches_) rows += branch.unsettled.size();
  return rows;
}

uint64_t History::Fingerprint() const {
  uint64_t fingerprint = 0;
  for (const HistoricBranch& branch : branches_) {
    for (const Hash& leaf : branch.chains.at(branch.origin).leaves) {
      for (uint8_t byte : leaf) fingerprint = (fingerprint ^ byte) * 0x100000001b3;
    }
  }
  return fingerprint;
}

}  // namespace assay
