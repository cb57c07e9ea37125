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
  described_.clear();
  return absl::OkStatus();
}

// As the real one does: columns and types are those of the stream, but what the stream does not tell comes from the
// catalog, which may be ahead by now.
std::shared_ptr<const TableShape> SimCapture::Describe(const WalTransaction& transaction, const WalItem& item,
                                                       CaptureBatch* batch) {
  Described& known = described_[item.oid];
  // Once the publication has changed, every table is described anew.
  if (known.written == item.relation && known.identity == item.identity && known.published == transaction.published)
    return known.shape;
  auto shape = std::make_shared<TableShape>(*item.relation);
  shape->key.clear();
  if (const SimTable* now = database_->FindOid(item.oid); now != nullptr) {
    for (uint32_t i = 0; i < shape->columns.size(); ++i) {
      shape->columns[i].not_null = false;
      for (uint32_t there = 0; there < now->shape->columns.size(); ++there) {
        if (now->shape->columns[there].number != shape->columns[i].number) continue;
        shape->columns[i].not_null = now->shape->columns[there].not_null;
        const std::vector<uint32_t>& key = now->shape->key;
        if (std::count(key.begin(), key.end(), there) > 0) shape->key.push_back(i);
      }
    }
    shape->OrderKey();
  } else if (known.shape != nullptr && known.shape->columns.size() == shape->columns.size()) {
    shape->key = known.shape->key;
  }
  known = {item.relation, item.identity, transaction.published, std::move(shape)};
  CaptureItem& relation = batch->items.emplace_back();
  relation.kind = CaptureItem::Kind::kRelation;
  relation.relation = known.shape;
  relation.identity = item.identity;
  return known.shape;
}

// What is not of the replica identity is not sent, and neither is that where an update left it alone.
void SimCapture::DeliverRow(const WalItem& item, CaptureItem* out, std::string* buffer) const {
  const std::vector<uint32_t>& key = item.relation->key;
  for (uint32_t i = 0; i < item.old_values.size(); ++i) {
    const bool sent = item.identity == ReplicaIdentity::kFull || std::count(key.begin(), key.end(), i) > 0;
    out->old_tuple.push_back(sent ? Value(buffer, item.old_values[i]) : TupleValue{TupleValue::Kind::kUnchanged, {}});
  }
  for (size_t i = 0; i < item.new_values.size(); ++i) {
    const ColumnText& value = item.new_values[i];
    const bool untouched = item.kind == CaptureItem::Kind::kUpdate && value == item.old_values[i];
    const bool toasted = untouched && value && value->size() > kToastBytes;
    out->new_tuple.push_back(toasted ? TupleValue{TupleValue::Kind::kUnchanged, {}} : Value(buffer, value));
  }
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

void SimCapture::Deliver(const WalTransaction& transaction, size_t index, CaptureBatch* batch, std::string* buffer) {
  const bool of_table = index > 0 && index <= transaction.items.size() && transaction.items[index - 1].oid != 0;
  std::shared_ptr<const TableShape> shape;
  if (of_table) shape = Describe(transaction, transaction.items[index - 1], batch);
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
  out.relation = std::move(shape);
  out.prefix = Keep(buffer, item.prefix);
  out.content = Keep(buffer, item.content);
  DeliverRow(item, &out, buffer);
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
