// The tables of which something came by in capture and is not in the log: rows without a key, rows that make no sense,
// rows that no reader would take.
//
// One row never stops the recorder. What cannot be recorded is in this branch's PostgreSQL alone, its table is named by
// the status, and `assay repair` compares it. What a captured transaction adds is kept with its commit, so that a
// transaction which breaks off and comes again counts once. Not thread-safe. Every call inside a LogFile transaction.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/local_state/local_state.h"

namespace assay {

class Unrecorded {
 public:
  explicit Unrecorded(LocalState* state) : state_(state) {}

  // What the log has of them. Also after LogFile::Rollback.
  absl::Status Load();
  // By the last committed transaction.
  const UnrecordedTables& tables() const { return tables_; }

  // The captured transaction under way begins: what one before it left uncommitted is forgotten.
  void Begin() { noted_.clear(); }
  // It has left out `rows` rows of `table`; none: something else of the table is not as the log says.
  void Note(const std::string& table, uint64_t rows, absl::string_view cause);
  // Outside of a captured transaction: changes of these may have been missed. A table that is noted already keeps its
  // rows and its cause.
  absl::Status Missed(const UnrecordedTables& tables);
  // The same in memory alone. True: that was news.
  bool Add(const UnrecordedTables& tables);
  // It commits. True: it has left something out.
  absl::StatusOr<bool> Commit();

 private:
  LocalState* state_;
  UnrecordedTables tables_;
  UnrecordedTables noted_;  // Of the transaction under way.
};

}  // namespace assay
