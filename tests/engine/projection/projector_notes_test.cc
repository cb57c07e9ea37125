// Goal: what a projector notes in the log's transaction is noted again if that is rolled back, and what it notes of a
// row is what PostgreSQL has of it. Method: step a projector over a small real log; the test answers for PostgreSQL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "engine/projection/projector.h"
#include "tests/support/hand_clock.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

const TableName kItems{"public", "items"};

class ProjectorNotesTest : public ::testing::Test {
 protected:
  ProjectorNotesTest() { EXPECT_EQ(projector_.Load(), absl::OkStatus()); }
  test::OpenLog& log() { return small_.open(); }
  TableId Table() { return log().names->IdOf(kItems).value(); }
  RowRef Ref(const std::string& key) { return RowOf(Table(), KeyColumns({"id"}), RowKey{key}); }

  std::optional<DatabaseCall> Step() {
    EXPECT_EQ(projector_.Step(1000, /*idle=*/true), absl::OkStatus());
    return projector_.TakeCall();
  }
  // PostgreSQL has the table, and no row of it. Before and after the answer, up to the next call.
  std::optional<DatabaseCall> ReadNothing() {
    std::optional<DatabaseCall> call = Step();
    const auto* read = call.has_value() ? std::get_if<DatabaseRead>(&*call) : nullptr;
    if (read == nullptr) {
      ADD_FAILURE() << "no read";
      return std::nullopt;
    }
    ReadReply reply;
    const TableShape items{
        kItems,
        {{"id", "text", true, false, 1}, {"name", "text", false, false, 2}, {"price", "text", false, false, 3}},
        {0}};
    for (const ReadRequest::Table& asked : read->request.tables)
      reply.tables.push_back({.shape = items, .rows = std::vector<ReadReply::Row>(asked.keys.size())});
    EXPECT_EQ(projector_.OnRead(std::move(reply)), absl::OkStatus());
    projector_.OnFence(read->request.fence);
    return Step();
  }

  test::TempDirectory directory_{"notes"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  EngineConfig config_;
  test::HandClock clock_;
  test::CountingRandom random_;
  Projector projector_{config_, small_.mumbai(), log().stores(), &clock_, &random_};
};

// Without them a rename from then on would be taken for a column that went and another one that came.
TEST_F(ProjectorNotesTest, AColumnsNumberIsNotedAgainIfItsTransactionWasRolledBack) {
  small_.Write(small_.delhi(), v1::RowChange::INSERT, "7", {{{}, "ring"}, {{}, "9"}});
  ASSERT_TRUE(log().file->Begin().ok());
  ASSERT_TRUE(ReadNothing().has_value());
  ASSERT_THAT(log().state->Read(kColumnNumbersNote, Table()).value(), SizeIs(3));
  log().file->Rollback();
  ASSERT_EQ(projector_.Load(), absl::OkStatus());
  log().InTransaction([&] { ReadNothing(); });
  EXPECT_THAT(log().state->Read(kColumnNumbersNote, Table()).value(), SizeIs(3));
}

// Delhi's row has come and gone, so there is nothing to write; meanwhile the shop's own has done the same.
TEST_F(ProjectorNotesTest, ARowThatWasAbsentAndMovedIsNotTakenToBeThere) {
  small_.Write(small_.delhi(), v1::RowChange::INSERT, "7", {{{}, "ring"}, {{}, "9"}});
  small_.Write(small_.delhi(), v1::RowChange::DELETE, "7", {{"ring", {}}, {"9", {}}});
  std::optional<DatabaseCall> call;
  log().InTransaction([&] { call = ReadNothing(); });
  ASSERT_TRUE(call.has_value() && std::holds_alternative<DatabaseProject>(*call));
  const ProjectRequest& request = std::get<DatabaseProject>(*call).request;
  ASSERT_THAT(request.writes, IsEmpty());
  log().InTransaction([&] {
    const Version gone{HlcStamp{2000}, small_.mumbai(), Sequence{4}};
    ASSERT_TRUE(log().rows->Put(Ref("7"), VersionsOf({ChangeKind::kDelete, gone, {}})).ok());
    ASSERT_EQ(projector_.OnProjected({.outcome = ProjectReply::Outcome::kCommitted}), absl::OkStatus());
    HlcStamp stamp;
    ASSERT_TRUE(projector_.Claims(request.tag, &stamp));
    ASSERT_EQ(projector_.Landed(), absl::OkStatus());
  });
  const std::optional<UnsettledRow> moved = log().unsettled->Find(Ref("7")).value();
  ASSERT_TRUE(moved.has_value()) << "it is looked at again";
  EXPECT_FALSE(moved->held_known);
  EXPECT_FALSE(moved->IsThere()) << "a TRUNCATE would delete it for everybody";
}

}  // namespace
}  // namespace assay
