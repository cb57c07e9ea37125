// Reading: one event, one chain forward, segments to push.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/check.h"
#include "log/event_log.h"

namespace assay {
namespace {

void FillLeafHashes(const DecodedSegment& decoded, Segment* segment) {
  segment->leaf_hashes.reserve(decoded.events().size() * sizeof(Hash));
  for (const StoredEvent& event : decoded.events())
    segment->leaf_hashes.append(AsBytes(event.leaf).data(), sizeof(Hash));
}

}  // namespace

absl::StatusOr<std::optional<Segment>> EventLog::LoadSegment(const Chain& chain, Sequence sequence) {
  select_segment_.BindInt(1, chain.index.value).BindInt(2, static_cast<int64_t>(sequence.value));
  ASSAY_ASSIGN_OR_RETURN(const bool row, select_segment_.Step());
  if (!row) return std::nullopt;
  Segment segment;
  segment.origin = chain.origin;
  segment.first = {static_cast<uint64_t>(select_segment_.Int("first"))};
  segment.last = {static_cast<uint64_t>(select_segment_.Int("last"))};
  segment.ends_transaction = select_segment_.Int("ends") != 0;
  const absl::Status status = DecodeSegmentBody(select_segment_.Blob("body"), &segment);
  select_segment_.Reset();
  ASSAY_RETURN_IF_ERROR(status);
  if (segment.first > sequence) {
    return absl::DataLossError(absl::StrCat("the log has no segment with ", EventName(chain.origin, sequence)));
  }
  return segment;
}

absl::StatusOr<std::shared_ptr<const DecodedSegment>> EventLog::SegmentHolding(Chain& chain, Sequence sequence) {
  if (std::shared_ptr<const DecodedSegment> cached = cache_.Find(chain.index.value, sequence)) return cached;
  if (sequence > chain.stored) ASSAY_RETURN_IF_ERROR(Flush(chain, /*with_piece=*/sequence > chain.head.complete));
  ASSAY_ASSIGN_OR_RETURN(const std::optional<Segment> segment, LoadSegment(chain, sequence));
  if (!segment)
    return absl::DataLossError(absl::StrCat("the log has no segment with ", EventName(chain.origin, sequence)));
  ASSAY_ASSIGN_OR_RETURN(DecodedSegment decoded, DecodedSegment::Decode(*segment));
  auto shared = std::make_shared<const DecodedSegment>(std::move(decoded));
  cache_.Add(chain.index.value, shared);
  return shared;
}

absl::StatusOr<bool> EventLog::ContinuesAt(const Chain& chain, Sequence sequence) {
  if (sequence.value == 1) return false;
  select_end_.BindInt(1, chain.index.value).BindInt(2, static_cast<int64_t>(sequence.value - 1));
  ASSAY_ASSIGN_OR_RETURN(const bool row, select_end_.Step());
  if (!row)
    return absl::DataLossError(
        absl::StrCat("the log has no segment that ends at ", EventName(chain.origin, {sequence.value - 1})));
  const bool ends = select_end_.OnlyInt() != 0;
  select_end_.Reset();
  return !ends;
}

EventReader EventLog::Read(const OriginId& origin, Sequence from) {
  return EventReader(this, origin, from.value == 0 ? Sequence{1} : from);
}

absl::StatusOr<const StoredEvent*> EventReader::Next() {
  const auto found = log_->chains_.find(origin_);
  if (found == log_->chains_.end() || next_ > found->second.head.complete) return nullptr;
  if (generation_ != log_->generation_ || segment_ == nullptr || next_ > segment_->events().back().sequence ||
      next_ < segment_->events().front().sequence) {
    ASSAY_ASSIGN_OR_RETURN(segment_, log_->SegmentHolding(found->second, next_));
    generation_ = log_->generation_;
  }
  const StoredEvent& event = segment_->events()[next_.value - segment_->events().front().sequence.value];
  next_ = next_.Next();
  return &event;
}

absl::StatusOr<std::string> EventLog::ReadEvent(const OriginId& origin, Sequence sequence) {
  const auto found = chains_.find(origin);
  if (found == chains_.end() || sequence.value == 0 || sequence > found->second.head.last) {
    return absl::NotFoundError(absl::StrCat(EventName(origin, sequence), " is not held here"));
  }
  ASSAY_ASSIGN_OR_RETURN(const auto segment, SegmentHolding(found->second, sequence));
  const StoredEvent& event = segment->events()[sequence.value - segment->events().front().sequence.value];
  if (event.masked) {
    return absl::PermissionDeniedError(
        absl::StrCat(EventName(origin, sequence), " is of ", event.table, ", which this branch is not granted"));
  }
  return std::string(event.bytes);
}

absl::StatusOr<std::vector<Segment>> EventLog::ReadSegments(const OriginId& origin, Sequence from, size_t bytes_max,
                                                            bool complete_only) {
  std::vector<Segment> segments;
  const auto found = chains_.find(origin);
  if (found == chains_.end()) return segments;
  Chain& chain = found->second;
  if (from.value == 0) from = {1};
  const Sequence end = complete_only ? chain.head.complete : chain.head.last;
  if (end > chain.stored) ASSAY_RETURN_IF_ERROR(Flush(chain, /*with_piece=*/!complete_only));

  size_t bytes = 0;
  std::optional<SegmentBuilder> builder;
  const auto emit = [&](Segment segment) {
    bytes += segment.ByteSize();
    segments.push_back(std::move(segment));
  };
  bool continues = false;  // The next event is not the first of its transaction.
  for (Sequence next = from;
       next <= end && bytes + (builder ? builder->raw_bytes() : 0) < std::max<size_t>(bytes_max, 1);) {
    ASSAY_ASSIGN_OR_RETURN(std::optional<Segment> stored, LoadSegment(chain, next));
    if (!stored) return absl::DataLossError(absl::StrCat("the log has no segment with ", EventName(origin, next)));
    ASSAY_ASSIGN_OR_RETURN(const DecodedSegment decoded, DecodedSegment::Decode(*stored));
    const size_t skip = next.value - stored->first.value;
    if (skip > 0) {
      continues = !decoded.events()[skip - 1].ends_transaction;
    } else if (next == from) {
      ASSAY_ASSIGN_OR_RETURN(continues, ContinuesAt(chain, next));
    }
    // Small ones are packed together first.
    if (skip == 0 && !stored->IsSmall()) {
      while (builder && !builder->empty()) emit(builder->Finish(true));
      builder.reset();
      FillLeafHashes(decoded, &*stored);
      next = stored->last.Next();
      continues = !stored->ends_transaction;
      emit(*std::move(stored));
      continue;
    }
    if (!builder) builder.emplace(origin, continues);
    for (size_t i = skip; i < decoded.events().size(); ++i) {
      while (builder->Full(decoded.events()[i])) emit(builder->Finish(true));
      builder->Add(decoded.events()[i]);
    }
    next = stored->last.Next();
    continues = !stored->ends_transaction;
  }
  while (builder && !builder->empty()) emit(builder->Finish(true));
  return segments;
}

}  // namespace assay
