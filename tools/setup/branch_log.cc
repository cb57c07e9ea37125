#include "tools/setup/branch_log.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "log/annotate.h"

namespace assay {

absl::StatusOr<std::unique_ptr<OpenLog>> OpenLog::Open(const std::string& path) {
  auto open = std::make_unique<OpenLog>();
  ASSAY_ASSIGN_OR_RETURN(open->file, LogFile::Open(path, {}));
  ASSAY_ASSIGN_OR_RETURN(open->log, EventLog::Open(open->file.get()));
  ASSAY_ASSIGN_OR_RETURN(open->names, TableNames::Open(open->file.get(), open->log.get()));
  ASSAY_ASSIGN_OR_RETURN(open->rows, RowVersionStore::Open(open->file.get(), open->log.get()));
  ASSAY_ASSIGN_OR_RETURN(open->state, LocalState::Open(open->file.get(), open->log.get()));
  ASSAY_ASSIGN_OR_RETURN(open->unsettled, UnsettledRows::Open(open->file.get(), open->log.get()));
  ASSAY_ASSIGN_OR_RETURN(open->conflicts, Conflicts::Open(open->file.get(), open->log.get()));
  return open;
}

absl::StatusOr<uint64_t> PullAll(OpenLog& open, Hub& hub, const PullProgress& progress) {
  const int64_t before = open.log->EventCount();
  for (bool more = true; more;) {
    PullRequest request;
    for (const OriginId& origin : open.log->Origins()) request.have[origin] = open.log->Head(origin).last;
    ASSAY_ASSIGN_OR_RETURN(const PullReply reply, hub.Pull(request));
    std::map<OriginId, std::vector<const Segment*>> given;
    for (const Segment& segment : reply.segments) given[segment.origin].push_back(&segment);
    const int64_t events_before = open.log->EventCount();
    ASSAY_RETURN_IF_ERROR(open.file->Begin());
    for (const auto& [origin, segments] : given) {
      const auto at = reply.heads.heads.find(origin);
      const HubHead head = at == reply.heads.heads.end() ? HubHead{} : at->second;
      absl::StatusOr<EventLog::Refusal> refusal =
          open.log->AppendChain(origin, segments, head.complete, head.checkpoint);
      if (absl::Status status = refusal.ok() ? refusal->cause : refusal.status(); !status.ok()) {
        open.file->Rollback();
        return Annotate(status, "append what the hub gave");
      }
    }
    ASSAY_RETURN_IF_ERROR(open.file->Commit());
    more = reply.more && open.log->EventCount() != events_before;
    uint64_t total = 0;
    for (const auto& [_, head] : reply.heads.heads) total += head.complete.value;
    if (progress) progress(open.log->EventCount(), total);
  }
  return open.log->EventCount() - before;
}

// Two branches of one number would hand out the same keys.
absl::Status CheckNumberIsFree(OpenLog& open, const std::string& branch_name, uint32_t branch_number) {
  for (const OriginId& origin : open.log->Origins()) {
    absl::StatusOr<v1::OriginOpened> opening = open.log->Opening(origin);
    if (absl::IsNotFound(opening.status())) continue;
    ASSAY_RETURN_IF_ERROR(opening.status());
    const bool same_name = opening->branch_name() == branch_name;
    if (opening->branch_number() == branch_number && !same_name) {
      return absl::InvalidArgumentError(absl::StrCat("branch.number ", opening->branch_number(),
                                                     " is taken by the branch \"", opening->branch_name(),
                                                     "\": choose another"));
    }
    if (opening->branch_number() != branch_number && same_name) {
      return absl::InvalidArgumentError(absl::StrCat("the branch \"", opening->branch_name(), "\" has the number ",
                                                     opening->branch_number(),
                                                     " in this fleet: choose another name, or set that number"));
    }
  }
  return absl::OkStatus();
}

void NoteOwnKeys(const ResolvedChange& change, const std::map<SequenceColumn, SequenceClass>& classes,
                 std::map<SequenceColumn, int64_t>* largest) {
  if (classes.empty()) return;
  const auto note = [&](uint32_t ordinal, absl::string_view text) {
    const auto at = classes.find({change.schema->name, change.schema->schema.columns(ordinal).name()});
    int64_t value = 0;
    if (at == classes.end() || !absl::SimpleAtoi(text, &value)) return;
    if (((value - at->second.residue) % at->second.modulus) != 0) return;
    int64_t& known = largest->try_emplace(at->first, value).first->second;
    known = std::max(known, value);
  };
  for (int i = 0; i < change.row().key_size(); ++i) note(change.schema->key[i], change.row().key(i));
  for (const v1::ColumnChange& column : change.row().columns()) {
    if (column.has_value()) note(column.ordinal(), column.value());
  }
}

}  // namespace assay
