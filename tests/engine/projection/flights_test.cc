// Goal: the flights follow each other in their order, and none takes what another has. Method: walk them through it
// over a small real log.
#include "engine/projection/flights.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

class FlightsTest : public ::testing::Test {
 protected:
  Sequence Insert(int key) {
    return small_.Write(small_.delhi(), v1::RowChange::INSERT, std::to_string(key), {{{}, "ring"}, {{}, "9"}});
  }
  // All that there is for it.
  void Gather(Flight& flight) {
    small_.open().InTransaction([&] { ASSERT_TRUE(flight.batch.Gather(1000).value()); });
  }
  // It is asked of PostgreSQL to write all that it has gathered.
  void Ask(Flight& flight) {
    v1::ProjectionIntent intent;
    intent.set_batch(++batches_);
    for (const auto& [origin, to] : flight.batch.to()) {
      v1::ProjectionIntent::Range* range = intent.add_ranges();
      range->set_origin(origin.bytes.data(), origin.bytes.size());
      range->set_to(to.value);
    }
    flight.intent = OpenIntent::Make(std::move(intent), {}).value();
  }
  Sequence To(const Flight& flight) { return flight.batch.to().at(small_.delhi()); }

  test::TempDirectory directory_{"flights"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  EngineConfig config_{.batch_rows_max = 40};
  Flights flights_{config_, small_.mumbai(), small_.open().stores()};
  uint64_t batches_ = 0;
};

TEST_F(FlightsTest, EachFollowsTheOneBeforeItAndTheyLandInTheirOrder) {
  const Sequence first = Insert(1);
  Gather(flights_.current());
  Ask(flights_.current());
  EXPECT_EQ(&flights_.FirstToLand(), &flights_.current()) << "the echo may come before the reply";
  const Sequence second = Insert(2);
  Gather(flights_.Ahead());
  EXPECT_EQ(flights_.next().batch.rows().size(), 1u) << "what the current one has is not its";
  flights_.Land();
  EXPECT_EQ(To(flights_.FirstToLand()), first);
  EXPECT_TRUE(flights_.current().batch.Empty());
  flights_.TakeAhead();
  EXPECT_EQ(To(flights_.current()), second);
  Ask(flights_.current());
  EXPECT_EQ(To(flights_.FirstToLand()), first) << "not the one that committed later";
}

TEST_F(FlightsTest, WhatIsDroppedIsGatheredAgainAfterWhatIsLanding) {
  Insert(1);
  Gather(flights_.current());
  Ask(flights_.current());
  flights_.Land();
  Insert(2);
  Gather(flights_.current());
  Insert(3);
  Gather(flights_.Ahead());
  flights_.DropBatches();
  EXPECT_FALSE(flights_.next().begun);
  Gather(flights_.current());
  EXPECT_EQ(flights_.current().batch.rows().size(), 2u) << "the first row is not theirs";
  flights_.Clear();
  EXPECT_FALSE(flights_.IsLanding());
  Gather(flights_.current());
  EXPECT_EQ(flights_.current().batch.rows().size(), 3u) << "nothing has landed, by the log";
}

TEST_F(FlightsTest, AShrunkBatchIsGatheredAnewWithHalfOfItsRowsAndGrowsAgain) {
  for (int key = 100; key < 140; ++key) Insert(key);
  flights_.Clear();
  Gather(flights_.current());
  const size_t full = flights_.current().batch.rows().size();
  ASSERT_EQ(full, config_.batch_rows_max / 2) << "of rows that are new";
  ASSERT_TRUE(flights_.Shrink());
  EXPECT_TRUE(flights_.current().batch.Empty());
  Gather(flights_.current());
  EXPECT_EQ(flights_.current().batch.rows().size(), full / 2);
  for (int landed = 0; landed < 20; ++landed) flights_.Grow();
  flights_.DropBatches();
  Gather(flights_.current());
  EXPECT_EQ(flights_.current().batch.rows().size(), full);
}

TEST(BatchSizeTest, HalvesDownToAFewAndGrowsBackToItsMost) {
  BatchSize size(100);
  EXPECT_EQ(size.rows(), 100u);
  EXPECT_TRUE(size.Shrink(100));
  EXPECT_EQ(size.rows(), 50u);
  EXPECT_TRUE(size.Shrink(9)) << "of a batch that had nine";
  EXPECT_EQ(size.rows(), 8u);
  EXPECT_FALSE(size.Shrink(8));
  EXPECT_EQ(size.rows(), 8u);
  for (int landed = 0; landed < 30; ++landed) size.Grow();
  EXPECT_EQ(size.rows(), 100u);
  EXPECT_FALSE(size.IsMuch(150));
  EXPECT_TRUE(size.IsMuch(151));
}

}  // namespace
}  // namespace assay
