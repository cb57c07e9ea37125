#include "engine/recovery/reconcile.h"

#include <utility>

#include "engine/column_text.h"
#include "log/annotate.h"

namespace assay {

absl::Status Reconciler::BeginPass(Pass pass, Lsn at, int64_t time_us) {
  Begin(pass, at, time_us);
  if (pass == Pass::kWrite) return WriteAs(v1::TransactionHeader::BASELINE, v1::RowChange::FOUND);
  return WriteAs(v1::TransactionHeader::RECONCILE,
                 choice_ == DifferenceChoice::kFleet ? v1::RowChange::GIVEN_UP : v1::RowChange::EDIT);
}

absl::Status Reconciler::Compared(const ComparedRow& row) {
  report_.rows += writing();
  switch (row.comparison.kind) {
    case RowComparison::Kind::kOnlyHere:
      if (!writing()) return absl::OkStatus();
      ++report_.written;
      return WriteInsert(row.tuple);
    case RowComparison::Kind::kEqual:
      if (!writing()) return absl::OkStatus();
      ++report_.equal;
      ASSAY_RETURN_IF_ERROR(TakeOn(row));
      return WriteUpdate(row, row.comparison.unknown);
    case RowComparison::Kind::kDiffers:
    case RowComparison::Kind::kDeleted:
      return writing() ? absl::OkStatus() : Differs(row);
  }
  return absl::OkStatus();
}

absl::Status Reconciler::Differs(const ComparedRow& row) {
  ++report_.differing_rows;
  report_.differing_columns += row.comparison.differing.size();
  if (report_.differences.size() < kDifferencesListed) ASSAY_RETURN_IF_ERROR(List(row));
  if (choice_ == DifferenceChoice::kAsk) return absl::OkStatus();
  // Whoever writes it here has seen the fleet's versions. What is given up loses to them.
  if (choice_ == DifferenceChoice::kHere)
    ASSAY_RETURN_IF_ERROR(TakeOn(row));
  else if (!fresh_chain_)
    ASSAY_RETURN_IF_ERROR(MakeDue(row.ref, row.key, row.entry->versions, /*there=*/true));
  if (row.comparison.kind == RowComparison::Kind::kDeleted) return WriteInsert(row.tuple);
  std::vector<uint32_t> ordinals = row.comparison.differing;
  ordinals.insert(ordinals.end(), row.comparison.unknown.begin(), row.comparison.unknown.end());
  return WriteUpdate(row, ordinals);
}

absl::Status Reconciler::List(const ComparedRow& row) {
  if (row.comparison.kind == RowComparison::Kind::kDeleted) {
    report_.differences.push_back({shape().name, row.key, "", "present", "deleted"});
  }
  for (uint32_t ordinal : row.comparison.differing) {
    if (report_.differences.size() == kDifferencesListed) break;
    ASSAY_ASSIGN_OR_RETURN(const ColumnText fleet, ValueOf(*row.entry->versions.Find(ColumnAt(ordinal)), ordinal));
    report_.differences.push_back({shape().name, row.key, shape().columns[ordinal].name,
                                   ListedText(TextOf(row.tuple[ordinal])), ListedText(fleet)});
  }
  return absl::OkStatus();
}

absl::Status Reconciler::EndPass() { return CommitPass(); }

}  // namespace assay
