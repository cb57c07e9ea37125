#include "engine/recovery/row_feed.h"

#include <utility>

#include "log/annotate.h"

namespace assay {
namespace {

// Others are shown whole transactions only.
constexpr size_t kTransactionRows = 5'000;
constexpr size_t kTransactionBytes = 8 << 20;

}  // namespace

absl::Status RowFeed::SetSource(v1::TransactionHeader::Source source, v1::RowChange::Standing standing) {
  if (source_ == std::pair(source, standing)) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(Commit());
  source_ = {source, standing};
  recorder_->SetSource(source, standing);
  return absl::OkStatus();
}

absl::Status RowFeed::Record(std::shared_ptr<const TableShape> relation, CaptureItem item, size_t bytes) {
  if (!recorder_->InTransaction()) {
    CaptureItem begin;
    begin.kind = CaptureItem::Kind::kBegin;
    begin.commit_lsn = at_;
    begin.commit_time_us = time_us_;
    ASSAY_RETURN_IF_ERROR(recorder_->Record(begin));
  }
  item.relation = std::move(relation);
  ASSAY_RETURN_IF_ERROR(recorder_->Record(item));
  bytes_in_transaction_ += bytes;
  if (++rows_in_transaction_ < kTransactionRows && bytes_in_transaction_ < kTransactionBytes) return absl::OkStatus();
  return Commit();
}

absl::Status RowFeed::Commit() {
  if (!recorder_->InTransaction()) return absl::OkStatus();
  rows_in_transaction_ = bytes_in_transaction_ = 0;
  CaptureItem commit;
  commit.kind = CaptureItem::Kind::kCommit;
  commit.commit_lsn = commit.end_lsn = at_;
  return recorder_->Record(commit);
}

}  // namespace assay
