// What `assay init` and `assay repair` share: a branch's log with everything over it, filled from the hub.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/capture/recorder.h"
#include "engine/clock.h"
#include "engine/config.h"
#include "engine/own_chain.h"
#include "engine/remotes/hub.h"
#include "log/local_state/open_stores.h"
#include "log/log_file.h"
#include "tools/setup/sequences.h"
#include "tools/survey/survey.h"

namespace assay {

// A log file of which nobody else has anything open, with its stores.
struct OpenLog : OpenStores {
  std::unique_ptr<LogFile> file;

  static absl::StatusOr<std::unique_ptr<OpenLog>> Open(const std::string& path);
};

// Rows that are read from tables are nobody's projection.
class NoEcho : public ProjectionEcho {
 public:
  bool Claims(absl::string_view, HlcStamp*) override { return false; }
  bool Meant(const RowRef&, ChangeKind, const TableShape&, absl::Span<const TupleValue>) override { return false; }
  absl::Status Landed() override { return absl::OkStatus(); }
};

// Events done, of those the hub has.
using PullProgress = std::function<void(uint64_t done, uint64_t total)>;
struct PulledChains {
  uint64_t events = 0;               // Appended.
  std::vector<std::string> refused;  // Chains of which the hub gave something wrong: one sentence each, for people.
};
// Appends all that the hub has and the log has not, judged as the daemon judges it: a bad chain holds up itself alone.
// FAILED_PRECONDITION or DATA_LOSS when the hub has another chain under this branch's own name. INVALID_ARGUMENT: the
// hub promises more for ever.
absl::StatusOr<PulledChains> PullAll(OpenLog& open, Hub& hub, Clock* clock, Random* random,
                                     const PullProgress& progress);

// Opens the session of the own chain at the hub, and so makes it the one chain of its branch. Returns the session.
// FAILED_PRECONDITION with its problem: the hub refuses it. Other errors are the hub's.
absl::StatusOr<std::string> ClaimBranch(OpenLog& open, EngineConfig config, const OriginId& own, Hub& hub, Clock* clock,
                                        Random* random);

// Gives the hub what it has not got of the own chain: what a branch holds that is enrolled at the same time, it can see
// only there. Returns how many events were sent. Errors are the hub's; FAILED_PRECONDITION: it knows another session of
// this chain, or has more of it.
absl::StatusOr<uint64_t> PushAll(OpenLog& open, EngineConfig config, const OriginId& own, Hub& hub, Clock* clock,
                                 Random* random);

// The chain that the log in `path` writes; NOT_FOUND: none. Also while a daemon has it open.
absl::StatusOr<OriginId> LoggedOrigin(const std::string& path);

// The tables that the log in `path` has a baseline of; none where there is no log, or none that is enrolled. Also while
// a daemon has it open.
absl::StatusOr<std::set<std::string>> EnrolledTables(const std::string& path);

// The tables of which something is not in the log: what the log has noted, and what a survey of the database finds.
// Nothing is written.
absl::StatusOr<UnrecordedTables> MissedChanges(OpenLog& open, Connection& admin, SurveyOptions options);

// `origin` as a new chain names it that continues it: as far as it was pulled. Where nothing was, it goes by its name.
absl::StatusOr<PreviousChain> ContinuedChain(EventLog& log, const OriginId& origin);

// For people: which machine has the place of this branch, and since when nothing was heard of it.
std::string OtherMachine(const EngineConfig& branch, const LivingChain& living);

// Two branches of one number would hand out the same keys: INVALID_ARGUMENT, naming the other.
absl::Status CheckNumberIsFree(OpenLog& open, const std::string& branch_name, uint32_t branch_number);

// Raises `largest` to the keys of this branch's own class that `change` has.
void NoteOwnKeys(const ResolvedChange& change, const std::map<SequenceColumn, SequenceClass>& classes,
                 std::map<SequenceColumn, int64_t>* largest);

}  // namespace assay
