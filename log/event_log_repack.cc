// Small segments, as sales leave them one by one, are packed together when there is nothing else to do: where the cuts
// are means nothing.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/bytes.h"
#include "log/check.h"
#include "log/event_log.h"

namespace assay {
namespace {

constexpr char kRepacked[] = "repacked";
constexpr size_t kPassedOverMax = 64;  // Segments at a time that are not small.

bool SameEvent(const StoredEvent& a, const StoredEvent& b) {
  return a.sequence == b.sequence && a.stamp == b.stamp && a.ends_transaction == b.ends_transaction &&
         a.masked == b.masked && a.table == b.table && a.bytes == b.bytes && a.leaf == b.leaf;
}

// An event's bytes are all there is of it: `packed` must have each of `events` as it was before they are let go.
absl::Status CheckSame(const std::vector<DecodedSegment>& events, const std::vector<Segment>& packed) {
  size_t segment = 0, event = 0;
  for (const Segment& each : packed) {
    ASSAY_ASSIGN_OR_RETURN(const DecodedSegment decoded, DecodedSegment::Decode(each));
    for (const StoredEvent& now : decoded.events()) {
      ASSAY_CHECK(segment < events.size() && SameEvent(events[segment].events()[event], now));
      if (++event == events[segment].events().size()) ++segment, event = 0;
    }
  }
  ASSAY_CHECK(segment == events.size());
  return absl::OkStatus();
}

}  // namespace

bool EventLog::ShouldRepack(size_t events) const {
  return std::any_of(chains_.begin(), chains_.end(),
                     [&](const auto& each) { return each.second.stored.value - each.second.repacked.value >= events; });
}

absl::Status EventLog::Repack(size_t events) {
  ASSAY_CHECK(file_->InTransaction());
  for (auto& [origin, chain] : chains_) {
    if (chain.stored.value - chain.repacked.value >= events) return RepackChain(chain, events);
  }
  return absl::OkStatus();
}

absl::Status EventLog::RepackChain(Chain& chain, size_t events) {
  const auto load = [&](Sequence sequence) -> absl::StatusOr<Segment> {
    ASSAY_ASSIGN_OR_RETURN(std::optional<Segment> stored, LoadSegment(chain, sequence));
    if (!stored)
      return absl::DataLossError(absl::StrCat("the log has no segment with ", EventName(chain.origin, sequence)));
    return *std::move(stored);
  };
  Sequence next{1};
  bool continues = false;  // The next event is not the first of its transaction.
  if (chain.repacked.value > 0) {
    ASSAY_ASSIGN_OR_RETURN(const Segment before, load(chain.repacked));
    next = before.last.Next();
    continues = !before.ends_transaction;
  }
  SegmentBuilder builder(chain.origin);
  std::vector<Segment> packed;
  std::vector<DecodedSegment> small;
  size_t count = 0, bytes = 0, passed_over = 0;
  while (next <= chain.stored && count < events && bytes < kSegmentBytesMax && passed_over < kPassedOverMax) {
    ASSAY_ASSIGN_OR_RETURN(const Segment stored, load(next));
    // Pieces of a large transaction stay what they are.
    const bool is_small = stored.IsSmall() && stored.ends_transaction && !continues;
    if (!is_small && !small.empty()) break;
    next = stored.last.Next();
    continues = !stored.ends_transaction;
    if (!is_small) {
      ++passed_over;
      continue;
    }
    ASSAY_ASSIGN_OR_RETURN(DecodedSegment decoded, DecodedSegment::Decode(stored));
    for (const StoredEvent& event : decoded.events()) {
      while (builder.Full(event)) packed.push_back(builder.Finish(false));
      builder.Add(event);
      bytes += event.bytes.size();
    }
    count += decoded.events().size();
    small.push_back(std::move(decoded));
  }
  while (!builder.empty()) packed.push_back(builder.Finish(false));
  if (packed.size() < small.size()) {
    ASSAY_RETURN_IF_ERROR(CheckSame(small, packed));
    ASSAY_RETURN_IF_ERROR(RemoveSegments(chain, packed.front().first, packed.back().last));
    for (const Segment& segment : packed) ASSAY_RETURN_IF_ERROR(InsertSegment(chain, segment));
    cache_.Clear();  // It goes by where segments end.
  }
  chain.repacked = {next.value - 1};
  return StoreRepacked();
}

absl::Status EventLog::RemoveSegments(const Chain& chain, Sequence first, Sequence last) {
  ASSAY_ASSIGN_OR_RETURN(Statement remove,
                         file_->Prepare("DELETE FROM segment WHERE origin = ?1 AND last BETWEEN ?2 AND ?3"));
  return remove.BindInt(1, chain.index.value)
      .BindInt(2, static_cast<int64_t>(first.value))
      .BindInt(3, static_cast<int64_t>(last.value))
      .Run();
}

// How far each chain was looked at, by its index. Without it, or with less, segments are looked at again.
absl::Status EventLog::LoadRepacked() {
  repacked_changed_ = false;
  ASSAY_ASSIGN_OR_RETURN(Statement select, file_->Prepare("SELECT value FROM value WHERE name = ?1"));
  select.BindText(1, kRepacked);
  ASSAY_ASSIGN_OR_RETURN(const bool row, select.Step());
  if (!row) return absl::OkStatus();
  ByteReader reader(select.OnlyBlob());
  for (const OriginId& origin : origins_by_index_) {
    Chain& chain = chains_.at(origin);
    uint64_t repacked = 0;
    if (reader.Fixed64(&repacked)) chain.repacked = {std::min(repacked, chain.stored.value)};
  }
  return absl::OkStatus();
}

absl::Status EventLog::StoreRepacked() {
  repacked_changed_ = false;
  std::string value;
  for (const OriginId& origin : origins_by_index_) PutFixed64(&value, chains_.at(origin).repacked.value);
  ASSAY_ASSIGN_OR_RETURN(Statement upsert,
                         file_->Prepare("INSERT OR REPLACE INTO value (name, value) VALUES (?1, ?2)"));
  return upsert.BindText(1, kRepacked).BindBlob(2, value).Run();
}

}  // namespace assay
