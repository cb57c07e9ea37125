// An engine over a log of its own, of which the test is the host: it feeds captured items and replies by hand, steps,
// and looks at calls and status.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/engine.h"
#include "engine/own_chain.h"
#include "tests/support/hand_clock.h"
#include "tests/support/temp_directory.h"

namespace assay {

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() {
    config_.branch_name = "mumbai";
    config_.branch_number = 1;
    file_ = LogFile::Open(path_, {}).value();
    own_ = OpenBranchLog(config_, file_.get(), &clock_, &random_).value();
    Restart();
  }
  // The daemon dies and comes back: what is not durable is gone.
  void Restart() {
    engine_.reset();
    file_.reset();
    file_ = LogFile::Open(path_, {}).value();
    engine_ = Engine::Open(config_, file_.get(), &clock_, &random_).value();
    under_way_.clear();
  }
  void UseHub() {
    config_.has_hub = true;
    Restart();
  }

  // Steps as long as there is something to do; `calls_` are those that are to be made.
  void Step() {
    for (int i = 0; i < 100; ++i) {
      const absl::Status status = engine_->Step();
      ASSERT_EQ(status, absl::OkStatus());
      for (Call& call : engine_->TakeCalls()) {
        const bool answered = std::holds_alternative<HubCall>(call.call) ||
                              !std::holds_alternative<DatabaseAbandon>(std::get<DatabaseCall>(call.call));
        EXPECT_FALSE(answered && under_way_.contains(call.lane)) << "a lane has one call at a time";
        under_way_.insert_or_assign(call.lane, std::move(call.call));
      }
      if (!engine_->HasWork()) return;
    }
    FAIL() << "it never comes to rest";
  }
  // The call under way of a lane, which is answered now.
  template <typename T>
  std::optional<T> Take(Lane lane) {
    const auto at = under_way_.find(lane);
    if (at == under_way_.end()) return std::nullopt;
    std::optional<T> out;
    if constexpr (std::is_constructible_v<HubCall, T>) {
      if (auto* call = std::get_if<HubCall>(&at->second); call != nullptr && std::holds_alternative<T>(*call))
        out = std::get<T>(std::move(*call));
    } else {
      if (auto* call = std::get_if<DatabaseCall>(&at->second); call != nullptr && std::holds_alternative<T>(*call))
        out = std::get<T>(std::move(*call));
    }
    if (out.has_value()) under_way_.erase(at);
    return out;
  }
  void Answer(Lane lane, HubReply reply) { engine_->OnHubReply(lane, std::move(reply), absl::ZeroDuration()); }
  // The hub opens the session and has nothing to give; both are asked for.
  void OpenSession() {
    Step();
    ASSERT_TRUE(Take<HubOpenSession>(Lane::kHubPush).has_value());
    Answer(Lane::kHubPush, absl::StatusOr<SessionReply>(SessionReply{SessionAnswer::kOpened, ++sessions_}));
    Step();
  }
  void AnswerPull() {
    ASSERT_TRUE(Take<HubPull>(Lane::kHubPull).has_value());
    PullReply reply;
    reply.heads.hub_time = clock_.now;
    Answer(Lane::kHubPull, absl::StatusOr<PullReply>(std::move(reply)));
    Step();
  }

  // ---- Capture ----

  static DatabaseEvidence Evidence() {
    return {.known = true,
            .slot_there = true,
            .slot_confirmed = {0x100},
            .flushed = {0x10000},
            .server = "cluster/5",
            .timeline = 1,
            .next_xid = 900,
            .batch = 0};
  }
  void StartCapture(DatabaseEvidence evidence) {
    evidence.origin = evidence.origin.value_or(own_);
    engine_->OnCaptureStarted(std::move(evidence));
  }
  void StartCapture() { StartCapture(Evidence()); }
  static CaptureItem Begins(uint64_t lsn) {
    return {.kind = CaptureItem::Kind::kBegin,
            .commit_lsn = {lsn},
            .commit_time_us = 1'700'000'000'000'000,
            .xid = static_cast<uint32_t>(lsn)};
  }
  CaptureItem Inserts(const std::string& key) {
    const TupleValue value{TupleValue::Kind::kText, *keys_.emplace_back(std::make_unique<std::string>(key))};
    return {.kind = CaptureItem::Kind::kInsert, .relation = items_, .new_tuple = {value}};
  }
  static CaptureItem Ends(uint64_t lsn) {
    return {.kind = CaptureItem::Kind::kCommit, .commit_lsn = {lsn}, .end_lsn = {lsn + 0x20}};
  }
  static CaptureItem Keepalive(uint64_t lsn, bool wants_reply = false) {
    return {.kind = CaptureItem::Kind::kKeepalive, .end_lsn = {lsn}, .wants_reply = wants_reply};
  }
  void Capture(std::vector<CaptureItem> items) {
    CaptureBatch batch;
    batch.items = std::move(items);
    engine_->OnCapture(std::move(batch));
  }
  // One committed INSERT.
  void Sell(uint64_t lsn, const std::string& key) { Capture({Begins(lsn), Inserts(key), Ends(lsn)}); }
  // Of its own chain, in a log that is opened anew.
  uint64_t DurableEvents() {
    const std::unique_ptr<LogFile> file = LogFile::Open(path_, {.read_only = true}).value();
    return EventLog::Open(file.get()).value()->Head(own_).last.value;
  }
  // The projection of nothing that each start asks for: read, fence, commit, echo.
  void LetTheFirstProjectionPass() {
    Step();
    const std::optional<DatabaseRead> read = Take<DatabaseRead>(Lane::kDatabase);
    ASSERT_TRUE(read.has_value());
    engine_->OnDatabaseReply(absl::StatusOr<ReadReply>(ReadReply{.session = 1}));
    fence_ = read->request.fence;
    Capture(
        {Begins(0x200), {.kind = CaptureItem::Kind::kMessage, .prefix = kFencePrefix, .content = fence_}, Ends(0x200)});
    Step();
    const std::optional<DatabaseProject> project = Take<DatabaseProject>(Lane::kDatabase);
    ASSERT_TRUE(project.has_value());
    engine_->OnDatabaseReply(ProjectReply{.outcome = ProjectReply::Outcome::kCommitted, .session = 1});
    tag_ = project->request.tag;
    Capture({Begins(0x240),
             {.kind = CaptureItem::Kind::kMessage, .prefix = kProjectionPrefix, .content = tag_},
             Ends(0x240)});
    Step();
  }

  test::TempDirectory directory_{"engine"};
  std::string path_ = directory_.path() + "/log.db";
  EngineConfig config_;
  test::HandClock clock_;
  test::CountingRandom random_;
  OriginId own_;
  std::unique_ptr<LogFile> file_;
  std::unique_ptr<Engine> engine_;
  std::map<Lane, std::variant<DatabaseCall, HubCall>> under_way_;
  uint64_t sessions_ = 0;
  std::shared_ptr<const TableShape> items_ =
      std::make_shared<TableShape>(TableShape{{"public", "items"}, {{"id", "text", true}}, {0}});
  std::vector<std::unique_ptr<std::string>> keys_;
  std::string fence_, tag_;
};

}  // namespace assay
