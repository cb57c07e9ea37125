#include "engine/projection/appeared_columns.h"

#include <map>
#include <utility>
#include <vector>

#include "engine/fold/merge.h"
#include "log/annotate.h"

namespace assay {

absl::StatusOr<bool> AppearedColumns::MakeRowsDue(TableId table, const TableShape& shape, absl::Time now) {
  ASSAY_ASSIGN_OR_RETURN(const auto appeared, history_->TakeAppeared(table, shape));
  for (const auto& [column, since] : appeared) {
    const auto passed_over = [&, named = column](const Version& version) {
      return WasPassedOver(table, named, version, shape);
    };
    ASSAY_RETURN_IF_ERROR(MakeDue(table, column, since, passed_over, now));
  }
  ASSAY_ASSIGN_OR_RETURN(const auto remade, history_->TakeRemade(table));
  for (const ColumnId column : remade)
    ASSAY_RETURN_IF_ERROR(MakeDue(
        table, column, HlcStamp{}, [](const Version&) { return true; }, now));
  return !appeared.empty() || !remade.empty();
}

absl::Status AppearedColumns::MakeDue(TableId table, ColumnId column, HlcStamp since,
                                      absl::FunctionRef<absl::StatusOr<bool>(const Version&)> which, absl::Time now) {
  std::vector<std::pair<RowRef, RowVersions>> rows;
  ASSAY_RETURN_IF_ERROR(rows_->ForEach(table, [&](const KeyHash& key, const RowVersions& versions) {
    const Version* version = versions.Find(column);
    if (versions.IsLive() && version != nullptr && version->stamp >= since)
      rows.push_back({RowRef{table, key}, versions});
    return absl::OkStatus();
  }));
  for (auto& [ref, versions] : rows) {
    const Version version = *versions.Find(column);
    ASSAY_ASSIGN_OR_RETURN(const bool is_one, which(version));
    if (!is_one) continue;
    ASSAY_ASSIGN_OR_RETURN(const bool was_unsettled, unsettled_->LoseColumn(ref, column));
    if (was_unsettled) continue;
    ASSAY_ASSIGN_OR_RETURN(const ResolvedChange* change, values_->Change(version));
    const RowKey key(change->row().key().begin(), change->row().key().end());
    versions.columns.EraseIf([&](const ColumnVersion& held) { return held.column == column; });
    ASSAY_RETURN_IF_ERROR(unsettled_->MarkDue(ref, {EncodeKey(key), version.origin, version.sequence},
                                              std::move(versions), absl::ToUnixMillis(now)));
  }
  return absl::OkStatus();
}

// A NULL, or what nobody edited; and of the column that is meant by the name now: not of one that its writer has
// dropped since.
absl::StatusOr<bool> AppearedColumns::WasPassedOver(TableId table, ColumnId column, const Version& version,
                                                    const TableShape& shape) {
  const absl::StatusOr<const ResolvedChange*> change = values_->Change(version);
  if (absl::IsPermissionDenied(change.status())) return false;  // Masked here.
  if (!change.ok()) return change.status();
  for (int i = 0; i < (*change)->row().columns_size(); ++i) {
    const v1::ColumnChange& written = (*change)->row().columns(i);
    if ((*change)->ColumnAt(i) != column || (IsEdit(version) && !written.is_null())) continue;
    const v1::TableSchema::Column& declared = (*change)->schema->schema.columns(static_cast<int>(written.ordinal()));
    ASSAY_ASSIGN_OR_RETURN(const ColumnHistory::Fate fate,
                           history_->FateOf(version, table, declared.name(), declared.number(), shape));
    return !fate.known || fate.name == declared.name();
  }
  return false;
}

}  // namespace assay
