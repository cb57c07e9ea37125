// Do the database and the log still belong together? Judged from what both show, before anything is written to either.
//
// PostgreSQL accepts a start position from the future and silently skips all before it, and a cold copy keeps its
// system id, timeline and slot: positions alone do not reveal a restore. Content does. The log keeps the last captured
// transaction; a stream that goes on below it must bring that very transaction again. assay.progress in PostgreSQL has
// the number of the last projection, which the log knows, too: it tells which of the two is older even when the slot is
// gone. Both are pure; the host brings the evidence.
//
//   Judgement judgement = Judge(log_evidence, capture.Evidence());
//   if (judgement.state == RestoreState::kUnverified) stream_check.Begin(log_evidence.captured), then See(item) of each item
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/database.h"
#include "engine/problem.h"
#include "log/event_log.h"
#include "log/local_state/local_state.h"
#include "log/types.h"

namespace assay {

enum class RestoreState : uint8_t {
  kUnverified,  // Nothing is known against it yet; the stream has to show the last captured transaction.
  kNormal,
  kDatabaseBehind,  // PostgreSQL was restored to an older state than the log has.
  kLogBehind,       // The log is an older copy than the PostgreSQL it belongs to.
  kGap,             // The slot lost changes (dropped, invalidated, made anew, advanced by somebody).
  kClone,           // Another daemon has gone on with a copy of this log, or this one is an older copy as a whole.
  kOtherDatabase,   // PostgreSQL belongs to another log.
  kSetAside,        // The head office has set this log's chain aside: nobody takes more of it.
  kReplaced,        // Another chain lives under this branch's number at the hub.
  kKeyLost,         // Nobody has the key that signs this log's chain.
};

// "database-behind-log", as the catalogue of problems has it and the log remembers it; "normal" and "unverified" too.
absl::string_view RestoreStateName(RestoreState state);
// The problem that it means for `branch`; nullopt: none. `cause`: Judgement's.
std::optional<Problem> HazardProblem(RestoreState state, absl::string_view branch, absl::string_view cause);

struct LogEvidence {
  OriginId own;
  std::set<OriginId> previous;  // Chains that `own` continues.
  CapturedPosition captured;
  uint64_t batch_landed = 0;  // The newest projection whose echo is in the log.
  uint64_t batch_asked = 0;   // The newest that was ever asked for.
  std::string server;         // DatabaseEvidence::server as last verified; empty: never.
  uint32_t timeline = 0;
  // What `assay repair` was mending when it was interrupted: it is no longer to be seen in the rest.
  RestoreState unfinished = RestoreState::kNormal;
};

struct Judgement {
  RestoreState state = RestoreState::kUnverified;
  std::string cause;  // For people; empty when there is nothing wrong.
};

// What the log of origin `own` knows.
absl::StatusOr<LogEvidence> ReadLogEvidence(const OriginId& own, EventLog& log, LocalState& state);
// Remembers that a repair of `state` has begun; kNormal: that it has ended. Inside a LogFile transaction.
absl::Status NoteRepair(RestoreState state, LocalState* local);
// Remembers which server was found to be the right one. Inside a LogFile transaction.
absl::Status NoteServer(const std::string& server, uint32_t timeline, LocalState* state);

// kNormal, kUnverified (only when the slot is there), or the named state with its cause.
Judgement Judge(const LogEvidence& log, const DatabaseEvidence& database);

// Watches a stream that goes on below the last captured transaction.
class StreamCheck {
 public:
  void Begin(const CapturedPosition& captured);
  // kUnverified: not met yet, and nothing before it is news. kNormal: `item` ends it. kDatabaseBehind: something else
  // is there.
  Judgement See(const CaptureItem& item);

 private:
  CapturedPosition expected_;
  bool met_ = false;
};

}  // namespace assay
