// `assay init` and `assay leave`: what a branch's database needs before the daemon can run, and how it is put back.
//
// Life of an enrolment. *Checked*: server, configuration, hub and tables were looked at, nothing was changed anywhere.
// *Pulled*: the log holds what the hub has. *Claimed*: the log has its own chain, and the hub takes it for the one of
// this branch. *Installed*: schema `assay`, role, publication, table by table REPLICA
// IDENTITY FULL and triggers, strided sequences; all of it idempotent. *Begun*: the log says that its enrolment is.
// *Slot*: exists, with a snapshot. *Finished*: the baseline's events, the row versions and the slot's position were
// written in one log transaction. A crash before that leaves an orphan slot, which the next init knows by *begun* and
// replaces. *Pushed*: the hub has it all, so that whoever is enrolled next knows of it.
//
// A later init takes the survey first (tools/survey). A table that took part and was made anew, unpublished or filtered
// meanwhile is put right, noted as missed, and compared as a repair compares it: *Mended*.
//
//   ASSAY_ASSIGN_OR_RETURN(InitReport report, Init(options, hub.get(), &clock, &random));
//   if (report.waits_for_choice) ...   // list report.rows.differences; run again with options.differences
//
// Whoever calls holds the state directory's lock: no daemon is running. Not thread-safe; everything blocks.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/clock.h"
#include "engine/config.h"
#include "engine/recovery/reconcile.h"
#include "engine/recovery/row_repair.h"
#include "engine/remotes/hub.h"
#include "log/local_state/local_state.h"
#include "log/types.h"
#include "tools/setup/baseline.h"
#include "tools/setup/enrolled_tables.h"
#include "tools/setup/sequences.h"

namespace assay {

struct InitOptions {
  EngineConfig engine;  // Branch name and number, policies, signing key; has_hub: the configuration names a hub.
  int64_t stride = 64;
  std::optional<TableName> only;  // Of the tables that are not enrolled yet, none but this one.
  std::string url;                // As the daemon will connect.
  std::string admin_url;          // A superuser, or the tables' owner.
  std::vector<std::string> tables, exclude;
  SequenceChoices sequences;
  std::string log_path;  // Created when it is not there.
  DifferenceChoice differences = DifferenceChoice::kAsk;
  bool without_hub = false;     // Enrol although the configured hub cannot be asked what the fleet has.
  bool replaces_other = false;  // Of a branch that another machine has worked as, which is stopped for good.
  absl::Duration lock_wait = absl::Minutes(1);  // How long in all to try for the locks of busy tables.
  absl::Duration slot_wait = absl::Minutes(2);  // For transactions that were open before.
  std::function<void(absl::string_view stage, uint64_t done, uint64_t total)> progress;  // total 0: not known.
};

struct InitReport {
  OriginId origin;
  std::vector<TableName> enrolled;  // All that take part now.
  std::vector<TableName> added;     // Of these, the ones this run added.
  std::vector<RefusedTable> refused;
  SequenceReport sequences;
  std::vector<std::string> warnings;
  uint64_t pulled = 0;            // Events taken from the hub.
  uint64_t pushed = 0;            // Events of this branch's own, given to the hub.
  bool waits_for_choice = false;  // rows.differences must be decided first; no row and no event was written.
  ReconcileReport rows;           // Of the tables whose baseline was taken.
  // Tables that took part before and of which changes had been missed, each with the cause; and what comparing found.
  std::map<std::string, std::string> missed;
  RowRepairReport compared;
  Lsn captured;  // Streaming goes on from here.
};

// FAILED_PRECONDITION: something to be put right first, with the remedy; INVALID_ARGUMENT: the configuration;
// UNAVAILABLE: no connection; ABORTED: somebody's transaction is in the way. What was installed before an error stays,
// and running again goes on. `hub` may be null: not configured.
absl::StatusOr<InitReport> Init(const InitOptions& options, Hub* hub, Clock* clock, Random* random);

struct LeaveOptions {
  std::string admin_url;
  std::string log_path;  // Kept, and told that the enrolment has ended. Empty or not there: nothing to tell.
  absl::Duration lock_wait = absl::Minutes(1);
};

struct LeaveReport {
  bool was_enrolled = false;
  std::vector<std::string> notes;  // What could not be put back, and why.
};

// Drops slot, publication, triggers, grants, role and schema; puts back replica identities and sequence increments.
// Running it again goes on where it stopped. FAILED_PRECONDITION while a daemon streams from the slot.
absl::StatusOr<LeaveReport> Leave(const LeaveOptions& options);

// Of an enrolled log. False: init has not finished.
absl::StatusOr<bool> IsEnrolmentFinished(LocalState& state);

}  // namespace assay
