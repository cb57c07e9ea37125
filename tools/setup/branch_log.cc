#include "tools/setup/branch_log.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/capture/unrecorded.h"
#include "engine/own_chain.h"
#include "engine/problem.h"
#include "engine/remotes/chain_intake.h"
#include "engine/remotes/pusher.h"
#include "engine/remotes/session_gate.h"
#include "log/annotate.h"

namespace assay {
namespace {

// A hub may name as many as it likes.
constexpr size_t kRefusedListed = 10;

// Of a branch, for people: by its name when its opening was taken.
std::string NameOf(EventLog& log, const OriginId& origin) {
  const absl::StatusOr<v1::OriginOpened> opened = log.Opening(origin);
  const std::string chain = absl::StrCat("chain ", origin.Hex().substr(0, 8));
  return opened.ok() ? absl::StrCat("branch ", opened->branch_name(), " (", chain, ")") : chain;
}

}  // namespace

absl::StatusOr<std::unique_ptr<OpenLog>> OpenLog::Open(const std::string& path) {
  auto open = std::make_unique<OpenLog>();
  ASSAY_ASSIGN_OR_RETURN(open->file, LogFile::Open(path, {}));
  ASSAY_ASSIGN_OR_RETURN(static_cast<OpenStores&>(*open), OpenStores::Open(open->file.get()));
  return open;
}

absl::StatusOr<PulledChains> PullAll(OpenLog& open, Hub& hub, Clock* clock, Random* random,
                                     const PullProgress& progress) {
  const absl::StatusOr<OriginId> own = OwnOrigin(*open.state);
  if (!own.ok() && !absl::IsNotFound(own.status())) return own.status();
  ChainIntake intake(own.ok() ? std::optional(*own) : std::nullopt, open.log.get(), clock, random,
                     ChainIntake::Retry::kNever);
  const int64_t before = open.log->EventCount();
  for (bool more = true; more;) {
    ASSAY_ASSIGN_OR_RETURN(const PullReply reply, hub.Pull(intake.NextRequest()));
    ASSAY_RETURN_IF_ERROR(open.file->Begin());
    const absl::StatusOr<bool> news = intake.Append(reply);
    if (!news.ok()) {
      open.file->Rollback();
      return Annotate(news.status(), "append what the hub gave");
    }
    ASSAY_RETURN_IF_ERROR(open.file->Commit());
    if (reply.more && !*news && !reply.arriving) {
      return absl::InvalidArgumentError("the hub says that there is more, and gives nothing that is new");
    }
    more = reply.more;
    uint64_t total = 0;
    for (const auto& [_, head] : reply.heads.heads) total += head.complete.value;
    if (progress) progress(open.log->EventCount(), total);
  }
  if (const auto ours = own.ok() ? intake.troubles().find(*own) : intake.troubles().end();
      ours != intake.troubles().end()) {
    return Annotate(ours->second.status, "the hub's copy of this branch's own chain");
  }
  PulledChains pulled{.events = static_cast<uint64_t>(open.log->EventCount() - before)};
  for (const auto& [origin, trouble] : intake.troubles()) {
    if (pulled.refused.size() == kRefusedListed) {
      pulled.refused.push_back(absl::StrCat("so it is with ", intake.troubles().size() - kRefusedListed, " more"));
      break;
    }
    pulled.refused.push_back(absl::StrCat("the hub does not give the changes of ", NameOf(*open.log, origin),
                                          " as they must be, and none of what is wrong was taken (",
                                          trouble.status.message(),
                                          "). The daemon asks for them again by itself; if `assay status` goes on "
                                          "naming that branch, ask it and the head office"));
  }
  return pulled;
}

namespace {

absl::Status InTransaction(OpenLog& open, const std::function<absl::Status()>& work) {
  ASSAY_RETURN_IF_ERROR(open.file->Begin());
  const absl::Status status = work();
  if (status.ok()) return open.file->Commit();
  open.file->Rollback();
  return status;
}

}  // namespace

absl::StatusOr<std::string> ClaimBranch(OpenLog& open, EngineConfig config, const OriginId& own, Hub& hub, Clock* clock,
                                        Random* random) {
  config.has_hub = true;
  SessionGate session(config, own, open.stores(), clock, random);
  ASSAY_RETURN_IF_ERROR(session.Load());
  while (!session.open()) {
    ASSAY_RETURN_IF_ERROR(InTransaction(open, [&] { return session.Step(/*paused=*/false); }));
    const std::optional<HubCall> opening = session.TakeCall();
    if (!opening.has_value()) break;
    const absl::StatusOr<SessionReply> reply = hub.OpenSession(std::get<HubOpenSession>(*opening).request);
    ASSAY_RETURN_IF_ERROR(InTransaction(open, [&] { return session.OnReply(reply); }));
    ASSAY_RETURN_IF_ERROR(reply.status());
  }
  if (session.open()) return session.session();
  ASSAY_RETURN_IF_ERROR(session.link().status);
  const absl::Status refused =
      absl::FailedPreconditionError(absl::StrCat("the hub takes nothing of this log: ", session.refusal()));
  switch (session.refused()) {
    case SessionGate::Refused::kReplaced:
      return WithProblem(refused, ProblemKind::kReplaced);
    case SessionGate::Refused::kSetAside:
      return WithProblem(refused, ProblemKind::kOwnChainSetAside);
    default:
      return WithProblem(refused, ProblemKind::kClone);
  }
}

absl::StatusOr<uint64_t> PushAll(OpenLog& open, EngineConfig config, const OriginId& own, Hub& hub, Clock* clock,
                                 Random* random) {
  config.has_hub = true;
  ASSAY_ASSIGN_OR_RETURN(const std::string session, ClaimBranch(open, config, own, hub, clock, random));
  Pusher pusher(config, own, open.log.get(), clock, random);
  std::optional<Sequence> before;
  while (true) {
    ASSAY_RETURN_IF_ERROR(InTransaction(open, [&] { return pusher.Step(/*paused=*/false); }));
    std::optional<HubCall> call = pusher.TakeCall();
    if (!call.has_value()) break;
    if (auto* push = std::get_if<HubPush>(&*call)) {
      push->request.session = session;
      pusher.OnPushed(hub.Push(push->request));
    } else {
      pusher.OnHeads(hub.Heads());
    }
    if (!before.has_value()) before = pusher.hub_heard();
    ASSAY_RETURN_IF_ERROR(pusher.link().status);
  }
  return open.log->Head(own).last.value - before.value_or(Sequence{}).value;
}

absl::StatusOr<OriginId> LoggedOrigin(const std::string& path) {
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogFile> file, LogFile::Open(path, {.read_only = true}));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<EventLog> log, EventLog::Open(file.get()));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LocalState> state, LocalState::Open(file.get(), log.get()));
  return OwnOrigin(*state);
}

absl::StatusOr<std::set<std::string>> EnrolledTables(const std::string& path) {
  const absl::StatusOr<std::unique_ptr<LogFile>> file = LogFile::Open(path, {.read_only = true});
  if (absl::IsNotFound(file.status())) return std::set<std::string>();
  ASSAY_RETURN_IF_ERROR(file.status());
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<EventLog> log, EventLog::Open(file->get()));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LocalState> state, LocalState::Open(file->get(), log.get()));
  return state->Read(kEnrolledTablesNote);
}

absl::StatusOr<UnrecordedTables> MissedChanges(OpenLog& open, Connection& admin, SurveyOptions options) {
  ASSAY_ASSIGN_OR_RETURN(options.enrolled, open.state->Read(kEnrolledTablesNote));
  Unrecorded unrecorded(open.state.get());
  ASSAY_RETURN_IF_ERROR(unrecorded.Load());
  const absl::StatusOr<SurveyReport> survey = TakeSurvey(admin, options);
  // A database that was restored may lack all that Assay installed: that is the repair's to mend.
  if (absl::IsFailedPrecondition(survey.status())) return unrecorded.tables();
  ASSAY_RETURN_IF_ERROR(survey.status());
  unrecorded.Add(survey->missed);
  return unrecorded.tables();
}

absl::StatusOr<PreviousChain> ContinuedChain(EventLog& log, const OriginId& origin) {
  PreviousChain previous{.origin = origin, .replaces = origin};
  const ChainHead pulled = log.Head(origin);
  if (pulled.complete.value > 0) {
    previous.sequence = pulled.complete;
    ASSAY_ASSIGN_OR_RETURN(previous.root, log.RootAt(origin, pulled.complete.value));
  }
  const absl::StatusOr<v1::OriginOpened> opened = log.Opening(origin);
  if (opened.ok()) previous.epoch = opened->epoch();
  return previous;
}

std::string OtherMachine(const EngineConfig& branch, const LivingChain& living) {
  return absl::StrCat("branch \"", branch.branch_name, "\" (number ", branch.branch_number,
                      ") is another machine's already: the hub takes chain ", living.origin.Hex().substr(0, 8),
                      " for its, and heard of it last at ",
                      absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", living.heard, absl::UTCTimeZone()));
}

// Two branches of one number would hand out the same keys.
absl::Status CheckNumberIsFree(OpenLog& open, const std::string& branch_name, uint32_t branch_number) {
  for (const OriginId& origin : open.log->Origins()) {
    absl::StatusOr<v1::OriginOpened> opening = open.log->Opening(origin);
    if (absl::IsNotFound(opening.status())) continue;
    ASSAY_RETURN_IF_ERROR(opening.status());
    const bool same_name = opening->branch_name() == branch_name;
    if (opening->branch_number() == branch_number && !same_name) {
      return absl::InvalidArgumentError(absl::StrCat("branch.number ", opening->branch_number(),
                                                     " is taken by the branch \"", opening->branch_name(),
                                                     "\": choose another"));
    }
    if (opening->branch_number() != branch_number && same_name) {
      return absl::InvalidArgumentError(absl::StrCat("the branch \"", opening->branch_name(), "\" has the number ",
                                                     opening->branch_number(),
                                                     " in this fleet: choose another name, or set that number"));
    }
  }
  return absl::OkStatus();
}

void NoteOwnKeys(const ResolvedChange& change, const std::map<SequenceColumn, SequenceClass>& classes,
                 std::map<SequenceColumn, int64_t>* largest) {
  if (classes.empty()) return;
  const auto note = [&](uint32_t ordinal, absl::string_view text) {
    const auto at = classes.find({change.schema->name, change.schema->schema.columns(ordinal).name()});
    int64_t value = 0;
    if (at == classes.end() || !absl::SimpleAtoi(text, &value)) return;
    if (((value - at->second.residue) % at->second.modulus) != 0) return;
    int64_t& known = largest->try_emplace(at->first, value).first->second;
    known = std::max(known, value);
  };
  for (int i = 0; i < change.row().key_size(); ++i) note(change.schema->key[i], change.row().key(i));
  for (const v1::ColumnChange& column : change.row().columns()) {
    if (column.has_value()) note(column.ordinal(), column.value());
  }
}

}  // namespace assay
