#include "engine/own_chain.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"

namespace assay {
namespace {

constexpr uint32_t kFormatVersion = 1;

}  // namespace

absl::StatusOr<OriginId> OwnOrigin(LocalState& state) {
  ASSAY_ASSIGN_OR_RETURN(const OriginId own, state.Read(kOwnOriginNote));
  if (own == OriginId{}) return absl::NotFoundError("this log has no chain of its own yet; run `assay init`");
  return own;
}

absl::StatusOr<OriginId> OpenBranchLog(const EngineConfig& config, LogFile* file, Clock*, Random* random,
                                       const std::optional<PreviousChain>& previous) {
  ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<EventLog> log, EventLog::Open(file));
  ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<LocalState> state, LocalState::Open(file, log.get()));
  if (absl::StatusOr<OriginId> own = OwnOrigin(*state); own.ok()) {
    return absl::AlreadyExistsError(absl::StrCat("this log already has a chain of its own, ", own->Hex()));
  }
  OriginId own;
  for (size_t i = 0; i < own.bytes.size(); i += 8) {
    const uint64_t random_bits = random->Next();
    for (size_t j = 0; j < 8; ++j) own.bytes[i + j] = static_cast<uint8_t>(random_bits >> (8 * j));
  }
  v1::Event event;
  event.set_origin(own.bytes.data(), own.bytes.size());
  event.set_sequence(1);
  // The lowest stamp: the opening competes with nothing, and rows found to be outdated at a join are stamped right
  // after it.
  event.set_stamp(1);
  event.set_transaction_first(1);
  event.set_ends_transaction(true);
  event.mutable_transaction();
  v1::OriginOpened* opened = event.mutable_origin_opened();
  opened->set_branch_name(config.branch_name);
  opened->set_branch_number(config.branch_number);
  if (config.signing_key.has_value()) opened->set_public_key(config.signing_key->public_key());
  opened->set_epoch(previous.has_value() ? previous->epoch + 1 : 1);
  if (previous.has_value()) {
    opened->set_previous_origin(previous->origin.bytes.data(), previous->origin.bytes.size());
    opened->set_previous_sequence(previous->sequence.value);
    if (previous->root.has_value()) opened->set_previous_root(previous->root->data(), previous->root->size());
  }
  opened->set_format_version(kFormatVersion);
  ASSAY_RETURN_IF_ERROR(file->Begin());
  ASSAY_RETURN_IF_ERROR(log->Append(event, "", event.SerializeAsString()));
  ASSAY_RETURN_IF_ERROR(state->Write(kOwnOriginNote, own));
  if (previous.has_value()) ASSAY_RETURN_IF_ERROR(state->Write(kReplacesNote, previous->replaces));
  ASSAY_RETURN_IF_ERROR(file->Commit());
  return own;
}

absl::Status CheckBranchLog(EventLog& log, LocalState& state, absl::string_view name, uint64_t number) {
  ASSAY_ASSIGN_OR_RETURN(const OriginId own, OwnOrigin(state));
  ASSAY_ASSIGN_OR_RETURN(const v1::OriginOpened opened, log.Opening(own));
  if (opened.branch_name() == name && opened.branch_number() == number) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "is that of branch ", opened.branch_name(), " (number ", opened.branch_number(), "), and the config says ", name,
      " (number ", number, "): set branch.name, branch.number and branch.state_dir as they were when assay init ran"));
}

}  // namespace assay
