// What an Engine is made of: for engine.cc, which steps it, and engine_status.cc, which tells how it is.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/capture/captured_items.h"
#include "engine/capture/recorder.h"
#include "engine/engine.h"
#include "engine/fold/late_events.h"
#include "engine/housekeeping.h"
#include "engine/problem_findings.h"
#include "engine/projection/database_lane.h"
#include "engine/projection/projector.h"
#include "engine/recovery/restore_gate.h"
#include "engine/remotes/puller.h"
#include "engine/remotes/pusher.h"
#include "engine/remotes/session_gate.h"
#include "log/local_state/conflicts.h"
#include "log/local_state/local_state.h"
#include "log/local_state/unsettled_rows.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"

namespace assay {

struct Engine::Parts {
  EngineConfig config;
  LogFile* file = nullptr;
  Clock* clock = nullptr;
  OriginId own;
  std::unique_ptr<EventLog> log;
  std::unique_ptr<TableNames> names;
  std::unique_ptr<RowVersionStore> rows;
  std::unique_ptr<LocalState> state;
  std::unique_ptr<UnsettledRows> unsettled;
  std::unique_ptr<Conflicts> conflicts;
  std::unique_ptr<Projector> projector;
  std::unique_ptr<Recorder> recorder;
  std::unique_ptr<Pusher> pusher;
  std::unique_ptr<Puller> puller;
  std::unique_ptr<LateEvents> late_events;
  std::unique_ptr<SessionGate> session;

  std::unique_ptr<RestoreGate> gate;
  std::unique_ptr<Housekeeping> housekeeping;

  // Inputs not worked on yet.
  CapturedItems captured;
  bool capture_restarted = false;
  // Once `captured` is worked off, what is half here is not going to end; and the gate is told, which believes nothing
  // from then on.
  bool capture_stopped = false;
  std::optional<DatabaseEvidence> stop_evidence;
  DatabaseLane database;
  std::optional<HubReply> push_reply, pull_reply;
  absl::Duration pull_round_trip;
  std::vector<std::optional<TableName>> retry_requests;
  std::optional<SurveyReport> survey_news;

  std::set<std::string> enrolled_tables;
  std::vector<Problem> survey_problems;  // Of the last survey that could be taken.
  absl::Status survey_status;            // Of the last one.

  // Durable; the log itself may also hold a part of a captured transaction that the stream may yet forget.
  ChainHead own_head;
  int64_t events_total = 0;
  Lsn processed;  // End of the last transaction or keepalive worked on, in this stream.
  Lsn confirmed;
  bool position_wanted = false;  // The server waits for it.
  absl::Time position_at = absl::InfinitePast();

  bool paused = false;
  bool paused_noted = false;  // What the log has of it.
  Link capture_link{absl::ZeroDuration(), absl::ZeroDuration()};  // The host says when it is tried again.
  absl::Status hints = absl::UnavailableError("not listening yet");
  bool hints_told = false;
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
  absl::Status TakeHubReply(HubReply reply);
  absl::Status RetryParkedRows();
  absl::Status TakeSurvey();
  absl::Status StepHub();
  // The database's next call, if it may be made now. `early`: before the log is durable.
  std::optional<DatabaseCall> TakeDatabaseCall(bool early);
  // What is durable may be acted upon.
  void TakeDueCalls();

  // What is wrong between database, log and hub; kNormal and kUnverified halt nothing.
  RestoreState Hazard() const;
  bool MayProject() const;
  // A database that cannot be reached tells nothing against what the log has.
  bool MayAskHub() const;
  bool MaySync() const { return MayAskHub() && session->open(); }
  // A session is for who writes at the hub. A hub that opens none now, as one that is read-only, may still give.
  bool MayPull() const { return MayAskHub() && session->asked() && session->refusal().empty(); }

  BranchReport Report();
  std::string State() const;
  // The problems that change the branch's word: known without asking the log, since each Step reports that word.
  std::vector<Problem> StateProblems() const;
  std::vector<Problem> Problems() const;
  ChainName NameOf(const OriginId& origin) const;
};

}  // namespace assay
