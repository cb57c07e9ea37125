// What the stages remember between steps: how far each has come, what each transaction had seen, the projections under
// way, and small named notes.
//
// All of it is derived or local to this branch; none of it is history. What was written is read back at once, and
// becomes durable with the LogFile's transaction. A note may also be written outside of one, and is durable then when
// Write returns. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/event_log.h"
#include "log/local_state/notes.h"
#include "log/log_file.h"
#include "log/types.h"

namespace assay {

class LocalState {
 public:
  static absl::StatusOr<std::unique_ptr<LocalState>> Open(LogFile* file, EventLog* log);

  // For a log file opened read-only: sees what the writer has committed since. Refresh the EventLog first.
  absl::Status Refresh();

  // Of one of notes.h; T{}: it was never written. DATA_LOSS when what is stored is no T.
  template <typename T, typename... Subject>
  absl::StatusOr<T> Read(const Note<T, Subject...>& note, const std::type_identity_t<Subject>&... of) {
    absl::StatusOr<std::optional<std::string>> bytes = ReadBytes(NameOf(note.name, of...));
    if (!bytes.ok()) return bytes.status();
    T value{};
    if (bytes->has_value() && !DecodeNote(**bytes, &value)) return Damaged(note.about);
    return value;
  }
  template <typename T, typename... Subject>
  absl::Status Write(const Note<T, Subject...>& note, const std::type_identity_t<T>& value,
                     const std::type_identity_t<Subject>&... of) {
    return WriteBytes(NameOf(note.name, of...), EncodeNote(value));
  }

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
  template <typename... Subject>
  static std::string NameOf(absl::string_view name, const Subject&... of) {
    std::string full(name);
    ((full += ':', full += SubjectText(of)), ...);
    return full;
  }
  static absl::Status Damaged(absl::string_view about);
  absl::StatusOr<std::optional<std::string>> ReadBytes(const std::string& name);
  absl::Status WriteBytes(const std::string& name, std::string bytes);
  absl::Status WriteNotes();

  LogFile* file_;
  LogFile::Participation participation_;
  EventLog* log_;
  // Notes written in this transaction of the log, by name: some change with each captured one.
  std::map<std::string, std::string> notes_;
  std::map<OriginId, Sequence> projected_;
  Statement read_note_, write_note_, set_projected_, add_seen_, seen_;
};

}  // namespace assay
