// Small events, and logs on a disk in memory, for the log's tests.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "log/annotate.h"
#include "log/event_log.h"
#include "log/local_state/conflicts.h"
#include "log/local_state/local_state.h"
#include "log/local_state/unsettled_rows.h"
#include "log/log_file.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"
#include "proto/event.pb.h"
#include "tests/support/crash_vfs.h"
#include "tests/support/origins.h"

namespace assay {

inline ::testing::AssertionResult IsOk(const char* expression, const absl::Status& status) {
  if (status.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << expression << " is " << status;
}
#define ASSERT_OK(expr) ASSERT_PRED_FORMAT1(::assay::IsOk, expr)
#define EXPECT_OK(expr) EXPECT_PRED_FORMAT1(::assay::IsOk, expr)
#define ASSERT_OK_AND_ASSIGN(lhs, expr) ASSERT_OK_AND_ASSIGN_(ASSAY_CONCAT_(ok_or_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_(tmp, lhs, expr) \
  auto tmp = (expr);                          \
  ASSERT_TRUE(tmp.ok()) << tmp.status();      \
  lhs = *std::move(tmp)

// The events of one transaction: `tables[i]` is the table of the i-th, each with `value` in it.
struct TestTransaction {
  std::vector<v1::Event> events;
  std::vector<std::string> tables;
};

inline TestTransaction MakeTransaction(const OriginId& origin, uint64_t first, uint64_t stamp,
                                       const std::vector<std::string>& tables, absl::string_view value = "value") {
  TestTransaction transaction;
  for (size_t i = 0; i < tables.size(); ++i) {
    v1::Event& event = transaction.events.emplace_back();
    event.set_origin(std::string(origin.AsBytes()));
    event.set_sequence(first + i);
    event.set_stamp(stamp);
    event.set_transaction_first(first);
    event.set_ends_transaction(i + 1 == tables.size());
    if (i == 0) event.mutable_transaction()->set_xid(static_cast<uint32_t>(first));
    v1::RowChange& row = *event.mutable_row();
    row.set_operation(v1::RowChange::INSERT);
    row.set_schema(1);
    row.add_key(absl::StrCat(first + i));
    row.add_columns()->set_value(absl::StrCat(value, "-", first + i));
    transaction.tables.push_back(tables[i]);
  }
  return transaction;
}

inline absl::Status AppendAll(EventLog& log, const TestTransaction& transaction) {
  for (size_t i = 0; i < transaction.events.size(); ++i) {
    ASSAY_RETURN_IF_ERROR(
        log.Append(transaction.events[i], transaction.tables[i], transaction.events[i].SerializeAsString()));
  }
  return absl::OkStatus();
}

// A log on a file system of its own, with everything that can stand on it.
struct TestLog {
  explicit TestLog(uint64_t seed = 1) : vfs(seed) { EXPECT_OK(Reopen()); }
  ~TestLog() { Close(); }

  void Close() {
    conflicts.reset();
    unsettled.reset();
    state.reset();
    rows.reset();
    names.reset();
    log.reset();
    file.reset();
  }
  absl::Status Reopen() {
    Close();
    ASSAY_ASSIGN_OR_RETURN(file, LogFile::Open("log.db", {.vfs = vfs.name()}));
    ASSAY_ASSIGN_OR_RETURN(log, EventLog::Open(file.get()));
    ASSAY_ASSIGN_OR_RETURN(names, TableNames::Open(file.get(), log.get()));
    ASSAY_ASSIGN_OR_RETURN(rows, RowVersionStore::Open(file.get(), log.get(), {.listed = 4096, .runs = 3}));
    ASSAY_ASSIGN_OR_RETURN(state, LocalState::Open(file.get(), log.get()));
    ASSAY_ASSIGN_OR_RETURN(unsettled, UnsettledRows::Open(file.get(), log.get()));
    ASSAY_ASSIGN_OR_RETURN(conflicts, Conflicts::Open(file.get(), log.get()));
    return absl::OkStatus();
  }
  // A transaction of `tables` that follows the head.
  TestTransaction Next(const OriginId& origin, const std::vector<std::string>& tables,
                       absl::string_view value = "value") const {
    const ChainHead head = log->Head(origin);
    return MakeTransaction(origin, head.last.value + 1, head.complete_stamp.value + 1, tables, value);
  }
  // The same, appended and durable.
  absl::Status Commit(const OriginId& origin, const std::vector<std::string>& tables,
                      absl::string_view value = "value") {
    ASSAY_RETURN_IF_ERROR(file->Begin());
    ASSAY_RETURN_IF_ERROR(AppendAll(*log, Next(origin, tables, value)));
    return file->Commit();
  }
  // Pulls `segments` in one transaction; rolled back when one is refused.
  absl::Status Pull(const std::vector<Segment>& segments) {
    ASSAY_RETURN_IF_ERROR(file->Begin());
    for (const Segment& segment : segments) {
      if (absl::Status status = log->AppendPulled(segment); !status.ok()) {
        file->Rollback();
        return status;
      }
    }
    return file->Commit();
  }

  test::CrashVfs vfs;
  std::unique_ptr<LogFile> file;
  std::unique_ptr<EventLog> log;
  std::unique_ptr<TableNames> names;
  std::unique_ptr<RowVersionStore> rows;
  std::unique_ptr<LocalState> state;
  std::unique_ptr<UnsettledRows> unsettled;
  std::unique_ptr<Conflicts> conflicts;
};

// What a reader sees of a chain: sequence, stamp, end mark, table and bytes of each event.
inline absl::StatusOr<std::vector<std::string>> ReadAll(EventLog& log, const OriginId& origin, uint64_t from = 1) {
  std::vector<std::string> seen;
  EventReader reader = log.Read(origin, {from});
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const StoredEvent* event, reader.Next());
    if (event == nullptr) return seen;
    seen.push_back(absl::StrCat(event->sequence.value, "|", event->stamp.value, "|", event->ends_transaction, "|",
                                event->table, "|", event->masked ? "masked" : absl::string_view(event->bytes)));
  }
}

inline std::vector<std::string> Expected(const TestTransaction& transaction) {
  std::vector<std::string> seen;
  for (size_t i = 0; i < transaction.events.size(); ++i) {
    const v1::Event& event = transaction.events[i];
    seen.push_back(absl::StrCat(event.sequence(), "|", event.stamp(), "|", event.ends_transaction(), "|",
                                transaction.tables[i], "|", event.SerializeAsString()));
  }
  return seen;
}

}  // namespace assay
