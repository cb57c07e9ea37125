#include "tests/simulation/history.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "log/annotate.h"
#include "log/merkle_tree.h"

namespace assay {
namespace {

ColumnText TextOf(bool has_value, const std::string& value) { return has_value ? ColumnText(value) : ColumnText(); }

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

absl::Status Violation(absl::string_view invariant, absl::string_view what) {
  return absl::InternalError(absl::StrCat(invariant, ": ", what));
}

std::string Show(const ColumnText& text) { return text ? *text : "NULL"; }
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
