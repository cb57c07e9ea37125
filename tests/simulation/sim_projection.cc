// What a SimDatabase does for the engine: rows read for it, and written as the real adapter would.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/check.h"
#include "tests/simulation/sim_database.h"

namespace assay {
namespace {

RowKey KeyOf(const RowWrite& write) {
  const PackedRow::KeyTexts key = write.row.KeyParts();
  return RowKey(key.begin(), key.end());
}

// As the real adapter: a lock that the app holds for a moment is worth trying again; from the third time on, the rows
// that are locked are refused by name, so that the others flow on.
constexpr int kLockTimeoutsBeforeRefusing = 2;
constexpr absl::Duration kLockTimeoutsRemembered = absl::Minutes(1);

}  // namespace

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
  if (answer && !table->trigger(&stored)) return answer;
  // Another spelling shows in what comes back, and what a trigger has changed in a look at the rows after that.
  stored = values;
  Respell(*table->shape, &stored);
  const bool respelled = stored != values && plant_ != Plant::kNoAnswer;
  if (respelled) answer = Refusal{"22000", "the row came back in another spelling"};
  if (!answer) return apply();
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
    if (writes.planned_on == nullptr) continue;
    if (table == nullptr ? writes.unread : *table->shape != *writes.planned_on) return {Outcome::kMoved, {}, {}};
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

}  // namespace assay
