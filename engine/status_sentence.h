// The one sentence about a branch that every face shows: is it all right, and if not, what is it?
//
// A person who reads no further has not been misled. The first line of the list in StatusSentence that applies wins;
// what else is wrong stands among the problems. Nothing is said to be well from memory: what has not been heard lately
// is named as that.
//
//   const Sentence sentence = StatusSentence(operator.Status(), now, zone);
//   sentence.headline   // "Offline since 14:02."
//   sentence.line       // "Selling goes on. 47 changes wait to be sent; they go by themselves ..."
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "engine/operator.h"

namespace assay {

// kIdle: a state that somebody chose, or that is not known. kBusy: it is coming along.
enum class Tone : uint8_t { kOk, kBusy, kIdle, kWarn, kBad };

struct Sentence {
  Tone tone = Tone::kIdle;
  std::string headline;
  std::string line;  // What goes on meanwhile; may be empty.
};

// Times in it are of `zone`.
Sentence StatusSentence(const DaemonStatus& status, absl::Time now, absl::TimeZone zone);

// For `events` at that rate, in whole seconds; infinite when they would never come.
absl::Duration TimeLeft(uint64_t events, double events_per_second);

// Whether a branch is there, as far as the hub has told at `hub_now`. Heartbeats come each half minute, and may be
// late.
bool IsOnline(const BranchPresence& branch, absl::Time hub_now);
// The state of a branch whose daemon was stopped by a person.
inline constexpr char kShutDown[] = "shut-down";

}  // namespace assay
