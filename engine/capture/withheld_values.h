// Values that were written here and are too large for an event: the event names its column and nothing else, so that it
// still wins and loses by its version, and no branch writes anything in its place. They are in this branch's PostgreSQL
// alone, and the status names them. Not thread-safe. Every call inside a LogFile transaction.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/database.h"
#include "log/local_state/local_state.h"
#include "proto/event.pb.h"

namespace assay {

class WithheldValues {
 public:
  explicit WithheldValues(LocalState* state) : state_(state) {}

  // What the log has of them. Also after LogFile::Rollback.
  absl::Status Load();
  // Until a smaller value is written, or the row deleted; the newest hundred at most.
  const std::vector<WithheldValue>& values() const { return values_; }
  // `row`, of a table of that shape, has been recorded: what it wrote is withheld no longer, but for the columns
  // (ordinals) in `withheld`, whose values `tuple` has.
  absl::Status Note(const TableShape& shape, const RowKey& key, const v1::RowChange& row,
                    absl::Span<const uint32_t> withheld, absl::Span<const TupleValue> tuple);

 private:
  LocalState* state_;
  std::vector<WithheldValue> values_;
};

}  // namespace assay
