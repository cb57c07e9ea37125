#include "engine/status_sentence.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/human_text.h"

namespace assay {
namespace {

// The engine's thread publishes every two seconds while it is well.
constexpr absl::Duration kNewsMax = absl::Seconds(5);
// What a branch says is half a minute old when the hub has it, and as old again when it is told here.
constexpr absl::Duration kOnlineFor = absl::Minutes(2);
constexpr size_t kBranchesNamed = 3;
constexpr char kSelling[] = "Selling goes on.";

class Writer {
 public:
  Writer(const DaemonStatus& status, absl::Time now, absl::TimeZone zone)
      : status_(status), engine_(status.engine), now_(now), zone_(zone) {}

  Sentence Write() const;

 private:
  std::string At(absl::Time time) const { return ClockTime(time, now_, zone_); }
  std::string Ago(absl::Time time) const {
    return now_ - time < absl::Seconds(5) ? "just now" : absl::StrCat(Roughly(now_ - time), " ago");
  }
  // " Next try in 12 s.", or nothing.
  std::string NextTry(absl::Time time) const {
    if (time == absl::InfinitePast() || time == absl::InfiniteFuture()) return "";
    return time <= now_ ? " It is being tried now." : absl::StrCat(" Next try in ", Roughly(time - now_), ".");
  }
  const Problem* Find(ProblemKind kind) const;
  absl::Time HubHeard() const { return std::max({engine_.last_push, engine_.last_pull, engine_.branches_heard}); }
  // " 47 changes wait to be sent.", or nothing.
  std::string ToSend() const;
  std::string LastSync() const;
  std::string Others(const Problem& shown) const;

  Sentence Halted(const Problem& hazard) const;
  Sentence NotWorking(const Problem& worst) const;
  Sentence Offline(const Problem& unreachable) const;
  Sentence Late(const Problem& worst) const;
  Sentence Syncing() const;
  Sentence InStep() const;

  const DaemonStatus& status_;
  const EngineStatus& engine_;
  const absl::Time now_;
  const absl::TimeZone zone_;
};

const Problem* Writer::Find(ProblemKind kind) const {
  const auto found = std::find_if(status_.problems.begin(), status_.problems.end(),
                                  [&](const Problem& problem) { return problem.kind == kind; });
  return found == status_.problems.end() ? nullptr : &*found;
}

std::string Writer::ToSend() const {
  const StagePosition& push = engine_.push_position;
  if (push.goal <= push.at) return "";
  return absl::StrCat(" ", Count(push.goal - push.at, "change"), push.goal - push.at == 1 ? " waits" : " wait",
                      " to be sent.");
}

std::string Writer::LastSync() const {
  if (engine_.last_pull <= absl::UnixEpoch()) return "";
  return absl::StrCat("Last sync ", Ago(engine_.last_pull), ", at ", At(engine_.last_pull), ".");
}

std::string Writer::Others(const Problem& shown) const {
  const size_t others = std::count_if(status_.problems.begin(), status_.problems.end(), [&](const Problem& problem) {
    return &problem != &shown && SeverityOf(problem.kind) != Severity::kNote;
  });
  if (others == 0) return "";
  return absl::StrCat(" ", Count(others, "more thing"), others == 1 ? " is" : " are", " wrong.");
}

Sentence Writer::Halted(const Problem& hazard) const {
  std::string sentence = SentenceOf(hazard);
  sentence[0] = absl::ascii_tolower(sentence[0]);
  return {Tone::kBad, absl::StrCat("Halted: ", sentence),
          absl::StrCat(kSelling, " Nothing is sent or received until somebody has looked.", Others(hazard))};
}

Sentence Writer::NotWorking(const Problem& worst) const {
  // Whether anybody can sell without PostgreSQL is not for us to say.
  const bool selling = worst.kind != ProblemKind::kDatabaseAway;
  const std::string line =
      absl::StrCat(selling ? absl::StrCat(" ", kSelling) : "", NextTry(worst.next_try), Others(worst));
  return {Tone::kBad, SentenceOf(worst), std::string(absl::StripLeadingAsciiWhitespace(line))};
}

Sentence Writer::Offline(const Problem& unreachable) const {
  std::string to_send = ToSend();
  if (!to_send.empty()) {
    to_send.pop_back();
    to_send += "; they go by themselves when the line is back.";
  }
  return {Tone::kWarn, absl::StrCat("Offline since ", At(unreachable.since), "."),
          absl::StrCat(kSelling, to_send, NextTry(unreachable.next_try), Others(unreachable))};
}

Sentence Writer::Late(const Problem& worst) const {
  // Without the hub nothing else flows.
  const bool flows = EntryOf(worst.kind).state.empty() && status_.state != "offline";
  const std::string sync = LastSync();
  return {Tone::kWarn, SentenceOf(worst),
          flows ? absl::StrCat("Everything else flows on.", sync.empty() ? "" : " ", sync, Others(worst))
                : absl::StrCat(kSelling, ToSend(), NextTry(worst.next_try), Others(worst))};
}

Sentence Writer::Syncing() const {
  const Progress &push = status_.push, &pull = status_.pull, &write = status_.projection;
  // What is received is counted when it is written, which is what people wait for.
  const uint64_t done = push.done + write.done, total = push.total + write.total;
  absl::Duration left = absl::ZeroDuration();
  for (const Progress* stage : {&push, &pull, &write}) {
    left = std::max(left, TimeLeft(stage->total - stage->done, stage->events_per_second));
  }
  if (done >= total) return {Tone::kBusy, "Syncing.", std::string(kSelling)};
  return {
      Tone::kBusy, absl::StrCat("Syncing: ", Grouped(done), " of ", Count(total, "change"), "."),
      absl::StrCat(Grouped(push.done), " sent, ", Grouped(pull.done), " received, ", Grouped(write.done), " written.",
                   left < absl::InfiniteDuration() ? absl::StrCat(" About ", Roughly(left), " left.") : "")};
}

Sentence Writer::InStep() const {
  std::string next;
  if (engine_.next_pull > now_ && engine_.next_pull < absl::InfiniteFuture()) {
    next = absl::StrCat(" Next look in ", Roughly(engine_.next_pull - now_), ".");
  }
  Sentence sentence{Tone::kOk, "All is well: this branch is in step with the hub.", LastSync() + next};
  const absl::Time hub_now = now_ + engine_.hub_clock_offset;
  size_t in_step = 0, not_in_step = 0;
  std::vector<std::string> named;
  for (const BranchPresence& branch : engine_.branches) {
    if (!branch.active || branch.report.origin == engine_.origin) continue;
    const std::string& state = branch.report.state;
    const bool heard = hub_now - branch.last_seen <= kOnlineFor;
    // A branch that is behind for a moment only, as with every change that comes by, says that it is running.
    if (heard && state == "running") {
      ++in_step;
    } else if (++not_in_step <= kBranchesNamed) {
      named.push_back(absl::StrCat(branch.report.name, state == kShutDown       ? " is shut down"
                                                       : !heard                 ? " has not been heard lately"
                                                       : state == "catching-up" ? " is catching up"
                                                                                : absl::StrCat(" is ", state)));
    }
  }
  if (in_step + not_in_step == 0) return sentence;
  if (not_in_step == 0) {
    sentence.headline = absl::StrCat("All is well: ", in_step + 1, " branches are in step.");
    return sentence;
  }
  if (not_in_step > kBranchesNamed)
    named.push_back(absl::StrCat(not_in_step - kBranchesNamed, " more are not in step"));
  if (in_step > 0) named.push_back(absl::StrCat(Count(in_step, "other"), in_step == 1 ? " is" : " are", " in step"));
  sentence.headline = absl::StrCat("This branch is in step. ", absl::StrJoin(named, "; "), ".");
  return sentence;
}

Sentence Writer::Write() const {
  const Problem* worst = WorstOf(status_.problems);
  const bool running = status_.engine_link.status.ok();
  if (running && status_.state != "starting" && status_.as_of != absl::InfinitePast() &&
      now_ - status_.as_of > kNewsMax) {
    return {Tone::kIdle, absl::StrCat("No news since ", At(status_.as_of), "."), "What is below may be old."};
  }
  if (status_.state == "halted" && worst != nullptr) {
    for (const Problem& problem : status_.problems) {
      if (EntryOf(problem.kind).state == "halted") return Halted(problem);
    }
  }
  if (worst != nullptr && SeverityOf(worst->kind) == Severity::kBad) return NotWorking(*worst);
  if (engine_.paused) {
    return {Tone::kIdle, "Paused: nothing is sent or received.",
            absl::StrCat(kSelling, " Changes are recorded and sent later.", ToSend())};
  }
  if (const Problem* unreachable = Find(ProblemKind::kHubUnreachable); unreachable != nullptr) {
    return Offline(*unreachable);
  }
  if (worst != nullptr && SeverityOf(worst->kind) == Severity::kWarn) return Late(*worst);
  if (status_.state.empty() || status_.state == "starting") {
    return {Tone::kBusy, "Starting.", absl::StrCat(kSelling, " Nothing that is sold is missed.")};
  }
  if (!engine_.has_hub) {
    return {Tone::kIdle, "This branch works on its own: no hub is configured.",
            absl::StrCat("Changes are recorded here: ", Grouped(engine_.events_total), " so far.")};
  }
  // A hub that opens no session, as one that is read-only, is heard when it is asked.
  if (now_ - HubHeard() > std::max(2 * engine_.hub_interval, kOnlineFor)) {
    return {Tone::kIdle,
            HubHeard() <= absl::UnixEpoch() ? "The hub has not been heard yet."
                                            : absl::StrCat("No news from the hub since ", At(HubHeard()), "."),
            absl::StrCat(kSelling, ToSend())};
  }
  return status_.state == "catching-up" ? Syncing() : InStep();
}

}  // namespace

Sentence StatusSentence(const DaemonStatus& status, absl::Time now, absl::TimeZone zone) {
  return Writer(status, now, zone).Write();
}

absl::Duration TimeLeft(uint64_t events, double events_per_second) {
  if (events == 0) return absl::ZeroDuration();
  // What would take years says nothing but that it stands still.
  const double seconds = events_per_second > 0 ? static_cast<double>(events) / events_per_second : 1e9;
  return seconds < 1e8 ? absl::Ceil(absl::Seconds(seconds), absl::Seconds(1)) : absl::InfiniteDuration();
}

bool IsOnline(const BranchPresence& branch, absl::Time hub_now) {
  return branch.active && branch.report.state != kShutDown && hub_now - branch.last_seen <= kOnlineFor;
}

}  // namespace assay
