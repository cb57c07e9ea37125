// Holds everything back that writes until database and log were found to belong together (restore_check.h).
//
// The judgement is made anew at each start of capture, since PostgreSQL can be restored under a running daemon. Some
// evidence is enough by itself; other evidence leaves the last word to the stream, which must bring the last captured
// transaction again before anything newer is believed. What halts the branch goes on doing so until a server has shown
// that it is mended. Not thread-safe.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/database.h"
#include "engine/recovery/restore_check.h"
#include "log/event_log.h"
#include "log/local_state/local_state.h"
#include "log/types.h"

namespace assay {

class RestoreGate {
 public:
  RestoreGate(const OriginId& own, EventLog* log, LocalState* notes) : own_(own), log_(log), notes_(notes) {}

  // Capture was started and showed `evidence`, which is judged by the next Judge.
  void OnStarted(DatabaseEvidence evidence);
  // Capture ended, or could not be started; `evidence` of such a start may still tell something.
  void OnStopped(DatabaseEvidence evidence);

  // There is evidence to be judged.
  bool has_evidence() const { return evidence_.has_value(); }
  // Judges the evidence. `streaming`: capture runs; otherwise whatever is not wrong is not proved either, and nullopt
  // is returned. Returns the position up to which the stream's server has everything confirmed: the server may reuse
  // positions that were known before. Inside a LogFile transaction.
  absl::StatusOr<std::optional<Lsn>> Judge(bool streaming);

  // The stream has to show the last captured transaction first.
  bool checking() const { return checking_; }
  // While checking: what the stream brings, which is in the log already or must not be believed.
  absl::Status See(const CaptureItem& item);

  RestoreState state() const { return state_; }
  // Why it halts, for people.
  const std::string& cause() const { return cause_; }
  bool Halts() const { return state_ != RestoreState::kNormal && state_ != RestoreState::kUnverified; }
  // The database could be reached, or was found not to be.
  bool asked() const { return asked_; }

 private:
  absl::Status Set(Judgement judgement);

  const OriginId own_;
  EventLog* log_;
  LocalState* notes_;
  RestoreState state_ = RestoreState::kUnverified;
  std::string cause_;
  bool asked_ = false;
  std::optional<DatabaseEvidence> evidence_;
  // DatabaseEvidence::server and timeline, of the evidence judged last.
  std::string server_;
  uint32_t timeline_ = 0;
  bool checking_ = false;
  StreamCheck stream_check_;
};

}  // namespace assay
