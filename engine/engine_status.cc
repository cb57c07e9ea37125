// How an engine is, for people and for the other branches.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/engine_parts.h"
#include "engine/human_text.h"

namespace assay {
namespace {

// With every change that comes by a branch is catching up for a moment. To the others it is so from then on.
constexpr absl::Duration kMoment = absl::Seconds(10);

}  // namespace

BranchReport Engine::Parts::Report() {
  BranchReport report;
  report.name = config.branch_name;
  report.number = config.branch_number;
  report.origin = own;
  report.head = stores.log->Head(own).last;
  for (const OriginId& origin : stores.log->Origins()) {
    if (origin != own) report.written += stores.state->Projected(origin).value;
  }
  report.parked = stores.unsettled->parked_count();
  for (const auto& [origin, trouble] : remote->puller().troubles()) {
    if (origin != own && report.refused.size() < kChainsListed) report.refused[origin] = stores.log->Head(origin).last;
  }
  report.state = State();
  const absl::Time now = clock->Now();
  behind_since = report.state == "running" ? absl::InfiniteFuture() : std::min(behind_since, now);
  if (report.state == "catching-up" && now - behind_since < kMoment) report.state = "running";
  return report;
}

std::string Engine::Parts::State() const {
  const absl::string_view wrong = StateFrom(StateProblems());
  if (wrong == "halted" || wrong == "stopped") return std::string(wrong);
  if (!stream.running() || gate->state() == RestoreState::kUnverified) return "starting";
  if (!config.has_hub) return "local-only";
  if (remote->paused()) return "paused";
  if (!wrong.empty()) return std::string(wrong);
  if (remote->puller().last_pull() == absl::InfinitePast()) return "starting";
  const std::optional<Sequence> pushed = remote->pusher().hub_last();
  const bool behind = remote->puller().Behind() > 0 || projector->Pending() > 0 ||
                      (pushed.has_value() && *pushed < stores.log->Head(own).complete);
  return behind ? "catching-up" : "running";
}

ChainName Engine::Parts::NameOf(const OriginId& origin) const {
  const absl::StatusOr<v1::OriginOpened> opened = stores.log->Opening(origin);
  return {origin, opened.ok() ? opened->branch_name() : ""};
}

std::vector<SetAsideChain> Engine::Parts::SetAside() const {
  std::vector<SetAsideChain> chains = remote->puller().set_aside();
  if (chains.empty()) return chains;
  std::set<std::string> continued;
  for (const OriginId& origin : stores.log->Origins()) {
    if (const absl::StatusOr<v1::OriginOpened> opened = stores.log->Opening(origin); opened.ok())
      continued.insert(opened->previous_origin());
  }
  std::erase_if(chains, [&](const SetAsideChain& chain) {
    return chain.origin == own || continued.contains(std::string(chain.origin.AsBytes()));
  });
  return chains;
}

std::vector<Problem> Engine::Parts::StateProblems() const {
  std::vector<Problem> problems;
  const auto add = [&](std::vector<Problem> found) {
    for (Problem& problem : found) problems.push_back(std::move(problem));
  };
  const SessionGate& session = remote->session();
  if (std::optional<Problem> hazard =
          HazardProblem(Hazard(), config.branch_name, gate->Halts() ? gate->cause() : session.refusal())) {
    problems.push_back(*std::move(hazard));
  }
  add(DatabaseProblems(stream.link(), projector->link(), gate->Halts() || !session.refusal().empty()));
  // A link that nobody tries now, as when the branch is paused, says nothing of how the hub is.
  if (!MayAskHub() || remote->paused()) return problems;
  if (!session.link().status.ok()) {
    add(HubProblems(config.branch_name, {session.link()}));
  } else if (session.open()) {
    add(HubProblems(config.branch_name, {remote->pusher().link(), remote->puller().link()}));
  }
  return problems;
}

std::vector<Problem> Engine::Parts::Problems() const {
  std::vector<Problem> problems = StateProblems();
  const auto add = [&](std::vector<Problem> found) {
    for (Problem& problem : found) problems.push_back(std::move(problem));
  };
  const Puller& puller = remote->puller();
  if (MayAskHub() && remote->MissesHints()) {
    problems.push_back({.kind = ProblemKind::kHubHintsMissing,
                        .subject = config.branch_name,
                        .cause = ShortLength(puller.interval()),
                        .detail = std::string(remote->hints().message())});
  }
  std::vector<std::pair<ChainName, LinkStatus>> troubles;
  for (const auto& [origin, trouble] : puller.troubles()) {
    if (troubles.size() < kChainsListed || origin == own) troubles.emplace_back(NameOf(origin), trouble);
  }
  add(ChainProblems(troubles, own, puller.troubles().size()));
  add(SetAsideProblems(SetAside()));
  for (const auto& [origin, status] : projector->stopped()) {
    problems.push_back({.kind = ProblemKind::kChainUnreadable,
                        .subject = NameOf(origin).ForPeople(),
                        .detail = std::string(status.message())});
  }
  for (const OriginId& origin : puller.Withheld())
    problems.push_back({.kind = ProblemKind::kGrantedMissing, .subject = NameOf(origin).ForPeople()});
  for (const auto& [origin, awaited] : projector->waiting_for()) {
    problems.push_back({.kind = ProblemKind::kChainWaits,
                        .subject = NameOf(origin).ForPeople(),
                        .detail = absl::StrCat("waits for event ", EventName(awaited.first, awaited.second), " of ",
                                               NameOf(awaited.first).ForPeople())});
  }
  add(RowProblems(static_cast<uint64_t>(stores.unsettled->parked_count()),
                  static_cast<uint64_t>(stores.unsettled->forgotten_count()), recorder->counters().false_tags));
  add(ValueProblems(recorder->withheld(), config.row_bytes_max));
  add(UnrecordedProblems(recorder->unrecorded()));
  add(IdentityProblems(recorder->identities()));
  add(ForeignKeyProblems(recorder->foreign_keys()));
  add(survey.problems);
  // A database that is away is named already.
  if (!survey.status.ok() && (!absl::IsUnavailable(survey.status) || stream.link().status.ok())) {
    const std::optional<NamedProblem> named = ProblemNamedBy(survey.status);
    problems.push_back({.kind = named.has_value() ? named->kind : ProblemKind::kSurveyFailed,
                        .subject = config.branch_name,
                        .cause = std::string(survey.status.message())});
  }
  add(DifferenceProblems(checks.tables));
  if (!checks.status.ok()) {
    problems.push_back({.kind = ProblemKind::kTablesNotCompared,
                        .subject = config.branch_name,
                        .cause = std::string(checks.status.message())});
  }
  if (const absl::StatusOr<UnreadableTables> unreadable = stores.state->Read(kUnreadableNote); unreadable.ok())
    add(UnreadableProblems(*unreadable, [this](const OriginId& origin) { return NameOf(origin); }));
  add(AheadProblems(config.branch_name, own, stores.log->Head(own).complete_stamp, recorder->counters(),
                    BelievedNow()));
  if (std::optional<Problem> clock_off = ClockProblem(puller.clock_offset())) {
    problems.push_back(*std::move(clock_off));
  }
  return problems;
}

OriginStatus Engine::Parts::StatusOf(const OriginId& origin) const {
  const Pusher& pusher = remote->pusher();
  const Puller& puller = remote->puller();
  OriginStatus one;
  one.origin = origin;
  one.own = origin == own;
  const ChainHead head = one.own ? own_head : stores.log->Head(origin);
  one.head = head.last;
  one.complete = head.complete;
  one.projected = one.own ? head.complete : stores.state->Projected(origin);
  if (absl::StatusOr<v1::OriginOpened> opened = stores.log->Opening(origin); opened.ok()) {
    one.branch_name = opened->branch_name();
  }
  if (auto it = puller.hub_heads().find(origin); it != puller.hub_heads().end()) one.hub_head = it->second.complete;
  if (one.own && pusher.hub_heard().has_value()) one.hub_head = *pusher.hub_heard();
  if (auto it = puller.troubles().find(origin); it != puller.troubles().end()) one.status = it->second.status;
  const auto& stopped = projector->stopped();
  if (auto it = stopped.find(origin); it != stopped.end()) one.status = it->second;
  return one;
}

EngineStatus Engine::Status() const {
  const Parts& p = *parts_;
  const Pusher& pusher = p.remote->pusher();
  const Puller& puller = p.remote->puller();
  EngineStatus status;
  status.branch_name = p.config.branch_name;
  status.branch_number = p.config.branch_number;
  status.origin = p.own;
  status.state = p.State();
  status.restore = p.Hazard();
  status.problems = p.Problems();
  status.capture = p.stream.link();
  status.projection = p.projector->link();
  status.hub_push = p.remote->push_link();
  status.hub_pull = p.remote->pull_link();
  status.hints = p.remote->hints();
  status.has_hub = p.config.has_hub;
  status.paused = p.remote->paused();
  status.hub_interval = puller.interval();
  status.last_push = pusher.last_push();
  status.last_pull = puller.last_pull();
  status.next_pull = puller.next_pull();
  status.hub_clock_offset = puller.clock_offset();
  status.captured = p.position.confirmed();
  status.last_captured_commit = absl::FromUnixMicros(p.recorder->counters().last_commit_us);
  status.events_captured = p.recorder->events();
  status.unattributed_transactions = p.recorder->counters().unattributed_transactions;
  status.false_tags = p.recorder->counters().false_tags;
  status.events_total = p.events_total;
  status.unsettled = p.stores.unsettled->count();
  status.parked = p.stores.unsettled->parked_count();
  status.forgotten = p.stores.unsettled->forgotten_count();
  status.conflicts = p.stores.conflicts->count();
  status.masked = p.stores.log->MaskedEvents();
  status.log_bytes = p.file->SizeOnDisk();
  status.checked = p.checks.published;
  status.branches = puller.branches();
  status.branches_heard = puller.heard();
  status.branches_whole_heard = puller.whole_heard();
  for (const OriginId& origin : p.stores.log->Origins()) {
    OriginStatus one = p.StatusOf(origin);
    if (one.own) {
      if (pusher.hub_heard().has_value()) status.push_position = {one.hub_head.value, one.head.value};
    } else if (one.status.ok()) {
      const uint64_t newest = std::max(one.head, one.hub_head).value;
      status.pull_position.at += one.head.value;
      status.pull_position.goal += newest;
      // What is still to be pulled is still to be written, too: who waits for the rows waits for all of it.
      status.projection_position.at += one.projected.value;
      status.projection_position.goal += newest;
    }
    status.origins.push_back(std::move(one));
  }
  return status;
}

}  // namespace assay
