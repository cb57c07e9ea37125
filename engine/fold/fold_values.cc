#include "engine/fold/fold_values.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"

namespace assay {
namespace {

constexpr size_t kRecentMax = 8;

ChangeKind KindOf(v1::RowChange::Operation operation) {
  switch (operation) {
    case v1::RowChange::INSERT:
      return ChangeKind::kInsert;
    case v1::RowChange::DELETE:
      return ChangeKind::kDelete;
    default:
      return ChangeKind::kUpdate;
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ResolvedSchema>> SchemaOfRow(const OriginId& origin, Sequence schema,
                                                                  TableNames& names) {
  absl::StatusOr<std::shared_ptr<const ResolvedSchema>> resolved = names.Schema(origin, schema);
  // The schema comes before its rows: without it the chain is not whole.
  if (absl::IsNotFound(resolved.status())) {
    return absl::DataLossError(absl::StrCat("it is of the table that ", EventName(origin, schema),
                                            " describes, and that is not to be had: ", resolved.status().message()));
  }
  return resolved;
}

absl::Status CheckKeySize(size_t size, size_t key_columns) {
  if (size == key_columns) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a row has a key of ", size, " columns, and its table one of ", key_columns));
}

absl::Status CheckOrdinal(uint32_t ordinal, size_t columns) {
  if (ordinal < columns) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a row writes column number ", ordinal, ", and its table ends at ", columns));
}

absl::StatusOr<v1::Event> ParseEvent(absl::string_view bytes, const OriginId& origin) {
  v1::Event event;
  if (event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return event;
  return absl::DataLossError(absl::StrCat("an event of ", EventName(origin, {}), " is not a valid message"));
}

absl::StatusOr<ResolvedChange> ResolveChange(absl::string_view bytes, const OriginId& origin, TableNames& names) {
  ASSAY_ASSIGN_OR_RETURN(v1::Event event, ParseEvent(bytes, origin));
  return ResolveChange(std::move(event), origin, names);
}

absl::StatusOr<ResolvedChange> ResolveChange(v1::Event event, const OriginId& origin, TableNames& names) {
  ResolvedChange change;
  change.event = std::move(event);
  if (!change.event.has_row()) return change;
  const auto check = [&]() -> absl::Status {
    ASSAY_ASSIGN_OR_RETURN(change.schema, SchemaOfRow(origin, Sequence{change.row().schema()}, names));
    ASSAY_RETURN_IF_ERROR(CheckKeySize(static_cast<size_t>(change.row().key_size()), change.schema->key.size()));
    for (const v1::ColumnChange& column : change.row().columns())
      ASSAY_RETURN_IF_ERROR(CheckOrdinal(column.ordinal(), change.schema->columns.size()));
    return absl::OkStatus();
  };
  ASSAY_RETURN_IF_ERROR(Annotate(check(), EventName(origin, Sequence{change.event.sequence()})));
  return change;
}

Version VersionOf(const v1::Event& event, const OriginId& origin) {
  return {StampThatCounts(event.row().standing(), HlcStamp{event.stamp()}), origin, Sequence{event.sequence()}};
}

RowClaim ClaimOf(const ResolvedChange& change, const OriginId& origin) {
  RowClaim claim{KindOf(change.row().operation()), VersionOf(change.event, origin), {}};
  if (claim.kind == ChangeKind::kDelete) return claim;
  for (int i = 0; i < change.row().columns_size(); ++i) claim.columns.push_back(change.ColumnAt(i));
  std::sort(claim.columns.begin(), claim.columns.end());
  return claim;
}

absl::Status NoteSeen(const v1::Event& event, const OriginId& origin, LocalState* state) {
  for (const v1::Seen& seen : event.transaction().seen()) {
    const absl::StatusOr<OriginId> other = OriginId::FromBytes(seen.origin());
    if (!other.ok()) continue;
    ASSAY_ASSIGN_OR_RETURN(const Sequence known, state->Seen(origin, Sequence{event.sequence()}, *other));
    if (known.value >= seen.sequence()) continue;
    ASSAY_RETURN_IF_ERROR(state->AddSeen(origin, Sequence{event.sequence()}, *other, Sequence{seen.sequence()}));
  }
  return absl::OkStatus();
}

absl::StatusOr<const ResolvedChange*> FoldValues::Change(const Version& version) {
  for (auto it = recent_.begin(); it != recent_.end(); ++it) {
    if (it->version != version) continue;
    recent_.splice(recent_.begin(), recent_, it);
    return &recent_.front().change;
  }
  ASSAY_ASSIGN_OR_RETURN(const std::string bytes, log_->ReadEvent(version.origin, version.sequence));
  ASSAY_ASSIGN_OR_RETURN(ResolvedChange change, ResolveChange(bytes, version.origin, *names_));
  recent_.push_front({version, std::move(change)});
  if (recent_.size() > kRecentMax) recent_.pop_back();
  return &recent_.front().change;
}

absl::StatusOr<ColumnText> FoldValues::Value(const Version& version, ColumnId column) {
  ASSAY_ASSIGN_OR_RETURN(const ResolvedChange* change, Change(version));
  for (int i = change->row().columns_size() - 1; i >= 0; --i) {  // Of a column that is named twice, the last counts.
    if (change->ColumnAt(i) != column) continue;
    const v1::ColumnChange& written = change->row().columns(i);
    if (written.is_null()) return ColumnText();
    if (written.has_value()) return ColumnText(written.value());
    break;
  }
  return absl::NotFoundError(
      absl::StrCat("event ", EventName(version.origin, version.sequence), " did not write that column"));
}

}  // namespace assay
