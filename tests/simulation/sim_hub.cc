#include "tests/simulation/sim_hub.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "log/annotate.h"

namespace assay {
namespace {

HubHead HeadOf(const SimHub::Chain& chain) {
  return {Sequence{chain.events.size()}, Sequence{chain.complete}, chain.checkpoint};
}

// What a hub reads of a checkpoint: the size in its second line, the root in its third.
struct Claim {
  uint64_t size = 0;
  std::string root;
};
Claim ClaimOf(const std::string& checkpoint) {
  const std::vector<std::string> lines = absl::StrSplit(checkpoint, '\n');
  Claim claim;
  if (lines.size() > 2 && absl::SimpleAtoi(lines[1], &claim.size)) claim.root = lines[2];
  return claim;
}

absl::Status TakeCheckpoint(const std::string& checkpoint, SimHub::Chain* chain) {
  const Claim claim = ClaimOf(checkpoint), kept = ClaimOf(chain->checkpoint);
  if (claim.size == kept.size && claim.root != kept.root) return absl::DataLossError("a second root of one size");
  if (claim.size > kept.size && claim.size <= chain->events.size()) chain->checkpoint = checkpoint;
  return absl::OkStatus();
}

}  // namespace

class SimHub::Connection : public Hub {
 public:
  Connection(SimHub* hub, uint32_t branch) : hub_(hub), branch_(branch) {}

  absl::StatusOr<HubHeads> Heads() override {
    ASSAY_RETURN_IF_ERROR(Check());
    HubHeads heads = hub_->Heads();
    if (const auto open = hub_->sessions_.find(branch_); open != hub_->sessions_.end())
      heads.living = hub_->LivingOf(branch_, open->second);
    return heads;
  }
  absl::StatusOr<PushReply> Push(const PushRequest& request) override {
    ASSAY_RETURN_IF_ERROR(Check());
    return hub_->Push(branch_, request);
  }
  absl::StatusOr<PullReply> Pull(const PullRequest& request) override {
    ASSAY_RETURN_IF_ERROR(Check());
    return hub_->Pull(branch_, request);
  }
  absl::StatusOr<HeartbeatReply> Heartbeat(const BranchReport& report, absl::Time since) override {
    ASSAY_RETURN_IF_ERROR(Check());
    return hub_->Heartbeat(branch_, report, since);
  }
  absl::StatusOr<SessionReply> OpenSession(const SessionRequest& request) override {
    ASSAY_RETURN_IF_ERROR(Check());
    return hub_->OpenSession(branch_, request);
  }

 private:
  absl::Status Check() const {
    if (!hub_->branches_.contains(branch_)) return absl::UnauthenticatedError("no such branch");
    return absl::OkStatus();
  }

  SimHub* hub_;
  uint32_t branch_;
};

std::unique_ptr<Hub> SimHub::Connect(uint32_t branch) { return std::make_unique<Connection>(this, branch); }

HubHeads SimHub::Heads() const {
  HubHeads heads;
  heads.hub_time = clock_->Now();
  for (const auto& [origin, chain] : chains_) heads.heads[origin] = HeadOf(chain);
  return heads;
}

absl::StatusOr<PushReply> SimHub::Push(uint32_t branch, const PushRequest& request) {
  auto found = chains_.find(request.origin);
  if (found != chains_.end() && found->second.owner != branch) {
    return absl::PermissionDeniedError(
        absl::StrCat("the chain of ", request.origin.Hex(), " is not that of branch ", branch));
  }
  ASSAY_RETURN_IF_ERROR(CheckSession(branch, request.origin, request.session));
  Chain chain = found == chains_.end() ? Chain{branch, {}, 0, {}} : found->second;
  if (!request.segments.empty()) {
    const Segment& next = request.segments.front();
    const bool follows = next.first.value == chain.events.size() + 1;
    if (follows && Arriving(branch, request.origin, next.first.value, next.ByteSize())) {
      return PushReply{HeadOf(chain).last, /*arriving=*/true};
    }
  }
  for (const Segment& segment : request.segments) {
    if (segment.origin != request.origin) return absl::InvalidArgumentError("a segment of another origin");
    if (segment.first.value > chain.events.size() + 1) {
      return absl::OutOfRangeError(absl::StrCat("the hub holds ", request.origin.Hex(), " up to ", chain.events.size(),
                                                ", the push begins at ", segment.first.value));
    }
    // Stored by segment, as the real hub does: one that is held in part is not taken, and the reply says from where to
    // go on.
    if (segment.first.value <= chain.events.size() && segment.last.value > chain.events.size()) break;
    absl::StatusOr<DecodedSegment> decoded = DecodedSegment::Decode(segment);
    if (!decoded.ok()) return absl::InvalidArgumentError(decoded.status().message());
    for (const SegmentPart& part : segment.parts) tables_.insert(part.table);
    if (segment.leaf_hashes.size() != 32 * decoded->events().size())
      return absl::InvalidArgumentError("leaf hashes missing");
    for (const StoredEvent& event : decoded->events()) {
      if (event.masked) return absl::InvalidArgumentError("a push of masked events");
      const size_t index = event.sequence.value - segment.first.value;
      if (segment.leaf_hashes.substr(32 * index, 32) != std::string(AsBytes(event.leaf))) {
        return absl::InvalidArgumentError("a leaf hash is not its event's");
      }
      if (event.sequence.value <= chain.events.size()) {
        if (chain.events[event.sequence.value - 1].leaf == event.leaf) continue;
        ++forks_;
        return absl::DataLossError(
            absl::StrCat("fork: another content is at ", EventName(request.origin, event.sequence)));
      }
      chain.events.push_back({event.stamp, event.ends_transaction, std::string(event.table), std::string(event.bytes),
                              event.leaf, event.sequence == segment.last});
      if (event.ends_transaction) chain.complete = event.sequence.value;
    }
  }
  if (!request.checkpoint.empty()) ASSAY_RETURN_IF_ERROR(TakeCheckpoint(request.checkpoint, &chain));
  const PushReply reply{HeadOf(chain).last};
  if (!chain.events.empty()) chains_[request.origin] = std::move(chain);
  return reply;
}

bool SimHub::Arriving(uint32_t branch, const OriginId& origin, uint64_t first, size_t bytes) {
  constexpr size_t kLargeBytes = 512 << 10;
  if (bytes <= kLargeBytes && !(recut_ && first % 16 == 6)) return false;
  const std::tuple segment{branch, origin, first};
  if (arriving_.insert(segment).second) return true;
  arriving_.erase(segment);
  return false;
}

uint64_t SimHub::CutLength(const Chain& chain, uint64_t first, uint64_t next) {
  uint64_t end = next, bytes = 0;
  if (!recut_) {
    if (next > first) return 0;
    while (!chain.events[end++].ends_segment) {
    }
    return end - next;
  }
  do bytes += chain.events[end].bytes.size();
  while (!chain.events[end++].ends_transaction);
  const bool inside = next > 0 && !chain.events[next - 1].ends_transaction;
  const bool large = end - next > kSegmentEventsMax || bytes > kSegmentBytesMax;
  if (next > first) {
    // A segment holds whole transactions or a piece of one; nothing follows the rest of a transaction.
    const bool began_inside = first > 0 && !chain.events[first - 1].ends_transaction;
    const bool full = end - first > kSegmentEventsMax || large;
    return began_inside || full || random_->Chance(25) ? 0 : end - next;
  }
  if (!inside && !large && !random_->Chance(10)) return end - next;
  return 1 + random_->Below(std::min<uint64_t>(end - next, kSegmentEventsMax));
}

absl::StatusOr<PullReply> SimHub::Pull(uint32_t branch, const PullRequest& request) {
  PullReply reply;
  reply.heads = Heads();
  for (const auto& [origin, kept] : request.checkpoints) {
    const auto head = reply.heads.heads.find(origin);
    if (head != reply.heads.heads.end() && head->second.checkpoint == kept) head->second.checkpoint.clear();
  }
  size_t bytes = 0;
  for (const auto& [origin, chain] : chains_) {
    auto have = request.have.find(origin);
    uint64_t next = have == request.have.end() ? 0 : have->second.value;  // Index of the first event to give.
    while (next < chain.complete) {
      if (bytes >= request.bytes_max || (recut_ && bytes > 0 && random_->Chance(15))) {
        reply.more = true;
        return reply;
      }
      const uint64_t first = next;
      if (Arriving(branch, origin, first + 1, chain.events[first].bytes.size()) ||
          (recut_ && random_->Chance(held_back_))) {
        reply.more = reply.arriving = true;
        break;
      }
      SegmentBuilder builder(origin);
      while (next < chain.complete) {
        const uint64_t count = CutLength(chain, first, next);
        if (count == 0) break;
        for (uint64_t end = next + count; next < end; ++next) {
          const Event& event = chain.events[next];
          const bool masked = chain.owner != branch && branches_[branch].denied.contains(event.table);
          builder.Add({origin, Sequence{next + 1}, event.stamp, event.ends_transaction, masked, event.table,
                       masked ? absl::string_view() : absl::string_view(event.bytes), event.leaf});
          bytes += event.bytes.size();
        }
        if (!chain.events[next - 1].ends_transaction) break;
      }
      reply.segments.push_back(builder.Finish(/*with_leaf_hashes=*/false));
    }
  }
  return reply;
}

absl::Status SimHub::CheckSession(uint32_t branch, const OriginId& origin, const std::string& session) const {
  const auto open = sessions_.find(branch);
  if (open == sessions_.end()) return absl::OkStatus();
  if (open->second.origin == origin && open->second.nonce == session) return absl::OkStatus();
  return absl::AbortedError("another session is open");
}

LivingChain SimHub::LivingOf(uint32_t branch, const Session& session) const {
  const auto own = branches_.find(branch);
  const bool seen = own != branches_.end() && own->second.presence.has_value();
  return {session.origin, seen ? std::max(session.opened, own->second.presence->last_seen) : session.opened};
}

absl::StatusOr<SessionReply> SimHub::OpenSession(uint32_t branch, const SessionRequest& request) {
  const auto chain = chains_.find(request.origin);
  if (chain != chains_.end() && chain->second.owner != branch)
    return absl::PermissionDeniedError("not that branch's chain");
  const auto held = sessions_.find(branch);
  Session open = held == sessions_.end() ? Session{request.origin} : held->second;
  const uint64_t last = chain == chains_.end() ? 0 : chain->second.events.size();
  const auto answer = [&](SessionAnswer what) {
    return SessionReply{what, open.origin == request.origin ? open.counter : 0, {last}};
  };
  const bool another = open.origin != request.origin;
  if (another && open.origin != request.replaces) {
    SessionReply replaced = answer(SessionAnswer::kReplaced);
    replaced.living = LivingOf(branch, open);
    return replaced;
  }
  if (last > request.last.value) return answer(SessionAnswer::kHubHasMore);
  if (last > 0 && request.shown.value != last) return answer(SessionAnswer::kShow);
  if (last > 0 && request.leaf != AsBytes(chain->second.events.back().leaf)) {
    ++forks_;
    return answer(SessionAnswer::kHubHasAnother);
  }
  if (another || open.nonce != request.session) {
    const bool known = std::find(request.known.begin(), request.known.end(), open.nonce) != request.known.end();
    if (!another && !known && open.counter >= std::max<uint64_t>(request.counter, 1))
      return answer(SessionAnswer::kUnknown);
    const uint64_t counter = another ? request.counter : std::max(open.counter, request.counter);
    open = {request.origin, counter + 1, request.session, clock_->Now()};
    sessions_[branch] = open;
  }
  return answer(SessionAnswer::kOpened);
}

absl::StatusOr<HeartbeatReply> SimHub::Heartbeat(uint32_t branch, const BranchReport& report, absl::Time since) {
  ASSAY_RETURN_IF_ERROR(CheckSession(branch, report.origin, report.session));
  const absl::Time now = clock_->Now();
  Branch& own = branches_[branch];
  const auto words = [](const BranchReport& of) { return std::tie(of.origin, of.state, of.version, of.refused); };
  if (!own.presence.has_value() || words(own.presence->report) != words(report) ||
      own.presence->last_seen <= now - kQuietAfter) {
    own.changed = now;
  }
  own.presence = BranchPresence{report, now, true};
  own.presence->report.name = own.name;
  own.presence->report.number = branch;
  HeartbeatReply reply{.hub_time = now, .whole = since == absl::InfinitePast() || since > now};
  reply.granted.emplace();
  if (own.denied.empty()) {
    reply.granted->tables = {"*"};
  } else {
    for (const std::string& table : tables_) {
      if (!own.denied.contains(table)) reply.granted->tables.insert(table);
    }
  }
  for (const auto& [number, other] : branches_) {
    if (!other.presence) continue;
    const absl::Time seen = other.presence->last_seen;
    const bool quiet_now = seen < now - kQuietAfter && seen >= since - kQuietAfter;
    if (reply.whole || other.changed >= since || quiet_now) reply.branches.push_back(*other.presence);
  }
  return reply;
}

}  // namespace assay
