// Goal: whatever an event holds, people are shown something that is true, valid and not too large.
// Method: events as a hostile branch might write them, over a small real log.
#include "engine/audit/event_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

namespace pb = admin::v1;
using ::testing::HasSubstr;

class EventViewerTest : public ::testing::Test {
 protected:
  pb::LogEvent View(const v1::Event& event, size_t value_bytes_max = 1000) {
    return viewer_.View(small_.delhi(), Sequence{event.sequence()}, event.SerializeAsString(), value_bytes_max).value();
  }
  v1::Event Row(const std::string& key, const test::SmallLog::Columns& columns) {
    v1::Event event = small_.Next(small_.delhi());
    test::SmallLog::Fill(v1::RowChange::INSERT, key, columns, event.mutable_row());
    return event;
  }

  test::TempDirectory directory_{"event_view"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  EventViewer viewer_{small_.open().log.get()};
};

TEST_F(EventViewerTest, OrdinalsAreNamedByTheTablesDeclaration) {
  const pb::LogEvent view = View(Row("7", {{{}, "ring"}, {{}, {}}}));
  EXPECT_EQ(view.branch(), "delhi");
  EXPECT_EQ(view.table(), "public.items");
  EXPECT_EQ(view.operation(), "INSERT");
  EXPECT_EQ(view.key(0).column(), "id");
  EXPECT_EQ(view.columns(0).column(), "name");
  EXPECT_EQ(view.columns(0).new_value().text(), "ring");
  EXPECT_TRUE(view.columns(1).new_value().is_null());
}

// A transaction says who made it in its first event only.
TEST_F(EventViewerTest, WhoMadeATransactionStandsBesideEachOfItsRows) {
  v1::Event second;
  small_.Together([&] {
    v1::Event first = Row("7", {{{}, "ring"}});
    first.set_ends_transaction(false);
    first.mutable_transaction()->mutable_attribution()->set_application_user("asha");
    small_.AppendRaw(first, "public.items");
    second = Row("8", {{{}, "band"}});
    second.clear_transaction();
    second.set_stamp(first.stamp());
    second.set_transaction_first(first.sequence());
    small_.AppendRaw(second, "public.items");
  });
  EXPECT_EQ(View(second).who().application_user(), "asha");
  EXPECT_FALSE(View(Row("9", {})).has_who()) << "the next one is another transaction";
}

TEST_F(EventViewerTest, TheAuthorIsTheApplicationsUserOrElseTheDatabases) {
  v1::TransactionHeader header;
  EXPECT_EQ(AuthorOf(nullptr), "");
  EXPECT_EQ(AuthorOf(&header), "");
  header.mutable_attribution()->set_database_user("erp");
  EXPECT_EQ(AuthorOf(&header), "erp");
  header.mutable_attribution()->set_application_user("asha");
  EXPECT_EQ(AuthorOf(&header), "asha");
}

TEST_F(EventViewerTest, AValueIsCutAndSaysHowLongItWas) {
  const pb::LogEvent view = View(Row("7", {{{}, std::string(1001, 'x')}, {{}, std::string(1000, 'y')}}));
  EXPECT_EQ(view.columns(0).new_value().text().size(), 1000u);
  EXPECT_EQ(view.columns(0).new_value().cut_from(), 1001u);
  EXPECT_EQ(view.columns(1).new_value().text().size(), 1000u);
  EXPECT_EQ(view.columns(1).new_value().cut_from(), 0u) << "whole";
}

TEST_F(EventViewerTest, BytesThatAreNoTextAreShownAsSuch) {
  EXPECT_EQ(View(Row("\xff\xfe<b>", {})).key(0).value().text(), "\xEF\xBF\xBD\xEF\xBF\xBD<b>");
  EXPECT_TRUE(ViewValue("x", /*is_null=*/true, 10).is_null());
  EXPECT_EQ(ViewValue("a₹c", /*is_null=*/false, 3).text(), "a") << "cut between characters";
  EXPECT_EQ(ViewValue("a₹c", /*is_null=*/false, 3).cut_from(), 5u);
}

TEST_F(EventViewerTest, AnEventWithoutADeclarationIsShownAsFarAsItGoes) {
  v1::Event odd = Row("7", {});
  odd.mutable_row()->set_schema(999);
  for (uint32_t i = 0; i < 300'000; ++i) odd.mutable_row()->add_columns()->set_ordinal(4'000'000'000u - i);
  const pb::LogEvent view = View(odd);
  EXPECT_THAT(view.note(), HasSubstr("more columns are not shown"));
  EXPECT_LT(view.ByteSizeLong(), 4u << 20);
  EXPECT_EQ(view.key(0).value().text(), "7");
}

TEST_F(EventViewerTest, ManyLargeValuesTogetherStayWithinAMessage) {
  test::SmallLog::Columns columns(2, {{}, std::string(20 << 20, 'x')});
  EXPECT_LT(View(Row("7", columns), 64 << 20).ByteSizeLong(), 4u << 20);
}

TEST_F(EventViewerTest, BytesThatAreNoEventAreDataLoss) {
  EXPECT_TRUE(absl::IsDataLoss(viewer_.View(small_.delhi(), Sequence{3}, "\xff\xff", 1000).status()));
}

TEST_F(EventViewerTest, OfAMaskedEventOnlyItsPlaceIsShown) {
  const pb::LogEvent view = viewer_.ViewMasked(small_.delhi(), Sequence{3}, HlcStamp::FromMillis(5000), "public.items");
  EXPECT_EQ(view.branch(), "delhi");
  EXPECT_EQ(view.sequence(), 3u);
  EXPECT_EQ(view.table(), "public.items");
  EXPECT_EQ(view.columns_size() + view.key_size(), 0);
}

TEST_F(EventViewerTest, AChainThatIsNotHeldHasNoNameYet) {
  EXPECT_EQ(viewer_.BranchOf(small_.mumbai()), "mumbai");
  const OriginId pune{{0xcc}};
  EXPECT_EQ(viewer_.BranchOf(pune), "");
  v1::Event opened = small_.Next(pune);
  opened.mutable_origin_opened()->set_branch_name("pune");
  small_.AppendRaw(opened, "");
  EXPECT_EQ(viewer_.BranchOf(pune), "pune") << "not knowing it is not remembered";
}

}  // namespace
}  // namespace assay
