// The flights on their way, in their order, and how large their batches are.
//
// There are three at most. *landing* has committed, if it has an intent, and is to land. *current* is read and
// projected. *next* is gathered meanwhile, and follows once it is complete. They land in the order in which they
// committed, which is that of the WAL. What is done with them, and when, is the Projector's. Not thread-safe.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "engine/config.h"
#include "engine/projection/batch_size.h"
#include "engine/projection/flight.h"
#include "log/local_state/stores.h"

namespace assay {

class Flights {
 public:
  Flights(const EngineConfig& config, const OriginId& own, const Stores& stores);

  Flight& landing() { return *landing_; }
  const Flight& landing() const { return *landing_; }
  Flight& current() { return *current_; }
  const Flight& current() const { return *current_; }
  Flight& next() { return *next_; }

  bool IsLanding() const { return landing_->intent.has_value(); }
  // The echo may come before the reply: then it is the current one.
  Flight& FirstToLand() { return IsLanding() ? *landing_ : *current_; }

  // Forgets them all.
  void Clear();
  // What current and next have gathered is to be gathered anew.
  void DropBatches();
  // The current one has committed, and nothing lands before it: it is landing, and another is current.
  void Land();
  // The next one, begun behind the current one.
  Flight& Ahead();
  // The current one has no batch: the next one takes its place, if it has been begun.
  void TakeAhead();

  const BatchSize& size() const { return size_; }
  // Somebody was in the way of the current batch: drops it, and half of its rows come next. False: they are as few as
  // is worth it, and it stays.
  bool Shrink();
  // A full batch has landed: the next ones may be larger.
  void Grow();

  // As of all their batches (Batch).
  void GiveUp(const std::set<OriginId>& origins);
  std::map<OriginId, absl::Status> stopped() const;
  std::map<OriginId, std::pair<OriginId, Sequence>> waiting_for() const;

 private:
  std::array<Flight*, 3> All() const { return {landing_.get(), current_.get(), next_.get()}; }
  void CapRows();

  std::unique_ptr<Flight> landing_, current_, next_;  // Never null.
  BatchSize size_;
};

}  // namespace assay
