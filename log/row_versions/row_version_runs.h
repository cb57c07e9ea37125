// Sorted runs of row versions: what has become too much for the list, and is not yet in the table.
//
// To put a row into the table of all rows costs mostly the finding of its place; to write it in order into a run costs
// a fraction of that (tests/bench/RESULTS.md). So a branch that catches up, or captures a long absence, writes runs.
// The table gets them when there is nothing else to do. (The levels of a log-structured merge tree: O'Neil et al., Acta
// Informatica 33, 1996.) A run is blocks of a page each; the first row of each block, and of a writer a filter for the
// run, are in memory: some 2 bytes a row. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "log/log_file.h"
#include "log/row_versions/key_filter.h"
#include "log/row_versions/packed_rows.h"
#include "log/row_versions/row_ref.h"

namespace assay {

class RowVersionRuns {
 public:
  static absl::StatusOr<std::unique_ptr<RowVersionRuns>> Open(LogFile* file);

  // What the file has. Also after a rollback.
  absl::Status Load();
  // Of a reader: what the writer has done since. True: something.
  absl::StatusOr<bool> Refresh();

  // The newest run: `rows` in order, each once, with its versions as RowVersions::Encode has them.
  absl::Status Add(absl::Span<const std::pair<RowRef, absl::string_view>> rows);
  // As the newest run that has the row has it; empty: none has.
  absl::StatusOr<std::string> Find(const RowRef& row);
  // Takes some `rows_max` rows out of the oldest run, a block at least, in order. What `take` gets is valid during the
  // call. Returns how many.
  absl::StatusOr<size_t> TakeOldest(size_t rows_max,
                                    absl::FunctionRef<absl::Status(const RowRef&, absl::string_view)> take);
  size_t count() const { return runs_.size(); }

 private:
  struct Block {
    RowRef first;
    int64_t id;
  };
  struct Run {
    int64_t number;
    std::vector<Block> blocks;          // Never none.
    std::unique_ptr<KeyFilter> filter;  // A writer's; null in a reader.
  };

 public:
  // The rows of one run from some row on. Good as long as the runs stay as they are.
  class Cursor {
   public:
    // False: the end.
    absl::StatusOr<bool> Next();
    const RowRef& row() const { return rows_->row(); }
    absl::string_view versions() const { return rows_->versions(); }

   private:
    friend class RowVersionRuns;
    Cursor(RowVersionRuns* runs, const Run* run, const RowRef& from);

    RowVersionRuns* runs_;
    const Run* run_;
    RowRef from_;
    size_t next_block_;
    std::string block_;
    std::optional<PackedRowsReader> rows_;  // Reads block_.
  };
  // One per run, the newest first.
  std::vector<Cursor> From(const RowRef& row);

 private:
  explicit RowVersionRuns(LogFile* file) : file_(file) {}
  // The block of `run` that would have `row`; blocks.size(): none.
  static size_t BlockOf(const Run& run, const RowRef& row);
  // Empty: the writer has moved it into the table since.
  absl::StatusOr<std::string> ReadBlock(int64_t id);
  // Empty: not there.
  absl::StatusOr<std::string> FindInBlock(int64_t id, const RowRef& row);
  absl::StatusOr<std::pair<int64_t, int64_t>> Ends();  // The first and the last block's id in the file, or zeros.

  LogFile* file_;
  std::deque<Run> runs_;  // The oldest first.
  std::pair<int64_t, int64_t> ends_;
  Statement get_, put_, erase_, find_ends_;
};

}  // namespace assay
