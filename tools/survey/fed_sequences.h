// The sequences that feed columns of enrolled tables, and the others of the same schemas; and which values of each are
// this branch's own.
//
// A sequence of step k is strided by stepping k × stride: branch `number` hands out the values of one class, ≡ residue
// (mod k × stride), and no two branches share one. What the application does to a sequence can take it out of its
// class: TRUNCATE … RESTART IDENTITY, setval to the largest key, a dump of another branch.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/libpq/connection.h"
#include "log/table_names.h"

namespace assay {

struct SequenceClass {
  int64_t modulus = 0, residue = 0;
  bool Has(int64_t value) const;
};
// `increment` and `start` are the sequence's own, before striding or as strided.
SequenceClass ClassOf(int64_t increment, int64_t start, int64_t stride, int64_t number);

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
  int64_t start = 0;  // Where RESTART begins.
  int64_t next = 0;
  int64_t left = 0;  // Values to come, this one included.
};
// FAILED_PRECONDITION, for people, when this sequence cannot be strided.
absl::StatusOr<StridedSequence> StrideSequence(const SequenceState& state, int64_t stride, int64_t number);

struct FedColumn {
  TableName relation;  // Where it is: a partition may have its own.
  TableName root;      // Under what name the fleet knows it.
  std::string name;
  bool partitioned = false, is_integer = true;
};

// What the config says of sequences by name. Those that feed columns of enrolled tables are strided unless it says
// otherwise; each other one of the same schemas is a question that only people can answer.
struct SequenceChoices {
  std::set<TableName> stride, own;
};

struct FedSequence {
  uint32_t oid = 0;
  TableName name;
  SequenceState state;  // As it was before striding; `above` is not known.
  int64_t increment_now = 0, start_now = 0;
  std::optional<int64_t> last;  // Handed out last; nullopt: none since it was made or restarted, or we may not know.
  std::vector<FedColumn>
      columns;  // None: it is in a schema of enrolled tables, and no column takes its values by itself.
  std::optional<int64_t> stride, number;  // What it was strided for.
  bool needs_rights = false, owned = true;

  bool IsStrided(const SequenceChoices& choices) const {
    return !choices.own.contains(name) && (!columns.empty() || choices.stride.contains(name));
  }
  // It is not known how its numbers are told apart from other branches'.
  bool IsOpen(const SequenceChoices& choices) const {
    return columns.empty() && !choices.own.contains(name) && !choices.stride.contains(name);
  }
};

// By name. Wants schema assay.
absl::StatusOr<std::vector<FedSequence>> ListSequences(Connection& connection);

// Why `sequence` may hand out a value that is another branch's, for people; empty: it cannot.
std::string StrayBecause(const FedSequence& sequence, int64_t stride, int64_t number);

}  // namespace assay
