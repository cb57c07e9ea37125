// The engine: decides what to append, push, pull and project next. It is stepped, and owns no thread, clock or socket.
//
// A host feeds it inputs (captured changes, replies, commands) and carries out the calls it asks for, one per lane at a
// time, each lane on whatever thread it likes. Everything the engine knows that matters is in the log: drop it at any
// moment, build a new one over the same file, and it goes on.
//
//   ASSAY_ASSIGN_OR_RETURN(auto engine, Engine::Open(config, &file, &clock, &random));
//   for (;;) {
//     engine->OnCapture(batch); engine->OnHubReply(...); ...   // what has come in
//     ASSAY_RETURN_IF_ERROR(engine->Step());                   // durable on return
//     for (Call& call : engine->TakeCalls()) ...               // to be made, each answered by one On…Reply
//     capture.Confirm(engine->ConfirmedLsn());
//   }
//
// Not thread-safe. A non-OK Step means the log could not be written or read: throw the engine and its LogFile away, and
// open them again later; nothing acknowledged is lost by that.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/calls.h"
#include "engine/clock.h"
#include "engine/config.h"
#include "engine/database.h"
#include "engine/recovery/found_rows.h"
#include "engine/remotes/hub.h"
#include "engine/status.h"
#include "engine/survey.h"
#include "log/event_log.h"
#include "log/local_state/local_state.h"
#include "log/log_file.h"

namespace assay {

class Engine {
 public:
  // The log must have been opened for this branch (OpenBranchLog): FAILED_PRECONDITION otherwise.
  static absl::StatusOr<std::unique_ptr<Engine>> Open(const EngineConfig& config, LogFile* file, Clock* clock,
                                                      Random* random);
  ~Engine();

  // ---- Inputs: cheap; the work is done in Step ----

  // The capture stream began again: an unfinished transaction is forgotten (it comes again). Nothing is projected or
  // confirmed before `evidence`, and if need be the stream, have shown that this is the database the log belongs to.
  void OnCaptureStarted(DatabaseEvidence evidence);
  void OnCapture(CaptureBatch batch);
  // The stream ended with `status`, or could not start, and is started again at `next_try`; shown until then. What it
  // has brought whole is kept, an unfinished transaction forgotten. `evidence` of a start that failed.
  void OnCaptureStopped(const absl::Status& status, absl::Time next_try = absl::InfinitePast(),
                        DatabaseEvidence evidence = {});
  void OnDatabaseReply(DatabaseReply reply);
  // `lane` as in the call; `round_trip` for the clock offset.
  void OnHubReply(Lane lane, HubReply reply, absl::Duration round_trip);
  // What a look at the catalog found, or why it failed; each takes the place of the one before.
  void OnSurvey(absl::StatusOr<SurveyReport> report);
  // What a comparison of the table with the log found; takes the place of the one before.
  void OnTableChecked(std::string table, CheckedTable checked);
  // What a comparison found that the log has nothing of (FoundRecorder). By the time that a fence which is written
  // afterwards has passed, it was looked at.
  void OnFound(FoundRows found);
  // All that were to be compared were; or why not.
  void OnCheckEnded(const absl::Status& status);
  // Somebody pushed: pull soon.
  void OnHubHint();
  // `status` of the hint connection: OK while hints work.
  void OnHintsChanged(const absl::Status& status);

  void Pause();
  void Resume();
  void SyncNow();
  // Somebody wants to see all branches with their numbers: the hub is asked at once.
  void AskAboutAll();
  void SetInterval(absl::Duration interval);
  // Makes parked rows due at once; of one table, or all.
  void RetryParked(std::optional<TableName> table);
  // Does not wait for what is parked of a table any more, or of its one row with this key (in key order).
  void ForgetParked(TableName table, std::optional<std::vector<std::string>> key);

  // ---- Work ----

  // Does what can be done now, in slices of some milliseconds, and makes it durable. `begin`, if there is one, is
  // handed a call that may be made before that: a read without locks; or a projection, which the host gives a gate that
  // it opens when Step has returned OK.
  absl::Status Step(const std::function<void(Call)>& begin = nullptr);
  std::vector<Call> TakeCalls();
  // True: Step again at once, there is more to do without any input.
  bool HasWork() const;
  // When Step should run even if nothing comes in.
  absl::Time NextWake() const;
  // All captured changes that end at or before this are durable, and this is the database they belong to.
  Lsn ConfirmedLsn() const;
  // False: what the stream brings is of no use, because database, log and hub do not belong together; hold no stream
  // open, which would keep the server from shutting down, and start it again now and then to see whether that was
  // mended.
  bool WantsCapture() const;
  // What the stream has brought is kept and not worked on yet: bring no more than there is room for.
  bool HoldsCapture() const;

  EngineStatus Status() const;
  // The tables that the log has a baseline of: what a survey is to find. As it was when the engine was opened, which is
  // as it stays: only init and repair change it, and no engine runs then.
  const std::set<std::string>& enrolled_tables() const;
  // The nonce of the newest fence of the sentinel's that capture has delivered: what was captured before it is durable.
  const std::string& passed_fence() const;

 private:
  struct Parts;
  explicit Engine(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace assay
