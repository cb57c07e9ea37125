// Small events and files for the log's tests.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "log/annotate.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "proto/event.pb.h"

namespace assay {

#define ASSERT_OK(expr)                        \
  do {                                         \
    const absl::Status ok_status_ = (expr);    \
    ASSERT_TRUE(ok_status_.ok()) << ok_status_; \
  } while (false)
#define EXPECT_OK(expr)                        \
  do {                                         \
    const absl::Status ok_status_ = (expr);    \
    EXPECT_TRUE(ok_status_.ok()) << ok_status_; \
  } while (false)
#define ASSERT_OK_AND_ASSIGN(lhs, expr) ASSERT_OK_AND_ASSIGN_(ASSAY_CONCAT_(ok_or_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_(tmp, lhs, expr) \
  auto tmp = (expr);                          \
  ASSERT_TRUE(tmp.ok()) << tmp.status();      \
  lhs = *std::move(tmp)

// A folder that goes away with the test.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "assay-log-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(absl::string_view name) const { return absl::StrCat(path_, "/", name); }

 private:
  std::string path_;
};

inline OriginId TestOrigin(uint8_t number) {
  OriginId origin;
  origin.bytes.fill(number);
  return origin;
}

// The events of one transaction: `tables[i]` is the table of the i-th, each with `value` in it.
struct TestTransaction {
  std::vector<v1::Event> events;
  std::vector<std::string> tables;
};

inline TestTransaction MakeTransaction(const OriginId& origin, uint64_t first, uint64_t stamp, const std::vector<std::string>& tables,
                                       absl::string_view value = "value") {
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
    ASSAY_RETURN_IF_ERROR(log.Append(transaction.events[i], transaction.tables[i], transaction.events[i].SerializeAsString()));
  }
  return absl::OkStatus();
}

// A log file and the event log over it, reopened at will.
struct TestLog {
  explicit TestLog(std::string path, LogFile::Options options = {}) : path(std::move(path)), options(std::move(options)) { Reopen(); }
  void Reopen() {
    log.reset();
    file.reset();
    absl::StatusOr<std::unique_ptr<LogFile>> opened = LogFile::Open(path, options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    file = *std::move(opened);
    absl::StatusOr<std::unique_ptr<EventLog>> opened_log = EventLog::Open(file.get());
    ASSERT_TRUE(opened_log.ok()) << opened_log.status();
    log = *std::move(opened_log);
  }
  // One transaction of `tables`, appended after the head, durable.
  absl::Status Commit(const OriginId& origin, const std::vector<std::string>& tables, absl::string_view value = "value") {
    ASSAY_RETURN_IF_ERROR(file->Begin());
    const ChainHead head = log->Head(origin);
    ASSAY_RETURN_IF_ERROR(AppendAll(*log, MakeTransaction(origin, head.last.value + 1, head.complete_stamp.value + 1, tables, value)));
    return file->Commit();
  }

  std::string path;
  LogFile::Options options;
  std::unique_ptr<LogFile> file;
  std::unique_ptr<EventLog> log;
};

// What a reader sees of a chain: sequence, stamp, end mark, table and bytes of each event.
inline absl::StatusOr<std::vector<std::string>> ReadAll(EventLog& log, const OriginId& origin, uint64_t from = 1) {
  std::vector<std::string> seen;
  EventReader reader = log.Read(origin, {from});
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const StoredEvent* event, reader.Next());
    if (event == nullptr) return seen;
    seen.push_back(absl::StrCat(event->sequence.value, "|", event->stamp.value, "|", event->ends_transaction, "|", event->table, "|",
                                event->masked ? "masked" : absl::string_view(event->bytes)));
  }
}

inline std::vector<std::string> Expected(const TestTransaction& transaction) {
  std::vector<std::string> seen;
  for (size_t i = 0; i < transaction.events.size(); ++i) {
    const v1::Event& event = transaction.events[i];
    seen.push_back(absl::StrCat(event.sequence(), "|", event.stamp(), "|", event.ends_transaction(), "|", transaction.tables[i], "|",
                                event.SerializeAsString()));
  }
  return seen;
}

}  // namespace assay
