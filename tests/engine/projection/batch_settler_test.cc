// Goal: what a landed batch leaves in the log is what PostgreSQL has of it. Method: settle batches over a small real
// log, with each way in which a row may come out.
#include "engine/projection/batch_settler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "engine/projection/row_digest.h"
#include "tests/support/hand_clock.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using Write = IntentRow::Write;

class BatchSettlerTest : public ::testing::Test {
 protected:
  test::OpenLog& log() { return small_.open(); }
  RowRef Ref(const std::string& key) {
    return RowOf(log().names->IdOf({"public", "items"}).value(), KeyColumns({"id"}), RowKey{key});
  }
  ColumnId Column(const std::string& name) { return log().names->ColumnIdOf(Ref("").table, name).value(); }
  Sequence Insert(const std::string& key) {
    return small_.Write(small_.delhi(), v1::RowChange::INSERT, key, {{{}, "ring"}, {{}, "9"}});
  }
  // As it was planned: on the versions that the log has.
  IntentRow Planned(const std::string& key, Write write) {
    IntentRow row;
    row.ref = Ref(key);
    row.write = write;
    row.versions = VersionsDigest(log().rows->Get(row.ref).value());
    return row;
  }
  // The rest of the other branch's chain has landed, and this is how `row` came out.
  void Settle(IntentRow row) {
    log().InTransaction([&] {
      Batch batch(small_.mumbai(), stores_.log, stores_.names, stores_.state);
      ASSERT_TRUE(batch.Gather(1000).value());
      std::deque<IntentRow> rows;
      rows.push_back(std::move(row));
      ASSERT_EQ(settler_.Settle(std::move(rows), batch), absl::OkStatus());
    });
  }
  std::optional<UnsettledRow> Unsettled(const std::string& key) { return log().unsettled->Find(Ref(key)).value(); }

  test::TempDirectory directory_{"settler"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  const Stores stores_ = log().stores();
  EngineConfig config_;
  test::HandClock clock_;
  FoldValues values_{stores_.log, stores_.names};
  ColumnHistory history_{small_.mumbai(), stores_.names, stores_.state};
  BatchSettler settler_{config_, stores_, &values_, &history_, &clock_};
};

TEST_F(BatchSettlerTest, AWrittenRowIsSettledAndTheCursorMoves) {
  const Sequence end = Insert("7");
  Settle(Planned("7", Write::kInsert));
  EXPECT_EQ(log().rows->Get(Ref("7")).value()->written.sequence, end);
  EXPECT_FALSE(Unsettled("7").has_value());
  EXPECT_EQ(log().state->Projected(small_.delhi()), end);
}

TEST_F(BatchSettlerTest, ARefusedRowIsParkedUnderTheNewestEventAboutIt) {
  const Sequence end = Insert("7");
  IntentRow row = Planned("7", Write::kNothing);
  row.refused = true;
  row.MutableRemark().cause = "value too long";
  Settle(std::move(row));
  ASSERT_TRUE(Unsettled("7").has_value());
  EXPECT_EQ(Unsettled("7")->cause, "value too long");
  EXPECT_EQ(Unsettled("7")->sequence, end);
  EXPECT_EQ(log().state->Projected(small_.delhi()), end) << "the rest goes on";
}

TEST_F(BatchSettlerTest, OfARowWrittenInPartPostgresHoldsTheRest) {
  Insert("7");
  IntentRow row = Planned("7", Write::kInsert);
  row.MutableRemark().missing.push_back(Column("price").value);
  row.MutableRemark().cause = "column price is not here";
  Settle(std::move(row));
  ASSERT_TRUE(Unsettled("7").has_value());
  EXPECT_NE(Unsettled("7")->held->Find(Column("name")), nullptr);
  EXPECT_EQ(Unsettled("7")->held->Find(Column("price")), nullptr);
}

TEST_F(BatchSettlerTest, ARowWhoseVersionsMovedSinceThePlanIsDue) {
  Insert("7");
  IntentRow row = Planned("7", Write::kInsert);
  const Sequence local = small_.Write(small_.mumbai(), v1::RowChange::INSERT, "7", {{{}, "band"}, {{}, "8"}});
  log().InTransaction([&] {
    const Version version{log().log->Head(small_.mumbai()).complete_stamp, small_.mumbai(), local};
    std::vector<ColumnId> columns = {Column("name"), Column("price")};
    std::sort(columns.begin(), columns.end());
    ASSERT_TRUE(log().rows->Put(Ref("7"), VersionsOf(RowClaim{ChangeKind::kInsert, version, columns})).ok());
  });
  Settle(std::move(row));
  ASSERT_TRUE(Unsettled("7").has_value());
  EXPECT_FALSE(Unsettled("7")->held_known);
  EXPECT_EQ(Unsettled("7")->retry_at_ms, 0);
}

}  // namespace
}  // namespace assay
