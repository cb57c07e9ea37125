#include "engine/remotes/chain_intake.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/human_text.h"
#include "engine/problem.h"
#include "log/annotate.h"
#include "log/segment_layout.h"

namespace assay {
namespace {

// How often a chain is asked for in vain before others go on without it: for about a minute.
constexpr uint32_t kFailuresOfPatience = 6;
// How often something granted is asked for in vain before people are told: once may be a grant that was just taken
// away.
constexpr uint32_t kTimesInVain = 3;
// Who has that much lacks nothing.
constexpr Sequence kEverything{uint64_t{INT64_MAX}};

// The first event that is not to be taken yet.
struct Ahead {
  Sequence event;
  HlcStamp stamp;
};

// The first `events` of `segment`, which are whole transactions. Null: they do not unpack.
std::unique_ptr<Segment> FirstEvents(const Segment& segment, uint64_t events) {
  const absl::StatusOr<DecodedSegment> decoded = DecodedSegment::Decode(segment);
  if (!decoded.ok()) return nullptr;
  SegmentBuilder builder(segment.origin);
  for (uint64_t i = 0; i < events; ++i) builder.Add(decoded->events()[i]);
  return std::make_unique<Segment>(builder.Finish(/*with_leaf_hashes=*/false));
}

// Takes away what is stamped after `limit`, which is the rest of a chain, since stamps rise. `cut` holds what is left
// of the segment where that begins.
std::optional<Ahead> HoldBack(absl::Time limit, std::vector<const Segment*>* segments, std::unique_ptr<Segment>* cut) {
  const int64_t millis_max = absl::ToUnixMillis(limit);
  for (size_t i = 0; i < segments->size(); ++i) {
    const Segment& segment = *(*segments)[i];
    SegmentLayout layout;
    if (!layout.Parse(segment.layout).ok()) return std::nullopt;  // The log refuses it as what it is.
    if (layout.transactions.back().stamp.millis() <= millis_max) continue;
    uint64_t events = 0;
    HlcStamp stamp;
    for (const SegmentLayout::Transaction& transaction : layout.transactions) {
      stamp = transaction.stamp;
      if (stamp.millis() > millis_max) break;
      events += transaction.events;
    }
    segments->resize(i);
    if (events > 0) *cut = FirstEvents(segment, events);
    if (*cut != nullptr) segments->push_back(cut->get());
    return Ahead{{segment.first.value + events}, stamp};
  }
  return std::nullopt;
}

}  // namespace

std::set<OriginId> ChainIntake::GivenUp() const {
  std::set<OriginId> given_up;
  for (const auto& [origin, trouble] : troubles_) {
    if (trouble.next_try == absl::InfiniteFuture() || trouble.failures >= kFailuresOfPatience) given_up.insert(origin);
  }
  return given_up;
}

absl::Time ChainIntake::NextRetry() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [origin, trouble] : troubles_) next = std::min(next, trouble.next_try);
  return next;
}

void ChainIntake::RetryNow() {
  for (auto& [origin, trouble] : troubles_) {
    if (trouble.next_try != absl::InfiniteFuture()) trouble.TryAt(absl::InfinitePast());
  }
}

PullRequest ChainIntake::NextRequest() {
  PullRequest request;
  left_out_.clear();
  for (const OriginId& origin : log_->Origins()) {
    request.have[origin] = log_->Head(origin).last;
    if (std::optional<std::string> kept = log_->NewestCheckpoint(origin); kept.has_value())
      request.checkpoints[origin] = *std::move(kept);
  }
  for (const auto& [origin, trouble] : troubles_) {
    if (trouble.next_try <= clock_->Now()) continue;
    request.have[origin] = kEverything;
    left_out_.insert(origin);
  }
  return request;
}

void ChainIntake::SetGrants(Grants granted) {
  granted_ = std::move(granted);
  for (auto& [origin, in_vain] : in_vain_) in_vain.told_since = true;
  std::erase_if(in_vain_, [this](const auto& chain) { return !log_->FirstToUnmask(chain.first, HasGrant()); });
}

void ChainIntake::SetAside(const std::vector<SetAsideChain>& chains) {
  set_aside_.clear();
  for (const SetAsideChain& chain : chains) set_aside_[chain.origin] = chain.after;
  std::erase_if(troubles_, [this](const auto& trouble) { return trouble.first != own_ && IsOver(trouble.first); });
}

bool ChainIntake::IsOver(const OriginId& origin) const {
  const auto aside = set_aside_.find(origin);
  return aside != set_aside_.end() && log_->Head(origin).last >= aside->second;
}

std::set<OriginId> ChainIntake::Withheld() const {
  std::set<OriginId> withheld;
  for (const auto& [origin, in_vain] : in_vain_) {
    if (in_vain.times >= kTimesInVain) withheld.insert(origin);
  }
  return withheld;
}

std::optional<Sequence> ChainIntake::FirstToUnmask(const OriginId& origin) const {
  if (granted_.tables.empty() || merged_ == nullptr || troubles_.contains(origin)) return std::nullopt;
  if (const auto it = in_vain_.find(origin); it != in_vain_.end() && !it->second.told_since) return std::nullopt;
  const std::optional<Sequence> first = log_->FirstToUnmask(origin, HasGrant());
  return first.has_value() && *first <= merged_(origin) ? first : std::nullopt;
}

bool ChainIntake::HasMasked() const {
  const std::vector<OriginId> origins = log_->Origins();
  return std::any_of(origins.begin(), origins.end(),
                     [this](const OriginId& origin) { return FirstToUnmask(origin).has_value(); });
}

PullRequest ChainIntake::NextUnmaskRequest() {
  PullRequest request = NextRequest();
  for (const OriginId& origin : log_->Origins()) {
    const std::optional<Sequence> first = FirstToUnmask(origin);
    if (!first.has_value()) continue;
    request.have[origin] = {first->value - 1};
    unmasking_ = origin;
    break;
  }
  return request;
}

absl::StatusOr<bool> ChainIntake::Unmask(const OriginId& origin, const std::vector<const Segment*>& segments,
                                         bool is_at_hub) {
  const std::optional<Sequence> before = log_->FirstToUnmask(origin, HasGrant());
  Unmasked unmasked{origin, {}};
  bool early = !is_at_hub;
  for (const Segment* segment : segments) {
    early = segment->last > merged_(origin);
    if (early) break;
    ASSAY_ASSIGN_OR_RETURN(const std::vector<Sequence> events, log_->Unmask(*segment, HasGrant()));
    unmasked.events.insert(unmasked.events.end(), events.begin(), events.end());
  }
  const bool less = log_->FirstToUnmask(origin, HasGrant()) != before;
  if (!unmasked.events.empty()) unmasked_.push_back(std::move(unmasked));
  if (less) {
    in_vain_.erase(origin);
  } else {  // What does not come is not asked for again before the hub's next word.
    InVain& in_vain = in_vain_[origin];
    in_vain.told_since = false;
    if (!early) ++in_vain.times;
  }
  return less;
}

absl::StatusOr<bool> ChainIntake::Append(const PullReply& reply) {
  const std::optional<OriginId> unmasking = std::exchange(unmasking_, std::nullopt);
  std::map<OriginId, std::vector<const Segment*>> given;
  for (const auto& [origin, head] : reply.heads.heads) given.try_emplace(origin);
  for (const Segment& segment : reply.segments) given[segment.origin].push_back(&segment);
  if (unmasking.has_value()) given.try_emplace(*unmasking);  // A hub that was put back may have lost all of it.
  const int64_t events_before = log_->EventCount();
  bool refused = false, less_masked = false;
  for (const auto& [origin, segments] : given) {
    if (left_out_.contains(origin) || (origin != own_ && IsOver(origin))) continue;
    const auto head = reply.heads.heads.find(origin);
    ASSAY_ASSIGN_OR_RETURN(
        const bool taken,
        AppendChain(origin, segments, head == reply.heads.heads.end() ? HubHead{} : head->second, reply));
    refused |= !taken;
    if (!taken || origin != unmasking || (reply.arriving && segments.empty())) continue;
    ASSAY_ASSIGN_OR_RETURN(const bool unmasked, Unmask(origin, segments, head != reply.heads.heads.end()));
    less_masked |= unmasked;
  }
  return refused || less_masked || log_->EventCount() != events_before;
}

absl::StatusOr<bool> ChainIntake::AppendChain(const OriginId& origin, std::vector<const Segment*> segments,
                                              const HubHead& head, const PullReply& reply) {
  const Sequence before = log_->Head(origin).last;
  const absl::Time now = std::max(clock_->Now(), reply.heads.hub_time);
  std::unique_ptr<Segment> cut;
  std::optional<Ahead> ahead;
  if (origin != own_) ahead = HoldBack(now + kStampAheadMax, &segments, &cut);
  ASSAY_ASSIGN_OR_RETURN(
      EventLog::Refusal refusal,
      origin == own_ ? CheckOwn(segments, head) : log_->AppendChain(origin, segments, head.complete, head.checkpoint));
  const ChainHead held = log_->Head(origin);
  const bool lacks = held.complete < head.complete;
  if (refusal.cause.ok() && ahead.has_value()) {
    const std::string at = UtcText(absl::FromUnixMillis(ahead->stamp.millis()));
    refusal.cause = WithProblem(absl::OutOfRangeError(absl::StrCat(EventName(origin, ahead->event), " is stamped ", at,
                                                                   ", and it is ", UtcText(now))),
                                ProblemKind::kChainAhead, at);
  }
  if (refusal.cause.ok() && lacks && !reply.more) {
    refusal.cause = absl::OutOfRangeError(absl::StrCat(
        "the hub says that it has whole transactions of it up to event ", head.complete.value,
        ", and gives none after ", held.last.value,
        held.complete < held.last ? absl::StrCat(", inside the transaction after ", held.complete.value) : ""));
  }
  if (!refusal.cause.ok()) {
    Refuse(origin, std::move(refusal));
    return false;
  }
  // The reply may have been full before it came to this chain: then nothing is known of it yet.
  if (!lacks || held.last > before) troubles_.erase(origin);
  return true;
}

absl::StatusOr<EventLog::Refusal> ChainIntake::CheckOwn(const std::vector<const Segment*>& segments,
                                                        const HubHead& head) {
  const Sequence own_last = log_->Head(*own_).last;
  Sequence last = std::max(head.last, head.complete);
  for (const Segment* segment : segments) last = std::max(last, segment->last);
  if (last > own_last) {
    return EventLog::Refusal{absl::FailedPreconditionError(
        absl::StrCat("it has ", last.value, " events of this chain, and this branch has written ", own_last.value))};
  }
  if (segments.empty()) return EventLog::Refusal{};
  // Nothing of it is new here: this only compares.
  return log_->AppendChain(*own_, segments, own_last, /*checkpoint=*/"");
}

void ChainIntake::Refuse(const OriginId& origin, EventLog::Refusal refusal) {
  Link& trouble = troubles_.try_emplace(origin, absl::Seconds(1), absl::Minutes(5)).first->second;
  trouble.Fail(std::move(refusal.cause), clock_->Now(), *random_);
  const bool for_good = (refusal.about_held && origin != own_) || retry_ == Retry::kNever;
  if (for_good) trouble.TryAt(absl::InfiniteFuture());
}

}  // namespace assay
