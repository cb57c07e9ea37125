// Which writes of a row are in conflict: the same pairs at every branch that holds the same events.
//
// A *cell* is a column of a row, or the row's life, which every write and every delete of the row writes. Two edits of
// a cell by different origins are *concurrent* when neither had seen the other, by the headers of their transactions.
// They are a pair unless a later edit of the cell stands for one of them against the other: one that had seen it, and
// is concurrent with the other. So a shop that changed a price a hundred times while the line was down has one pair
// with another shop's price, and not a hundred. A pair is a conflict, and listed, when the two disagree: other values
// of a column; a delete and an edit. What nobody edited (IsEdit) is no side of one.
//
// What is to be known of a cell for that are its *ends*, the edits that no other edit of it had seen. The newest is the
// fold's version; the others are those that the pairs kept with it name. So events are taken in one by one, in any
// order in which nobody comes before what he had seen, and any number of times: the pairs are the same.
// tests/engine/fold/reference_conflicts.h is the slow and obvious twin. Not thread-safe. Inside a LogFile transaction.
#pragma once

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/clock.h"
#include "engine/fold/fold_values.h"
#include "engine/fold/merge.h"
#include "log/local_state/conflicts.h"
#include "log/local_state/stores.h"
#include "log/row_versions/row_versions.h"

namespace assay {

class ConflictFinder {
 public:
  ConflictFinder(const Stores& stores, FoldValues* values, Clock* clock)
      : log_(stores.log), state_(stores.state), conflicts_(stores.conflicts), values_(values), clock_(clock) {}

  // An origin's `change` comes to a row that has `before`. What it wrote it wrote having seen the same of all others:
  // one event, or several whose headers say nothing new.
  absl::Status Take(const RowRef& row, absl::string_view key, const RowVersions& before, const RowVersions& change);

 private:
  // One column, or the row's life.
  struct Cell {
    const RowRef& row;
    absl::string_view key;
    std::optional<ColumnId> column;
    std::vector<Conflict>* pairs;  // Of the row, where one side or both are unseen.
  };
  // The row's pairs of which the writer of `change` had not seen both sides. It changes nothing about the others.
  absl::StatusOr<std::vector<Conflict>> Unseen(const RowRef& row, const RowVersions& change);
  absl::Status TakeCell(const Cell& cell, const Version& newest, const Version& edit);
  // Drops pairs for one side of which `edit` stands from now on.
  absl::Status Replace(const Cell& cell, const Version& edit);
  absl::Status AddPair(const Cell& cell, const Version& a, const Version& b);
  absl::StatusOr<bool> Disagree(const Cell& cell, const Version& a, const Version& b);
  // The writer of `later` had `earlier` before its eyes.
  absl::StatusOr<bool> Saw(const Version& later, const Version& earlier);

  EventLog* log_;
  LocalState* state_;
  Conflicts* conflicts_;
  FoldValues* values_;
  Clock* clock_;
  // A row's columns mostly ask the same.
  struct Asked {
    OriginId by, of;
    Sequence sequence, seen;
  };
  Asked asked_[2];
  size_t asked_next_ = 0;
};

}  // namespace assay
