// A recorder over a log file of its own, fed with captured items made by hand: what the tests of the recorder have in
// common.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/capture/recorder.h"
#include "engine/own_chain.h"
#include "log/local_state/conflicts.h"
#include "log/local_state/local_state.h"
#include "log/local_state/unsettled_rows.h"
#include "tests/support/hand_clock.h"
#include "tests/support/temp_directory.h"

namespace assay {

class RecorderTest : public ::testing::Test {
 protected:
  class NoEcho : public ProjectionEcho {
   public:
    bool Claims(absl::string_view, HlcStamp*) override { return false; }
    bool Meant(const RowRef&, ChangeKind, const TableShape&, absl::Span<const TupleValue>) override { return false; }
    absl::Status Landed() override { return absl::OkStatus(); }
  };

  using Row = std::vector<ColumnText>;

  void SetUp() override {
    config_.branch_name = "mumbai-1";
    config_.branch_number = 1;
    Open();
  }
  void TearDown() override { recorder_.reset(); }

  void Open() {
    recorder_.reset();
    conflicts_.reset();
    unsettled_.reset();
    state_.reset();
    rows_.reset();
    names_.reset();
    log_.reset();
    file_ = LogFile::Open(folder_.path() + "/log.db", {}).value();
    auto opened = OpenBranchLog(config_, file_.get(), &clock_, &random_);
    ASSERT_TRUE(opened.ok() || absl::IsAlreadyExists(opened.status())) << opened.status();
    log_ = EventLog::Open(file_.get()).value();
    names_ = TableNames::Open(file_.get(), log_.get()).value();
    rows_ = RowVersionStore::Open(file_.get(), log_.get()).value();
    state_ = LocalState::Open(file_.get(), log_.get()).value();
    unsettled_ = UnsettledRows::Open(file_.get(), log_.get()).value();
    conflicts_ = Conflicts::Open(file_.get(), log_.get()).value();
    own_ = OwnOrigin(*state_).value();
    const Stores stores{log_.get(), names_.get(), rows_.get(), state_.get(), unsettled_.get(), conflicts_.get()};
    recorder_ = std::make_unique<Recorder>(config_, own_, stores, &clock_, &echo_);
    ASSERT_TRUE(recorder_->Load().ok());
    ASSERT_TRUE(file_->Begin().ok());
  }

  static std::vector<TupleValue> Tuple(const Row& row) {
    std::vector<TupleValue> tuple;
    for (const ColumnText& text : row) {
      tuple.push_back(text.has_value() ? TupleValue{TupleValue::Kind::kText, *text} : TupleValue{});
    }
    return tuple;
  }
  void Feed(CaptureItem item) { ASSERT_TRUE(recorder_->Record(item).ok()); }
  void Begin(uint64_t lsn, int64_t commit_ms = 1'700'000'000'000) {
    CaptureItem item;
    item.kind = CaptureItem::Kind::kBegin;
    item.commit_lsn = {lsn};
    item.commit_time_us = commit_ms * 1000;
    Feed(item);
  }
  void Commit(uint64_t lsn) {
    CaptureItem item;
    item.kind = CaptureItem::Kind::kCommit;
    item.commit_lsn = {lsn};
    item.end_lsn = {lsn + 8};
    Feed(item);
  }
  void Change(CaptureItem::Kind kind, const Row& old_row, const Row& new_row) {
    CaptureItem item;
    item.kind = kind;
    item.relation = shape_;
    item.old_tuple = Tuple(old_row);
    item.new_tuple = Tuple(new_row);
    Feed(item);
  }
  void ChangeTuples(CaptureItem::Kind kind, std::vector<TupleValue> before, std::vector<TupleValue> after) {
    CaptureItem item;
    item.kind = kind;
    item.relation = shape_;
    item.old_tuple = std::move(before);
    item.new_tuple = std::move(after);
    Feed(item);
  }
  // The stream describes the table anew.
  void Relation(ReplicaIdentity identity) {
    CaptureItem item;
    item.kind = CaptureItem::Kind::kRelation;
    item.relation = shape_;
    item.identity = identity;
    Feed(item);
  }
  static TupleValue Text(absl::string_view text) { return {TupleValue::Kind::kText, text}; }
  static inline const TupleValue kUnknown{TupleValue::Kind::kUnchanged, {}};
  void Insert(const Row& row) { Change(CaptureItem::Kind::kInsert, {}, row); }
  void Update(const Row& before, const Row& after) { Change(CaptureItem::Kind::kUpdate, before, after); }
  void Delete(const Row& row) { Change(CaptureItem::Kind::kDelete, row, {}); }

  std::vector<v1::Event> Events() {
    std::vector<v1::Event> events;
    EventReader reader = log_->Read(own_, Sequence{2});  // After the opening.
    for (;;) {
      const StoredEvent* stored = reader.Next().value();
      if (stored == nullptr) return events;
      events.emplace_back();
      EXPECT_TRUE(events.back().ParseFromArray(stored->bytes.data(), stored->bytes.size()));
    }
  }

  test::TempDirectory folder_{"recorder"};
  EngineConfig config_;
  test::HandClock clock_;
  test::CountingRandom random_;
  NoEcho echo_;
  std::shared_ptr<const TableShape> shape_ = std::make_shared<TableShape>(
      TableShape{{"public", "products"}, {{"id", "integer", true}, {"price", "numeric"}, {"stock", "integer"}}, {0}});
  std::unique_ptr<LogFile> file_;
  std::unique_ptr<EventLog> log_;
  std::unique_ptr<TableNames> names_;
  std::unique_ptr<RowVersionStore> rows_;
  std::unique_ptr<LocalState> state_;
  std::unique_ptr<UnsettledRows> unsettled_;
  std::unique_ptr<Conflicts> conflicts_;
  std::unique_ptr<Recorder> recorder_;
  OriginId own_;
};

}  // namespace assay
