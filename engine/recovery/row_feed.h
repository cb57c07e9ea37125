// Rows that a comparison of log and database has found, recorded as if they had been captured: some thousand to a
// transaction.
//
//   RowFeed feed(&recorder);
//   feed.Begin(at, time_us);
//   feed.Record(shape, std::move(item), bytes) …
//   feed.Commit();
//
// Inside a LogFile transaction. Errors are the recorder's. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "engine/capture/recorder.h"
#include "engine/database.h"
#include "log/types.h"

namespace assay {

class RowFeed {
 public:
  explicit RowFeed(Recorder* recorder) : recorder_(recorder) {}

  // What follows was read there and then.
  void Begin(Lsn at, int64_t time_us) { at_ = at, time_us_ = time_us; }
  // As Recorder::SetSource, of what follows.
  absl::Status SetSource(v1::TransactionHeader::Source source, v1::RowChange::Standing standing);
  // `item`: all but the relation. `bytes`: of its values, about.
  absl::Status Record(std::shared_ptr<const TableShape> relation, CaptureItem item, size_t bytes);
  absl::Status Commit();

 private:
  Recorder* recorder_;
  Lsn at_;
  int64_t time_us_ = 0;
  std::optional<std::pair<v1::TransactionHeader::Source, v1::RowChange::Standing>> source_;
  size_t rows_in_transaction_ = 0, bytes_in_transaction_ = 0;
};

}  // namespace assay
