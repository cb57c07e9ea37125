// Which row versions are in the log for certain, by their xmin: so a row that nobody has written lately need not wait
// for a fence.
//
// A read's fence is preceded in the WAL by the commit of every transaction that had ended when the fence was emitted
// (ReadReply::ended_before). When the fence has come by, the log has all of those. A row that is read later and was
// written by one of them, or by a projection of ours that committed, is as the log knows it. (PostgreSQL's manual,
// "Transaction ID and Snapshot Information Functions"; and "Preventing Transaction ID Wraparound Failures": xids
// compare modulo 2^32, so a row that was written two billion transactions ago may look new, and waits for its fence.)
//
// Of one session: in another one the server may be an older copy of itself, which gives the same xids anew. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "absl/strings/string_view.h"

namespace assay {

class XidHorizon {
 public:
  // A read that was followed by the fence `nonce` has been answered, before or after the fence came by.
  void OnRead(absl::string_view nonce, uint64_t session, uint32_t ended_before);
  void OnFence(absl::string_view nonce);
  // A projection has committed whose rows all have this xmin. 0: not known.
  void OnCommitted(uint64_t session, uint32_t xmin);
  void Clear() { *this = XidHorizon(); }

  bool Covers(uint64_t session, uint32_t xmin) const;

 private:
  struct Fence {
    std::string nonce;
    uint64_t session = 0;
    uint32_t ended_before = 0;  // 0: not answered yet.
    bool seen = false;
  };
  Fence& Find(absl::string_view nonce);
  void Move();

  std::deque<Fence> fences_;  // Of the last few reads.
  uint64_t session_ = 0;
  uint32_t ended_before_ = 0;  // 0: nothing is known.
  std::deque<uint32_t>
      own_;  // Of the last projections that had not ended then: while a transaction stays open, none has.
};

}  // namespace assay
