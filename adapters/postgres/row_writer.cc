#include "adapters/postgres/row_writer.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "adapters/postgres/copy_rows.h"
#include "adapters/postgres/savepoint.h"
#include "engine/column_text.h"
#include "log/annotate.h"
#include "log/check.h"

namespace assay {
namespace {

constexpr size_t kGroupRowsMax = 1000;
// Gently, of rows that are there: it is between statements that somebody is given way.
constexpr size_t kGroupRowsGentlyMax = 100;
constexpr absl::Duration kLookEvery = absl::Milliseconds(3);
constexpr size_t kGroupBytes = 8 << 20;
constexpr size_t kCauseBytes = 500;  // PostgreSQL quotes a value it cannot read, and a value can be large.

constexpr char kCheckNow[] = "SET CONSTRAINTS ALL IMMEDIATE";

// A unique, exclusion or foreign key constraint, or what somebody's trigger raises: whether a row passes may depend on
// other rows. And 428C9: a column that is GENERATED ALWAYS AS IDENTITY takes a value only from an insert, so the row is
// taken out and put back.
bool MayPassYet(const absl::Status& status) {
  const std::string sqlstate = SqlstateOf(status);
  return sqlstate == "23505" || sqlstate == "23P01" || sqlstate == "23503" || sqlstate == "428C9" ||
         absl::StartsWith(sqlstate, "P0");
}

}  // namespace

RowWriter::RowWriter(Connection* connection, const LocalCatalog* catalog, const ProjectRequest* request,
                     absl::Time deadline, bool gently)
    : connection_(connection),
      catalog_(catalog),
      request_(request),
      deadline_(deadline),
      gently_(gently),
      answers_(connection, catalog, request),
      looked_(SteadyNow()) {
  // Before anything is locked that another may wait for. What deletes and updates give up, inserts may take.
  AddGroups(RowWrite::Operation::kKeep);
  AddGroups(RowWrite::Operation::kDelete);
  AddGroups(RowWrite::Operation::kUpdate);
  AddGroups(RowWrite::Operation::kInsert);
}

void RowWriter::AddGroups(RowWrite::Operation operation) {
  const bool there = operation != RowWrite::Operation::kInsert;
  const size_t rows_max = there && gently_ ? kGroupRowsGentlyMax : kGroupRowsMax;
  for (uint32_t table = 0; table < request_->writes.size(); ++table) {
    const TableWrites& writes = request_->writes[table];
    const std::deque<RowWrite>& rows = writes.rows;
    size_t bytes = 0;
    Group group{table, {}};
    for (uint32_t row = 0; row < rows.size(); ++row) {
      if (rows[row].operation != operation) continue;
      const size_t size = writes.ByteSize(rows[row]);
      if (!group.rows.empty() && (group.rows.size() == rows_max || bytes + size > kGroupBytes)) {
        groups_.push_back(std::exchange(group, {table, {}}));
        bytes = 0;
      }
      group.rows.push_back(row);
      bytes += size;
      rows_there_ += there ? 1 : 0;
    }
    if (!group.rows.empty()) groups_.push_back(std::move(group));
  }
}

bool RowWriter::RefuseUnknown() {
  for (uint32_t table = 0; table < request_->writes.size(); ++table) {
    const TableWrites& writes = request_->writes[table];
    const LocalTable& local = TableOf(table);
    absl::Status whole, writing;
    if (!local.refusal.empty()) whole = StatusFromSqlstate("42P01", local.refusal);
    for (size_t i = 0; i < writes.columns.size() && whole.ok() && writing.ok(); ++i) {
      const bool twice = std::count(writes.columns.begin(), writes.columns.end(), writes.columns[i]) > 1;
      if (local.FindWritable(writes.columns[i]) >= 0 && !twice) continue;
      writing = StatusFromSqlstate("42703", absl::StrCat("table ", writes.name.ToString(), " has no column \"",
                                                         writes.columns[i], "\" that could be written here"));
    }
    for (uint32_t row = 0; row < writes.rows.size(); ++row) {
      const RowWrite& write = writes.rows[row];
      absl::Status status = whole;
      if (status.ok() && write.operation != RowWrite::Operation::kDelete) status = writing;
      const size_t parts = write.row.KeyParts().size();
      if (status.ok() && parts != local.shape.key.size()) {
        status = StatusFromSqlstate("42804", absl::StrCat("the primary key of table ", writes.name.ToString(), " has ",
                                                          local.shape.key.size(), " columns here, this row's ", parts));
      }
      if (!status.ok()) Refuse({table, row, status});
    }
  }
  return !refused_.empty();
}

absl::Status RowWriter::Apply(uint32_t table, absl::Span<const uint32_t> rows) {
  ASSAY_RETURN_IF_ERROR(MayGoOn());
  const TableWrites& writes = request_->writes[table];
  ASSAY_ASSIGN_OR_RETURN(const std::vector<uint32_t> moved,
                         ApplyRows(*connection_, TableOf(table), writes, rows, !request_->locked));
  if (moved.empty()) return absl::OkStatus();
  // Of a table that answers, some of them may have been skipped.
  const LocalTable& local = TableOf(table);
  const bool answers = !local.answers.empty();
  if (writes.rows[rows[0]].operation != RowWrite::Operation::kInsert) {
    for (size_t i = 0; i < moved.size() && !answers; ++i) moved_.push_back({.table = table, .row = moved[i]});
    return absl::OkStatus();
  }
  ASSAY_ASSIGN_OR_RETURN(const std::vector<KeyFound> found, FindKeys(*connection_, local, writes, moved));
  for (size_t i = 0; i < moved.size(); ++i) {
    if (found[i] == KeyFound::kOtherSpelling) {
      Refuse({table, moved[i],
              StatusFromSqlstate("23505", absl::StrCat("table ", writes.name.ToString(),
                                                       " has this key in another spelling, "
                                                       "equal by its type or collation, or would store it so"))});
    } else if (found[i] == KeyFound::kThere || !answers) {
      moved_.push_back({.table = table, .row = moved[i]});
    }
  }
  return absl::OkStatus();
}

absl::Status RowWriter::MayGoOn() {
  if (SteadyNow() > deadline_) return absl::AbortedError("the rows took longer to write than they may be locked");
  if (request_->locked || SteadyNow() < looked_ + kLookEvery) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(
      const Result waits,
      connection_->Execute("SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE NOT granted AND "
                           "pg_catalog.pg_backend_pid() = ANY (pg_catalog.pg_blocking_pids(pid))) AS somebody"));
  gave_way_ = waits.Bool(0, "somebody");
  looked_ = SteadyNow();
  return gave_way_ ? absl::AbortedError("somebody waits for what was locked") : absl::OkStatus();
}

absl::Status RowWriter::AwaitGate() {
  if (request_->gate == nullptr) return absl::OkStatus();
  for (;;) {
    const std::optional<bool> may_commit = request_->gate->Await(kLookEvery);
    if (may_commit.has_value())
      return *may_commit ? absl::OkStatus() : absl::UnavailableError("the log could not be written");
    ASSAY_RETURN_IF_ERROR(MayGoOn());
  }
}

absl::Status RowWriter::Write() {
  ASSAY_RETURN_IF_ERROR(answers_.Before(/*with_care=*/false, &moved_, &refused_));
  for (const Group& group : groups_) {
    if (!moved_.empty()) return absl::OkStatus();
    const LocalTable& table = TableOf(group.table);
    const TableWrites& writes = request_->writes[group.table];
    // A row that is there after all makes the statement fail, and WriteWithCare finds out which it is.
    if (CanCopy(table, writes, group.rows)) {
      ASSAY_RETURN_IF_ERROR(MayGoOn());
      ASSAY_RETURN_IF_ERROR(CopyRows(*connection_, table, writes, group.rows));
    } else {
      ASSAY_RETURN_IF_ERROR(Apply(group.table, group.rows));
    }
  }
  ASSAY_RETURN_IF_ERROR(connection_->ExecuteScript(kCheckNow).status());
  return answers_.After(&refused_);
}

absl::Status RowWriter::WriteWithCare() {
  moved_.clear();
  refused_.clear();
  ASSAY_RETURN_IF_ERROR(connection_->ExecuteScript(kCheckNow).status());
  ASSAY_RETURN_IF_ERROR(answers_.Before(/*with_care=*/true, &moved_, &refused_));
  std::vector<Failure> failures;
  for (const Group& group : groups_) ASSAY_RETURN_IF_ERROR(TryHalves(group.table, group.rows, &failures));
  ASSAY_RETURN_IF_ERROR(TryAgain(&failures));
  ASSAY_RETURN_IF_ERROR(Together(&failures));
  ASSAY_RETURN_IF_ERROR(Exchange(std::move(failures)));
  return answers_.After(&refused_);
}

absl::Status RowWriter::TryHalves(uint32_t table, absl::Span<const uint32_t> rows, std::vector<Failure>* failures) {
  absl::Status failure;
  ASSAY_RETURN_IF_ERROR(UnderSavepoint(
      *connection_, [&] { return Apply(table, rows); }, &failure));
  if (failure.ok()) return absl::OkStatus();
  if (rows.size() == 1) {
    failures->push_back({table, rows[0], failure});
    return absl::OkStatus();
  }
  const size_t half = rows.size() / 2;
  ASSAY_RETURN_IF_ERROR(TryHalves(table, rows.subspan(0, half), failures));
  return TryHalves(table, rows.subspan(half), failures);
}

// Until it helps no more. Refuses those whose failure cannot depend on another row.
absl::Status RowWriter::TryAgain(std::vector<Failure>* failures) {
  for (size_t before = 0;;) {
    std::vector<Failure> waiting;
    for (Failure& failure : *failures) {
      MayPassYet(failure.status) ? waiting.push_back(std::move(failure)) : Refuse(failure);
    }
    failures->clear();
    if (waiting.size() == before) {
      *failures = std::move(waiting);
      return absl::OkStatus();
    }
    before = waiting.size();
    for (const Failure& failure : waiting) {
      ASSAY_RETURN_IF_ERROR(TryHalves(failure.table, {failure.row}, failures));
    }
  }
}

// With whatever can be deferred checked at their end.
absl::Status RowWriter::Together(std::vector<Failure>* failures) {
  if (failures->size() < 2) return absl::OkStatus();
  absl::Status failure;
  ASSAY_RETURN_IF_ERROR(UnderSavepoint(
      *connection_,
      [&]() -> absl::Status {
        ASSAY_RETURN_IF_ERROR(connection_->ExecuteScript("SET CONSTRAINTS ALL DEFERRED").status());
        for (const Failure& one : *failures) ASSAY_RETURN_IF_ERROR(Apply(one.table, {one.row}));
        return connection_->ExecuteScript(kCheckNow).status();
      },
      &failure));
  if (failure.ok()) failures->clear();
  return absl::OkStatus();
}

// Two rows that exchange a unique value cannot be updated one after the other. Each round refuses at least one row or
// is the last.
absl::Status RowWriter::Exchange(std::vector<Failure> failures) {
  const auto is_update = [&](const Failure& failure) {
    return WriteOf(failure).operation == RowWrite::Operation::kUpdate;
  };
  while (std::any_of(failures.begin(), failures.end(), is_update)) {
    std::vector<Failure> still_failing;
    absl::Status undone;
    ASSAY_RETURN_IF_ERROR(UnderSavepoint(
        *connection_,
        [&]() -> absl::Status {
          ASSAY_RETURN_IF_ERROR(TakeOutAndPutBack(failures, &still_failing));
          return still_failing.empty() ? absl::OkStatus() : still_failing[0].status;
        },
        &undone));
    if (undone.ok()) return absl::OkStatus();
    if (still_failing.empty()) break;  // It could not even be taken out: no row to blame more than another.
    std::set<std::pair<uint32_t, uint32_t>> blamed;
    for (const Failure& failure : still_failing) {
      Refuse(failure);
      blamed.insert({failure.table, failure.row});
    }
    std::erase_if(failures, [&](const Failure& failure) { return blamed.contains({failure.table, failure.row}); });
  }
  for (const Failure& failure : failures) Refuse(failure);
  return absl::OkStatus();
}

absl::Status RowWriter::TakeOutAndPutBack(const std::vector<Failure>& failures, std::vector<Failure>* still_failing) {
  struct Whole {
    Failure of;
    TableWrites writes;  // One insert.
  };
  std::vector<Whole> wholes;
  for (const Failure& failure : failures) {
    const TableWrites& writes = request_->writes[failure.table];
    const RowWrite& write = WriteOf(failure);
    if (write.operation == RowWrite::Operation::kInsert) {
      wholes.push_back(
          {failure, {writes.name, writes.columns, {write}, writes.written_as, nullptr, false, writes.orders}});
      continue;
    }
    const LocalTable& local = TableOf(failure.table);
    auto old = TakeRow(*connection_, local, write, !request_->locked);
    if (absl::IsNotFound(old.status())) {
      moved_.push_back({.table = failure.table, .row = failure.row});
      continue;
    }
    if (!old.ok()) return old.status();
    Whole whole{failure, {writes.name}};
    PackedRow row(write.row.key());
    for (size_t i = 0; i < local.columns.size(); ++i) {
      const std::string& name = local.shape.columns[i].name;
      if (local.FindWritable(name) < 0) continue;
      const auto written = std::find(writes.columns.begin(), writes.columns.end(), name);
      whole.writes.columns.push_back(name);
      const size_t of = written - writes.columns.begin();
      whole.writes.written_as.push_back(of < writes.written_as.size() ? writes.written_as[of] : "");
      row.Add(written == writes.columns.end() ? (*old)[i] : writes.Value(write, of));
    }
    whole.writes.rows.push_back({RowWrite::Operation::kInsert, 0, std::move(row)});
    wholes.push_back(std::move(whole));
  }
  for (size_t before = wholes.size() + 1; !wholes.empty() && wholes.size() < before;) {
    before = wholes.size();
    still_failing->clear();
    std::vector<Whole> again;
    for (Whole& whole : wholes) {
      absl::Status failure;
      ASSAY_RETURN_IF_ERROR(UnderSavepoint(
          *connection_,
          [&]() -> absl::Status {
            ASSAY_ASSIGN_OR_RETURN(const std::vector<uint32_t> there,
                                   ApplyRows(*connection_, TableOf(whole.of.table), whole.writes, {0}, false));
            if (!there.empty()) moved_.push_back({.table = whole.of.table, .row = whole.of.row});
            return absl::OkStatus();
          },
          &failure));
      if (failure.ok()) continue;
      still_failing->push_back({whole.of.table, whole.of.row, failure});
      again.push_back(std::move(whole));
    }
    wholes = std::move(again);
  }
  return absl::OkStatus();
}

void RowWriter::Refuse(const Failure& failure) {
  const bool is_refused = std::any_of(refused_.begin(), refused_.end(), [&](const ProjectReply::Row& row) {
    return row.table == failure.table && row.row == failure.row;
  });
  if (is_refused) return;
  refused_.push_back({failure.table, failure.row, SqlstateOf(failure.status),
                      std::string(CutText(failure.status.message(), kCauseBytes))});
}

}  // namespace assay
