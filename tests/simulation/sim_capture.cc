#include "tests/simulation/sim_capture.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

namespace assay {
namespace {

// Longer values are TOASTed here: an update that leaves one alone does not send it.
constexpr size_t kToastBytes = 40;

size_t TextBytes(const WalItem& item) {
  size_t bytes = item.prefix.size() + item.content.size();
  for (const SimValues* values : {&item.old_values, &item.new_values}) {
    for (const ColumnText& value : *values) bytes += value ? value->size() : 0;
  }
  return bytes;
}

absl::string_view Keep(std::string* buffer, absl::string_view text) {
  const size_t begin = buffer->size();
  buffer->append(text.data(), text.size());  // Within the reserved bytes: what was kept before stays where it is.
  return absl::string_view(*buffer).substr(begin, text.size());
}

TupleValue Value(std::string* buffer, const ColumnText& text) {
  if (!text) return {TupleValue::Kind::kNull, {}};
  return {TupleValue::Kind::kText, Keep(buffer, *text)};
}

}  // namespace

absl::Status SimCapture::Start() {
  if (crashes_ != database_->crashes()) confirmed_ = saved_;
  crashes_ = database_->crashes();
  started_ = true;
  // The slot skips what it was told is safe, and sends the rest from the beginning of each transaction.
  const std::vector<WalTransaction>& wal = database_->wal();
  transaction_ = std::partition_point(wal.begin(), wal.end(),
                                      [this](const WalTransaction& t) { return t.commit_lsn < confirmed_; }) -
                 wal.begin();
  item_ = 0;
  delivered_ = confirmed_;
  return absl::OkStatus();
}

DatabaseEvidence SimCapture::Evidence() const {
  return {.known = true,
          .slot_there = true,
          .slot_confirmed = confirmed_,
          .flushed = database_->end_of_wal(),
          .server = "simulated",
          .timeline = 1,
          .next_xid = database_->next_xid(),
          .batch = database_->last_batch()};
}

void SimCapture::Deliver(const WalTransaction& transaction, size_t index, CaptureBatch* batch,
                         std::string* buffer) const {
  CaptureItem& out = batch->items.emplace_back();
  out.commit_lsn = transaction.commit_lsn;
  if (index == 0) {
    out.kind = CaptureItem::Kind::kBegin;
    out.commit_time_us = transaction.commit_time_us;
    out.xid = transaction.xid;
    return;
  }
  if (index == transaction.items.size() + 1) {
    out.kind = CaptureItem::Kind::kCommit;
    out.end_lsn = transaction.end_lsn;
    return;
  }
  const WalItem& item = transaction.items[index - 1];
  out.kind = item.kind;
  out.relation = item.relation;
  out.prefix = Keep(buffer, item.prefix);
  out.content = Keep(buffer, item.content);
  for (const ColumnText& value : item.old_values) out.old_tuple.push_back(Value(buffer, value));
  for (size_t i = 0; i < item.new_values.size(); ++i) {
    const ColumnText& value = item.new_values[i];
    const bool untouched = item.kind == CaptureItem::Kind::kUpdate && value == item.old_values[i];
    if (untouched && value && value->size() > kToastBytes) {
      out.new_tuple.push_back({TupleValue::Kind::kUnchanged, {}});
    } else {
      out.new_tuple.push_back(Value(buffer, value));
    }
  }
}

absl::StatusOr<CaptureBatch> SimCapture::Next(absl::Duration) {
  if (crashes_ != database_->crashes()) started_ = false;
  if (!started_) return absl::UnavailableError("the replication connection was lost");
  const std::vector<WalTransaction>& wal = database_->wal();
  CaptureBatch batch;
  const size_t first = transaction_, first_item = item_;
  size_t budget = random_->Chance(small_portions_) ? 1 + random_->Below(4) : 200;
  size_t bytes = 0;
  std::vector<std::pair<const WalTransaction*, size_t>> sent;
  while (budget-- > 0 && transaction_ < wal.size()) {
    const WalTransaction& transaction = wal[transaction_];
    sent.push_back({&transaction, item_});
    if (item_ > 0 && item_ <= transaction.items.size()) bytes += TextBytes(transaction.items[item_ - 1]);
    if (++item_ < transaction.items.size() + 2) continue;
    delivered_ = transaction.end_lsn;
    ++transaction_, item_ = 0;
  }
  batch.buffers.push_back(std::make_unique<std::string>());
  batch.buffers[0]->reserve(bytes);
  for (const auto& [transaction, item] : sent) Deliver(*transaction, item, &batch, batch.buffers[0].get());
  const bool nothing = first == transaction_ && first_item == item_;
  if (nothing && item_ == 0 && database_->end_of_wal() > delivered_) {
    delivered_ = database_->end_of_wal();
    CaptureItem& keepalive = batch.items.emplace_back();
    keepalive.kind = CaptureItem::Kind::kKeepalive;
    keepalive.end_lsn = delivered_;
  }
  return batch;
}

void SimCapture::Confirm(Lsn lsn) {
  if (started_ && lsn <= delivered_) confirmed_ = std::max(confirmed_, lsn);
}

}  // namespace assay
