// Goal: events of one row meet in one row, whatever else comes between, and what cannot be read changes nothing.
// Method: events in a small real log, read back and folded one by one. What a row then holds is pending_row_test.cc's.
#include "engine/fold/pending_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

class PendingRowsTest : public ::testing::Test {
 protected:
  // Folds all that delhi's chain has from `from` on; the status of the last.
  absl::Status FoldFrom(Sequence from) {
    test::OpenLog& open = small_.open();
    absl::Status last;
    RowEventReader events;
    EventReader reader = open.log->Read(small_.delhi(), from);
    while (const StoredEvent* stored = reader.Next().value()) {
      const RowEvent* event = events.Read(stored->bytes).value();
      if (event->body == RowEvent::Body::kRow) last = rows_.Fold(*stored, *event, /*epoch=*/1);
    }
    return last;
  }

  test::TempDirectory directory_{"rows"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  PendingRows rows_{small_.open().names.get()};
};

TEST_F(PendingRowsTest, EventsOfOneRowMeet) {
  const Sequence first = small_.Write(small_.delhi(), v1::RowChange::INSERT, "7", {{{}, "ring"}, {{}, "9"}});
  small_.Write(small_.delhi(), v1::RowChange::INSERT, "8", {{{}, "box"}, {{}, "1"}});
  const Sequence last = small_.Write(small_.delhi(), v1::RowChange::UPDATE, "7", {{{}, "RING"}});
  ASSERT_EQ(FoldFrom(first), absl::OkStatus());
  ASSERT_EQ(rows_.rows().size(), 2u);
  EXPECT_EQ(rows_.rows()[0].newest().sequence, last);
  EXPECT_EQ(rows_.new_rows(), 2u);
  EXPECT_GT(rows_.bytes(), 0u);
  rows_.Clear();
  EXPECT_EQ(rows_.rows().size(), 0u);
  EXPECT_EQ(rows_.new_rows(), 0u);
  EXPECT_EQ(rows_.bytes(), 0u);
}

TEST_F(PendingRowsTest, WhatCannotBeReadChangesNothing) {
  v1::Event misfit = small_.Next(small_.delhi());
  misfit.mutable_row()->set_operation(v1::RowChange::INSERT);
  misfit.mutable_row()->set_schema(2);
  misfit.mutable_row()->add_key("of");
  misfit.mutable_row()->add_key("two texts");
  small_.AppendRaw(misfit, "public.items");
  EXPECT_TRUE(absl::IsInvalidArgument(FoldFrom(Sequence{misfit.sequence()})));
  EXPECT_EQ(rows_.rows().size(), 0u);
  EXPECT_EQ(rows_.bytes(), 0u);
}

}  // namespace
}  // namespace assay
