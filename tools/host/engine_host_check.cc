// The host's thread on which tables are compared with the log.
#include <sys/resource.h>

#include <utility>

#include "adapters/libpq/steady_time.h"
#include "tools/host/engine_host.h"

namespace assay {
namespace {

// Whether a table is due to be compared is looked at so often; sooner while the branch starts.
constexpr absl::Duration kCheckEvery = absl::Minutes(1);
constexpr absl::Duration kCheckAfterFailure = absl::Minutes(10);
constexpr absl::Duration kCheckSoon = absl::Seconds(2);
constexpr absl::Duration kFenceMax = absl::Minutes(1);
// A branch that catches up is given way to, but not for ever.
constexpr absl::Duration kGiveWayMax = absl::Minutes(1);
constexpr absl::Duration kGiveWayLook = absl::Milliseconds(200);
constexpr int kCheckNice = 10;

}  // namespace

void EngineHost::NoteFence(const std::string& nonce) {
  MutexLock lock(&mutex_);
  if (passed_fence_ == nonce) return;
  passed_fence_ = nonce;
  wake_.NotifyAll();
}

absl::Status EngineHost::AwaitFence(const std::string& nonce, uint64_t generation) {
  MutexLock lock(&mutex_);
  wake_.WaitFor(&mutex_, kFenceMax, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || generation_ != generation || passed_fence_ == nonce;
  });
  if (stopping_) return absl::CancelledError("the daemon stops");
  if (generation_ == generation && passed_fence_ == nonce) return absl::OkStatus();
  return absl::UnavailableError("the changes of this database are not recorded now, or late");
}

absl::Status EngineHost::PauseCheck(absl::Duration pause, bool asked, uint64_t generation) {
  for (const absl::Time latest = SteadyNow() + kGiveWayMax;;) {
    {
      MutexLock lock(&mutex_);
      const auto ends = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return stopping_ || generation_ != generation || (!asked && !checks_asked_.empty());
      };
      if (wake_.WaitFor(&mutex_, pause, ends)) return absl::CancelledError("it is ended for something else");
    }
    if (asked || board_.Get().state != "catching-up" || SteadyNow() >= latest) return absl::OkStatus();
    pause = kGiveWayLook;
  }
}

absl::Status EngineHost::MayCheck() {
  const DaemonStatus status = board_.Get();
  if (status.state == "halted") return absl::FailedPreconditionError("the branch is halted: `assay status` says why");
  if (status.engine.restore != RestoreState::kNormal || !status.engine.capture.status.ok())
    return absl::UnavailableError("the changes of this database are not recorded now: `assay status` says why");
  return absl::OkStatus();
}

RoundHooks EngineHost::HooksOf(bool asked, uint64_t generation) {
  RoundHooks hooks;
  hooks.now = [] { return absl::Now(); };
  hooks.check.await_fence = [this, generation](const std::string& nonce) { return AwaitFence(nonce, generation); };
  hooks.check.pause = [this, asked, generation](absl::Duration pause) { return PauseCheck(pause, asked, generation); };
  hooks.check.found = [this, generation](FoundRows found) {
    inbox_.Post(generation, [found = std::make_shared<FoundRows>(std::move(found))](Engine& engine) {
      engine.OnFound(std::move(*found));
    });
  };
  hooks.check.progress = [this](const TableName& table, uint64_t rows) {
    board_.Publish([&](DaemonStatus& to) {
      to.check.table = table.ToString();
      to.check.rows = rows;
    });
  };
  hooks.begun = [this](size_t tables) {
    board_.Publish([&](DaemonStatus& to) {
      to.check.under_way = true;
      to.check.table.clear();
      to.check.rows = to.check.tables_done = 0;
      to.check.tables = tables;
    });
  };
  hooks.checked = [this, generation](const std::string& table, CheckedTable checked) {
    board_.Publish([](DaemonStatus& to) { ++to.check.tables_done; });
    inbox_.Post(generation, [table, checked](Engine& engine) { engine.OnTableChecked(table, checked); });
  };
  return hooks;
}

bool EngineHost::SetChecking(bool checking) {
  MutexLock lock(&mutex_);
  checking_ = checking && !stopping_;
  wake_.NotifyAll();
  return checking_;
}

bool EngineHost::Check(const CheckRequest& request, uint64_t asked, uint64_t generation) {
  CheckRound round;
  round.status = MayCheck();
  if (round.status.ok() && SetChecking(true)) {
    round = parts_.check(request, HooksOf(request.asked, generation));
    SetChecking(false);
  }
  // What passes by itself is no trouble: another round is taken soon. Who has asked is told.
  const bool passes = absl::IsUnavailable(round.status) || absl::IsCancelled(round.status);
  if (!passes && !request.asked)
    inbox_.Post(generation, [status = round.status](Engine& engine) { engine.OnCheckEnded(status); });
  if (request.asked) (void)Status();  // Whoever is told that it has ended finds what it found.
  board_.Publish([&](DaemonStatus& to) {
    to.check.under_way = false;
    if (!request.asked) return;
    to.check.ended = asked;
    to.check.status = round.status;
    to.check.not_compared = round.not_compared;
  });
  return request.asked || passes || round.status.ok();
}

void EngineHost::CheckLoop() {
  // Linux has a priority for each thread.
  (void)setpriority(PRIO_PROCESS, 0, kCheckNice);
  uint64_t ended = 0;  // Of the rounds that were asked for.
  while (const uint64_t generation = AwaitEngine()) {
    CheckRequest request;
    {
      MutexLock lock(&mutex_);
      check_wanted_ = false;
      if (!checks_asked_.empty()) {
        request = std::move(checks_asked_.front());
        checks_asked_.pop_front();
        ++ended;
      }
    }
    const bool may = MayCheck().ok();
    const bool failed = (request.asked || may) && !Check(request, ended, generation);
    MutexLock lock(&mutex_);
    const auto ends = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopping_ || generation_ != generation || !checks_asked_.empty();
    };
    if (may) {
      wake_.WaitFor(&mutex_, failed ? kCheckAfterFailure : kCheckEvery,
                    [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return check_wanted_ || ends(); });
    }
    // What the stream has just described is in the log by then.
    wake_.WaitFor(&mutex_, kCheckSoon, ends);
  }
}

}  // namespace assay
