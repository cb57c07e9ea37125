#include <grpcpp/grpcpp.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "adapters/grpc/admin_client.h"
#include "adapters/grpc/admin_server.h"
#include "adapters/grpc/admin_service.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "log/row_versions/row_ref.h"
#include "proto/admin.grpc.pb.h"
#include "tests/adapters/grpc/scripted_operator.h"
#include "tests/support/origins.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

namespace pb = admin::v1;
using test::ScriptedOperator;
using test::SmallLog;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AdminTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<AdminServer>> server = AdminServer::Start({.listen = address_}, &daemon_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    absl::StatusOr<std::unique_ptr<pb::Admin::Stub>> stub = ConnectAdmin({.address = address_});
    ASSERT_TRUE(stub.ok()) << stub.status();
    stub_ = *std::move(stub);
  }

  template <typename Request, typename Reply>
  absl::Status Call(grpc::Status (pb::Admin::Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                    const Request& request, Reply* reply) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    return FromGrpc((stub_.get()->*method)(&context, request, reply));
  }

  absl::StatusOr<std::vector<pb::LogEvent>> List(const pb::ListEventsRequest& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    auto reader = stub_->ListEvents(&context, request);
    std::vector<pb::LogEvent> out;
    pb::LogEvent event;
    while (reader->Read(&event)) out.push_back(event);
    const absl::Status status = FromGrpc(reader->Finish());
    if (!status.ok()) return status;
    return out;
  }
  // "mumbai/3" for each.
  static std::vector<std::string> Names(const std::vector<pb::LogEvent>& events) {
    std::vector<std::string> out;
    for (const pb::LogEvent& event : events) out.push_back(absl::StrCat(event.branch(), "/", event.sequence()));
    return out;
  }

  test::TempDirectory directory_{"admin"};
  const std::string address_ = absl::StrCat("unix:", directory_.path(), "/run/a.sock");
  SmallLog log_{directory_.path() + "/log.db"};
  ScriptedOperator daemon_{directory_.path() + "/log.db"};
  std::unique_ptr<AdminServer> server_;
  std::unique_ptr<pb::Admin::Stub> stub_;
};

TEST_F(AdminTest, StatusSaysWhatIsWrongSinceWhenAndWhenItIsTriedAgain) {
  daemon_.Set([](DaemonStatus& status) {
    status.engine.has_hub = true;
    status.state = "offline";
    status.problems = {{.kind = ProblemKind::kHubUnreachable,
                        .subject = "mumbai\xff",
                        .cause = "nobody answers there",
                        .detail = "no route to host",
                        .since = absl::FromUnixSeconds(100),
                        .next_try = absl::FromUnixSeconds(160)},
                       {.kind = ProblemKind::kRowsWait, .count = 2}};
    status.engine.hub_push = {absl::UnavailableError("no route to host"), absl::FromUnixSeconds(100),
                              absl::FromUnixSeconds(160), 3};
    OriginStatus own{.branch_name = "mumbai", .own = true, .head = {7}};
    own.origin.bytes.fill(0xaa);
    status.engine.origins = {own};
  });
  pb::Status status;
  ASSERT_TRUE(Call(&pb::Admin::Stub::GetStatus, pb::GetStatusRequest(), &status).ok());
  EXPECT_EQ(status.state(), "offline");
  ASSERT_EQ(status.problems_size(), 2);
  const pb::Problem& problem = status.problems(0);
  EXPECT_EQ(problem.kind(), "hub-unreachable");
  EXPECT_EQ(problem.severity(), pb::Problem::WARN);
  EXPECT_EQ(problem.subject(), "mumbai\xEF\xBF\xBD") << "somebody's bytes";
  EXPECT_EQ(problem.sentence(), "The hub cannot be reached: nobody answers there.");
  EXPECT_EQ(problem.detail(), "no route to host");
  EXPECT_THAT(problem.remedy(), HasSubstr("`assay sync now`"));
  EXPECT_EQ(problem.since().seconds(), 100);
  EXPECT_EQ(problem.next_try().seconds(), 160);
  EXPECT_FALSE(status.problems(1).has_next_try());
  EXPECT_EQ(status.sentence().tone(), pb::Sentence::WARN);
  EXPECT_THAT(status.sentence().headline(), HasSubstr("Offline since "));
  EXPECT_THAT(status.sentence().line(), HasSubstr("1 more thing is wrong."));
  EXPECT_FALSE(status.push().ok());
  EXPECT_EQ(status.push().code(), "UNAVAILABLE");
  EXPECT_EQ(status.push().message(), "no route to host");
  EXPECT_EQ(status.push().since().seconds(), 100);
  EXPECT_EQ(status.push().next_try().seconds(), 160);
  EXPECT_FALSE(status.has_last_pull()) << "never happened";
  EXPECT_EQ(status.origins(0).head(), 7u);
}

TEST_F(AdminTest, TheStatusSaysWhenTheTablesWereComparedAndWhatThatCovered) {
  auto checked = std::make_shared<CheckedTables>();
  (*checked)["public.t"] = {.ended_ms = 2'000, .rows = 5, .cells = 15, .differing = 1};
  (*checked)["public.u"] = {};
  daemon_.Set([&](DaemonStatus& status) { status.engine.checked = checked; });
  pb::Status status;
  ASSERT_TRUE(Call(&pb::Admin::Stub::GetStatus, pb::GetStatusRequest(), &status).ok());
  EXPECT_EQ(status.verification().tables(), 2u);
  EXPECT_EQ(status.verification().compared(), 1u);
  EXPECT_FALSE(status.verification().has_oldest()) << "one never was";
  EXPECT_EQ(status.verification().newest().seconds(), 2);
  EXPECT_EQ(status.verification().differing_rows(), 1u);
  checked = std::make_shared<CheckedTables>(*checked);
  (*checked)["public.u"] = {.ended_ms = 1'000, .rows = 5, .cells = 5};
  daemon_.Set([&](DaemonStatus& s) {
    s.engine.checked = checked;
    s.check = {.under_way = true, .table = "public.u", .rows = 3, .tables_done = 1, .tables = 2};
  });
  ASSERT_TRUE(Call(&pb::Admin::Stub::GetStatus, pb::GetStatusRequest(), &status).ok());
  EXPECT_EQ(status.verification().oldest().seconds(), 1);
  EXPECT_EQ(status.verification().rows(), 10u);
  EXPECT_EQ(status.verification().table(), "public.u");
}

TEST_F(AdminTest, TablesAreVerifiedAndTheLastMessageHasWhatWasFound) {
  auto checked = std::make_shared<CheckedTables>();
  CheckedTable& found = (*checked)["public.t"];
  found = {.ended_ms = 2'000, .rows = 5, .differing = 2};
  found.cells_listed = {{EncodeKey(std::vector<std::string>{"7"}), "v", "a", std::nullopt},
                        {EncodeKey(std::vector<std::string>{"8"}), "", std::nullopt, "present"}};
  (*checked)["public.u"] = {.ended_ms = 1'000, .rows = 5};
  daemon_.Set([&](DaemonStatus& status) {
    status.engine.checked = checked;
    status.check.ended = 1;
  });
  pb::VerifyTablesRequest request;
  request.add_tables("public.t");
  grpc::ClientContext context;
  auto reader = stub_->VerifyTables(&context, request);
  pb::VerifyTablesProgress progress;
  while (reader->Read(&progress)) {
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(progress.done());
  EXPECT_THAT(daemon_.commands(), ElementsAre("check public.t"));
  ASSERT_EQ(progress.verified_size(), 1) << "nobody asked for the other";
  const pb::VerifiedTable& table = progress.verified(0);
  EXPECT_EQ(table.differing_rows(), 2u);
  ASSERT_EQ(table.cells_listed_size(), 2);
  EXPECT_EQ(table.cells_listed(0).key(0), "7");
  EXPECT_EQ(table.cells_listed(0).here().text(), "a");
  EXPECT_TRUE(table.cells_listed(0).log().is_null());
  EXPECT_FALSE(table.cells_listed(1).has_here());
  EXPECT_EQ(table.cells_listed(1).log().text(), "present");
  request.set_tables(0, "no dot");
  grpc::ClientContext again;
  EXPECT_EQ(stub_->VerifyTables(&again, request)->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(AdminTest, ProgressIsToldWhileAStageCatchesUpWithRateAndTimeLeftOnceTheyAreKnown) {
  daemon_.Set([](DaemonStatus& status) {
    status.engine.has_hub = true;
    status.push = {.done = 47, .total = 100, .events_per_second = 10};
    status.pull = {.done = 0, .total = 100};
    status.projection = {};
  });
  pb::Status status;
  ASSERT_TRUE(Call(&pb::Admin::Stub::GetStatus, pb::GetStatusRequest(), &status).ok());
  EXPECT_EQ(status.push_progress().done(), 47u);
  EXPECT_EQ(status.push_progress().total(), 100u);
  EXPECT_EQ(status.push_progress().events_per_second(), 10);
  EXPECT_EQ(status.push_progress().time_left().seconds(), 6)
      << "53 events, and no second is promised that is not whole";
  EXPECT_EQ(status.pull_progress().total(), 100u);
  EXPECT_EQ(status.pull_progress().events_per_second(), 0);
  EXPECT_FALSE(status.pull_progress().has_time_left()) << "nothing moves";
  EXPECT_FALSE(status.has_projection_progress()) << "nothing to do";

  daemon_.Set([](DaemonStatus& s) { s.engine_link.status = absl::ResourceExhaustedError("log disk full"); });
  ASSERT_TRUE(Call(&pb::Admin::Stub::GetStatus, pb::GetStatusRequest(), &status).ok());
  EXPECT_EQ(status.push_progress().done(), 47u);
  EXPECT_EQ(status.push_progress().events_per_second(), 0) << "nothing moves without an engine";
  EXPECT_FALSE(status.push_progress().has_time_left());
}

TEST_F(AdminTest, WithoutAnEngineTheStateIsStopped) {
  daemon_.Set([](DaemonStatus& status) {
    status.state = "stopped";
    status.engine_link = {absl::ResourceExhaustedError("log disk full")};
    status.problems = {{.kind = ProblemKind::kDiskFull, .subject = "/log.db", .detail = "log disk full"}};
    status.engine.problems = {{.kind = ProblemKind::kRowsWait, .count = 2}};
  });
  pb::Status status;
  ASSERT_TRUE(Call(&pb::Admin::Stub::GetStatus, pb::GetStatusRequest(), &status).ok());
  EXPECT_EQ(status.state(), "stopped");
  EXPECT_EQ(status.engine().message(), "log disk full");
  // People read the problems; without this one they would be told that all is well. What the engine said before it
  // went is nobody's news.
  ASSERT_EQ(status.problems_size(), 1);
  EXPECT_EQ(status.problems(0).kind(), "disk-full");
  EXPECT_EQ(status.problems(0).detail(), "log disk full");
  EXPECT_EQ(status.sentence().tone(), pb::Sentence::BAD);
  EXPECT_THAT(status.sentence().headline(), HasSubstr("The disk of /log.db is full"));
}

TEST_F(AdminTest, WatchSendsEachChangeAndEndsWithTheClient) {
  grpc::ClientContext context;
  pb::WatchStatusRequest request;
  request.mutable_interval()->set_nanos(100'000'000);
  auto reader = stub_->WatchStatus(&context, request);
  pb::Status status;
  ASSERT_TRUE(reader->Read(&status));
  EXPECT_EQ(status.state(), "running");
  daemon_.Set([](DaemonStatus& s) { s.state = "paused"; });
  ASSERT_TRUE(reader->Read(&status));
  EXPECT_EQ(status.state(), "paused");
  context.TryCancel();
  EXPECT_FALSE(reader->Read(&status));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

// Goal: whoever watches goes on with the daemon that comes after this one, and takes no list that was cut for whole.
TEST_F(AdminTest, AStreamThatTheDaemonEndsSaysThatItIsWorthAnotherTry) {
  grpc::ClientContext watch, tail;
  auto statuses = stub_->WatchStatus(&watch, {});
  auto events = stub_->TailEvents(&tail, {});
  events->WaitForInitialMetadata();
  pb::Status status;
  ASSERT_TRUE(statuses->Read(&status));
  std::thread stop([&] { server_ = nullptr; });
  while (statuses->Read(&status)) {
  }
  pb::LogEvent event;
  EXPECT_FALSE(events->Read(&event));
  EXPECT_EQ(statuses->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(events->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  stop.join();
}

TEST_F(AdminTest, NoStageOfAHaltedOrStoppedBranchIsWorking) {
  daemon_.Set([](DaemonStatus& status) {
    status.engine.has_hub = true;
    status.state = status.engine.state = "halted";
  });
  pb::Status status;
  ASSERT_TRUE(Call(&pb::Admin::Stub::GetStatus, pb::GetStatusRequest(), &status).ok());
  for (const pb::Link* stage : {&status.capture(), &status.projection(), &status.push(), &status.pull()}) {
    EXPECT_FALSE(stage->ok());
    EXPECT_THAT(stage->message(), HasSubstr("halted"));
  }
  daemon_.Set([](DaemonStatus& status) {
    status.engine.state = "running";
    status.engine_link = {absl::ResourceExhaustedError("no room on the disk")};
  });
  ASSERT_TRUE(Call(&pb::Admin::Stub::GetStatus, pb::GetStatusRequest(), &status).ok());
  EXPECT_THAT(status.capture().message(), HasSubstr("no room"));
}

// Goal: one zone a screen, also in the daemon's own words.
TEST_F(AdminTest, TheSentencesTimesAreInUtcForWhoAsksForThat) {
  ASSERT_EQ(setenv("TZ", "Asia/Kolkata", 1), 0);
  const absl::Time since = absl::Now() - absl::Minutes(1);
  daemon_.Set([&](DaemonStatus& status) {
    status.engine.has_hub = true;
    status.state = "offline";
    status.problems = {{.kind = ProblemKind::kHubUnreachable, .cause = "nobody answers", .since = since},
                       {.kind = ProblemKind::kCommitAhead, .cause = "2099-01-01 20:00 UTC"}};
    status.as_of = absl::Now();
  });
  pb::GetStatusRequest request;
  request.set_utc(true);
  pb::Status status;
  ASSERT_TRUE(Call(&pb::Admin::Stub::GetStatus, request, &status).ok());
  EXPECT_THAT(status.sentence().headline(), HasSubstr(absl::FormatTime("%H:%M", since, absl::UTCTimeZone())));
  EXPECT_THAT(status.problems(1).sentence(), HasSubstr("said 2099-01-01 20:00 UTC"));
  ASSERT_TRUE(Call(&pb::Admin::Stub::GetStatus, pb::GetStatusRequest(), &status).ok());
  EXPECT_THAT(status.sentence().headline(), HasSubstr(absl::FormatTime("%H:%M", since, absl::LocalTimeZone())));
  EXPECT_THAT(status.problems(1).sentence(), HasSubstr("said 2099-01-02 01:30 IST"));
  unsetenv("TZ");
}

TEST_F(AdminTest, CommandsReachTheDaemonAndItsErrorsComeBack) {
  pb::PauseReply paused;
  pb::ResumeReply resumed;
  pb::SetIntervalReply set;
  pb::SetIntervalRequest interval;
  interval.mutable_interval()->set_seconds(300);
  EXPECT_TRUE(Call(&pb::Admin::Stub::Pause, pb::PauseRequest(), &paused).ok());
  EXPECT_TRUE(Call(&pb::Admin::Stub::Resume, pb::ResumeRequest(), &resumed).ok());
  EXPECT_TRUE(Call(&pb::Admin::Stub::SetInterval, interval, &set).ok());
  EXPECT_THAT(daemon_.commands(), ElementsAre("pause", "resume", "interval 5m"));
  daemon_.AnswerWith(absl::UnavailableError("stopped: disk full"));
  EXPECT_EQ(Call(&pb::Admin::Stub::Pause, pb::PauseRequest(), &paused), absl::UnavailableError("stopped: disk full"));
  interval.mutable_interval()->set_seconds(-1);
  EXPECT_TRUE(absl::IsInvalidArgument(Call(&pb::Admin::Stub::SetInterval, interval, &set)));
}

TEST_F(AdminTest, EventsAreStreamedAndOneIsGivenWhole) {
  const std::string large(2000, 'x');
  const Sequence written = log_.Write(log_.mumbai(), v1::RowChange::INSERT, "7", {{{}, large}, {{}, "100"}}, "asha");
  pb::ListEventsRequest list;
  list.set_table("public.items");
  list.add_key("7");
  absl::StatusOr<std::vector<pb::LogEvent>> events = List(list);
  ASSERT_TRUE(events.ok()) << events.status();
  EXPECT_THAT(Names(*events), ElementsAre("mumbai/3"));
  EXPECT_EQ((*events)[0].columns(0).new_value().cut_from(), large.size()) << "a list is for looking through";
  pb::GetEventRequest get;
  get.set_origin("mumbai");
  get.set_sequence(written.value);
  pb::LogEvent event;
  ASSERT_TRUE(Call(&pb::Admin::Stub::GetEvent, get, &event).ok());
  EXPECT_EQ(event.columns(0).new_value().text(), large);
}

TEST_F(AdminTest, RequestsThatMakeNoSenseSayWhy) {
  pb::ListEventsRequest request;
  request.set_table("items");
  EXPECT_TRUE(absl::IsInvalidArgument(List(request).status()));
  EXPECT_THAT(std::string(List(request).status().message()), HasSubstr("write schema.table"));
  pb::LogEvent event;
  EXPECT_TRUE(absl::IsInvalidArgument(Call(&pb::Admin::Stub::GetEvent, pb::GetEventRequest(), &event)));
}

TEST_F(AdminTest, TailShowsWhatIsAppendedFromNowOn) {
  log_.Park("7", "so that the log knows the table");
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  pb::TailEventsRequest request;
  request.set_table("public.items");
  auto reader = stub_->TailEvents(&context, request);
  reader->WaitForInitialMetadata();
  log_.Write(log_.delhi(), v1::RowChange::DELETE, "9", {{"a", {}}, {"1", {}}});
  log_.Write(log_.mumbai(), v1::RowChange::INSERT, "9", {{{}, "b"}, {{}, "2"}});
  daemon_.Set([](DaemonStatus&) {});
  pb::LogEvent event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.operation(), "DELETE");
  EXPECT_EQ(event.columns(0).old_value().text(), "a");
  EXPECT_FALSE(event.columns(0).has_new_value());
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.operation(), "INSERT");
}

TEST_F(AdminTest, ParkedRowsAreListedWithTheirCauseAndRetried) {
  log_.Park("7", "duplicate key");
  log_.Park("8", "no such column");
  pb::ListParkedReply parked;
  ASSERT_TRUE(Call(&pb::Admin::Stub::ListParked, pb::ListParkedRequest(), &parked).ok());
  ASSERT_EQ(parked.rows_size(), 2);
  EXPECT_EQ(parked.total(), 2);
  EXPECT_EQ(parked.rows(0).table(), "public.items");
  EXPECT_EQ(parked.rows(0).key(0), "7");
  EXPECT_EQ(parked.rows(0).cause(), "duplicate key");
  EXPECT_EQ(parked.rows(0).branch(), "delhi");
  EXPECT_EQ(parked.rows(0).next_try().nanos(), 500'000'000) << "half a second after the first failure";
  pb::RetryParkedRequest retry;
  pb::RetryParkedReply retried;
  retry.set_table("public.items");
  ASSERT_TRUE(Call(&pb::Admin::Stub::RetryParked, retry, &retried).ok());
  EXPECT_EQ(retried.rows(), 2);
  EXPECT_THAT(daemon_.commands(), ElementsAre("retry public.items"));
}

TEST_F(AdminTest, RowsAreForgottenByTableOrByKeyAndNoneIsAnError) {
  log_.Park("7", "no such table");
  log_.Park("8", "no such table");
  pb::ForgetParkedRequest forget;
  pb::ForgetParkedReply forgotten;
  EXPECT_TRUE(absl::IsInvalidArgument(Call(&pb::Admin::Stub::ForgetParked, forget, &forgotten)));
  forget.set_table("public.other");
  const absl::Status none = Call(&pb::Admin::Stub::ForgetParked, forget, &forgotten);
  EXPECT_TRUE(absl::IsInvalidArgument(none)) << none;
  EXPECT_THAT(std::string(none.message()), HasSubstr("the log has no table public.other"));
  forget.set_table("public.items");
  forget.add_key("9");
  EXPECT_TRUE(absl::IsNotFound(Call(&pb::Admin::Stub::ForgetParked, forget, &forgotten)));
  forget.set_key(0, "8");
  ASSERT_TRUE(Call(&pb::Admin::Stub::ForgetParked, forget, &forgotten).ok());
  EXPECT_EQ(forgotten.rows(), 1);
  forget.clear_key();
  ASSERT_TRUE(Call(&pb::Admin::Stub::ForgetParked, forget, &forgotten).ok());
  EXPECT_EQ(forgotten.rows(), 2);
  EXPECT_THAT(daemon_.commands(), ElementsAre("forget public.items 8", "forget public.items"));
}

TEST_F(AdminTest, ConflictsAreListed) {
  const Sequence winner = log_.Write(log_.mumbai(), v1::RowChange::UPDATE, "7", {{"a", "a"}, {"1", "100"}}, "asha");
  const Sequence loser = log_.Write(log_.delhi(), v1::RowChange::UPDATE, "7", {{"a", "a"}, {"1", "90"}}, "ravi");
  log_.AddConflict("7", winner, loser);
  pb::ListConflictsReply reply;
  ASSERT_TRUE(Call(&pb::Admin::Stub::ListConflicts, pb::ListConflictsRequest(), &reply).ok());
  ASSERT_EQ(reply.conflicts_size(), 1);
  EXPECT_EQ(reply.conflicts(0).winner().who(), "asha");
}

TEST_F(AdminTest, SyncNowIsFollowedUntilAllIsAtTheHubAndInTheDatabase) {
  OriginStatus own{.own = true, .head = {10}, .complete = {10}, .hub_head = {4}, .projected = {10}};
  own.origin = log_.mumbai();
  OriginStatus other{.head = {5}, .complete = {5}, .hub_head = {5}, .projected = {5}};
  other.origin = log_.delhi();
  daemon_.Set([&](DaemonStatus& status) {
    status.engine.has_hub = true;
    status.engine.origins = {own, other};
  });
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  auto reader = stub_->SyncNow(&context, pb::SyncNowRequest());
  pb::SyncProgress progress;
  ASSERT_TRUE(reader->Read(&progress));
  EXPECT_EQ(progress.pushed(), 0u);
  EXPECT_EQ(progress.push_total(), 6u);
  EXPECT_FALSE(progress.has_time_left()) << "the hub has not told yet what else there is";
  EXPECT_FALSE(progress.done());
  daemon_.Set([&](DaemonStatus& status) {
    status.engine.last_pull = absl::Now();
    status.engine.origins[0].hub_head = {10};
    status.engine.origins[1].hub_head = {9};
    status.engine.origins[1].head = {9};
    status.engine.origins[1].projected = {7};
    status.pull.events_per_second = 30;
    status.projection.events_per_second = 0.5;
  });
  ASSERT_TRUE(reader->Read(&progress));
  EXPECT_EQ(progress.pushed(), 6u);
  EXPECT_EQ(progress.pulled(), 4u);
  EXPECT_EQ(progress.projected(), 2u);
  EXPECT_EQ(progress.projected_total(), 4u);
  EXPECT_EQ(progress.pulled_per_second(), 0) << "that stage is through";
  EXPECT_EQ(progress.projected_per_second(), 0.5);
  EXPECT_EQ(progress.time_left().seconds(), 4) << "the slowest stage counts";
  EXPECT_FALSE(progress.done());
  daemon_.Set([&](DaemonStatus& status) { status.engine.origins[1].projected = {9}; });
  ASSERT_TRUE(reader->Read(&progress));
  EXPECT_TRUE(progress.done());
  EXPECT_FALSE(reader->Read(&progress));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(AdminTest, SyncNowEndsWithTheErrorOfItsOwnTryNotOfAnEarlierOne) {
  const auto finish = [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    auto reader = stub_->SyncNow(&context, pb::SyncNowRequest());
    pb::SyncProgress progress;
    if (reader->Read(&progress)) {
      daemon_.Set([](DaemonStatus& status) { ++status.engine.hub_pull.failures; });
      while (reader->Read(&progress)) {
      }
    }
    return FromGrpc(reader->Finish());
  };
  EXPECT_THAT(std::string(finish().message()), HasSubstr("no hub is configured"));
  daemon_.Set([](DaemonStatus& status) {
    status.engine.has_hub = true;
    status.engine.hub_pull = {absl::UnavailableError("no route to host"), absl::FromUnixSeconds(1),
                              absl::FromUnixSeconds(2), 3};
  });
  EXPECT_EQ(finish(), absl::UnavailableError("pull: no route to host"));
  daemon_.Set([](DaemonStatus& status) { status.engine.paused = true; });
  EXPECT_TRUE(absl::IsFailedPrecondition(finish()));
}

TEST_F(AdminTest, SyncNowSaysThatABranchWhichCannotGoOnIsNotInStep) {
  const auto finish = [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    auto reader = stub_->SyncNow(&context, pb::SyncNowRequest());
    pb::SyncProgress progress;
    while (reader->Read(&progress)) {
    }
    return FromGrpc(reader->Finish());
  };
  const auto in = [&](absl::string_view state, ProblemKind kind) {
    daemon_.Set([&](DaemonStatus& status) {
      status.engine.has_hub = true;
      status.engine.last_pull = absl::Now() + absl::Minutes(1);
      status.state = std::string(state);
      status.problems = {{.kind = kind}};
    });
  };
  in("halted", ProblemKind::kGap);
  absl::Status answer = finish();
  EXPECT_TRUE(absl::IsFailedPrecondition(answer)) << answer;
  EXPECT_THAT(std::string(answer.message()), AllOf(HasSubstr("not in step: Some changes"), HasSubstr("assay repair")));
  in("stopped", ProblemKind::kDatabaseAway);
  answer = finish();
  EXPECT_TRUE(absl::IsFailedPrecondition(answer)) << answer;
  EXPECT_THAT(std::string(answer.message()), HasSubstr("not in step: PostgreSQL cannot be reached"));
  in("running", ProblemKind::kHubHintsMissing);
  EXPECT_TRUE(finish().ok());
}

TEST_F(AdminTest, BranchesShowWhoIsOnlineAndHowFarBehind) {
  daemon_.Set([&](DaemonStatus& status) {
    status.as_of = absl::FromUnixSeconds(10'000);
    status.engine.origin = log_.mumbai();
    status.engine.hub_interval = absl::Minutes(5);
    OriginStatus own{.own = true, .head = {100}};
    own.origin = log_.mumbai();
    OriginStatus other{.head = {40}, .hub_head = {50}, .projected = {40}};
    other.origin = log_.delhi();
    status.engine.origins = {own, other};
    BranchPresence delhi{{.name = "delhi", .number = 2, .origin = log_.delhi(), .head = {50}, .state = "running"}};
    delhi.report.written = 93;
    delhi.last_seen = absl::FromUnixSeconds(10'000 - 200);
    BranchPresence mumbai{{.name = "mumbai", .number = 1, .origin = log_.mumbai(), .head = {100}}};
    mumbai.report.written = 40;
    mumbai.last_seen = absl::FromUnixSeconds(9'990);
    BranchPresence pune{{.name = "pune", .number = 3, .origin = test::Origin(7), .state = "shut-down"}};
    pune.last_seen = absl::FromUnixSeconds(9'990);
    status.engine.branches = {delhi, mumbai, pune};
  });
  pb::ListBranchesReply reply;
  ASSERT_TRUE(Call(&pb::Admin::Stub::ListBranches, pb::ListBranchesRequest(), &reply).ok());
  ASSERT_EQ(reply.branches_size(), 3);
  EXPECT_EQ(reply.branches(0).name(), "mumbai");
  EXPECT_TRUE(reply.branches(0).self());
  EXPECT_TRUE(reply.branches(0).online());
  EXPECT_EQ(reply.branches(0).behind(), 10u);
  EXPECT_FALSE(reply.branches(1).online()) << "not heard for minutes, however seldom it looks";
  EXPECT_FALSE(reply.branches(2).online()) << "it has said so";
  EXPECT_EQ(reply.branches(1).behind(), 7u);
  EXPECT_EQ(reply.branches(1).unreceived(), 10u);
}

// Goal: the numbers of all branches come from the hub when somebody looks, and not twice a minute.
TEST_F(AdminTest, WhoListsTheBranchesIsShownThemAsTheHubHasThemNow) {
  const auto told = [&](const std::string& state, absl::Time at) {
    daemon_.Set([&](DaemonStatus& status) {
      status.engine.has_hub = true;
      status.engine.origin = log_.mumbai();
      status.engine.branches = {{.report = {.name = "delhi", .number = 2, .origin = log_.delhi(), .state = state}}};
      status.engine.branches_whole_heard = at;
    });
  };
  told("running", absl::Now() - absl::Hours(1));
  std::thread hub([&] {
    while (daemon_.commands().empty()) absl::SleepFor(absl::Milliseconds(5));
    told("halted", absl::Now());
  });
  pb::ListBranchesReply reply;
  ASSERT_TRUE(Call(&pb::Admin::Stub::ListBranches, pb::ListBranchesRequest(), &reply).ok());
  hub.join();
  EXPECT_EQ(reply.branches(0).number() == 2 ? reply.branches(0).state() : reply.branches(1).state(), "halted");
  ASSERT_TRUE(Call(&pb::Admin::Stub::ListBranches, pb::ListBranchesRequest(), &reply).ok());
  EXPECT_THAT(daemon_.commands(), testing::ElementsAre("ask about all")) << "what came a moment ago is shown again";
}

}  // namespace
}  // namespace assay
