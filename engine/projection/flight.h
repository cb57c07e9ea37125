// A batch on its way into PostgreSQL: how far it is, and what it needs at that stage.
//
//   switch (NextStep(flight, now, may_plan)) { case FlightStep::kPlan: … }
//
// Data, and no more: what moves it is the Projector. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/database.h"
#include "engine/fold/batch.h"
#include "engine/projection/intent.h"
#include "engine/projection/plan.h"
#include "log/row_versions/row_ref.h"

namespace assay {

struct Flight {
  enum class Stage : uint8_t {
    kGather,      // Folding pending events, or nothing to do.
    kRead,        // To read the targets, not before `not_before`.
    kReading,     // Waiting for the read's reply and its fence.
    kProjecting,  // Waiting for PostgreSQL to write it.
    kAsking,      // In doubt: waiting for LastBatch.
    kCommitted,   // It only has to land, after the one before it.
  };
  enum class Job : uint8_t {
    kFold,    // Events of other branches; or rows that are due, of no batch.
    kAnchor,  // A projection of nothing, for the sake of its number.
    kProbe,   // A read of nothing, to see whether a column has appeared.
  };

  Flight(const OriginId& own, EventLog* log, TableNames* names, LocalState* state) : batch(own, log, names, state) {}
  // All but the batch and the intent begin anew.
  void Begin();

  Batch batch;
  Stage stage = Stage::kGather;
  Job job = Job::kFold;
  absl::Time not_before = absl::InfinitePast();

  // ---- Gathered ----
  absl::Time opened = absl::InfinitePast();  // When the batch had its first events, or became the current one.
  // Ahead of the flight before it: since when, and of how many rows the versions have been looked up.
  bool begun = false;
  size_t looked_up = 0;
  bool plan_tried = false;
  std::optional<ProjectionPlan> plan;  // Of `targets`, made ahead and without a read.
  bool plan_is_old = false;            // A local change has been recorded since.

  // ---- Read ----
  std::vector<TargetRow> targets;
  std::map<RowRef, Refusal> refused;
  std::string tag, fence;
  bool fence_seen = false;
  std::optional<ReadReply> read;
  bool unread = false;  // Planned without a read.
  bool locked = false;
  uint32_t attempts = 0;  // Of this batch, because rows moved.
  bool shrink = false;    // Before it is read again.

  // ---- Planned ----
  std::optional<OpenIntent> intent;            // It may have committed.
  std::vector<std::vector<uint32_t>> written;  // ProjectionPlan::targets, of `targets`.
};

// What is to be done with a flight, if nothing comes in.
enum class FlightStep : uint8_t {
  kWait,       // For an answer, for capture, or for the flight before it.
  kWaitUntil,  // For `not_before`.
  kGather,
  kShrink,  // Gather it anew, and less.
  kReadAgain,
  kPlan,
  kLetGo,  // Of its locks: the application waits for them, and capture is behind.
  kAsk,    // Once more, which batch committed last.
};
// `may_plan`: all that was read is in the log for certain.
FlightStep NextStep(const Flight& flight, absl::Time now, bool may_plan);

}  // namespace assay
