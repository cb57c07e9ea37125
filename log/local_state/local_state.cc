#include "log/local_state/local_state.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/check.h"
#include "log/local_state/stored_rows.h"

namespace assay {
namespace {

int64_t Signed(uint64_t value) { return static_cast<int64_t>(value); }
uint64_t Unsigned(int64_t value) { return static_cast<uint64_t>(value); }

}  // namespace

absl::StatusOr<std::unique_ptr<LocalState>> LocalState::Open(LogFile* file, EventLog* log) {
  std::unique_ptr<LocalState> state(new LocalState(file, log));
  ASSAY_RETURN_IF_ERROR(state->Load());
  ASSAY_ASSIGN_OR_RETURN(state->read_note_, file->Prepare("SELECT value FROM value WHERE name = ?1"));
  ASSAY_ASSIGN_OR_RETURN(state->seen_,
                         file->Prepare("SELECT seen FROM seen WHERE by_origin = ?1 AND of_origin = ?2 AND "
                                       "sequence <= ?3 ORDER BY sequence DESC LIMIT 1"));
  if (!file->read_only()) {
    ASSAY_ASSIGN_OR_RETURN(state->write_note_, file->Prepare("INSERT OR REPLACE INTO value VALUES (?1, ?2)"));
    ASSAY_ASSIGN_OR_RETURN(state->set_projected_, file->Prepare("INSERT OR REPLACE INTO projected VALUES (?1, ?2)"));
    ASSAY_ASSIGN_OR_RETURN(
        state->add_seen_,
        file->Prepare("INSERT OR REPLACE INTO seen (by_origin, of_origin, sequence, seen) VALUES (?1, ?2, ?3, ?4)"));
  }
  LocalState* raw = state.get();
  raw->participation_ = file->AddParticipant([raw] { return raw->WriteNotes(); }, [raw] { return raw->Load(); });
  return state;
}

absl::Status LocalState::Refresh() { return file_->read_only() ? Load() : absl::OkStatus(); }

absl::Status LocalState::Load() {
  notes_.clear();
  projected_.clear();
  ASSAY_ASSIGN_OR_RETURN(Statement projected, file_->Prepare("SELECT origin, sequence FROM projected"));
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, projected.Step());
    if (!row) break;
    ASSAY_ASSIGN_OR_RETURN(const OriginId origin, ReadOrigin(projected, "origin", *log_, "projected"));
    projected_[origin] = {Unsigned(projected.Int("sequence"))};
  }
  return absl::OkStatus();
}

absl::Status LocalState::Damaged(absl::string_view about) {
  return absl::DataLossError(
      absl::StrCat("the log's note of ", about, " is damaged: keep the log file, and see `assay repair`"));
}

absl::StatusOr<std::optional<std::string>> LocalState::ReadBytes(const std::string& name) {
  if (const auto found = notes_.find(name); found != notes_.end()) return found->second;
  read_note_.BindText(1, name);
  ASSAY_ASSIGN_OR_RETURN(const bool row, read_note_.Step());
  if (!row) return std::nullopt;
  std::string bytes(read_note_.OnlyBlob());
  read_note_.Reset();
  return bytes;
}

absl::Status LocalState::WriteBytes(const std::string& name, std::string bytes) {
  if (!file_->InTransaction()) return write_note_.BindText(1, name).BindBlob(2, bytes).Run();
  notes_[name] = std::move(bytes);
  return absl::OkStatus();
}

absl::Status LocalState::WriteNotes() {
  for (const auto& [name, bytes] : notes_)
    ASSAY_RETURN_IF_ERROR(write_note_.BindText(1, name).BindBlob(2, bytes).Run());
  notes_.clear();
  return absl::OkStatus();
}

Sequence LocalState::Projected(const OriginId& origin) const {
  const auto found = projected_.find(origin);
  return found == projected_.end() ? Sequence{} : found->second;
}

absl::Status LocalState::SetProjected(const OriginId& origin, Sequence sequence) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(const OriginIndex index, log_->IndexOf(origin));
  ASSAY_RETURN_IF_ERROR(set_projected_.BindInt(1, index.value).BindInt(2, Signed(sequence.value)).Run());
  projected_[origin] = sequence;
  return absl::OkStatus();
}

absl::Status LocalState::AddSeen(const OriginId& by, Sequence sequence, const OriginId& of, Sequence seen) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(const OriginIndex by_index, log_->IndexOf(by));
  ASSAY_ASSIGN_OR_RETURN(const OriginIndex of_index, log_->IndexOf(of));
  return add_seen_.BindInt(1, by_index.value)
      .BindInt(2, of_index.value)
      .BindInt(3, Signed(sequence.value))
      .BindInt(4, Signed(seen.value))
      .Run();
}

absl::StatusOr<Sequence> LocalState::Seen(const OriginId& by, Sequence sequence, const OriginId& of) {
  const absl::StatusOr<OriginIndex> by_index = log_->IndexOf(by), of_index = log_->IndexOf(of);
  if (!by_index.ok() || !of_index.ok()) return Sequence{};  // A reader's file has never heard of them.
  seen_.BindInt(1, by_index->value).BindInt(2, of_index->value).BindInt(3, Signed(sequence.value));
  ASSAY_ASSIGN_OR_RETURN(const bool row, seen_.Step());
  if (!row) return Sequence{};
  const Sequence seen{Unsigned(seen_.OnlyInt())};
  seen_.Reset();
  return seen;
}

absl::StatusOr<std::vector<std::string>> LocalState::Intents() {
  ASSAY_ASSIGN_OR_RETURN(Statement select, file_->Prepare("SELECT intent FROM intent ORDER BY batch"));
  std::vector<std::string> intents;
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return intents;
    intents.emplace_back(select.OnlyBlob());
  }
}

absl::Status LocalState::PutIntent(uint64_t batch, absl::string_view intent) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(Statement put, file_->Prepare("INSERT OR REPLACE INTO intent VALUES (?1, ?2)"));
  return put.BindInt(1, Signed(batch)).BindBlob(2, intent).Run();
}

absl::Status LocalState::EraseIntent(uint64_t batch) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(Statement erase, file_->Prepare("DELETE FROM intent WHERE batch = ?1"));
  return erase.BindInt(1, Signed(batch)).Run();
}

absl::Status LocalState::ClearIntents() {
  ASSAY_CHECK(file_->InTransaction());
  return file_->Execute("DELETE FROM intent");
}

}  // namespace assay
