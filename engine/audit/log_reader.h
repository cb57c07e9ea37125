// Reads the log for people, beside the daemon that writes it: by table, row, chain and time; parked rows and conflicts.
//
// Each reader opens the file for itself, read-only, and sees what was durable when it was opened or last refreshed.
// Events of several chains come in the order of their stamps.
//
//   ASSIGN(auto reader, LogReader::Open(operator.log_path()));
//   reader->List(request, [&](const LogEvent& event) { return writer->Write(event); }, [&] { return
//   context->IsCancelled(); });
//
// Not thread-safe. INVALID_ARGUMENT and NOT_FOUND are about the request; DATA_LOSS about the log.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/audit/event_view.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "log/types.h"
#include "proto/admin.pb.h"

namespace assay {

class LogReader {
 public:
  using Emit = std::function<bool(const admin::v1::LogEvent&)>;  // False: enough.
  using Cancelled = std::function<bool()>;

  static absl::StatusOr<std::unique_ptr<LogReader>> Open(const std::string& path);

  // Of a table that the log does not know: INVALID_ARGUMENT, with the nearest that it does.
  absl::Status List(const admin::v1::ListEventsRequest& request, const Emit& emit, const Cancelled& cancelled);
  absl::StatusOr<admin::v1::LogEvent> Get(const admin::v1::GetEventRequest& request);
  absl::StatusOr<admin::v1::ListParkedReply> Parked(const admin::v1::ListParkedRequest& request);
  // How many rows of `table` are parked, or how many of `key` there; text form.
  absl::StatusOr<int64_t> CountParked(const std::string& table, const std::vector<std::string>& key);
  absl::StatusOr<admin::v1::ListConflictsReply> Conflicts(const admin::v1::ListConflictsRequest& request);

  // INVALID_ARGUMENT: no table of that name is in the log.
  absl::Status CheckTable(const std::string& table);

  absl::Status Refresh() { return log_->Refresh(); }
  // Where each chain ends now, and the events after such places, in stamp order: a tail refreshes and goes on.
  std::map<OriginId, Sequence> Ends() const;
  absl::Status ListAfter(const std::map<OriginId, Sequence>& ends, const admin::v1::TailEventsRequest& request,
                         const Emit& emit, const Cancelled& cancelled);

  // The chains meant by a branch name or the beginning of an origin; every chain when `text` is empty.
  absl::StatusOr<std::vector<OriginId>> FindOrigins(const std::string& text);

 private:
  struct Filter {
    std::string table;             // As TableName::ToString; empty: all.
    std::vector<std::string> key;  // Empty: all.
    size_t value_bytes_max = 0;
    uint64_t limit = 0;  // 0: none.
    bool newest_first = false;
  };
  struct Range {
    OriginId origin;
    uint64_t first = 0, last = 0;  // Both included.
  };
  class Cursor;

  explicit LogReader(std::unique_ptr<LogFile> file, std::unique_ptr<EventLog> log)
      : file_(std::move(file)), log_(std::move(log)), viewer_(log_.get()) {}
  absl::Status Merge(const std::vector<Range>& ranges, const Filter& filter, const Emit& emit,
                     const Cancelled& cancelled);
  // Takes from `range` what a page before has shown, that ended with `after`.
  absl::Status GoOnAfter(const Version& after, bool newest_first, Range* range);
  // The one chain that `text` means.
  absl::StatusOr<OriginId> FindOrigin(const std::string& text);
  absl::StatusOr<std::optional<Version>> LastShown(const admin::v1::ListEventsRequest& request);
  // The first sequence of the chain whose stamp is at or after `stamp`; one past the end when there is none.
  absl::StatusOr<uint64_t> FirstAt(const OriginId& origin, HlcStamp stamp);
  absl::StatusOr<admin::v1::ConflictSide> Side(const struct Version& version, const std::string& column);

  std::unique_ptr<LogFile> file_;
  std::unique_ptr<EventLog> log_;
  EventViewer viewer_;
};

}  // namespace assay
