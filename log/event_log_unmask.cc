// What a branch was not granted is held as leaf hashes. Granted later, it comes once more: whatever those hashes are of
// takes their place.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/check.h"
#include "log/event_log.h"

namespace assay {

std::optional<Sequence> EventLog::FirstToUnmask(const OriginId& origin, const Granted& granted) const {
  const Chain* chain = Find(origin);
  std::optional<Sequence> first;
  if (chain == nullptr) return first;
  for (const auto& [table, range] : chain->masked) {
    if (granted(table) && (!first.has_value() || range.first < *first)) first = range.first;
  }
  return first;
}

std::map<std::string, uint64_t> EventLog::MaskedEvents() const {
  std::map<std::string, uint64_t> events;
  for (const auto& [origin, chain] : chains_) {
    for (const auto& [table, masked] : chain.masked) events[table] += masked.events;
  }
  return events;
}

absl::StatusOr<std::vector<Sequence>> EventLog::Unmask(const Segment& segment, const Granted& granted) {
  ASSAY_CHECK(file_->InTransaction());
  std::vector<Sequence> shown;
  const auto found = chains_.find(segment.origin);
  if (found == chains_.end() || segment.last > found->second.head.last) return shown;
  Chain& chain = found->second;
  std::shared_ptr<const DecodedSegment> given = segment.decoded;
  if (given == nullptr) {
    ASSAY_ASSIGN_OR_RETURN(DecodedSegment decoded, DecodedSegment::Decode(segment));
    given = std::make_shared<const DecodedSegment>(std::move(decoded));
  }
  ASSAY_RETURN_IF_ERROR(Flush(chain, /*with_piece=*/true));
  for (Sequence next = segment.first; next <= segment.last;) {
    ASSAY_ASSIGN_OR_RETURN(const std::optional<Segment> stored, LoadSegment(chain, next));
    if (!stored)
      return absl::DataLossError(absl::StrCat("the log has no segment with ", EventName(chain.origin, next)));
    ASSAY_ASSIGN_OR_RETURN(const std::vector<Sequence> here, UnmaskStored(chain, *stored, *given, granted));
    shown.insert(shown.end(), here.begin(), here.end());
    next = stored->last.Next();
  }
  // Of a table that came in the clear nothing is masked up to here. One that did not come is not granted after all.
  std::set<absl::string_view> withheld;
  for (const SegmentPart& part : segment.parts) {
    if (part.masked) withheld.insert(part.table);
  }
  for (auto range = chain.masked.begin(); range != chain.masked.end();) {
    const bool looked_at = granted(range->first) && !withheld.contains(range->first) &&
                           range->second.first >= segment.first && range->second.first <= segment.last;
    if (looked_at) range->second.first = segment.last.Next(), chain.masked_dirty = chain.dirty = true;
    range = range->second.first > range->second.last ? chain.masked.erase(range) : std::next(range);
  }
  return shown;
}

absl::StatusOr<std::vector<Sequence>> EventLog::UnmaskStored(Chain& chain, const Segment& stored,
                                                             const DecodedSegment& given, const Granted& granted) {
  std::vector<Sequence> shown;
  const bool may_be = std::any_of(stored.parts.begin(), stored.parts.end(),
                                  [&](const SegmentPart& part) { return part.masked && granted(part.table); });
  if (!may_be) return shown;
  ASSAY_ASSIGN_OR_RETURN(const DecodedSegment held, DecodedSegment::Decode(stored));
  ASSAY_ASSIGN_OR_RETURN(const bool continues, ContinuesAt(chain, stored.first));
  const Sequence given_first = given.events().front().sequence, given_last = given.events().back().sequence;
  SegmentBuilder builder(chain.origin, continues);
  std::vector<Segment> packed;
  for (const StoredEvent& event : held.events()) {
    const StoredEvent* now = &event;
    if (event.masked && event.sequence >= given_first && event.sequence <= given_last) {
      const StoredEvent& offered = given.events()[event.sequence.value - given_first.value];
      // The leaf is a hash of all that an event says, its place too.
      if (!offered.masked && offered.leaf == event.leaf && offered.table == event.table) {
        now = &offered;
        shown.push_back(event.sequence);
        if (auto masked = chain.masked.find(event.table); masked != chain.masked.end() && masked->second.events > 0)
          --masked->second.events, chain.masked_dirty = chain.dirty = true;
      }
    }
    while (builder.Full(*now)) packed.push_back(builder.Finish(/*with_leaf_hashes=*/false));
    builder.Add(*now);
  }
  if (shown.empty()) return shown;
  while (!builder.empty()) packed.push_back(builder.Finish(/*with_leaf_hashes=*/false));
  ASSAY_CHECK(packed.back().last == stored.last && packed.back().ends_transaction == stored.ends_transaction);
  // Each event is what it was before the segment that had it goes.
  size_t event = 0;
  for (const Segment& segment : packed) {
    ASSAY_ASSIGN_OR_RETURN(const DecodedSegment decoded, DecodedSegment::Decode(segment));
    for (const StoredEvent& now : decoded.events()) ASSAY_CHECK(now.leaf == held.events()[event++].leaf);
  }
  ASSAY_CHECK(event == held.events().size());
  ASSAY_RETURN_IF_ERROR(RemoveSegments(chain, stored.first, stored.last));
  for (const Segment& segment : packed) ASSAY_RETURN_IF_ERROR(InsertSegment(chain, segment));
  // Whoever reads there has the masked ones.
  ++generation_;
  cache_.Clear();
  return shown;
}

absl::Status EventLog::LoadMasked() {
  for (auto& [origin, chain] : chains_) chain.masked.clear(), chain.masked_dirty = false;
  ASSAY_ASSIGN_OR_RETURN(Statement rows, file_->Prepare("SELECT origin, table_name, first, last, events FROM masked"));
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return absl::OkStatus();
    const uint64_t origin = static_cast<uint64_t>(rows.Int("origin"));
    if (!HasIndex(origin)) return absl::DataLossError("a chain without a head is masked");
    Chain& chain = chains_.at(origins_by_index_[origin]);
    chain.masked[std::string(rows.Blob("table_name"))] = {{static_cast<uint64_t>(rows.Int("first"))},
                                                          {static_cast<uint64_t>(rows.Int("last"))},
                                                          static_cast<uint64_t>(rows.Int("events"))};
  }
}

absl::Status EventLog::StoreMasked(Chain& chain) {
  ASSAY_ASSIGN_OR_RETURN(Statement remove, file_->Prepare("DELETE FROM masked WHERE origin = ?1"));
  ASSAY_RETURN_IF_ERROR(remove.BindInt(1, chain.index.value).Run());
  ASSAY_ASSIGN_OR_RETURN(Statement insert, file_->Prepare("INSERT INTO masked VALUES (?1, ?2, ?3, ?4, ?5)"));
  for (const auto& [table, range] : chain.masked) {
    ASSAY_RETURN_IF_ERROR(insert.BindInt(1, chain.index.value)
                              .BindText(2, table)
                              .BindInt(3, static_cast<int64_t>(range.first.value))
                              .BindInt(4, static_cast<int64_t>(range.last.value))
                              .BindInt(5, static_cast<int64_t>(range.events))
                              .Run());
  }
  chain.masked_dirty = false;
  return absl::OkStatus();
}

}  // namespace assay
