#include "tests/simulation/sim_database.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "log/check.h"

namespace assay {
namespace {

RowKey KeyOf(const RowWrite& write) {
  const PackedRow::KeyTexts key = write.row.KeyParts();
  return RowKey(key.begin(), key.end());
}

// PostgreSQL's complaint about a text of this type; nullopt: it takes it.
std::optional<std::pair<std::string, std::string>> BadText(absl::string_view type, const std::string& text) {
  int64_t number = 0;
  if (type == "integer" && !absl::SimpleAtoi(text, &number)) {
    return {{"22P02", absl::StrCat("invalid input syntax for type integer: \"", text, "\"")}};
  }
  if (absl::ConsumePrefix(&type, "character varying(") && absl::ConsumeSuffix(&type, ")") &&
      absl::SimpleAtoi(type, &number) && static_cast<int64_t>(text.size()) > number) {
    return {{"22001", absl::StrCat("value too long for type character varying(", number, ")")}};
  }
  return std::nullopt;
}

// As the real adapter: a lock that the app holds for a moment is worth trying again; from the third time on, the rows
// that are locked are refused by name, so that the others flow on.
constexpr int kLockTimeoutsBeforeRefusing = 2;
constexpr absl::Duration kLockTimeoutsRemembered = absl::Minutes(1);

}  // namespace

RowKey KeyOf(const TableShape& shape, const SimValues& values) {
  RowKey key;
  for (uint32_t column : shape.key) key.push_back(*values[column]);
  return key;
}

// ---- The catalog ----

void SimDatabase::CreateTable(TableShape shape, std::vector<uint32_t> unique) {
  const TableName name = shape.name;
  for (size_t i = 0; i < shape.columns.size(); ++i) shape.columns[i].number = static_cast<uint32_t>(i + 1);
  tables_[name] = {std::make_shared<const TableShape>(std::move(shape)), std::move(unique), nullptr, {}};
  tables_[name].last_number = static_cast<uint32_t>(tables_[name].shape->columns.size());
}

bool SimDatabase::IsInUse(const TableName& name) const {
  return std::any_of(open_.begin(), open_.end(), [&](const auto& open) {
    return open.second->touched.contains(name) || open.second->closed.contains(name);
  });
}

bool SimDatabase::DropColumn(const TableName& name, const std::string& column) {
  if (IsInUse(name)) return false;
  SimTable& table = tables_.at(name);
  TableShape shape = *table.shape;
  const auto at = std::find_if(shape.columns.begin(), shape.columns.end(),
                               [&](const TableColumn& each) { return each.name == column; });
  const auto index = at - shape.columns.begin();
  ASSAY_CHECK(at != shape.columns.end() && index > shape.key.back());  // Behind all that has an index here.
  shape.columns.erase(at);
  table.shape = std::make_shared<const TableShape>(std::move(shape));
  for (auto& [key, row] : table.rows) row.values.erase(row.values.begin() + index);
  return true;
}

bool SimDatabase::RenameColumn(const TableName& name, const std::string& column, const std::string& to) {
  if (IsInUse(name)) return false;
  SimTable& table = tables_.at(name);
  TableShape shape = *table.shape;
  for (TableColumn& each : shape.columns) {
    if (each.name == column) each.name = to;
  }
  table.shape = std::make_shared<const TableShape>(std::move(shape));
  return true;
}

bool SimDatabase::AddColumn(const TableName& name, TableColumn column, ColumnText fill) {
  if (IsInUse(name)) return false;
  SimTable& table = tables_.at(name);
  TableShape shape = *table.shape;
  column.number = ++table.last_number;
  shape.columns.push_back(std::move(column));
  table.shape = std::make_shared<const TableShape>(std::move(shape));
  for (auto& [key, row] : table.rows) row.values.resize(table.shape->columns.size(), fill);
  return true;
}

void SimDatabase::PutUnheard(const TableName& name, SimValues values) {
  SimTable& table = tables_.at(name);
  const RowKey key = KeyOf(*table.shape, values);
  unheard_.insert({name, key});
  table.rows[key] = {std::move(values), next_xid_++};
}

const SimTable* SimDatabase::Find(const TableName& name) const {
  auto it = tables_.find(name);
  return it == tables_.end() ? nullptr : &it->second;
}

std::string SimDatabase::ShowWal() const {
  std::string text;
  const auto show = [&](const SimValues& values) {
    absl::StrAppend(&text, " (",
                    absl::StrJoin(values, ",", [](std::string* out, const ColumnText& v) { *out += v ? *v : "NULL"; }),
                    ")");
  };
  for (const WalTransaction& transaction : wal_) {
    absl::StrAppend(&text, transaction.commit_lsn.ToString(), transaction.projected ? " projected" : "");
    for (const WalItem& item : transaction.items) {
      constexpr const char* kNames[] = {"begin",   "insert",   "update",     "delete", "truncate",
                                        "message", "relation", "unreadable", "commit", "keepalive"};
      absl::StrAppend(&text, "; ", kNames[static_cast<int>(item.kind)], " ", item.prefix, item.content);
      if (item.relation != nullptr) absl::StrAppend(&text, item.relation->name.table);
      if (!item.old_values.empty()) show(item.old_values);
      if (!item.new_values.empty()) show(item.new_values);
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

// ---- Transactions ----

std::unique_ptr<SimDatabase::Open> SimDatabase::Begin() {
  auto open = std::make_unique<Open>();
  open->xid = next_xid_++;
  open_[open->xid] = open.get();
  return open;
}

std::optional<SimValues> SimDatabase::Current(const Open& open, const SimRowName& row) const {
  if (auto it = open.written.find(row); it != open.written.end()) return it->second;
  const SimTable* table = Find(row.first);
  if (table == nullptr) return std::nullopt;
  auto it = table->rows.find(row.second);
  if (it == table->rows.end()) return std::nullopt;
  return it->second.values;
}

SimDatabase::Result SimDatabase::Touch(Open& open, const TableName& name) {
  std::vector<Open*> finished;
  for (const auto& [xid, other] : open_) {
    if (other == &open || !other->closed.contains(name)) continue;
    if (!other->recorded) return Refusal{"55P03", "canceling statement due to lock timeout"};
    finished.push_back(other);
  }
  for (Open* other : finished) Publish(*other);
  open.touched.insert(name);
  return std::nullopt;
}

SimDatabase::Result SimDatabase::Lock(Open& open, const SimRowName& row) {
  if (Result refusal = Touch(open, row.first)) return refusal;
  auto it = locks_.find(row);
  if (it != locks_.end() && it->second != open.xid) {
    Open& holder = *open_.at(it->second);
    if (!holder.recorded) return Refusal{"55P03", "canceling statement due to lock timeout"};
    Publish(holder);  // It is committed: waiting for its lock is waiting for it to become visible.
  }
  locks_[row] = open.xid;
  open.locked.insert(row);
  return std::nullopt;
}

// Closes a table to everybody else's writes. False: somebody is writing to it.
bool SimDatabase::LockTable(Open& open, const TableName& name) {
  std::vector<Open*> finished;
  for (const auto& [xid, other] : open_) {
    if (other == &open) continue;
    const bool touches = other->closed.contains(name) || other->touched.contains(name);
    if (touches && !other->recorded) return false;
    if (touches) finished.push_back(other);
  }
  for (Open* other : finished) Publish(*other);
  open.closed.insert(name);
  return true;
}

// Whether somebody else has an uncommitted write of the row, not merely its lock.
bool SimDatabase::OthersWrite(const Open& open, const SimRowName& row) const {
  auto it = locks_.find(row);
  return it != locks_.end() && it->second != open.xid && open_.at(it->second)->written.contains(row);
}

SimDatabase::Result SimDatabase::CheckUnique(const Open& open, const SimTable& table, const RowKey& key,
                                             uint32_t column, const ColumnText& value) const {
  if (!value) return std::nullopt;
  const TableName& name = table.shape->name;
  auto clashes = [&](const RowKey& other, const std::optional<SimValues>& values) {
    return other != key && values && values->at(column) == value;
  };
  for (const auto& [xid, other] : open_) {
    if (other == &open) continue;
    for (const auto& [row, values] : other->written) {
      if (row.first != name) continue;
      // Whether the other commits or not decides: PostgreSQL waits to see.
      if (clashes(row.second, values) || clashes(row.second, Current(open, row)))
        return Refusal{"55P03", "lock timeout"};
    }
  }
  for (const auto& [other, row] : table.rows) {
    if (!open.written.contains({name, other}) && clashes(other, row.values)) {
      return Refusal{"23505", "duplicate key value violates unique constraint"};
    }
  }
  for (const auto& [row, values] : open.written) {
    if (row.first == name && clashes(row.second, values)) {
      return Refusal{"23505", "duplicate key value violates unique constraint"};
    }
  }
  return std::nullopt;
}

SimDatabase::Result SimDatabase::CheckTypes(const SimTable& table, const SimValues& values) const {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i]) continue;
    if (auto bad = BadText(table.shape->columns[i].type, *values[i])) return Refusal{bad->first, bad->second};
  }
  return std::nullopt;
}

// What PostgreSQL looks at before it touches an index: types, then NOT NULL. Before it waits for a row's lock, too,
// unless a trigger wants the row first.
SimDatabase::Result SimDatabase::CheckTexts(const SimTable& table, const SimValues& values) const {
  if (Result refusal = CheckTypes(table, values)) return refusal;
  for (size_t i = 0; i < values.size(); ++i) {
    const TableColumn& column = table.shape->columns[i];
    if (values[i] || !column.not_null) continue;
    return Refusal{"23502", absl::StrCat("null value in column \"", column.name, "\" violates not-null constraint")};
  }
  return std::nullopt;
}

SimDatabase::Result SimDatabase::CheckAnswer(const SimTable& table, const SimValues& values) const {
  if (table.trigger == nullptr || plant_ == Plant::kNoAnswer) return std::nullopt;
  SimValues stored = values;
  if (!table.trigger(&stored)) return Refusal{"27000", "the row is not there: a trigger skipped it"};
  if (stored != values) return Refusal{"27000", "a trigger changed the row"};
  return std::nullopt;
}

SimDatabase::Result SimDatabase::CheckUniques(const Open& open, const SimTable& table, const RowKey& key,
                                              const SimValues& values) const {
  for (uint32_t column : table.unique) {
    if (Result refusal = CheckUnique(open, table, key, column, values[column])) return refusal;
  }
  return std::nullopt;
}

SimDatabase::Result SimDatabase::InsertRow(Open& open, const TableName& name, SimValues values) {
  const SimTable& table = tables_.at(name);
  const SimRowName row{name, KeyOf(*table.shape, values)};
  if (Result refusal = CheckTypes(table, values)) return refusal;
  if (table.trigger != nullptr && !table.trigger(&values)) return std::nullopt;
  if (Result refusal = CheckTexts(table, values)) return refusal;
  if (Current(open, row) && !OthersWrite(open, row)) return Refusal{"00000", "the row exists"};
  if (Result refusal = Lock(open, row)) return refusal;
  if (Current(open, row)) return Refusal{"00000", "the row exists"};
  if (Result refusal = CheckUniques(open, table, row.second, values)) return refusal;
  open.items.push_back({CaptureItem::Kind::kInsert, table.shape, {}, values});
  open.written[row] = std::move(values);
  if (table.writes_aside) InsertAside(open);
  return std::nullopt;
}

void SimDatabase::InsertAside(Open& open) {
  const std::string id = absl::StrCat("aside-", end_of_wal_.value, "-", open.xid, "-", open.items.size());
  // Nobody else has that key, but the table may be closed: the trigger does without then.
  if (!InsertRow(open, {"public", "invoices"}, {id, id, std::nullopt})) open.items.back().aside = open.projected;
}

// The row for an update or a delete: one that nobody has committed yet is not there, and nobody waits for it.
SimDatabase::Result SimDatabase::LockExisting(Open& open, const SimRowName& row, SimValues* values) {
  const Refusal gone{"00000", "the row is not there"};
  if (!Current(open, row)) return gone;
  if (Result refusal = Lock(open, row)) return refusal;
  std::optional<SimValues> current = Current(open, row);
  if (!current) return gone;
  *values = *std::move(current);
  return std::nullopt;
}

SimDatabase::Result SimDatabase::UpdateRow(Open& open, const TableName& name, const RowKey& key, SimValues values) {
  const SimTable& table = tables_.at(name);
  const SimRowName old_row{name, key};
  const SimRowName new_row{name, KeyOf(*table.shape, values)};
  SimValues old_values;
  if (Result refusal = LockExisting(open, old_row, &old_values)) return refusal;
  if (table.trigger != nullptr && !table.trigger(&values)) return Refusal{"00000", "a trigger skipped the row"};
  if (Result refusal = CheckTexts(table, values)) return refusal;
  if (new_row != old_row) {
    const Refusal duplicate{"23505", "duplicate key value violates unique constraint"};
    if (Current(open, new_row) && !OthersWrite(open, new_row)) return duplicate;
    if (Result refusal = Lock(open, new_row)) return refusal;
    if (Current(open, new_row)) return duplicate;
    open.written[old_row] = std::nullopt;
  }
  if (Result refusal = CheckUniques(open, table, new_row.second, values)) {
    if (new_row != old_row) open.written[old_row] = std::move(old_values);
    return refusal;
  }
  open.items.push_back({CaptureItem::Kind::kUpdate, table.shape, std::move(old_values), values});
  open.written[new_row] = std::move(values);
  if (table.writes_aside) InsertAside(open);
  return std::nullopt;
}

SimDatabase::Result SimDatabase::DeleteRow(Open& open, const TableName& name, const RowKey& key) {
  const SimRowName row{name, key};
  SimValues old_values;
  if (Result refusal = LockExisting(open, row, &old_values)) return refusal;
  open.items.push_back({CaptureItem::Kind::kDelete, tables_.at(name).shape, std::move(old_values), {}});
  open.written[row] = std::nullopt;
  return std::nullopt;
}

void SimDatabase::Record(Open& open) {
  open.recorded = true;
  if (open.batch != 0) last_batch_ = open.batch;
  // What it wrote may be in the WAL from before: then its commit record is right behind the last one.
  const bool adjacent = random_->Chance(10);
  const Lsn commit_lsn{end_of_wal_.value + (adjacent ? 0 : 0x40 * (1 + open.items.size()))};
  end_of_wal_ = Lsn{commit_lsn.value + 0x30};
  if (open.items.empty()) return;  // pgoutput says nothing about a transaction without changes of ours.
  if (open.projected && plant_ == Plant::kNoTag) open.items.erase(open.items.begin());
  wal_.push_back(
      {open.xid, commit_lsn, end_of_wal_, absl::ToUnixMicros(clock_->Now()), open.projected, std::move(open.items)});
}

void SimDatabase::RecordHalf(Open& open) {
  Open half = open;
  half.items.resize(1 + open.items.size() / 2);
  open.items.erase(open.items.begin() + 1, open.items.begin() + static_cast<ptrdiff_t>(half.items.size()));
  Record(half);
}

void SimDatabase::Publish(Open& open) {
  for (auto& [row, values] : open.written) {
    SimTable& table = tables_.at(row.first);
    if (values) {
      table.rows[row.second] = {std::move(*values), open.xid};
    } else {
      table.rows.erase(row.second);
    }
  }
  End(open);
}

void SimDatabase::End(Open& open) {
  for (const SimRowName& row : open.locked) {
    if (auto it = locks_.find(row); it != locks_.end() && it->second == open.xid) locks_.erase(it);
  }
  open_.erase(open.xid);
}

void SimDatabase::EmitMessage(absl::string_view prefix, absl::string_view content) {
  std::unique_ptr<Open> open = Begin();
  open->items.push_back({CaptureItem::Kind::kMessage, nullptr, {}, {}, std::string(prefix), std::string(content)});
  Record(*open);
  Publish(*open);
}

// ---- Database ----

absl::StatusOr<ReadReply> SimDatabase::Read(const ReadRequest& request) {
  const DatabaseFault fault = TakeFault();
  if (fault == DatabaseFault::kUnavailable) return absl::UnavailableError("the connection was refused");
  Abandon();
  if (request.lock) {
    if (undecided_ != nullptr) return absl::UnavailableError("an earlier projection has not ended");
    locking_read_ = Begin();
    locking_read_->projected = true;
    locking_read_->items.push_back(
        {CaptureItem::Kind::kMessage, nullptr, {}, {}, std::string(kProjectionPrefix), request.tag});
  }
  // Nothing smaller than the table's lock holds a key that nobody has; all of them before any row's.
  for (const ReadRequest::Table& wanted : request.tables) {
    const SimTable* table = Find(wanted.name);
    if (!request.lock || table == nullptr) continue;
    const bool absent = std::any_of(wanted.keys.begin(), wanted.keys.end(),
                                    [&](const RowKey& key) { return !table->rows.contains(key); });
    if (!absent || LockTable(*locking_read_, wanted.name)) continue;
    Abandon();
    return absl::AbortedError(absl::StrCat("the app is writing to ", wanted.name.ToString()));
  }
  ReadReply reply;
  for (const ReadRequest::Table& wanted : request.tables) {
    ReadReply::Table& answer = reply.tables.emplace_back();
    const SimTable* table = Find(wanted.name);
    if (table == nullptr) {
      answer.refusal = absl::StrCat("there is no table ", wanted.name.ToString());
      continue;
    }
    answer.shape = *table->shape;
    if (request.lock && Touch(*locking_read_, wanted.name)) {
      Abandon();
      return absl::AbortedError(absl::StrCat("table ", wanted.name.ToString(), " is closed"));
    }
    for (const RowKey& key : wanted.keys) {
      ReadReply::Row& row = answer.rows.emplace_back();
      if (request.lock && Lock(*locking_read_, {wanted.name, key})) {
        Abandon();
        return absl::AbortedError(absl::StrCat("a row of ", wanted.name.ToString(), " is locked by the app"));
      }
      auto it = table->rows.find(key);
      if (it == table->rows.end()) continue;
      row = {true, it->second.xmin, it->second.values};
    }
  }
  if (auto action = std::exchange(between_read_and_fence_, nullptr)) action();
  if (request.lock && locking_read_ == nullptr) return absl::UnavailableError("the server went away");
  reply.session = session_;
  reply.ended_before = open_.empty() ? next_xid_ : open_.begin()->first;
  EmitMessage(kFencePrefix, request.fence);
  if (fault == DatabaseFault::kReplyLost) {
    Abandon();
    return absl::UnavailableError("the connection was lost");
  }
  return reply;
}

// What `write` makes of the row's values.
SimDatabase::Result SimDatabase::SetValues(const SimTable& table, const TableWrites& writes, const RowWrite& write,
                                           SimValues* values) const {
  const std::vector<TableColumn>& columns = table.shape->columns;
  for (size_t i = 0; i < writes.columns.size(); ++i) {
    const auto column = std::find_if(columns.begin(), columns.end(),
                                     [&](const TableColumn& each) { return each.name == writes.columns[i]; });
    if (column == columns.end())
      return Refusal{"42703", absl::StrCat("column \"", writes.columns[i], "\" does not exist")};
    (*values)[column - columns.begin()] = ColumnText(writes.Value(write, i));
  }
  return std::nullopt;
}

SimDatabase::Result SimDatabase::ApplyWrite(Open& open, const TableWrites& writes, const RowWrite& write,
                                            bool compare) {
  const SimTable* table = Find(writes.name);
  if (table == nullptr) return Refusal{"42P01", absl::StrCat("relation ", writes.name.ToString(), " does not exist")};
  const RowKey key = KeyOf(write);
  const SimRowName row{writes.name, key};
  SimValues values;
  if (Result refusal = Touch(open, writes.name)) return refusal;
  if (write.operation == RowWrite::Operation::kKeep && plant_ == Plant::kNoKeep) return std::nullopt;
  const auto moved = [&] { return compare && plant_ != Plant::kNoCompare && table->rows.at(key).xmin != write.xmin; };
  if (write.operation == RowWrite::Operation::kInsert) {
    values.resize(table->shape->columns.size());
    for (size_t i = 0; i < key.size(); ++i) values[table->shape->key[i]] = key[i];
    // Of a table that answers, the adapter looks for the row first.
    const bool looks = table->trigger != nullptr && plant_ != Plant::kNoAnswer;
    if (looks && Current(open, row) && !OthersWrite(open, row)) return Refusal{"00000", "the row exists"};
    if (Result refusal = SetValues(*table, writes, write, &values)) return refusal;
  } else {
    // A version that is another by now is none to wait for, but of a table that answers the row is locked first.
    const bool locks_first = table->trigger != nullptr;
    if (!locks_first && (!table->rows.contains(key) || moved())) return Refusal{"00000", "the row moved"};
    if (write.operation == RowWrite::Operation::kUpdate && !locks_first) {
      const std::optional<SimValues> current = Current(open, row);
      if (!current) return Refusal{"00000", "the row moved"};
      values = *current;
      if (Result refusal = SetValues(*table, writes, write, &values)) return refusal;
      if (Result refusal = CheckTexts(*table, values)) return refusal;
    }
    if (Result refusal = LockExisting(open, row, &values)) return refusal;
    if (moved()) return Refusal{"00000", "the row moved"};
    if (write.operation == RowWrite::Operation::kKeep) return std::nullopt;
    if (write.operation == RowWrite::Operation::kDelete) return DeleteRow(open, writes.name, key);
    if (Result refusal = SetValues(*table, writes, write, &values)) return refusal;
  }
  const auto apply = [&] {
    return write.operation == RowWrite::Operation::kInsert ? InsertRow(open, writes.name, values)
                                                           : UpdateRow(open, writes.name, key, values);
  };
  if (Result refusal = CheckTypes(*table, values)) return refusal;
  Result answer = CheckAnswer(*table, values);
  SimValues stored = values;
  if (!answer || !table->trigger(&stored)) return answer ? answer : apply();
  // It is written, as far as it can be, before it is seen to be another.
  const std::vector<WalItem> items = open.items;
  const std::map<SimRowName, std::optional<SimValues>> written = open.written;
  if (Result refusal = apply()) return refusal;
  open.items = items;
  open.written = written;
  return answer;
}

struct SimDatabase::Failure {
  uint32_t table = 0, row = 0;
  Refusal refusal;
};

std::vector<SimDatabase::Failure> SimDatabase::ApplyAll(Open& open, const ProjectRequest& request) {
  using Operation = RowWrite::Operation;
  std::vector<Failure> failures;
  for (Operation operation : {Operation::kKeep, Operation::kDelete, Operation::kUpdate, Operation::kInsert}) {
    for (uint32_t t = 0; t < request.writes.size(); ++t) {
      for (uint32_t r = 0; r < request.writes[t].rows.size(); ++r) {
        if (request.writes[t].rows[r].operation != operation) continue;
        Result refusal = ApplyWrite(open, request.writes[t], request.writes[t].rows[r], !request.locked);
        if (refusal) failures.push_back({t, r, *std::move(refusal)});
      }
    }
  }
  for (bool progress = true; progress;) {
    progress = false;
    for (auto it = failures.begin(); it != failures.end();) {
      Result refusal = it->refusal;
      if (refusal->sqlstate == "23505") {
        refusal = ApplyWrite(open, request.writes[it->table], request.writes[it->table].rows[it->row], !request.locked);
      }
      progress |= !refusal;
      if (refusal)
        it++->refusal = *std::move(refusal);
      else
        it = failures.erase(it);
    }
  }
  Exchange(open, request, failures);
  return failures;
}

void SimDatabase::Exchange(Open& open, const ProjectRequest& request, std::vector<Failure>& failures) {
  const auto write_of = [&](const Failure& failure) -> const RowWrite& {
    return request.writes[failure.table].rows[failure.row];
  };
  for (;;) {
    std::vector<Failure*> clashing;
    bool updates = false;
    for (Failure& failure : failures) {
      if (failure.refusal.sqlstate != "23505") continue;
      clashing.push_back(&failure);
      updates |= write_of(failure).operation == RowWrite::Operation::kUpdate;
    }
    if (!updates) return;
    const Open before = open;
    std::vector<std::pair<Failure*, SimValues>> wholes;
    for (Failure* failure : clashing) {
      const TableWrites& writes = request.writes[failure->table];
      const TableShape& shape = *tables_.at(writes.name).shape;
      const RowWrite& write = write_of(*failure);
      const RowKey key = KeyOf(write);
      SimValues values(shape.columns.size());
      if (write.operation == RowWrite::Operation::kUpdate) {
        values = *Current(open, {writes.name, key});
        DeleteRow(open, writes.name, key);
      }
      for (size_t i = 0; i < key.size(); ++i) values[shape.key[i]] = key[i];
      for (size_t i = 0; i < writes.columns.size(); ++i) {
        for (size_t c = 0; c < shape.columns.size(); ++c) {
          if (shape.columns[c].name == writes.columns[i]) values[c] = ColumnText(writes.Value(write, i));
        }
      }
      wholes.push_back({failure, std::move(values)});
    }
    bool all = true;
    for (auto& [failure, values] : wholes) {
      const TableName& name = request.writes[failure->table].name;
      Result refusal = CheckAnswer(tables_.at(name), values);
      if (!refusal) refusal = InsertRow(open, name, std::move(values));
      if (!refusal) continue;
      all = false;
      failure->refusal = {"23505 ", refusal->cause};  // Out of the next round.
    }
    if (all) {
      std::erase_if(failures, [](const Failure& failure) { return failure.refusal.sqlstate == "23505"; });
      break;
    }
    open.items = before.items;
    open.written = before.written;
  }
}

ProjectReply SimDatabase::Project(const ProjectRequest& request) {
  using Outcome = ProjectReply::Outcome;
  const DatabaseFault fault = TakeFault();
  auto unavailable = [](absl::string_view why) {
    return ProjectReply{Outcome::kUnavailable, {}, absl::UnavailableError(why)};
  };
  if (!request.locked || fault == DatabaseFault::kUnavailable) Abandon();
  if (fault == DatabaseFault::kUnavailable) return unavailable("the connection was refused");
  if (fault == DatabaseFault::kGaveWay && !request.locked) return {Outcome::kGaveWay, {}, {}};
  if (undecided_ != nullptr) return unavailable("an earlier projection has not ended");
  if (request.locked && locking_read_ == nullptr) return unavailable("the transaction that held the locks is gone");

  for (const TableWrites& writes : request.writes) {
    const SimTable* table = Find(writes.name);
    if (writes.unread != nullptr && (table == nullptr || *table->shape != *writes.unread))
      return {Outcome::kMoved, {}, {}};
  }
  std::unique_ptr<Open> open = request.locked ? std::move(locking_read_) : Begin();
  open->projected = true;
  open->batch = request.batch;
  if (!request.locked) {
    open->items.push_back({CaptureItem::Kind::kMessage, nullptr, {}, {}, std::string(kProjectionPrefix), request.tag});
  }
  ProjectReply moved{Outcome::kMoved, {}, {}}, refused{Outcome::kRefused, {}, {}};
  if (clock_->Now() - last_lock_timeout_ > kLockTimeoutsRemembered) lock_timeouts_ = 0;
  for (const Failure& failure : ApplyAll(*open, request)) {
    const Refusal& refusal = failure.refusal;
    if (refusal.IsMoved()) {
      moved.rows.push_back({failure.table, failure.row, {}, {}});
    } else if (refusal.IsLock() && lock_timeouts_ < kLockTimeoutsBeforeRefusing) {
      ++lock_timeouts_;
      last_lock_timeout_ = clock_->Now();
      End(*open);
      return unavailable("lock timeout");
    } else {
      refused.rows.push_back({failure.table, failure.row, refusal.sqlstate.substr(0, 5), refusal.cause});
    }
  }
  if (!moved.rows.empty() || !refused.rows.empty()) {
    End(*open);
    if (refused.rows.empty()) return moved;
    for (const ProjectReply::Row& row : refused.rows) {
      refused_.insert({request.writes[row.table].name, KeyOf(request.writes[row.table].rows[row.row])});
    }
    return refused;
  }
  if (request.gate != nullptr) {
    const std::optional<bool> may_commit = request.gate->Await(absl::ZeroDuration());
    ASSAY_CHECK(may_commit.has_value());  // Here, nobody would ever decide.
    if (!*may_commit) {
      End(*open);
      return unavailable("the log could not be written");
    }
  }
  switch (fault) {
    case DatabaseFault::kCommitNotReached:
      End(*open);
      break;
    case DatabaseFault::kCommitLater:
      undecided_ = std::move(open);
      break;
    default:
      if (plant_ == Plant::kTorn) RecordHalf(*open);
      Record(*open);
      Publish(*open);
      if (fault != DatabaseFault::kReplyLost) return {Outcome::kCommitted, {}, {}, open->xid, session_};
  }
  return {Outcome::kInDoubt, {}, absl::DeadlineExceededError("the connection was lost at COMMIT")};
}

void SimDatabase::Abandon() {
  if (locking_read_ == nullptr) return;
  End(*locking_read_);
  locking_read_ = nullptr;
}

absl::StatusOr<uint64_t> SimDatabase::LastBatch() {
  if (TakeFault() != DatabaseFault::kNone) return absl::UnavailableError("the connection was refused");
  if (undecided_ != nullptr) {
    if (random_->Chance(50)) return absl::UnavailableError("an earlier projection has not ended");
    Decide();
  }
  return last_batch_;
}

// ---- Faults ----

void SimDatabase::Decide() {
  if (undecided_ == nullptr) return;
  if (random_->Chance(50)) {
    Record(*undecided_);
    Publish(*undecided_);
  } else {
    End(*undecided_);
  }
  undecided_ = nullptr;
}

void SimDatabase::Disconnect() {
  ++session_;
  if (locking_read_ != nullptr) orphans_.push_back(std::move(locking_read_));
}

void SimDatabase::Settle() {
  Decide();
  for (std::unique_ptr<Open>& orphan : orphans_) End(*orphan);
  orphans_.clear();
}

void SimDatabase::Crash() {
  Abandon();
  Settle();
  while (!open_.empty()) {
    Open& open = *open_.begin()->second;
    open.recorded ? Publish(open) : End(open);
  }
  ++crashes_;
  ++session_;
}

absl::Status SimDatabase::WouldTake(const TableName& name, const SimValues& values) const {
  const SimTable& table = tables_.at(name);
  Result refusal = CheckTexts(table, values);
  if (!refusal) refusal = CheckAnswer(table, values);
  if (!refusal) refusal = CheckUniques(Open(), table, KeyOf(*table.shape, values), values);
  return refusal ? absl::FailedPreconditionError(refusal->cause) : absl::OkStatus();
}

}  // namespace assay
