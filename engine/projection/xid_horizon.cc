#include "engine/projection/xid_horizon.h"

#include <algorithm>

namespace assay {
namespace {

constexpr size_t kFencesMax = 8;
constexpr size_t kOwnMax = 64;
constexpr uint32_t kFirstNormalXid = 3;

// PostgreSQL's TransactionIdPrecedes.
bool Precedes(uint32_t a, uint32_t b) {
  if (a < kFirstNormalXid || b < kFirstNormalXid) return a < b;
  return static_cast<int32_t>(a - b) < 0;
}

}  // namespace

XidHorizon::Fence& XidHorizon::Find(absl::string_view nonce) {
  const auto found =
      std::find_if(fences_.begin(), fences_.end(), [&](const Fence& fence) { return fence.nonce == nonce; });
  if (found != fences_.end()) return *found;
  if (fences_.size() == kFencesMax) fences_.pop_front();
  return fences_.emplace_back(Fence{std::string(nonce)});
}

void XidHorizon::OnRead(absl::string_view nonce, uint64_t session, uint32_t ended_before) {
  if (ended_before == 0) return;
  Fence& fence = Find(nonce);
  fence.session = session;
  fence.ended_before = ended_before;
  Move();
}

void XidHorizon::OnFence(absl::string_view nonce) {
  Find(nonce).seen = true;
  Move();
}

void XidHorizon::OnCommitted(uint64_t session, uint32_t xmin) {
  if (xmin == 0) return;
  if (session != session_) *this = XidHorizon();
  session_ = session;
  if (own_.size() == kOwnMax) own_.pop_front();
  own_.push_back(xmin);
}

void XidHorizon::Move() {
  while (!fences_.empty()) {
    const auto done = std::find_if(fences_.begin(), fences_.end(),
                                   [](const Fence& fence) { return fence.seen && fence.ended_before != 0; });
    if (done == fences_.end()) return;
    if (done->session != session_) {
      session_ = done->session;
      own_.clear();
      ended_before_ = 0;
    }
    if (ended_before_ == 0 || Precedes(ended_before_, done->ended_before)) ended_before_ = done->ended_before;
    fences_.erase(done);
    std::erase_if(own_, [this](uint32_t xmin) { return Precedes(xmin, ended_before_); });
  }
}

bool XidHorizon::Covers(uint64_t session, uint32_t xmin) const {
  if (session != session_ || xmin == 0) return false;
  if (ended_before_ != 0 && Precedes(xmin, ended_before_)) return true;
  return std::find(own_.begin(), own_.end(), xmin) != own_.end();
}

}  // namespace assay
