#include <algorithm>
#include <utility>

#include "log/check.h"
#include "log/event_place.h"
#include "log/segment.h"
#include "log/segment_layout.h"
#include "log/segment_part.h"

namespace assay {
namespace {

constexpr size_t kPartsMax = 255;
constexpr size_t kNoPart = kPartsMax;

}  // namespace

bool SegmentBuilder::Full(const StoredEvent& event) const {
  if (empty()) return false;
  if (continues_ && !transactions_.empty()) return true;  // The last piece of a large transaction stands alone.
  if (layout_parts_.size() >= kSegmentEventsMax || bytes_ + event.bytes.size() > kSegmentBytesMax) return true;
  return parts_.size() == kPartsMax && std::none_of(parts_.begin(), parts_.end(), [&](const Part& part) {
           return part.masked == event.masked && part.table == event.table;
         });
}

size_t SegmentBuilder::PartOf(absl::string_view table, bool masked) {
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (parts_[i].masked == masked && parts_[i].table == table) return i;
  }
  ASSAY_CHECK(parts_.size() < kPartsMax);
  Part& part = parts_.emplace_back();
  part.table = std::string(table);
  part.masked = masked;
  return parts_.size() - 1;
}

void SegmentBuilder::Add(const StoredEvent& event) {
  if (empty()) first_ = event.sequence;
  ASSAY_CHECK(event.sequence.value == first_.value + layout_parts_.size());
  ASSAY_CHECK(!continues_ || transactions_.empty());  // Else it was Full.
  const size_t index = PartOf(event.table, event.masked);
  Part& part = parts_[index];
  if (event.masked) {
    part.raw.append(AsBytes(event.leaf).data(), sizeof(Hash));
  } else {
    // As a reader of this segment will know the place: it takes the transaction to begin at its first event here.
    PutEvent({event.origin, event.sequence, event.stamp, {event.sequence.value - tail_.events}, event.ends_transaction},
             event.bytes, &part.raw);
  }
  ++part.event_count;
  bytes_ += event.bytes.size();
  layout_parts_.push_back(static_cast<char>(index));
  leaf_hashes_.append(AsBytes(event.leaf).data(), sizeof(Hash));

  ASSAY_CHECK(tail_.events == 0 || tail_.stamp == event.stamp);
  tail_.stamp = event.stamp;
  ++tail_.events;
  if (event.ends_transaction) {
    transactions_.push_back(std::exchange(tail_, {}));
    for (Part& each : parts_) {
      each.whole_events = each.event_count;
      each.whole_bytes = each.raw.size();
    }
  }
}

// Moves what came after the last whole transaction of `from` here; parts get new numbers.
void SegmentBuilder::KeepTail(SegmentBuilder* from) {
  const size_t whole = from->layout_parts_.size() - from->tail_.events;
  first_ = {from->first_.value + whole};
  size_t renumbered[kPartsMax];
  std::fill(std::begin(renumbered), std::end(renumbered), kNoPart);
  for (size_t i = whole; i < from->layout_parts_.size(); ++i) {
    const size_t old_index = static_cast<uint8_t>(from->layout_parts_[i]);
    if (renumbered[old_index] == kNoPart) {
      Part& old_part = from->parts_[old_index];
      Part& part = parts_.emplace_back();
      part.table = old_part.table;
      part.masked = old_part.masked;
      part.event_count = old_part.event_count - old_part.whole_events;
      part.raw = old_part.raw.substr(old_part.whole_bytes);
      bytes_ += part.raw.size();
      old_part.event_count = old_part.whole_events;
      old_part.raw.resize(old_part.whole_bytes);
      renumbered[old_index] = parts_.size() - 1;
    }
    layout_parts_.push_back(static_cast<char>(renumbered[old_index]));
  }
  leaf_hashes_ = from->leaf_hashes_.substr(whole * sizeof(Hash));
  tail_ = from->tail_;
  from->layout_parts_.resize(whole);
  from->leaf_hashes_.resize(whole * sizeof(Hash));
  // A part that only the tail has was added after every part that the whole transactions have.
  while (from->parts_.back().event_count == 0) from->parts_.pop_back();
}

Segment SegmentBuilder::Finish(bool with_leaf_hashes) {
  ASSAY_CHECK(!empty());
  SegmentBuilder rest(origin_);
  const bool is_piece = transactions_.empty();
  if (is_piece) {
    transactions_.push_back(tail_);
    rest.continues_ = true;
  } else if (tail_.events > 0) {
    rest.KeepTail(this);
  }

  Segment segment;
  segment.origin = origin_;
  segment.first = first_;
  segment.last = {first_.value + layout_parts_.size() - 1};
  segment.ends_transaction = !is_piece;
  SegmentLayout layout;
  for (const Transaction& transaction : transactions_)
    layout.transactions.push_back({transaction.stamp, transaction.events});
  layout.event_parts = layout_parts_;
  segment.layout = layout.Encode();
  std::vector<uint32_t> checks(parts_.size());
  for (size_t i = 0; i < layout_parts_.size(); ++i) {
    uint32_t& check = checks[static_cast<uint8_t>(layout_parts_[i])];
    check = PartCheck(check, absl::string_view(leaf_hashes_).substr(i * sizeof(Hash), sizeof(Hash)));
  }
  if (with_leaf_hashes) segment.leaf_hashes = std::move(leaf_hashes_);
  for (size_t i = 0; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    segment.parts.push_back({std::move(part.table), part.event_count, part.masked,
                             part.masked ? std::move(part.raw) : PackPart(part.raw, checks[i])});
  }
  *this = std::move(rest);
  return segment;
}

}  // namespace assay
