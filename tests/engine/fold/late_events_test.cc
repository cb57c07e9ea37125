// Goal: what comes late is merged, and a row in it that nobody can read is named and stops nobody. Method: events in a
// small real log, taken as if they had been masked until now.
#include "engine/fold/late_events.h"

#include <gtest/gtest.h>

#include "log/local_state/notes.h"
#include "tests/support/hand_clock.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

TEST(LateEventsTest, ARowThatNobodyCanReadIsNamedAndStopsNobody) {
  test::TempDirectory directory("late");
  test::SmallLog small(directory.path() + "/log.db");
  const auto misfit = [&](int keys) {
    v1::Event event = small.Next(small.delhi());
    event.mutable_row()->set_operation(v1::RowChange::INSERT);
    event.mutable_row()->set_schema(2);
    for (int i = 0; i < keys; ++i) event.mutable_row()->add_key("2");
    small.AppendRaw(event, "public.items");
    return Sequence{event.sequence()};
  };
  const Sequence first = misfit(2), second = misfit(0);
  const Sequence sound = small.Write(small.delhi(), v1::RowChange::INSERT, "7", {{{}, "ring"}, {{}, "9"}});
  test::HandClock clock;
  test::OpenLog& open = small.open();
  LateEvents late(open.stores(), &clock);
  for (int again = 0; again < 2; ++again) {
    open.InTransaction([&] { ASSERT_EQ(late.Merge(small.delhi(), {first, second, sound}), absl::OkStatus()); });
  }
  const UnreadableTables unreadable = open.state->Read(kUnreadableNote).value();
  ASSERT_EQ(unreadable.size(), 1u);
  EXPECT_EQ(unreadable.at({small.delhi(), "public.items"}).first, first);
  EXPECT_EQ(open.unsettled->count(), 1) << "the sound one is due";
}

// Goal: a chain that is far behind, or broken, holds up nothing that is granted.
TEST(LateEventsTest, AnEventIsMergedBeforeWhatItHadSeen) {
  test::TempDirectory directory("late");
  test::SmallLog small(directory.path() + "/log.db");
  v1::Event event = small.Next(small.delhi());
  v1::Seen* seen = event.mutable_transaction()->add_seen();
  seen->set_origin(std::string(small.mumbai().AsBytes()));
  seen->set_sequence(99);
  event.mutable_row()->set_operation(v1::RowChange::INSERT);
  event.mutable_row()->set_schema(2);
  event.mutable_row()->add_key("7");
  small.AppendRaw(event, "public.items");
  test::HandClock clock;
  test::OpenLog& open = small.open();
  LateEvents late(open.stores(), &clock);
  open.InTransaction([&] { ASSERT_EQ(late.Merge(small.delhi(), {Sequence{event.sequence()}}), absl::OkStatus()); });
  EXPECT_EQ(open.unsettled->count(), 1) << "it is due";
}

TEST(LateEventsTest, ARowThatIsHereStaysThereWhileALateEventOfItWaits) {
  test::TempDirectory directory("late");
  test::SmallLog small(directory.path() + "/log.db");
  const Sequence late_edit = small.Write(small.delhi(), v1::RowChange::UPDATE, "7", {{"ring", "chain"}});
  test::HandClock clock;
  test::OpenLog& open = small.open();
  const TableId table = open.names->IdOf({"public", "items"}).value();
  const RowRef row = RowOf(table, KeyColumns({"id"}), RowKey{"7"});
  const Version shown{HlcStamp{5}, small.mumbai(), Sequence{3}};
  const RowVersions held = VersionsOf({ChangeKind::kInsert, shown, {open.names->ColumnIdOf(table, "name").value()}});
  LateEvents late(open.stores(), &clock);
  open.InTransaction([&] {
    ASSERT_TRUE(open.rows->Put(row, held).ok());
    ASSERT_EQ(late.Merge(small.delhi(), {late_edit}), absl::OkStatus());
  });
  const std::optional<UnsettledRow> due = open.unsettled->Find(row).value();
  ASSERT_TRUE(due.has_value());
  EXPECT_TRUE(due->held_known);
  EXPECT_EQ(due->held, held) << "as it was merged before";
}

}  // namespace
}  // namespace assay
