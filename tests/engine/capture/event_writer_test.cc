// Goal: one transaction becomes one run of events: one stamp, one header, one end mark, and nothing when it changes
// nothing. Method: write rows by hand over a real log and read the chain back.
#include "engine/capture/event_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/open_log.h"
#include "tests/support/origins.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

constexpr int64_t kNoonUs = 1'700'000'000'000'000;

class EventWriterTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(log_.file->Begin().ok()); }
  void TearDown() override { log_.file->Rollback(); }
  void Begin(const TransactionFacts& facts = {.commit_time_us = kNoonUs, .commit_lsn = {0x500}, .xid = 900}) {
    writer_.Begin(facts);
  }
  v1::RowChange* Row(const std::string& key) {
    const DeclaredTable* table = tables_.Describe(shape_).value();
    return writer_.NextRow(*shape_, *table, v1::RowChange::INSERT, {key}).value();
  }
  bool End() { return writer_.End().value(); }
  // Those that are appended, whole transactions only.
  std::vector<v1::Event> Events() {
    std::vector<v1::Event> events;
    EventReader reader = log_.log->Read(own_, Sequence{1});
    while (const StoredEvent* stored = reader.Next().value()) {
      EXPECT_TRUE(events.emplace_back().ParseFromString(std::string(stored->bytes)));
    }
    return events;
  }

  test::TempDirectory directory_{"event_writer"};
  test::OpenLog log_{directory_.path() + "/log.db"};
  const OriginId own_ = test::Origin(1), other_ = test::Origin(2);
  EngineConfig config_;
  HybridClock clock_{HlcStamp{}};
  DeclaredTables tables_{config_, own_, log_.names.get(), log_.state.get()};
  EventWriter writer_{own_, config_, log_.log.get(), log_.state.get(), &tables_, &clock_};
  const std::shared_ptr<const TableShape> shape_ =
      std::make_shared<TableShape>(TableShape{{"public", "items"}, {{"id", "text", true}, {"name", "text"}}, {0}});
};

TEST_F(EventWriterTest, ATransactionHasOneStampOneHeaderAndOneEndMark) {
  Begin();
  Row("1")->add_columns()->set_ordinal(1);
  Row("2");
  EXPECT_TRUE(End());
  const std::vector<v1::Event> events = Events();
  ASSERT_EQ(events.size(), 3u) << "the table's declaration comes first";
  EXPECT_TRUE(events[0].has_schema());
  EXPECT_EQ(log_.log->Read(own_, Sequence{1}).Next().value()->table, "") << "nobody is denied a declaration";
  EXPECT_EQ(events[0].transaction().commit_lsn(), 0x500u);
  EXPECT_EQ(events[0].transaction().commit_time_us(), kNoonUs);
  EXPECT_EQ(events[0].transaction().xid(), 900u);
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].sequence(), i + 1);
    EXPECT_EQ(events[i].stamp(), events[0].stamp());
    EXPECT_EQ(events[i].transaction_first(), 1u);
    EXPECT_EQ(events[i].has_transaction(), i == 0);
    EXPECT_EQ(events[i].ends_transaction(), i + 1 == events.size());
  }
  EXPECT_EQ(events[1].row().schema(), 1u);
  EXPECT_EQ(events[1].row().key(0), "1");
  EXPECT_EQ(events[1].row().columns_size(), 1) << "the row is the caller's until the next call";
  EXPECT_EQ(writer_.events(), 3u);
  EXPECT_EQ(clock_.now(), HlcStamp{events[0].stamp()});
}

TEST_F(EventWriterTest, ATransactionThatChangesNothingLeavesNothingAndMovesNoClock) {
  const HlcStamp before = clock_.now();
  Begin();
  EXPECT_FALSE(writer_.stamped());
  EXPECT_FALSE(End());
  EXPECT_EQ(clock_.now(), before);
  EXPECT_EQ(log_.log->Head(own_).last, Sequence{});
}

TEST_F(EventWriterTest, ATableIsDeclaredOnceInAChain) {
  for (const char* key : {"1", "2"}) {
    Begin();
    Row(key);
    End();
  }
  const std::vector<v1::Event> events = Events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[2].row().schema(), 1u);
  EXPECT_EQ(events[2].transaction_first(), 3u);
  EXPECT_GT(events[2].stamp(), events[1].stamp()) << "the same commit time, and still later";
}

// Goal: what had been seen is said where it changed, and is noted under the event that says it.
TEST_F(EventWriterTest, AHeaderSaysHowFarOthersHadBeenProjectedSinceTheOneBefore) {
  const auto seen = [&](const v1::Event& event) {
    std::vector<uint64_t> out;
    for (const v1::Seen& each : event.transaction().seen()) out.push_back(each.sequence());
    return out;
  };
  ASSERT_TRUE(log_.log->IndexOf(other_).ok());
  for (const uint64_t projected : {5, 5, 7}) {
    ASSERT_TRUE(log_.state->SetProjected(other_, Sequence{projected}).ok());
    Begin();
    Row("1");
    End();
  }
  const std::vector<v1::Event> events = Events();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_THAT(seen(events[0]), testing::ElementsAre(5));
  EXPECT_THAT(seen(events[2]), testing::IsEmpty()) << "nothing new";
  EXPECT_THAT(seen(events[3]), testing::ElementsAre(7));
  EXPECT_EQ(log_.state->Seen(own_, Sequence{3}, other_).value(), Sequence{5});
  EXPECT_EQ(log_.state->Seen(own_, Sequence{4}, other_).value(), Sequence{7});
}

// Goal: whoever may read some of a transaction has its header.
TEST_F(EventWriterTest, EachTablesFirstEventHasTheHeaderAndSaysWhatItsReadersDoNotKnow) {
  ASSERT_TRUE(log_.log->IndexOf(other_).ok());
  const auto other_shape = std::make_shared<TableShape>(*shape_);
  other_shape->name.table = "customers";
  const auto other_row = [&] {
    ASSERT_TRUE(
        writer_.NextRow(*other_shape, *tables_.Describe(other_shape).value(), v1::RowChange::INSERT, {"1"}).ok());
  };
  const auto seen = [](const v1::Event& event) {
    return event.transaction().seen_size() == 0 ? 0 : event.transaction().seen(0).sequence();
  };
  Begin(), Row("1"), other_row(), End();  // 1: items, 2: its row, 3: customers, 4: its row.
  ASSERT_TRUE(log_.state->SetProjected(other_, Sequence{5}).ok());
  Begin(), Row("2"), End();                         // 5
  Begin(), Row("3"), other_row(), Row("4"), End();  // 6, 7, 8
  Begin(), other_row(), End();                      // 9
  const std::vector<v1::Event> events = Events();
  ASSERT_EQ(events.size(), 9u);
  std::vector<uint64_t> headed;
  for (const v1::Event& event : events) {
    if (event.has_transaction()) headed.push_back(event.sequence());
  }
  EXPECT_THAT(headed, testing::ElementsAre(1, 5, 6, 7, 9)) << "a declaration is everybody's to read";
  EXPECT_EQ(seen(events[4]), 5u);
  EXPECT_EQ(seen(events[5]), 0u) << "who reads items knows";
  EXPECT_EQ(seen(events[6]), 5u) << "who reads customers alone does not";
  EXPECT_EQ(seen(events[8]), 0u);
}

// Goal: what a comparison found is nobody's edit, and what is captured later is not stamped newer for it.
TEST_F(EventWriterTest, WhatWasFoundCountsAsOlderThanAnyEditAndMovesTheClockByOneStep) {
  Begin({.source = v1::TransactionHeader::BASELINE, .standing = v1::RowChange::FOUND, .commit_time_us = kNoonUs});
  Row("1");
  EXPECT_FALSE(IsEdit(writer_.version()));
  End();
  EXPECT_EQ(clock_.now(), HlcStamp{1});
  Begin({.commit_time_us = 1000});
  Row("1");
  EXPECT_TRUE(IsEdit(writer_.version()));
  End();
  const std::vector<v1::Event> events = Events();
  EXPECT_EQ(events[0].transaction().source(), v1::TransactionHeader::BASELINE);
  EXPECT_EQ(events[1].row().standing(), v1::RowChange::FOUND);
  EXPECT_LT(VersionOf(events[1], own_), VersionOf(events[2], own_)) << "a real write, at the oldest time there is";
}

TEST_F(EventWriterTest, FlushLetsTheLogBeAskedAndTheTransactionGoOn) {
  Begin();
  Row("1");
  EXPECT_EQ(log_.log->Head(own_).last, Sequence{1}) << "the newest is held back: it may be the last";
  ASSERT_TRUE(writer_.Flush().ok());
  EXPECT_EQ(log_.log->Head(own_).last, Sequence{2});
  EXPECT_EQ(log_.log->Head(own_).complete, Sequence{}) << "it has not ended";
  Row("2");
  EXPECT_TRUE(End());
  EXPECT_EQ(log_.log->Head(own_).complete, Sequence{3});
}

TEST_F(EventWriterTest, EachReplacedVersionIsNamedOnce) {
  Begin();
  Row("1");
  const Version first{HlcStamp{10}, other_, Sequence{3}}, own{HlcStamp{11}, own_, Sequence{3}};
  EXPECT_EQ(writer_.ReplacedIndex(Version{}), 0u) << "nothing was there";
  EXPECT_EQ(writer_.ReplacedIndex(first), 1u);
  EXPECT_EQ(writer_.ReplacedIndex(own), 2u) << "the same sequence of another chain";
  EXPECT_EQ(writer_.ReplacedIndex(first), 1u);
  ASSERT_EQ(writer_.row().replaced_size(), 2);
  EXPECT_EQ(writer_.row().replaced(0).origin(), std::string(other_.AsBytes()));
  EXPECT_EQ(writer_.row().replaced(0).stamp(), 10u);
  EXPECT_EQ(writer_.row().replaced(1).origin(), "") << "our own need not be said";
}

TEST_F(EventWriterTest, ARowHasRoomForSoManyBytesAndTheNextRowAgain) {
  config_.row_bytes_max = 10;
  const std::string text(6, 'x');
  const TupleValue value{TupleValue::Kind::kText, text};
  Begin();
  Row("1");
  EXPECT_TRUE(writer_.TakesRoom(value));
  EXPECT_FALSE(writer_.TakesRoom(value));
  EXPECT_TRUE(writer_.TakesRoom({TupleValue::Kind::kText, absl::string_view(text).substr(0, 4)})) << "what is left";
  EXPECT_TRUE(writer_.TakesRoom({})) << "NULL takes none";
  Row("2");
  EXPECT_TRUE(writer_.TakesRoom(value));
}

}  // namespace
}  // namespace assay
