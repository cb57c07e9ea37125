// Makes the serial keys of enrolled tables step by the stride, so that keys made by branches that cannot talk never
// collide.
//
// Branch 3 of at most 64 hands out 3, 67, 131, …: every value is ≡ number (mod stride), and above all that is there
// already. A sequence that already stepped by k > 1 (an ORM that takes its keys in blocks of k) steps by k × stride, in
// blocks that keep their alignment. Only sequences that enrolled columns own or default to can be known; one that an
// application calls by name cannot.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapters/libpq/connection.h"
#include "log/table_names.h"

namespace assay {

// Where a strided sequence goes on; pure, so that it can be tested on every corner.
struct SequenceState {
  int64_t increment = 1;  // Before striding.
  int64_t start = 1;
  int64_t minimum = 1, maximum = INT64_MAX;
  bool cycles = false;
  int64_t above = 0;  // The next value must be greater: the last one handed out, or the column's largest.
};
struct StridedSequence {
  int64_t increment = 0;
  int64_t next = 0;
  int64_t left = 0;  // Values to come, this one included.
};
// FAILED_PRECONDITION, for people, when this sequence cannot be strided.
absl::StatusOr<StridedSequence> StrideSequence(const SequenceState& state, int64_t stride, int64_t number);

struct SequenceReport {
  std::vector<std::string> strided;  // Changed now: "public.vouchers_id_seq goes on at 129, in steps of 64".
  std::vector<std::string>
      problems;  // Cannot be strided, or has few values left; each names the sequence and says why.
};

struct SequenceColumn {
  TableName table;
  std::string column;
  auto operator<=>(const SequenceColumn&) const = default;
};

// Strides the sequences of everything in assay.enrolled. One that was strided for this number before is left alone,
// unless `largest` knows a value of this branch's own class that it has not passed: the log may know of rows that this
// database has lost. `number` is in 1..stride.
absl::StatusOr<SequenceReport> StrideSequences(Connection& admin, int64_t stride, int64_t number,
                                               const std::map<SequenceColumn, int64_t>& largest, absl::Time deadline);

// The columns that strided sequences feed, and the class of each: values ≡ residue (mod modulus) are this branch's own.
struct SequenceClass {
  int64_t modulus = 0, residue = 0;
};
absl::StatusOr<std::map<SequenceColumn, SequenceClass>> StridedColumns(Connection& admin);

// Puts the increments back as they were; last values stay, so nothing is handed out twice.
absl::Status RestoreSequences(Connection& admin, absl::Time deadline);

}  // namespace assay
