#include "tests/simulation/sim_database.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "log/check.h"

namespace assay {

RowKey KeyOf(const TableShape& shape, const SimValues& values) {
  RowKey key;
  for (uint32_t column : shape.key) key.push_back(*values[column]);
  return key;
}

// ---- The catalog ----

void SimDatabase::CreateTable(TableShape shape, std::vector<uint32_t> unique) {
  const TableName name = shape.name;
  for (size_t i = 0; i < shape.columns.size(); ++i) shape.columns[i].number = static_cast<uint32_t>(i + 1);
  tables_[name] = {std::make_shared<const TableShape>(std::move(shape)), std::move(unique), false, nullptr, {}};
  tables_[name].oid = next_oid_++;
  tables_[name].last_number = static_cast<uint32_t>(tables_[name].shape->columns.size());
  for (const uint32_t column : tables_[name].shape->key)
    tables_[name].first_key.push_back(tables_[name].shape->columns[column].name);
  Remember(&tables_[name]);
  ++published_;
}

void SimDatabase::Remember(SimTable* table) {
  for (const TableColumn& column : table->shape->columns) {
    std::string& first = table->first_names[column.number];
    if (first.empty()) {
      std::string name = column.name;
      const auto is_taken = [&](const auto& known) { return known.second == name; };
      while (std::any_of(table->first_names.begin(), table->first_names.end(), is_taken)) name += "'";
      first = std::move(name);
    }
    table->types[first.substr(0, first.find('\''))].insert(absl::StrCat(column.name, " ", column.type));
  }
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
  Remember(&table);
  return true;
}

bool SimDatabase::AddColumn(const TableName& name, TableColumn column, ColumnText fill) {
  if (IsInUse(name)) return false;
  SimTable& table = tables_.at(name);
  TableShape shape = *table.shape;
  column.number = ++table.last_number;
  shape.columns.push_back(std::move(column));
  table.shape = std::make_shared<const TableShape>(std::move(shape));
  Remember(&table);
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
    for (const auto& [row, values] : other->versions) {
      if (row.first == name && clashes(row.second, values)) return Refusal{"55P03", "lock timeout"};
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
  Result too_long;  // What is none of its type is seen before that.
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i]) continue;
    const auto bad = BadText(table.shape->columns[i].type, *values[i]);
    if (bad && bad->first != "22001") return Refusal{bad->first, bad->second};
    if (bad && !too_long) too_long = Refusal{bad->first, bad->second};
  }
  return too_long;
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

SimDatabase::Result SimDatabase::CheckPartition(const SimTable& table, const SimValues& values) {
  if (table.partitions.empty()) return std::nullopt;
  const ColumnText& value = values[table.partition_column];
  if (value && table.partitions.contains(*value)) return std::nullopt;
  return Refusal{"23514", absl::StrCat("no partition of relation \"", table.shape->name.table, "\" found for row")};
}

WalItem SimDatabase::ItemOf(const SimTable& table, CaptureItem::Kind kind, SimValues old_values, SimValues new_values) {
  WalItem item{kind, table.shape, std::move(old_values), std::move(new_values)};
  item.oid = table.oid;
  item.identity = table.identity;
  return item;
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
  if (Result refusal = CheckTypes(table, values)) return refusal;
  Respell(*table.shape, &values);
  if (Result refusal = CheckPartition(table, values)) return refusal;
  if (table.trigger != nullptr && !table.trigger(&values)) return std::nullopt;
  if (Result refusal = CheckTexts(table, values)) return refusal;
  const SimRowName row{name, KeyOf(*table.shape, values)};
  // A projection asks for the key's row first (ON CONFLICT).
  if (table.key_is_newest && !open.projected) {
    if (Result refusal = CheckUniques(open, table, row.second, values)) return refusal;
  }
  if (Current(open, row) && !OthersWrite(open, row)) return Refusal{"00000", "the row exists"};
  if (Result refusal = Lock(open, row)) return refusal;
  if (Current(open, row)) return Refusal{"00000", "the row exists"};
  if (Result refusal = CheckUniques(open, table, row.second, values)) return refusal;
  open.items.push_back(ItemOf(table, CaptureItem::Kind::kInsert, {}, values));
  open.versions.push_back({row, values});
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
  Respell(*table.shape, &values);
  const SimRowName old_row{name, key};
  SimValues old_values;
  if (Result refusal = LockExisting(open, old_row, &old_values)) return refusal;
  if (table.trigger != nullptr && !table.trigger(&values)) return Refusal{"00000", "a trigger skipped the row"};
  if (Result refusal = CheckPartition(table, values)) return refusal;
  if (Result refusal = CheckTexts(table, values)) return refusal;
  const SimRowName new_row{name, KeyOf(*table.shape, values)};
  if (new_row != old_row) {
    const Refusal duplicate{"23505", "duplicate key value violates unique constraint"};
    if (table.key_is_newest) {
      if (Result refusal = CheckUniques(open, table, new_row.second, values)) return refusal;
    }
    if (Current(open, new_row) && !OthersWrite(open, new_row)) return duplicate;
    if (Result refusal = Lock(open, new_row)) return refusal;
    if (Current(open, new_row)) return duplicate;
    open.written[old_row] = std::nullopt;
  }
  if (Result refusal = CheckUniques(open, table, new_row.second, values)) {
    if (new_row != old_row) open.written[old_row] = std::move(old_values);
    return refusal;
  }
  if (!table.partitions.empty() && old_values[table.partition_column] != values[table.partition_column]) {
    // From one partition to another it is a delete and an insert.
    open.items.push_back(ItemOf(table, CaptureItem::Kind::kDelete, std::move(old_values), {}));
    open.items.push_back(ItemOf(table, CaptureItem::Kind::kInsert, {}, values));
  } else {
    open.items.push_back(ItemOf(table, CaptureItem::Kind::kUpdate, std::move(old_values), values));
  }
  open.versions.push_back({new_row, values});
  open.written[new_row] = std::move(values);
  if (table.writes_aside) InsertAside(open);
  return std::nullopt;
}

SimDatabase::Result SimDatabase::DeleteRow(Open& open, const TableName& name, const RowKey& key) {
  const SimRowName row{name, key};
  SimValues old_values;
  if (Result refusal = LockExisting(open, row, &old_values)) return refusal;
  open.items.push_back(ItemOf(tables_.at(name), CaptureItem::Kind::kDelete, std::move(old_values), {}));
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
  wal_.push_back({open.xid, commit_lsn, end_of_wal_, absl::ToUnixMicros(clock_->Now()), open.projected, published_,
                  std::move(open.items)});
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
  if (!refusal) refusal = CheckPartition(table, values);
  if (!refusal) refusal = CheckAnswer(table, values);
  if (!refusal) refusal = CheckUniques(Open(), table, KeyOf(*table.shape, values), values);
  return refusal ? absl::FailedPreconditionError(refusal->cause) : absl::OkStatus();
}

}  // namespace assay
