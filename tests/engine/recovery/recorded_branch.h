// A branch of which tests of recovery have the log alone: what its shop committed is recorded, and others may pull it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/own_chain.h"
#include "engine/recovery/reconcile.h"
#include "tests/support/hand_clock.h"
#include "tests/support/temp_directory.h"

namespace assay::test {

inline constexpr int64_t kNowMs = 1'700'000'000'000;

class NoEcho : public ProjectionEcho {
 public:
  bool Claims(absl::string_view, HlcStamp*) override { return false; }
  bool Meant(const RowRef&, ChangeKind, const TableShape&, absl::Span<const TupleValue>) override { return false; }
  absl::Status Landed() override { return absl::OkStatus(); }
};

class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : value_(seed) {}
  uint64_t Next() override { return value_ += 0x9e3779b97f4a7c15; }

 private:
  uint64_t value_;
};

using Row = std::vector<ColumnText>;

inline std::vector<TupleValue> Tuple(const Row& row) {
  std::vector<TupleValue> tuple;
  for (const ColumnText& text : row) {
    tuple.push_back(text.has_value() ? TupleValue{TupleValue::Kind::kText, *text} : TupleValue{});
  }
  return tuple;
}

inline std::shared_ptr<TableShape> Products() {
  auto shape = std::make_shared<TableShape>();
  shape->name = {"public", "products"};
  shape->columns = {{"id", "integer", true, false}, {"v", "text", false, false}, {"w", "text", false, false}};
  shape->key = {0};
  return shape;
}

// A log of its own with everything over it, inside one open transaction. What it commits is made by a Recorder.
class RecordedBranch {
 public:
  explicit RecordedBranch(uint32_t number) {
    config_.branch_name = absl::StrCat("branch-", number);
    config_.branch_number = number;
    config_.signing_key = key;
    file = LogFile::Open(log_path(), {}).value();
    SeededRandom random(number);
    own = OpenBranchLog(config_, file.get(), &clock_, &random).value();
    log = EventLog::Open(file.get()).value();
    names = TableNames::Open(file.get(), log.get()).value();
    rows = RowVersionStore::Open(file.get(), log.get()).value();
    state = LocalState::Open(file.get(), log.get()).value();
    unsettled = UnsettledRows::Open(file.get(), log.get()).value();
    conflicts = Conflicts::Open(file.get(), log.get()).value();
    recorder = std::make_unique<Recorder>(config_, own, stores(), &clock_, &echo_);
    EXPECT_TRUE(recorder->Load().ok());
    EXPECT_TRUE(file->Begin().ok());
  }
  std::string log_path() const { return folder_.path() + "/log.db"; }
  ~RecordedBranch() {
    file->Rollback();
    recorder.reset();
  }

  void Record(CaptureItem::Kind kind, const Row& old_row, const Row& new_row, int64_t commit_ms = kNowMs) {
    CaptureItem item;
    item.kind = CaptureItem::Kind::kBegin;
    item.commit_lsn = {++lsn_};
    item.commit_time_us = commit_ms * 1000;
    ASSERT_TRUE(recorder->Record(item).ok());
    item.kind = kind;
    item.relation = shape;
    item.old_tuple = Tuple(old_row);
    item.new_tuple = Tuple(new_row);
    ASSERT_TRUE(recorder->Record(item).ok());
    item.kind = CaptureItem::Kind::kCommit;
    ASSERT_TRUE(recorder->Record(item).ok());
  }
  void Insert(const Row& row, int64_t commit_ms = kNowMs) { Record(CaptureItem::Kind::kInsert, {}, row, commit_ms); }
  void Update(const Row& before, const Row& after, int64_t commit_ms = kNowMs) {
    Record(CaptureItem::Kind::kUpdate, before, after, commit_ms);
  }
  void Delete(const Row& row) { Record(CaptureItem::Kind::kDelete, row, {}); }

  // An update of row `key` that names column `ordinal` without its value, as one too large for an event.
  void AppendUpdateWithoutValue(const std::string& key, uint32_t ordinal) {
    v1::RowChange row;
    row.set_operation(v1::RowChange::UPDATE);
    row.set_schema(2);
    row.add_key(key);
    row.add_columns()->set_ordinal(ordinal);
    AppendRow(row);
  }
  // As no recorder would make it.
  void AppendRow(const v1::RowChange& row) {
    v1::Event event;
    event.set_origin(std::string(own.AsBytes()));
    event.set_sequence(log->Head(own).last.value + 1);
    event.set_stamp(log->Head(own).complete_stamp.value + 1);
    event.set_transaction_first(event.sequence());
    event.set_ends_transaction(true);
    event.mutable_transaction();
    *event.mutable_row() = row;
    ASSERT_TRUE(log->Append(event, shape->name.ToString(), event.SerializeAsString()).ok());
  }

  void PullFrom(RecordedBranch& other) {
    ASSERT_TRUE(other.file->Commit().ok());
    ASSERT_TRUE(other.file->Begin().ok());
    for (const OriginId& origin : other.log->Origins()) {
      while (true) {
        auto segments = other.log->ReadSegments(origin, log->Head(origin).last.Next(), 1 << 20, true);
        ASSERT_TRUE(segments.ok()) << segments.status();
        if (segments->empty()) break;
        for (const Segment& segment : *segments) ASSERT_TRUE(log->AppendPulled(segment).ok());
      }
    }
  }

  Stores stores() const { return {log.get(), names.get(), rows.get(), state.get(), unsettled.get(), conflicts.get()}; }
  Reconciler::Parts Parts() { return {log.get(), names.get(), rows.get(), unsettled.get(), recorder.get()}; }
  // The fold of all that is here; what is recorded from now on beats it, as `assay init` and `assay repair` see to.
  std::unique_ptr<FoldIndex> Fold(const FoldIndex::Visitor& visit = nullptr) {
    auto fold = FoldIndex::Build(file.get(), stores(), &clock_, visit).value();
    EXPECT_TRUE(state->Write(kClockNote, std::max(state->Read(kClockNote).value(), fold->newest())).ok());
    EXPECT_TRUE(recorder->Load().ok());
    return fold;
  }

  std::vector<v1::Event> Events() {
    std::vector<v1::Event> events;
    EventReader reader = log->Read(own, Sequence{2});
    while (const StoredEvent* stored = reader.Next().value()) {
      events.emplace_back();
      EXPECT_TRUE(events.back().ParseFromArray(stored->bytes.data(), static_cast<int>(stored->bytes.size())));
    }
    return events;
  }
  std::vector<v1::Event> RowEvents() {
    std::vector<v1::Event> events = Events();
    std::erase_if(events, [](const v1::Event& event) { return !event.has_row(); });
    return events;
  }
  RowRef Ref(const std::string& key) {
    return RowOf(names->IdOf(shape->name).value(), KeyColumns({"id"}), RowKey{key});
  }
  RowVersions Versions(const std::string& key) {
    const RowVersions* versions = rows->Get(Ref(key)).value();
    return versions == nullptr ? RowVersions{} : *versions;
  }

  std::unique_ptr<LogFile> file;
  std::unique_ptr<EventLog> log;
  std::unique_ptr<TableNames> names;
  std::unique_ptr<RowVersionStore> rows;
  std::unique_ptr<LocalState> state;
  std::unique_ptr<UnsettledRows> unsettled;
  std::unique_ptr<Conflicts> conflicts;
  std::unique_ptr<Recorder> recorder;
  OriginId own;
  const SigningKey key = SigningKey::Generate().value();
  std::shared_ptr<TableShape> shape = Products();

 private:
  TempDirectory folder_{"branch"};
  EngineConfig config_;
  HandClock clock_;
  NoEcho echo_;
  uint64_t lsn_ = 0;
};

}  // namespace assay::test
