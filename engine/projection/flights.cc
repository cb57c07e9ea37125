#include "engine/projection/flights.h"

#include <algorithm>

namespace assay {

Flights::Flights(const EngineConfig& config, const OriginId& own, const Stores& stores)
    : landing_(std::make_unique<Flight>(own, stores.log, stores.names, stores.state)),
      current_(std::make_unique<Flight>(own, stores.log, stores.names, stores.state)),
      next_(std::make_unique<Flight>(own, stores.log, stores.names, stores.state)),
      size_(config.batch_rows_max) {
  CapRows();
  for (Flight* flight : All()) flight->batch.set_new_rows_cap((config.batch_rows_max + 1) / 2);
}

void Flights::Clear() {
  for (Flight* flight : {landing_.get(), current_.get()}) {
    flight->intent.reset();
    flight->Begin();
  }
  landing_->batch.Clear();
  DropBatches();
}

void Flights::DropBatches() {
  current_->batch.Clear(IsLanding() ? landing_->intent->to() : std::map<OriginId, Sequence>());
  next_->batch.Clear();
  next_->Begin();
}

void Flights::Land() {
  std::swap(landing_, current_);
  landing_->Begin();  // What it was planned on is in its intent.
  current_->batch.Clear(landing_->intent->to());
  current_->Begin();
}

Flight& Flights::Ahead() {
  if (!next_->begun) {
    next_->Begin();
    next_->begun = true;
    next_->batch.Clear(current_->batch.End());
  }
  return *next_;
}

void Flights::TakeAhead() {
  if (next_->begun) std::swap(current_, next_);
  next_->begun = false;
}

bool Flights::Shrink() {
  if (!size_.Shrink(std::min(current_->batch.rows().size(), current_->batch.rows_max()))) return false;
  CapRows();
  DropBatches();
  return true;
}

void Flights::Grow() {
  size_.Grow();
  CapRows();
}

void Flights::CapRows() {
  for (Flight* flight : All()) flight->batch.set_rows_cap(size_.rows());
}

void Flights::GiveUp(const std::set<OriginId>& origins) {
  for (Flight* flight : All()) flight->batch.GiveUp(origins);
}

std::map<OriginId, absl::Status> Flights::stopped() const {
  std::map<OriginId, absl::Status> stopped;
  for (const Flight* flight : All()) stopped.insert(flight->batch.stopped().begin(), flight->batch.stopped().end());
  return stopped;
}

std::map<OriginId, std::pair<OriginId, Sequence>> Flights::waiting_for() const {
  std::map<OriginId, std::pair<OriginId, Sequence>> waiting = current_->batch.waiting_for();
  waiting.insert(next_->batch.waiting_for().begin(), next_->batch.waiting_for().end());
  return waiting;
}

}  // namespace assay
