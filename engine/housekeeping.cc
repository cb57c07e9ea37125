#include "engine/housekeeping.h"

#include <algorithm>
#include <utility>

#include "log/annotate.h"

namespace assay {
namespace {

constexpr absl::Duration kCheckpointInterval = absl::Minutes(1);
constexpr absl::Duration kRestAfter = absl::Seconds(20);
constexpr absl::Duration kTidyAfter = absl::Seconds(5);
constexpr absl::Duration kTidyInterval = absl::Seconds(1);
constexpr size_t kTidyRows = 500;

}  // namespace

absl::Status Housekeeping::KeepCheckpoint() {
  const ChainHead head = log_->Head(own_);
  if (!config_.signing_key.has_value() || head.last != head.complete || head.last.value == checkpoint_size_ ||
      clock_->Now() < checkpoint_at_) {
    return absl::OkStatus();
  }
  checkpoint_at_ = clock_->Now() + kCheckpointInterval;
  checkpoint_size_ = head.last.value;
  return log_->SignCheckpoint(own_, *config_.signing_key).status();
}

absl::Status Housekeeping::Rest(uint64_t events_done, bool busy) {
  const absl::Time now = clock_->Now();
  const bool worked = events_done != std::exchange(events_done_, events_done);
  if (worked) rest_at_ = now + kRestAfter;
  if (worked || busy) tidy_at_ = now + kTidyAfter;
  if (now >= rest_at_) {
    rest_at_ = absl::InfiniteFuture();
    ASSAY_RETURN_IF_ERROR(rows_->Rest());
    file_->ReleaseMemory();
  }
  if (!Untidy() || now < tidy_at_) return absl::OkStatus();
  tidy_at_ = now + kTidyInterval;
  if (rest_at_ == absl::InfiniteFuture()) file_->ReleaseMemory();  // Of the portion before.
  if (rows_->untidy()) ASSAY_RETURN_IF_ERROR(rows_->Tidy(kTidyRows));
  return log_->Repack(config_.repack_events);
}

absl::Time Housekeeping::NextWake() const {
  absl::Time wake = Untidy() ? std::min(tidy_at_, rest_at_) : rest_at_;
  if (config_.signing_key.has_value() && log_->Head(own_).last.value != checkpoint_size_) {
    wake = std::min(wake, checkpoint_at_);
  }
  return wake;
}

}  // namespace assay
