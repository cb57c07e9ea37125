// Makes the serial keys of enrolled tables step by the stride, so that keys made by branches that cannot talk never
// collide.
//
// Branch 3 of at most 64 hands out 3, 67, 131, …: every value is ≡ number (mod stride), and above all that is there
// already. A sequence that already stepped by k > 1 (an ORM that takes its keys in blocks of k) steps by k × stride, in
// blocks that keep their alignment. What an application does with a sequence that it calls by name nobody can know: the
// config says, by name, whether it is strided (SequenceChoices).
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
#include "tools/survey/fed_sequences.h"

namespace assay {

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

// What of this branch's own keys was handed out elsewhere.
enum class KeysOfOthers {
  kKnown,   // Nothing that is not in the log.
  kUnsent,  // Another machine worked as this branch, and may have sold what it has not sent: each sequence goes on a
            // million keys later, or halfway to its end.
};

// Strides the sequences of everything in assay.enrolled that `choices` does not leave out, and those that it names. One
// that hands out this number's values alone is left alone, unless `largest` knows a value of this branch's own class
// that it has not passed: the log may know of rows that this database has lost. `number` is in 1..stride.
absl::StatusOr<SequenceReport> StrideSequences(Connection& admin, int64_t stride, int64_t number,
                                               const SequenceChoices& choices,
                                               const std::map<SequenceColumn, int64_t>& largest, absl::Time deadline,
                                               KeysOfOthers others = KeysOfOthers::kKnown);

// The columns that sequences of enrolled tables feed, and the class of each: as it was strided, or as it would be for
// `number`. None where nothing is installed.
absl::StatusOr<std::map<SequenceColumn, SequenceClass>> StridedColumns(Connection& admin, int64_t stride,
                                                                       int64_t number);

// Puts increments and starts back as they were; last values stay, so nothing is handed out twice.
absl::Status RestoreSequences(Connection& admin, absl::Time deadline);

}  // namespace assay
