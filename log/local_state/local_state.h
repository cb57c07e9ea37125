// What the stages remember between steps: how far each has come, what each transaction had seen, the projections under
// way, and small named notes.
//
// All of it is derived or local to this branch; none of it is history. What was written is read back at once, and
// becomes durable with the LogFile's transaction. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "log/types.h"

namespace assay {

class LocalState {
 public:
  static absl::StatusOr<std::unique_ptr<LocalState>> Open(LogFile* file, EventLog* log);

  // For a log file opened read-only: sees what the writer has committed since. Refresh the EventLog first.
  absl::Status Refresh();

  // Named values, small: "clock", "captured", "batch". nullopt: never set.
  absl::StatusOr<std::optional<std::string>> Get(absl::string_view name);
  absl::Status Set(absl::string_view name, absl::string_view value);
  absl::StatusOr<uint64_t> GetNumber(absl::string_view name, uint64_t otherwise);
  absl::Status SetNumber(absl::string_view name, uint64_t value);

  // How far each origin's chain is merged and projected.
  Sequence Projected(const OriginId& origin) const;
  absl::Status SetProjected(const OriginId& origin, Sequence sequence);

  // How much of origin `of` a transaction of `by` at `sequence` had seen: the last entry at or before it.
  absl::Status AddSeen(const OriginId& by, Sequence sequence, const OriginId& of, Sequence seen);
  absl::StatusOr<Sequence> Seen(const OriginId& by, Sequence sequence, const OriginId& of);

  // The projections whose outcomes are not settled yet, by their numbers, as the engine serialized them.
  absl::StatusOr<std::vector<std::string>> Intents();
  absl::Status PutIntent(uint64_t batch, absl::string_view intent);
  absl::Status EraseIntent(uint64_t batch);
  absl::Status ClearIntents();

 private:
  LocalState(LogFile* file, EventLog* log) : file_(file), log_(log) {}
  absl::Status Load();
  absl::Status WriteValues();
  LogFile* file_;
  LogFile::Participation participation_;
  EventLog* log_;
  // Set in this transaction of the log: some change with each captured one.
  std::map<std::string, std::string, std::less<>> values_;
  std::map<OriginId, Sequence> projected_;
  Statement get_, set_, set_projected_, add_seen_, seen_;
};

}  // namespace assay
