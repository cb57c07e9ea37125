// `assay repair`: brings PostgreSQL, log and hub together again after one of them was restored, lost or copied.
//
// Life of a repair. *Examined*: the same evidence that halts the daemon says what has happened. When nothing has, that
// is the answer, and nothing is changed. *Compared*: every row with the fold of the log (engine/recovery/row_repair.h),
// inside a log transaction that a preview rolls back. *Applied*: the same at the snapshot of a new slot, so that not a
// commit is missed between it and the stream.
//
// After a gap, or when the database is behind the log, the log goes on. What the repair is doing is noted in it first.
// So an interrupted repair is taken up again as what it was, though half of the evidence is gone by then.
//
// When the log is behind the database, lost, or cloned, the old chain is never continued. A new log is made beside the
// old one, in the folder `repair`. All chains are pulled, the old one included. A new origin is opened that names it,
// and rows are compared. At last the files change places.
//
//   ASSAY_ASSIGN_OR_RETURN(RepairReport report, Repair(options, hub.get(), &clock, &random));
//
// Whoever calls holds the state directory's lock: no daemon is running. Not thread-safe; everything blocks.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/clock.h"
#include "engine/config.h"
#include "engine/recovery/restore_check.h"
#include "engine/recovery/row_repair.h"
#include "engine/remotes/hub.h"
#include "log/types.h"
#include "tools/survey/fed_sequences.h"

namespace assay {

struct RepairOptions {
  EngineConfig engine;  // Without a signing key: a new origin gets a new one.
  int64_t stride = 64;
  std::string url;        // As the daemon connects.
  std::string admin_url;  // A superuser, or the tables' owner.
  std::vector<std::string> tables, exclude;
  SequenceChoices sequences;
  std::string state_dir;        // log.db and signing.key.
  bool apply = false;           // False: a preview.
  bool replaces_other = false;  // It takes the place, name and number of another machine, which is stopped for good.
  bool without_hub = false;     // Although one is configured and cannot be asked.
  absl::Duration lock_wait = absl::Minutes(1);
  absl::Duration slot_wait = absl::Minutes(2);
  std::function<void(absl::string_view stage, uint64_t done)> progress;
};

struct RepairReport {
  RestoreState state = RestoreState::kNormal;
  std::string cause;
  bool applied = false;
  std::optional<OriginId> old_origin,
      new_origin;  // New: one was (in a preview: would be) opened; then random in a preview.
  RowRepairReport rows;
  std::vector<std::string> lost;   // What is lost, exactly, one sentence each; empty: nothing.
  std::vector<std::string> notes;  // What was done besides.
};

// FAILED_PRECONDITION: something to be put right first, with the remedy (never enrolled, another database, the slot in
// use); INVALID_ARGUMENT: the configuration; UNAVAILABLE: no connection; ABORTED: somebody's transaction is in the way.
// After an error, running it again goes on. `hub` may be null: not configured.
absl::StatusOr<RepairReport> Repair(const RepairOptions& options, Hub* hub, Clock* clock, Random* random);

// The origin that the database of `url` was enrolled with; nullopt: none, or it cannot be asked. For whoever finds no
// log.
std::optional<OriginId> EnrolledOrigin(const std::string& url);

}  // namespace assay
