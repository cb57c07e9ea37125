// What the engine knows about itself, for people and programs: is anything stuck, why, since when, and what comes next.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/link.h"
#include "engine/problem.h"
#include "engine/recovery/restore_check.h"
#include "engine/remotes/hub.h"
#include "log/local_state/notes.h"
#include "log/types.h"

namespace assay {

// By TableName::ToString: each enrolled table, also one that was never compared.
using CheckedTables = std::map<std::string, CheckedTable>;

struct OriginStatus {
  OriginId origin;
  std::string branch_name;  // From its OriginOpened; empty while not held.
  bool own = false;
  Sequence head;  // Held here.
  Sequence complete;
  Sequence hub_head;    // At the hub, when last heard; of another branch's chain, up to the end of a transaction.
  Sequence projected;   // Merged and written here. Own: equal to head.
  absl::Status status;  // Not OK: the chain stands still, or the hub gives something wrong of it.
};

// Where a stage stands, and where it will be through with all that is known of: events of its chains, counted from
// their beginning.
struct StagePosition {
  uint64_t at = 0;
  uint64_t goal = 0;
};

struct EngineStatus {
  std::string branch_name;
  uint32_t branch_number = 0;
  OriginId origin;
  // One word: starting, running, catching-up, offline, local-only, paused, stopped, halted. The worst one that applies:
  // what is wrong decides (StateFrom), and then what the branch is doing.
  std::string state;
  // What halted it, by name; kNormal or kUnverified otherwise. Halted, nothing is projected, pushed or pulled; of a
  // clone, changes are still captured.
  RestoreState restore = RestoreState::kUnverified;
  std::vector<Problem> problems;  // Empty when all is well.

  LinkStatus capture;
  LinkStatus projection;
  LinkStatus hub_push;
  LinkStatus hub_pull;
  absl::Status hints;
  bool has_hub = false;
  bool paused = false;
  absl::Duration hub_interval;
  absl::Time last_push, last_pull;  // Successful.
  absl::Time next_pull;
  absl::Duration hub_clock_offset;  // Hub minus local; zero when never measured.

  Lsn captured;  // Durable in the log.
  absl::Time last_captured_commit;
  uint64_t events_captured = 0;  // Since the engine was opened.
  uint64_t events_total = 0;     // In the log, all chains.
  uint64_t unattributed_transactions = 0;
  uint64_t false_tags = 0;  // Rows in a tagged transaction that the engine had not meant to write.
  StagePosition push_position, pull_position,
      projection_position;  // Without chains that are stopped, and what the hub has not told.
  int64_t unsettled = 0, parked = 0, forgotten = 0, conflicts = 0;
  std::map<std::string, uint64_t> masked;  // Events that this branch may not read, or not yet, by table.
  int64_t log_bytes = 0;
  std::shared_ptr<const CheckedTables> checked;  // Null: not known.
  std::vector<OriginStatus> origins;             // Ordered by id.
  std::vector<BranchPresence> branches;          // As the hub told at `branches_heard`.
  absl::Time branches_heard = absl::InfinitePast();
  // When it last told all of them with their numbers (head, written, parked), which are no news otherwise.
  absl::Time branches_whole_heard = absl::InfinitePast();
};

}  // namespace assay
