// What an Engine is made of: for engine.cc, which steps it, and engine_status.cc, which tells how it is.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/capture/capture_stream.h"
#include "engine/capture/recorder.h"
#include "engine/capture/stream_position.h"
#include "engine/engine.h"
#include "engine/fold/late_events.h"
#include "engine/housekeeping.h"
#include "engine/problem_findings.h"
#include "engine/projection/database_lane.h"
#include "engine/projection/projector.h"
#include "engine/recovery/restore_gate.h"
#include "engine/remotes/remote.h"
#include "log/local_state/open_stores.h"

namespace assay {

// What looks at the catalog have found.
struct SurveyState {
  std::set<std::string> enrolled;    // The tables to be found, as the log has them.
  std::optional<SurveyReport> news;  // Not worked on yet.
  std::vector<Problem> problems;     // Of the last one that could be taken.
  absl::Status status;               // Of the last one.
};

// What comparisons of tables with the log have found.
struct CheckState {
  CheckedTables tables;
  std::map<std::string, CheckedTable> news;        // Not written down yet.
  std::shared_ptr<const CheckedTables> published;  // The same as `tables`, for the status.
  absl::Status status;                             // Of the last round.
  std::optional<FoundRows> found;                  // Not recorded yet.
  std::string fence;                               // The sentinel's newest that came by.
  std::string passed_fence;                        // The same, once nothing of before is left to be recorded.
};

struct Engine::Parts {
  Parts(const EngineConfig& config, LogFile* file, Clock* clock)
      : config(config), file(file), clock(clock), stream(clock->Now()) {}

  const EngineConfig config;
  LogFile* const file;
  Clock* const clock;
  OriginId own;
  OpenStores stores;

  // What captures.
  CaptureStream stream;
  StreamPosition position;
  std::unique_ptr<RestoreGate> gate;
  std::unique_ptr<Recorder> recorder;
  // What projects.
  std::unique_ptr<Projector> projector;
  std::unique_ptr<LateEvents> late_events;
  DatabaseLane database;
  std::vector<std::optional<TableName>> retry_requests;  // Not worked on yet.
  std::vector<std::pair<TableName, std::optional<std::vector<std::string>>>> forget_requests;
  SurveyState survey;
  CheckState checks;
  // What speaks with the hub.
  std::unique_ptr<Remote> remote;
  // What tidies.
  std::unique_ptr<Housekeeping> housekeeping;

  // Durable; the log itself may also hold a part of a captured transaction that the stream may yet forget.
  ChainHead own_head;
  int64_t events_total = 0;
  // Since when this branch has not been in step, without a moment in between; InfiniteFuture: it is.
  absl::Time behind_since = absl::InfiniteFuture();
  absl::Time newest_now = absl::InfinitePast();  // The clock's newest time in this process.
  bool has_work = true;
  std::vector<Call> calls;

  // Forgets what the log has not: after a captured transaction that broke off.
  absl::Status Reset();
  // The stream has ended: a captured transaction that is not whole is taken back, and comes again from its beginning.
  absl::Status ForgetHalf();
  void TellGateOfStop();
  void NoteDurable();
  void WatchClock();
  // The time, by whoever can tell.
  absl::Time BelievedNow() const;
  // One round of all stages, in the order in which they rest on each other.
  absl::Status Work();
  absl::Status Capture();
  absl::Status Record(const CaptureItem& item);
  absl::Status KeepPosition();
  absl::Status TakeDatabaseReply();
  absl::Status RetryParkedRows();
  absl::Status ForgetParkedRows();
  absl::Status TakeSurvey();
  absl::Status LoadChecks();
  absl::Status TakeChecks();
  absl::Status TakeFound();
  void PassFences();
  absl::Status StepHub();
  // The database's next call, if it may be made now. `early`: before the log is durable.
  std::optional<DatabaseCall> TakeDatabaseCall(bool early);
  // What is durable may be acted upon.
  void TakeDueCalls();

  // What is wrong between database, log and hub; kNormal and kUnverified halt nothing.
  RestoreState Hazard() const;
  // Names of events are given, and rows are written, once the hub has had its say of whether this log is the branch's.
  bool MayRecord() const;
  // What capture has brought waits for that.
  bool HoldsCapture() const;
  bool HasCaptured() const { return !stream.items().empty() && !HoldsCapture(); }
  // Chains that nobody waits for: the hub gives something wrong of them, or has no more of them for good.
  std::set<OriginId> GivenUp() const;
  // A database that cannot be reached tells nothing against what the log has.
  bool MayAskHub() const;
  bool MaySync() const { return MayAskHub() && remote->MayPush(); }
  bool MayPull() const { return MayAskHub() && remote->MayPull(); }

  BranchReport Report();
  std::string State() const;
  // The problems that change the branch's word: known without asking the log, since each Step reports that word.
  std::vector<Problem> StateProblems() const;
  std::vector<Problem> Problems() const;
  ChainName NameOf(const OriginId& origin) const;
  // Without those that their branches go on with in another chain.
  std::vector<SetAsideChain> SetAside() const;
  OriginStatus StatusOf(const OriginId& origin) const;
};

}  // namespace assay
