#include "engine/recovery/restore_gate.h"

#include <utility>

#include "log/annotate.h"

namespace assay {

void RestoreGate::OnStarted(DatabaseEvidence evidence) {
  asked_ = true;
  evidence_ = std::move(evidence);
}

void RestoreGate::OnStopped(DatabaseEvidence evidence) {
  asked_ = true;
  if (!Halts()) state_ = RestoreState::kUnverified;
  checking_ = false;
  if (evidence.known) evidence_ = std::move(evidence);
}

absl::Status RestoreGate::Set(Judgement judgement) {
  state_ = judgement.state;
  cause_ = std::move(judgement.cause);
  if (state_ != RestoreState::kNormal || server_.empty()) return absl::OkStatus();
  return NoteServer(server_, timeline_, notes_);
}

absl::StatusOr<std::optional<Lsn>> RestoreGate::Judge(bool streaming) {
  const DatabaseEvidence database = *std::exchange(evidence_, std::nullopt);
  ASSAY_ASSIGN_OR_RETURN(const LogEvidence known, ReadLogEvidence(own_, *log_, *notes_));
  server_ = database.server;
  timeline_ = database.timeline;
  Judgement judgement = assay::Judge(known, database);
  checking_ = judgement.state == RestoreState::kUnverified;
  if (!checking_) {
    ASSAY_RETURN_IF_ERROR(Set(std::move(judgement)));
  } else if (!Halts()) {
    state_ = RestoreState::kUnverified;
  }
  if (!streaming) {
    checking_ = false;
    if (state_ == RestoreState::kNormal) state_ = RestoreState::kUnverified;
    return std::nullopt;
  }
  stream_check_.Begin(known.captured);
  return database.known ? database.slot_confirmed : known.captured.position;
}

absl::Status RestoreGate::See(const CaptureItem& item) {
  Judgement judgement = stream_check_.See(item);
  checking_ = judgement.state == RestoreState::kUnverified;
  return checking_ ? absl::OkStatus() : Set(std::move(judgement));
}

}  // namespace assay
