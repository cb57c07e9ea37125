#include "tools/host/engine_host.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <deque>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/own_chain.h"
#include "engine/status_sentence.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "log/local_state/open_stores.h"
#include "tests/support/child_process.h"
#include "tests/support/crash_vfs.h"
#include "tests/support/temp_directory.h"
#include "tools/host/change_log.h"
#include "tools/host/engine_host.h"
#include "tools/system.h"

namespace assay {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// What the fakes of one host share with the test.
struct World {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<CaptureBatch> batches;
  absl::Status start_answer;
  int starts = 0;
  Lsn confirmed;
  bool interrupted = false;
  absl::Status hub_answer = absl::UnavailableError("no route to host");
  absl::Duration hub_clock_offset;
  int pulls = 0;
  std::string told_state;                   // By the last heartbeat.
  std::function<void()> before_read_reply;  // Null: no database.
  std::vector<bool> gates;                  // Of projections, as they were decided.

  template <typename F>
  void With(F f) {
    std::lock_guard<std::mutex> lock(mutex);
    f();
    changed.notify_all();
  }
};

class FakeCapture : public CaptureSource {
 public:
  explicit FakeCapture(World* world) : world_(world) {}
  absl::Status Start() override {
    std::lock_guard<std::mutex> lock(world_->mutex);
    ++world_->starts;
    return world_->start_answer;
  }
  absl::StatusOr<CaptureBatch> Next(absl::Duration wait) override {
    std::unique_lock<std::mutex> lock(world_->mutex);
    world_->changed.wait_for(lock, absl::ToChronoMilliseconds(wait),
                             [&] { return world_->interrupted || !world_->batches.empty(); });
    if (world_->interrupted) return absl::CancelledError("interrupted");
    CaptureBatch batch;
    if (world_->batches.empty()) return batch;
    batch = std::move(world_->batches.front());
    world_->batches.pop_front();
    world_->changed.notify_all();
    return batch;
  }
  void Confirm(Lsn lsn) override {
    world_->With([&] { world_->confirmed = lsn; });
  }

 private:
  World* world_;
};

class FakeHub : public Hub {
 public:
  explicit FakeHub(World* world) : world_(world) {}
  absl::StatusOr<HubHeads> Heads() override { return Answer(HubHeads{}); }
  absl::StatusOr<PushReply> Push(const PushRequest& request) override {
    return Answer(PushReply{request.segments.back().last});
  }
  absl::StatusOr<PullReply> Pull(const PullRequest&) override {
    world_->With([&] { ++world_->pulls; });
    PullReply reply;
    reply.heads.hub_time = absl::Now() + world_->hub_clock_offset;
    return Answer(reply);
  }
  absl::StatusOr<SessionReply> OpenSession(const SessionRequest&) override {
    return Answer(SessionReply{SessionAnswer::kOpened, 1});
  }
  absl::StatusOr<HeartbeatReply> Heartbeat(const BranchReport& report, absl::Time) override {
    EXPECT_EQ(report.version, "9.9");
    world_->With([&] { world_->told_state = report.state; });
    return Answer(HeartbeatReply{.hub_time = absl::Now() + world_->hub_clock_offset});
  }

 private:
  template <typename T>
  absl::StatusOr<T> Answer(T reply) {
    std::lock_guard<std::mutex> lock(world_->mutex);
    if (!world_->hub_answer.ok()) return world_->hub_answer;
    return reply;
  }
  World* world_;
};

CaptureBatch Keepalive(uint64_t lsn) {
  CaptureBatch batch;
  batch.items.push_back({.kind = CaptureItem::Kind::kKeepalive, .end_lsn = Lsn{lsn}});
  return batch;
}

// One committed INSERT.
CaptureBatch Insert(uint64_t lsn) {
  auto shape = std::make_shared<TableShape>();
  shape->name = {"public", "items"};
  shape->columns = {{"id", "text", true}};
  shape->key = {0};
  CaptureBatch batch;
  batch.buffers.push_back(std::make_unique<std::string>(absl::StrCat("key", lsn)));
  const TupleValue value{TupleValue::Kind::kText, *batch.buffers[0]};
  batch.items.push_back({.kind = CaptureItem::Kind::kBegin, .commit_lsn = Lsn{lsn - 1}, .commit_time_us = 1, .xid = 5});
  batch.items.push_back({.kind = CaptureItem::Kind::kInsert, .relation = shape, .new_tuple = {value}});
  batch.items.push_back({.kind = CaptureItem::Kind::kCommit, .commit_lsn = Lsn{lsn - 1}, .end_lsn = Lsn{lsn}});
  return batch;
}

// A fence that comes by, as its own transaction.
CaptureBatch Fence(const std::string& nonce, uint64_t number) {
  const uint64_t lsn = 1000 + 10 * number;
  CaptureBatch batch;
  batch.buffers.push_back(std::make_unique<std::string>(nonce));
  batch.items.push_back({.kind = CaptureItem::Kind::kBegin, .commit_lsn = Lsn{lsn - 1}, .commit_time_us = 1, .xid = 6});
  batch.items.push_back({.kind = CaptureItem::Kind::kMessage, .prefix = kFencePrefix, .content = *batch.buffers[0]});
  batch.items.push_back({.kind = CaptureItem::Kind::kCommit, .commit_lsn = Lsn{lsn - 1}, .end_lsn = Lsn{lsn}});
  return batch;
}

class FakeDatabase : public Database {
 public:
  explicit FakeDatabase(World* world) : world_(world) {}
  absl::StatusOr<ReadReply> Read(const ReadRequest& request) override {
    if (world_->before_read_reply == nullptr) return absl::UnavailableError("no");
    world_->With([&] { world_->batches.push_back(Fence(request.fence, ++fences_)); });
    world_->before_read_reply();
    return ReadReply{.session = 1};
  }
  ProjectReply Project(const ProjectRequest& request) override {
    if (request.gate != nullptr) {
      const std::optional<bool> gate = request.gate->Await(absl::Seconds(20));
      world_->With([&] { world_->gates.push_back(gate.value()); });
    }
    return {.outcome = ProjectReply::Outcome::kUnavailable, .status = absl::UnavailableError("no")};
  }
  void Abandon() override {}
  absl::StatusOr<uint64_t> LastBatch() override { return 0; }

 private:
  World* world_;
  uint64_t fences_ = 0;
};

class HostTest : public ::testing::Test {
 protected:
  void MakeLog() {
    SystemClock clock;
    SystemRandom random;
    auto file = LogFile::Open(path_, {.vfs = log_vfs_});
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(OpenBranchLog(Config(false), file->get(), &clock, &random).ok());
  }
  EngineConfig Config(bool has_hub) {
    EngineConfig config;
    config.branch_name = "mumbai";
    config.branch_number = 1;
    config.has_hub = has_hub;
    return config;
  }
  void StartHost(bool has_hub = false) {
    HostParts parts;
    parts.engine = Config(has_hub);
    parts.log_path = path_;
    parts.log_vfs = log_vfs_;
    parts.version = "9.9";
    parts.capture = std::make_unique<FakeCapture>(&world_);
    parts.database = std::make_unique<FakeDatabase>(&world_);
    if (has_hub) parts.push_hub = std::make_unique<FakeHub>(&world_);
    if (has_hub) parts.pull_hub = std::make_unique<FakeHub>(&world_);
    parts.survey = survey_;
    parts.check = check_;
    parts.interrupt = [this] { world_.With([this] { world_.interrupted = true; }); };
    parts.on_change = [this](const DaemonStatus& before, const DaemonStatus& after) {
      for (const LogLine& line : NewsBetween(before, after)) news_.push_back(line.text);
    };
    host_ = std::make_unique<EngineHost>(std::move(parts));
    host_->Start();
  }
  // The first status for which `condition` holds, or the one after 20 s.
  template <typename Condition>
  DaemonStatus Await(Condition condition) {
    DaemonStatus status = host_->Status();
    for (const absl::Time deadline = absl::Now() + absl::Seconds(20); !condition(status) && absl::Now() < deadline;) {
      status = host_->WaitForChange(status.change, absl::Milliseconds(200));
    }
    return status;
  }

  test::TempDirectory directory_{"host"};
  const std::string path_ = directory_.path() + "/log.db";
  std::string log_vfs_;
  World world_;
  std::vector<std::string> news_;
  std::function<absl::StatusOr<SurveyReport>(const std::set<std::string>&)> survey_;
  std::function<CheckRound(const CheckRequest&, const RoundHooks&)> check_;
  std::unique_ptr<EngineHost> host_;
};

TEST_F(HostTest, CapturedChangesAreConfirmedOnceDurable) {
  MakeLog();
  StartHost();
  world_.With([&] { world_.batches.push_back(Keepalive(77)); });
  const DaemonStatus status = Await([](const DaemonStatus& s) { return s.engine.captured.value == 77; });
  EXPECT_EQ(status.engine.state, "local-only");
  world_.With([&] { EXPECT_EQ(world_.confirmed.value, 77u); });
}

// Else a face would show what it has read in the log, and beside it a status from before that.
TEST_F(HostTest, AStatusThatIsAskedForIsOfNowAlsoWhileOthersPublish) {
  MakeLog();
  std::atomic<bool> over{false};
  check_ = [&](const CheckRequest&, const RoundHooks& hooks) {
    for (; !over; absl::SleepFor(absl::Microseconds(200))) hooks.check.progress({"public", "t"}, 1);
    return CheckRound();
  };
  StartHost();
  Await([](const DaemonStatus& s) { return s.engine.state == "local-only" && s.check.rows == 1; });
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(host_->Pause().ok());
    EXPECT_TRUE(host_->Status().engine.paused);
    ASSERT_TRUE(host_->Resume().ok());
    EXPECT_FALSE(host_->Status().engine.paused);
  }
  over = true;
}

TEST_F(HostTest, APauseLastsUntilAPersonEndsItAlsoThroughARestart) {
  MakeLog();
  StartHost();
  Await([](const DaemonStatus& s) { return s.engine.state == "local-only"; });
  for (const bool paused : {true, false}) {
    ASSERT_TRUE((paused ? host_->Pause() : host_->Resume()).ok());
    ASSERT_EQ(host_->Status().engine.paused, paused);
    host_->Stop(absl::Seconds(5));
    world_.With([&] { world_.interrupted = false; });
    StartHost();
    Await([](const DaemonStatus& s) { return !s.engine.state.empty(); });
    EXPECT_EQ(host_->Status().engine.paused, paused);
  }
}

TEST_F(HostTest, ASurveyIsTakenAtTheStartAndWhenTheStreamDescribesATable) {
  MakeLog();
  std::atomic<int> surveys{0};
  survey_ = [&](const std::set<std::string>&) -> absl::StatusOr<SurveyReport> {
    if (++surveys == 2) return absl::PermissionDeniedError("nobody may look");
    SurveyReport report;
    report.missed["public.t"] = {.cause = "it was made anew since it was enrolled"};
    report.problems.push_back({.kind = ProblemKind::kTableNotEnrolled, .subject = "public.later"});
    return report;
  };
  StartHost();
  const auto has = [](const DaemonStatus& status, ProblemKind kind) {
    return std::any_of(status.problems.begin(), status.problems.end(),
                       [&](const Problem& problem) { return problem.kind == kind; });
  };
  Await([&](const DaemonStatus& s) {
    return has(s, ProblemKind::kTableUnrecorded) && has(s, ProblemKind::kTableNotEnrolled);
  });
  EXPECT_EQ(surveys, 1) << "nothing asks for another one so soon";
  world_.With([&] {
    CaptureBatch batch;
    batch.items.push_back({.kind = CaptureItem::Kind::kRelation, .relation = Insert(79).items[1].relation});
    world_.batches.push_back(std::move(batch));
  });
  const DaemonStatus status = Await([&](const DaemonStatus& s) { return has(s, ProblemKind::kSurveyFailed); });
  EXPECT_TRUE(has(status, ProblemKind::kTableNotEnrolled)) << "what was found stands until somebody has looked again";
}

TEST_F(HostTest, WhoAsksForAComparisonDoesNotWaitForTheNightlyOneAndFindsWhatItFound) {
  MakeLog();
  {
    const auto file = LogFile::Open(path_, {}).value();
    const OpenStores stores = OpenStores::Open(file.get()).value();
    ASSERT_TRUE(stores.state->Write(kEnrolledTablesNote, {"public.t"}).ok());
  }
  std::atomic<int> nightly{0}, ended_early{0};
  check_ = [&](const CheckRequest& request, const RoundHooks& hooks) {
    CheckRound round;
    hooks.begun(1);
    if (!request.asked) {
      ++nightly;
      round.status = hooks.check.pause(absl::Hours(1));
      ended_early += absl::IsCancelled(round.status);
      return round;
    }
    EXPECT_THAT(request.tables, ElementsAre("public.t"));
    hooks.check.progress({"public", "t"}, 7);
    hooks.checked("public.t", {.ended_ms = 1, .rows = 9, .differing = 2});
    return round;
  };
  StartHost();
  Await([&](const DaemonStatus&) { return nightly > 0; });
  EXPECT_TRUE(absl::IsNotFound(host_->CheckTables({{"public", "other"}}).status()));
  const absl::StatusOr<uint64_t> round = host_->CheckTables({{"public", "t"}});
  ASSERT_TRUE(round.ok()) << round.status();
  const DaemonStatus status = Await([&](const DaemonStatus& s) { return s.check.ended >= *round; });
  EXPECT_EQ(ended_early, 1);
  EXPECT_TRUE(status.check.status.ok());
  EXPECT_EQ(status.check.rows, 7u);
  EXPECT_EQ(status.engine.checked->at("public.t").differing, 2u);
  EXPECT_THAT(status.problems, Contains(Field(&Problem::kind, ProblemKind::kTableDiffers)));
}

TEST_F(HostTest, AFenceOfTheSentinelsIsAwaitedInCapture) {
  MakeLog();
  std::atomic<bool> passed{false};
  check_ = [&](const CheckRequest&, const RoundHooks& hooks) {
    passed = hooks.check.await_fence("sentinel/7").ok();
    return CheckRound();
  };
  StartHost();
  Await([&](const DaemonStatus& s) { return s.engine.state == "local-only"; });
  EXPECT_FALSE(passed);
  world_.With([&] {
    CaptureBatch batch;
    batch.items.resize(3);
    batch.items[0].kind = CaptureItem::Kind::kBegin;
    batch.items[0].commit_lsn = {0x600};
    batch.items[1].kind = CaptureItem::Kind::kMessage;
    batch.items[1].prefix = kFencePrefix;
    batch.items[1].content = "sentinel/7";
    batch.items[2].kind = CaptureItem::Kind::kCommit;
    batch.items[2].commit_lsn = {0x600};
    batch.items[2].end_lsn = {0x620};
    world_.batches.push_back(std::move(batch));
  });
  Await([&](const DaemonStatus&) { return passed.load(); });
  EXPECT_TRUE(passed);
}

TEST_F(HostTest, LostStreamIsTriedAgainAndTheStatusSaysWhen) {
  MakeLog();
  world_.start_answer = absl::UnavailableError("connection refused");
  StartHost();
  DaemonStatus status = Await([](const DaemonStatus& s) { return s.engine.capture.failures >= 2; });
  EXPECT_THAT(std::string(status.engine.capture.status.message()), HasSubstr("connection refused"));
  EXPECT_GT(status.engine.capture.next_try, status.engine.capture.since);
  EXPECT_EQ(status.state, "stopped");
  ASSERT_EQ(status.problems.size(), 1u);
  EXPECT_EQ(ProblemName(status.problems[0].kind), "database-away");
  EXPECT_EQ(status.problems[0].since, status.engine.capture.since);
  world_.With([&] { world_.start_answer = absl::OkStatus(); });
  status = Await([](const DaemonStatus& s) { return s.engine.capture.status.ok(); });
  EXPECT_TRUE(status.engine.capture.status.ok());
  host_->Stop(absl::Seconds(5));
  EXPECT_EQ(std::count_if(news_.begin(), news_.end(),
                          [](const std::string& line) { return absl::StrContains(line, "refused"); }),
            1)
      << "one line per change, not per try";
}

TEST_F(HostTest, UnusableLogIsAStateWithACauseAndMendsItself) {
  test::WriteFile(path_, std::string(10'000, 'x'));
  StartHost();
  DaemonStatus status = Await([](const DaemonStatus& s) { return !s.engine_link.status.ok(); });
  EXPECT_FALSE(status.engine_link.status.ok());
  EXPECT_GT(status.engine_link.next_try, absl::Now() - absl::Seconds(1));
  EXPECT_EQ(status.state, "stopped");
  ASSERT_EQ(status.problems.size(), 1u);
  EXPECT_EQ(ProblemName(status.problems[0].kind), "engine-stopped") << "it is no log at all";
  EXPECT_EQ(status.problems[0].next_try, status.engine_link.next_try);
  EXPECT_TRUE(absl::IsUnavailable(host_->SyncNow()));
  EXPECT_TRUE(host_->Pause().ok()) << "remembered";
  ASSERT_EQ(unlink(path_.c_str()), 0);
  MakeLog();
  status = Await([](const DaemonStatus& s) { return s.engine_link.status.ok() && s.engine.paused; });
  EXPECT_TRUE(status.engine_link.status.ok()) << status.engine_link.status;
  EXPECT_TRUE(status.engine.paused);
  EXPECT_THAT(status.problems, Not(Contains(Field(&Problem::kind, ProblemKind::kEngineStopped))));
}

TEST_F(HostTest, FullDiskStopsTheEngineAndItGoesOnWhenThereIsRoom) {
  MakeLog();
  StartHost();
  Await([](const DaemonStatus& s) { return s.engine.state == "local-only"; });
  int starts = 0;
  world_.With([&] { starts = world_.starts; });
  // No file may grow beyond a few bytes: what a full disk looks like to SQLite.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit tiny{100, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tiny), 0);
  world_.With([&] { world_.batches.push_back(Insert(78)); });
  DaemonStatus status = Await([](const DaemonStatus& s) { return !s.engine_link.status.ok(); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(status.engine_link.status.ok());
  EXPECT_EQ(status.engine.branch_name, "mumbai") << "what was known stays";
  ASSERT_EQ(status.problems.size(), 1u);
  EXPECT_EQ(ProblemName(status.problems[0].kind), "engine-stopped") << "a limit is an I/O error, and no full disk";
  EXPECT_NE(status.problems[0].detail, "");
  world_.With([&] { EXPECT_LT(world_.confirmed.value, 78u) << "nothing is acknowledged that is not durable"; });
  status = Await([](const DaemonStatus& s) { return s.engine_link.status.ok(); });
  EXPECT_TRUE(status.engine_link.status.ok()) << status.engine_link.status;
  Await([&](const DaemonStatus&) {
    std::lock_guard<std::mutex> lock(world_.mutex);
    return world_.starts > starts;
  });
  world_.With([&] { world_.batches.push_back(Insert(79)); });  // As a server does: what was not confirmed comes again.
  status = Await([](const DaemonStatus& s) { return s.engine.captured.value == 79; });
  EXPECT_EQ(status.engine.captured.value, 79u);
  world_.With([&] { EXPECT_GT(world_.starts, starts) << "capture begins again at what is durable"; });
}

// Goal: what is only in an open file that was deleted is not let go before it is on the disk again.
TEST_F(HostTest, ALogThatWasDeletedIsWrittenAgainOnceThereIsRoomAndNothingElseIsDoneBefore) {
  MakeLog();
  StartHost();
  Await([](const DaemonStatus& s) { return s.engine.state == "local-only"; });
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit tiny{100, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tiny), 0);
  for (const char* end : {"", "-wal", "-shm"}) unlink((path_ + end).c_str());
  const DaemonStatus down = Await([](const DaemonStatus& s) { return !s.engine_link.status.ok(); });
  EXPECT_EQ(down.state, "stopped");
  EXPECT_THAT(std::string(down.engine_link.status.message()), HasSubstr("do not stop assayd"));
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  const DaemonStatus up =
      Await([](const DaemonStatus& s) { return s.engine_link.status.ok() && s.engine.state == "local-only"; });
  EXPECT_EQ(up.engine.branch_name, "mumbai");
  EXPECT_EQ(access(path_.c_str(), F_OK), 0);
}

TEST_F(HostTest, ADiskWithoutRoomIsNamedAndOverWhenThereIsSome) {
  test::CrashVfs disk(1);
  log_vfs_ = disk.name();
  MakeLog();
  StartHost();
  Await([](const DaemonStatus& s) { return s.state == "local-only"; });
  disk.SetFull(true);
  world_.With([&] { world_.batches.push_back(Insert(78)); });
  DaemonStatus status = Await([](const DaemonStatus& s) { return s.state == "stopped"; });
  ASSERT_EQ(status.problems.size(), 1u);
  EXPECT_EQ(status.problems[0].kind, ProblemKind::kDiskFull) << status.engine_link.status;
  EXPECT_EQ(status.problems[0].subject, path_);
  disk.SetFull(false);
  status = Await([](const DaemonStatus& s) { return s.state == "local-only"; });
  EXPECT_THAT(status.problems, Not(Contains(Field(&Problem::kind, ProblemKind::kDiskFull))));
  host_.reset();
}

TEST_F(HostTest, WhyThereIsNoEngineFollowsFromWhatTheLogSaid) {
  const auto kind = [](const absl::Status& status) {
    return std::string(ProblemName(EngineDownProblem({.status = status}, "/var/lib/assay/log.db").kind));
  };
  EXPECT_EQ(kind(absl::DataLossError("malformed")), "log-damaged");
  EXPECT_EQ(kind(absl::ResourceExhaustedError("no space")), "disk-full");
  EXPECT_EQ(kind(absl::FailedPreconditionError("another process is using it")), "engine-stopped");
  EXPECT_THAT(std::string(ExplainLogDamage(absl::DataLossError("malformed"), "/x/log.db").message()),
              HasSubstr("the log /x/log.db is damaged: malformed. Stop assayd, move /x/log.db to a safe place"));
}

// The engine does not know since when rows wait: the host has seen them first.
TEST_F(HostTest, AProblemKeepsItsBeginningWhileItLasts) {
  MakeLog();
  StartHost(true);
  world_.With([&] { world_.hub_answer = absl::OkStatus(), world_.hub_clock_offset = absl::Minutes(7); });
  const auto clock_off = [](const DaemonStatus& s) {
    return std::find_if(s.problems.begin(), s.problems.end(),
                        [](const Problem& problem) { return problem.kind == ProblemKind::kClockOff; });
  };
  const DaemonStatus first = Await([&](const DaemonStatus& s) { return clock_off(s) != s.problems.end(); });
  ASSERT_NE(clock_off(first), first.problems.end());
  const absl::Time since = clock_off(first)->since;
  EXPECT_LT(absl::AbsDuration(first.as_of - since), absl::Seconds(1));
  const DaemonStatus later = Await([&](const DaemonStatus& s) { return s.as_of > first.as_of + absl::Seconds(2); });
  ASSERT_NE(clock_off(later), later.problems.end());
  EXPECT_EQ(clock_off(later)->since, since);
}

TEST_F(HostTest, AProjectionIsToldWhetherTheLogIsDurable) {
  test::CrashVfs disk(1);
  log_vfs_ = disk.name();
  MakeLog();
  std::atomic<int> syncs_to_fail = 1;
  world_.before_read_reply = [&] {
    std::unique_lock<std::mutex> lock(world_.mutex);
    world_.changed.wait_for(lock, std::chrono::seconds(20), [&] { return world_.batches.empty(); });
    lock.unlock();
    absl::SleepFor(absl::Milliseconds(
        200));  // The fence is in the log. The next that is written there is what is to be projected.
    if (syncs_to_fail-- > 0) disk.FailSync(1);
  };
  StartHost();
  world_.With([&] { world_.batches.push_back(Insert(78)); });
  std::vector<bool> gates;
  Await([&](const DaemonStatus&) {
    std::lock_guard<std::mutex> lock(world_.mutex);
    gates = world_.gates;
    return gates.size() >= 2;
  });
  host_.reset();
  ASSERT_GE(gates.size(), 2u);
  EXPECT_FALSE(gates[0]) << "the log's disk failed";
  EXPECT_TRUE(gates[1]);
}

TEST_F(HostTest, CommandsAndHubCallsGoTheirWay) {
  MakeLog();
  StartHost(true);
  DaemonStatus status =
      Await([](const DaemonStatus& s) { return s.engine.hub_pull.failures > 0 && s.engine.capture.status.ok(); });
  EXPECT_EQ(status.engine.state, "offline");
  EXPECT_THAT(std::string(status.engine.hub_pull.status.message()), HasSubstr("no route to host"));
  EXPECT_EQ(status.state, "offline");
  EXPECT_THAT(status.problems, Contains(Field(&Problem::kind, ProblemKind::kHubUnreachable)));
  world_.With([&] { world_.hub_answer = absl::OkStatus(); });
  ASSERT_TRUE(host_->SyncNow().ok());
  status = Await([](const DaemonStatus& s) { return s.engine.state == "running"; });
  EXPECT_EQ(status.engine.state, "running");
  EXPECT_TRUE(host_->SetInterval(absl::Seconds(30)).ok());
  EXPECT_TRUE(host_->Pause().ok());
  status = Await([](const DaemonStatus& s) { return s.engine.paused && s.engine.hub_interval == absl::Seconds(30); });
  EXPECT_EQ(status.engine.state, "paused");
  EXPECT_EQ(status.engine.hub_interval, absl::Seconds(30));
}

TEST_F(HostTest, BusyShopIsTakenInPortionsAndAQuietOneAtOnce) {
  MakeLog();
  StartHost();
  Await([](const DaemonStatus& s) { return s.engine.state == "local-only"; });
  // How long capture takes to ask for them all.
  const auto takes = [&](uint64_t first, uint64_t last) {
    const absl::Time begun = absl::Now();
    std::unique_lock<std::mutex> lock(world_.mutex);
    for (uint64_t lsn = first; lsn <= last; ++lsn) world_.batches.push_back(Insert(lsn));
    world_.changed.notify_all();
    world_.changed.wait_for(lock, std::chrono::seconds(20), [&] { return world_.batches.empty(); });
    return absl::Now() - begun;
  };
  // The longest of some: while a projection is tried, capture does not pause for it, and a slow machine tries for long.
  absl::Duration busy = absl::ZeroDuration();
  for (uint64_t lsn = 101; lsn < 601 && busy < absl::Milliseconds(200); lsn += 50) {
    busy = std::max(busy, takes(lsn, lsn + 49));
  }
  EXPECT_GE(busy, absl::Milliseconds(200)) << "some at once, and of those behind them only some every 50 ms";
  absl::SleepFor(absl::Milliseconds(500));
  absl::Duration quiet = absl::InfiniteDuration();  // The best of some: the machine may be busy, too.
  for (uint64_t lsn = 601; lsn < 621; lsn += 2) {
    quiet = std::min(quiet, takes(lsn, lsn + 1));
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_LT(quiet, absl::Milliseconds(20));
}

// Goal: a branch that was stopped is not shown as running until its silence is noticed.
TEST_F(HostTest, WhoIsStoppedByAPersonTellsTheOthers) {
  MakeLog();
  world_.With([&] { world_.hub_answer = absl::OkStatus(); });
  StartHost(true);
  const auto told = [&] {
    std::lock_guard<std::mutex> lock(world_.mutex);
    return !world_.told_state.empty();
  };
  Await([&](const DaemonStatus&) { return told(); });
  EXPECT_TRUE(host_->Stop(absl::Seconds(2)));
  world_.With([&] { EXPECT_EQ(world_.told_state, kShutDown); });
}

TEST_F(HostTest, StopsAtOnce) {
  MakeLog();
  StartHost(true);
  Await([](const DaemonStatus& s) { return s.engine.capture.status.ok(); });
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(host_->Stop(absl::Seconds(2)));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
}

}  // namespace
}  // namespace assay
