// Goal: a version leads to the very value that its event wrote, and damaged events are told by name.
// Method: events in a small real log, asked for by version.
#include "engine/fold/fold_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FoldValuesTest : public ::testing::Test {
 protected:
  test::OpenLog& log() { return small_.open(); }
  Version At(Sequence sequence) const { return {HlcStamp{1}, small_.delhi(), sequence}; }
  ColumnId Column(const std::string& name) {
    return log().names->ColumnIdOf(log().names->IdOf({"public", "items"}).value(), name).value();
  }
  v1::Event Row(const std::string& key, const test::SmallLog::Columns& columns) {
    v1::Event event = small_.Next(small_.delhi());
    test::SmallLog::Fill(v1::RowChange::INSERT, key, columns, event.mutable_row());
    return event;
  }
  absl::Status Resolve(const v1::Event& event) {
    return ResolveChange(event.SerializeAsString(), small_.delhi(), *log().names).status();
  }

  test::TempDirectory directory_{"values"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  FoldValues values_{log().log.get(), log().names.get()};
};

TEST_F(FoldValuesTest, AVersionLeadsToTheTextOrNullThatItsEventWrote) {
  const Sequence first = small_.Write(small_.delhi(), v1::RowChange::INSERT, "7", {{{}, "ring"}, {{}, {}}});
  const Sequence second = small_.Write(small_.delhi(), v1::RowChange::UPDATE, "7", {{"ring", ""}});
  EXPECT_EQ(values_.Value(At(first), Column("name")).value(), "ring");
  EXPECT_EQ(values_.Value(At(first), Column("price")).value(), std::nullopt);
  EXPECT_EQ(values_.Value(At(second), Column("name")).value(), "") << "empty, and not NULL";
  EXPECT_TRUE(absl::IsNotFound(values_.Value(At(second), Column("price")).status())) << "it did not write that";
  EXPECT_TRUE(absl::IsNotFound(values_.Value(At(Sequence{99}), Column("name")).status()));
}

// Goal: what is kept of events that were asked for lately never answers for another one.
TEST_F(FoldValuesTest, EachVersionHasItsOwnValueHoweverManyAreAskedFor) {
  std::vector<Sequence> events;
  for (int i = 0; i < 40; ++i) {
    events.push_back(small_.Write(small_.delhi(), v1::RowChange::INSERT, std::to_string(i), {{{}, std::to_string(i)}}));
  }
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 40; i += 1 + round) {
      EXPECT_EQ(values_.Value(At(events[i]), Column("name")).value(), std::to_string(i));
      EXPECT_EQ(values_.Value(At(events[0]), Column("name")).value(), "0");
    }
  }
}

TEST_F(FoldValuesTest, OfAColumnThatIsNamedTwiceTheLastCounts) {
  v1::Event event = Row("7", {{{}, "first"}});
  v1::ColumnChange* again = event.mutable_row()->add_columns();
  again->set_ordinal(1);
  again->set_value("last");
  small_.AppendRaw(event, "public.items");
  EXPECT_EQ(values_.Value(At(Sequence{event.sequence()}), Column("name")).value(), "last");
}

TEST_F(FoldValuesTest, AColumnNamedWithoutAValueWasNotWrittenHere) {
  v1::Event event = Row("7", {});
  event.mutable_row()->add_columns()->set_ordinal(1);  // Too large for an event.
  small_.AppendRaw(event, "public.items");
  EXPECT_TRUE(absl::IsNotFound(values_.Value(At(Sequence{event.sequence()}), Column("name")).status()));
}

TEST_F(FoldValuesTest, ARowThatDoesNotFitItsTableIsNamedAndNoDamage) {
  EXPECT_TRUE(absl::IsDataLoss(ResolveChange("\xff\xff", small_.delhi(), *log().names).status()));
  v1::Event key = Row("7", {});
  key.mutable_row()->add_key(std::string("8"));
  EXPECT_TRUE(absl::IsInvalidArgument(Resolve(key)));
  EXPECT_THAT(std::string(Resolve(key).message()), HasSubstr("a key of 2 columns"));
  v1::Event ordinal = Row("7", {});
  ordinal.mutable_row()->add_columns()->set_ordinal(3);
  EXPECT_TRUE(absl::IsInvalidArgument(Resolve(ordinal)));
  v1::Event schema = Row("7", {});
  schema.mutable_row()->set_schema(999);
  EXPECT_TRUE(absl::IsDataLoss(Resolve(schema))) << "without it the chain is not whole";
  schema.mutable_row()->set_schema(1);
  EXPECT_TRUE(absl::IsInvalidArgument(Resolve(schema))) << "the opening describes no table";
  for (const v1::Event& event : {key, ordinal, schema}) {
    EXPECT_THAT(std::string(Resolve(event).message()),
                HasSubstr(EventName(small_.delhi(), Sequence{event.sequence()})));
  }
  EXPECT_EQ(Resolve(Row("7", {{{}, "ring"}, {{}, "9"}})), absl::OkStatus());
}

TEST_F(FoldValuesTest, AClaimHasItsColumnsSortedAndADeleteHasNone) {
  v1::Event event = Row("7", {});
  event.mutable_row()->add_columns()->set_ordinal(2);
  event.mutable_row()->add_columns()->set_ordinal(1);
  ResolvedChange change = ResolveChange(event.SerializeAsString(), small_.delhi(), *log().names).value();
  RowClaim claim = ClaimOf(change, small_.delhi());
  EXPECT_EQ(claim.kind, ChangeKind::kInsert);
  EXPECT_EQ(claim.version, (Version{HlcStamp{event.stamp()}, small_.delhi(), Sequence{event.sequence()}}));
  EXPECT_THAT(claim.columns, ElementsAre(Column("name"), Column("price")));
  change.event.mutable_row()->set_operation(v1::RowChange::DELETE);
  claim = ClaimOf(change, small_.delhi());
  EXPECT_EQ(claim.kind, ChangeKind::kDelete);
  EXPECT_TRUE(claim.columns.empty());
}

}  // namespace
}  // namespace assay
