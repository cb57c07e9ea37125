// What an Engine is made of: for engine.cc, which steps it, and engine_status.cc, which tells how it is.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/capture/recorder.h"
#include "engine/engine.h"
#include "engine/projection/projector.h"
#include "engine/recovery/restore_check.h"
#include "engine/remotes/puller.h"
#include "engine/remotes/pusher.h"
#include "engine/remotes/session_gate.h"
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
  std::unique_ptr<StageStore> stages;
  std::unique_ptr<Projector> projector;
  std::unique_ptr<Recorder> recorder;
  std::unique_ptr<Pusher> pusher;
  std::unique_ptr<Puller> puller;
  std::unique_ptr<SessionGate> session;

  // Inputs not worked on yet.
  std::deque<CaptureBatch> captured;
  size_t captured_item = 0;  // Of the first batch: the next item.
  bool capture_restarted = false;
  std::optional<DatabaseEvidence> evidence;  // Not judged yet.
  bool capture_asked = false;                // The database could be reached, or was found not to be.

  // Do database and log belong together? kNormal, kUnverified, or what halts us.
  RestoreState restore = RestoreState::kUnverified;
  std::string restore_cause;
  std::string server;  // DatabaseEvidence::server, of the evidence judged last.
  uint32_t timeline = 0;
  StreamCheck stream_check;
  bool checking = false;  // The stream has to show the last captured transaction first.

  // The database lane: a call whose asker is gone (after a rollback) is waited for and its answer dropped.
  bool database_busy = false;
  bool database_stale = false;
  bool abandon = false;
  std::optional<DatabaseReply> database_reply;
  std::optional<HubReply> push_reply, pull_reply;
  absl::Duration pull_round_trip;

  std::vector<std::optional<TableName>> retry_requests;

  Lsn processed;  // End of the last transaction or keepalive worked on, in this stream.
  Lsn confirmed;
  bool position_wanted = false;  // The server waits for it.
  absl::Time position_at = absl::InfinitePast();
  bool paused = false;
  bool has_work = true;
  std::vector<Call> calls;
  LinkStatus capture_link{absl::UnavailableError("capture has not started yet")};
  absl::Status hints = absl::UnavailableError("not listening yet");
  bool hints_told = false;
  absl::Time checkpoint_at = absl::InfinitePast();
  uint64_t checkpoint_size = 0;

  uint64_t work_done = 0;  // Events recorded and projected, when it was last looked at.
  absl::Time tidy_at = absl::InfinitePast(), rest_at = absl::InfiniteFuture();

  absl::Time newest_now = absl::InfinitePast();  // The clock's newest time in this process.

  absl::Status Reset();
  void WatchClock();
  absl::Status JudgeEvidence();
  absl::Status SetRestore(Judgement judgement);
  absl::StatusOr<LogEvidence> ReadLogEvidence();
  absl::Status Capture();
  absl::Status KeepPosition();
  // What is wrong between database, log and hub; kNormal and kUnverified halt nothing.
  RestoreState Hazard() const;
  bool DatabaseHalts() const { return restore != RestoreState::kNormal && restore != RestoreState::kUnverified; }
  bool MayProject() const;
  // A database that cannot be reached tells nothing against what the log has.
  bool MayAskHub() const;
  bool MaySync() const { return MayAskHub() && session->open(); }
  absl::Status Work();
  // The database's next call, if it may be made now. `early`: before the log is durable.
  std::optional<DatabaseCall> TakeDatabaseCall(bool early);
  absl::Status KeepCheckpoint();
  // When there has been nothing to record or project for a while: puts row versions where they belong, packs small
  // segments together, and gives memory back.
  absl::Status Rest();
  bool Untidy() const { return rows->untidy() || log->ShouldRepack(config.repack_events); }
  absl::Time RestAt() const { return Untidy() ? std::min(tidy_at, rest_at) : rest_at; }
  BranchReport Report() const;
  std::string State() const;
  // For people: the branch, if its opening is here, and the origin.
  std::string NameOf(const OriginId& origin) const;
  std::vector<std::string> Problems() const;
};

}  // namespace assay
