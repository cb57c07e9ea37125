// Goal: the log is read beside the daemon that writes it, by table, row, chain and time, in the order of the stamps.
// Method: a small real log, written to while a reader has it open.
#include "engine/audit/log_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "engine/audit/proto_text.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

namespace pb = admin::v1;
using test::SmallLog;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// "mumbai/3" for each.
std::vector<std::string> Names(const std::vector<pb::LogEvent>& events) {
  std::vector<std::string> out;
  for (const pb::LogEvent& event : events) out.push_back(absl::StrCat(event.branch(), "/", event.sequence()));
  return out;
}
bool Never() { return false; }

class LogReaderTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<pb::LogEvent>> List(const pb::ListEventsRequest& request) {
    const std::unique_ptr<LogReader> reader = LogReader::Open(path_).value();
    std::vector<pb::LogEvent> out;
    const auto emit = [&](const pb::LogEvent& event) {
      out.push_back(event);
      return true;
    };
    const absl::Status status = reader->List(request, emit, Never);
    if (!status.ok()) return status;
    return out;
  }
  // The names of what a request, made by `set`, lists.
  template <typename Set>
  std::vector<std::string> Listed(Set set) {
    pb::ListEventsRequest request;
    set(request);
    const absl::StatusOr<std::vector<pb::LogEvent>> events = List(request);
    EXPECT_TRUE(events.ok()) << events.status();
    return events.ok() ? Names(*events) : std::vector<std::string>();
  }
  absl::StatusOr<pb::LogEvent> Get(const std::string& origin, uint64_t sequence) {
    pb::GetEventRequest request;
    request.set_origin(origin);
    request.set_sequence(sequence);
    return LogReader::Open(path_).value()->Get(request);
  }

  test::TempDirectory directory_{"log_reader"};
  const std::string path_ = directory_.path() + "/log.db";
  SmallLog log_{path_};
};

TEST_F(LogReaderTest, EventsComeInStampOrderWithNamesOldAndNewValuesAndWho) {
  log_.Write(log_.mumbai(), v1::RowChange::INSERT, "7", {{{}, "ring"}, {{}, "100"}}, "asha");
  log_.Write(log_.delhi(), v1::RowChange::UPDATE, "7", {{"ring", "band"}, {"100", {}}});
  const absl::StatusOr<std::vector<pb::LogEvent>> events = List({});
  ASSERT_TRUE(events.ok()) << events.status();
  EXPECT_THAT(Names(*events), ElementsAre("mumbai/1", "mumbai/2", "delhi/1", "delhi/2", "mumbai/3", "delhi/3"));
  EXPECT_EQ((*events)[0].operation(), "OPENED");
  EXPECT_EQ((*events)[1].operation(), "SCHEMA");
  const pb::LogEvent& insert = (*events)[4];
  EXPECT_EQ(insert.operation(), "INSERT");
  EXPECT_EQ(insert.table(), "public.items");
  EXPECT_EQ(insert.key(0).column(), "id");
  EXPECT_EQ(insert.key(0).value().text(), "7");
  EXPECT_EQ(insert.columns(1).column(), "price");
  EXPECT_EQ(insert.columns(1).new_value().text(), "100");
  EXPECT_FALSE(insert.columns(1).has_old_value());
  EXPECT_EQ(insert.who().application_user(), "asha");
  EXPECT_EQ(insert.commit_lsn(), "16/B374D848");
  const pb::LogEvent& update = (*events)[5];
  EXPECT_EQ(update.columns(0).old_value().text(), "ring");
  EXPECT_EQ(update.columns(0).new_value().text(), "band");
  EXPECT_TRUE(update.columns(1).new_value().is_null());
  EXPECT_FALSE(update.has_who()) << "nobody said";
}

TEST_F(LogReaderTest, EventsAreFilteredByTableKeyBranchTimeSequenceAndLimit) {
  log_.Together([&] {
    for (int i = 0; i < 1500; ++i) {
      log_.Write(i % 2 == 0 ? log_.mumbai() : log_.delhi(), v1::RowChange::INSERT, absl::StrCat("k", i % 10),
                 {{{}, "x"}, {{}, "1"}});
    }
  });
  EXPECT_THAT(Listed([](auto& r) { r.set_table("public.items"); }), SizeIs(1502)) << "with the two schemas";
  pb::ListEventsRequest other;
  other.set_table("public.other");
  EXPECT_TRUE(absl::IsInvalidArgument(List(other).status())) << "nobody has heard of it";
  EXPECT_THAT(Listed([](auto& r) { r.set_table("public.items"), r.add_key("k3"); }), SizeIs(150));
  EXPECT_THAT(Listed([](auto& r) { r.set_origin("delhi"); }), SizeIs(752));
  EXPECT_THAT(Listed([](auto& r) { r.set_origin("bbbb"); }), SizeIs(752));
  EXPECT_THAT(Listed([](auto& r) { r.set_origin("delhi"), r.set_first(5), r.set_last(7); }),
              ElementsAre("delhi/5", "delhi/6", "delhi/7"));
  EXPECT_THAT(Listed([](auto& r) { r.set_limit(2); }), ElementsAre("mumbai/1", "mumbai/2"));
  EXPECT_THAT(Listed([](auto& r) { r.set_limit(3), r.set_newest_first(true); }),
              ElementsAre("delhi/752", "mumbai/752", "delhi/751"));
  EXPECT_THAT(Listed([](auto& r) { r.set_newest_first(true); }), SizeIs(1504));
  EXPECT_THAT(Listed([](auto& r) {
                r.mutable_since()->set_seconds(SmallLog::kStartMs / 1000 + 10);
                r.mutable_until()->set_seconds(SmallLog::kStartMs / 1000 + 13);
              }),
              ElementsAre("mumbai/6", "delhi/6", "mumbai/7"));
}

TEST_F(LogReaderTest, WhoeverReadsMayStopOrBeStoppedAtAnyEvent) {
  const std::unique_ptr<LogReader> reader = LogReader::Open(path_).value();
  int emitted = 0;
  EXPECT_EQ(reader->List(
                {}, [&](const pb::LogEvent&) { return ++emitted < 2; }, Never),
            absl::OkStatus());
  EXPECT_EQ(emitted, 2) << "it had enough";
  emitted = 0;
  const absl::Status cancelled = reader->List(
      {}, [&](const pb::LogEvent&) { return ++emitted > 0; }, [&] { return emitted == 3; });
  EXPECT_TRUE(absl::IsCancelled(cancelled)) << cancelled;
  EXPECT_EQ(emitted, 3);
}

TEST_F(LogReaderTest, AReaderSeesWhatWasDurableWhenItWasLastRefreshed) {
  const std::unique_ptr<LogReader> reader = LogReader::Open(path_).value();
  const std::map<OriginId, Sequence> ends = reader->Ends();
  EXPECT_THAT(ends, ElementsAre(testing::Pair(log_.mumbai(), Sequence{2}), testing::Pair(log_.delhi(), Sequence{2})));
  log_.Write(log_.delhi(), v1::RowChange::INSERT, "9", {{{}, "a"}});
  log_.Write(log_.mumbai(), v1::RowChange::INSERT, "9", {{{}, "b"}});
  std::vector<pb::LogEvent> after;
  const auto emit = [&](const pb::LogEvent& event) {
    after.push_back(event);
    return true;
  };
  ASSERT_TRUE(reader->ListAfter(ends, {}, emit, Never).ok());
  EXPECT_THAT(after, IsEmpty());
  ASSERT_TRUE(reader->Refresh().ok());
  ASSERT_TRUE(reader->ListAfter(ends, {}, emit, Never).ok());
  EXPECT_THAT(Names(after), ElementsAre("delhi/3", "mumbai/3")) << "by their stamps";
  after.clear();
  pb::TailEventsRequest tail;
  tail.set_origin("mumbai");
  tail.set_table("public.items");
  ASSERT_TRUE(reader->ListAfter(ends, tail, emit, Never).ok());
  EXPECT_THAT(Names(after), ElementsAre("mumbai/3"));
  after.clear();
  ASSERT_TRUE(reader->ListAfter(reader->Ends(), {}, emit, Never).ok());
  EXPECT_THAT(after, IsEmpty()) << "a tail goes on behind them";
}

TEST_F(LogReaderTest, AChainIsNamedByItsBranchOrTheBeginningOfItsOrigin) {
  const std::unique_ptr<LogReader> reader = LogReader::Open(path_).value();
  EXPECT_THAT(reader->FindOrigins("").value(), ElementsAre(log_.mumbai(), log_.delhi()));
  EXPECT_THAT(reader->FindOrigins("delhi").value(), ElementsAre(log_.delhi()));
  EXPECT_THAT(reader->FindOrigins("bbbb").value(), ElementsAre(log_.delhi()));
  EXPECT_TRUE(absl::IsNotFound(reader->FindOrigins("bbb").status())) << "too short to mean anything";
  EXPECT_THAT(std::string(reader->FindOrigins("pune").status().message()), HasSubstr("branches here: mumbai, delhi"));
}

TEST_F(LogReaderTest, RequestsThatMakeNoSenseSayWhy) {
  pb::ListEventsRequest request;
  request.set_table("items");
  EXPECT_THAT(std::string(List(request).status().message()), HasSubstr("write schema.table"));
  request.Clear();
  request.add_key("7");
  EXPECT_TRUE(absl::IsInvalidArgument(List(request).status())) << "a key needs its table";
  request.Clear();
  request.set_first(3);
  EXPECT_TRUE(absl::IsInvalidArgument(List(request).status())) << "a sequence needs its chain";
  EXPECT_TRUE(absl::IsInvalidArgument(Get("", 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Get("delhi", 0).status()));
  EXPECT_TRUE(absl::IsNotFound(Get("delhi", 3).status()));
  EXPECT_TRUE(absl::IsNotFound(Get("delhi", uint64_t{1} << 63).status()));
  EXPECT_EQ(Get("delhi", 2)->operation(), "SCHEMA");
}

// Two branches of one name: a branch that was restored has opened a new chain.
TEST_F(LogReaderTest, ANameOfSeveralChainsListsAllAndGetsNone) {
  const OriginId again{{0xcc, 1}};
  v1::Event opened = log_.Next(again);
  opened.mutable_origin_opened()->set_branch_name("delhi");
  log_.AppendRaw(opened, "");
  EXPECT_THAT(Listed([](auto& r) { r.set_origin("delhi"); }), ElementsAre("delhi/1", "delhi/2", "delhi/1"));
  EXPECT_THAT(std::string(Get("delhi", 1).status().message()), HasSubstr(again.Hex()));
  EXPECT_EQ(Get(again.Hex(), 1)->operation(), "OPENED");
}

TEST_F(LogReaderTest, AListIsCutShorterThanOneEventIsAndNoEventIsTooLargeForAMessage) {
  const std::string huge(20 << 20, 'x');
  const Sequence big = log_.Write(log_.mumbai(), v1::RowChange::INSERT, "7", {{{}, huge}, {{}, huge}});
  const absl::StatusOr<std::vector<pb::LogEvent>> all = List({});
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->back().columns(0).new_value().text().size(), 1024u);
  EXPECT_EQ(all->back().columns(0).new_value().cut_from(), huge.size());
  const absl::StatusOr<pb::LogEvent> whole = Get("mumbai", big.value);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_GT(whole->columns(0).new_value().text().size(), 1024u);
  EXPECT_LT(whole->ByteSizeLong(), 4u << 20);
}

TEST_F(LogReaderTest, ParkedRowsAreListedWithTheirCause) {
  log_.Park("7", "duplicate key");
  log_.Park("8", "no such column");
  const absl::StatusOr<pb::ListParkedReply> parked = LogReader::Open(path_).value()->Parked({});
  ASSERT_TRUE(parked.ok()) << parked.status();
  ASSERT_EQ(parked->rows_size(), 2);
  EXPECT_EQ(parked->total(), 2);
  EXPECT_EQ(parked->rows(0).table(), "public.items");
  EXPECT_EQ(parked->rows(0).key(0), "7");
  EXPECT_EQ(parked->rows(0).cause(), "duplicate key");
  EXPECT_EQ(parked->rows(0).branch(), "delhi");
  EXPECT_EQ(FromProto(parked->rows(0).next_try()), absl::FromUnixMillis(SmallLog::kStartMs + 500));
}

TEST_F(LogReaderTest, ParkedRowsOfATableAreListedHoweverManyOthersWereParkedBefore) {
  test::OpenLog& log = log_.open();
  log.InTransaction([&] {
    const RowRef bill{log.names->IdOf({"public", "bills"}).value(), {}};
    ASSERT_TRUE(
        log.unsettled->ParkRefused(bill, {EncodeKey({"1"}), log_.delhi(), {3}}, {"older", "23505"}, {}, 0).ok());
  });
  log_.Park("7", "duplicate key");
  pb::ListParkedRequest request;
  request.set_table("public.items");
  request.set_limit(1);
  const absl::StatusOr<pb::ListParkedReply> parked = LogReader::Open(path_).value()->Parked(request);
  ASSERT_TRUE(parked.ok()) << parked.status();
  ASSERT_EQ(parked->rows_size(), 1);
  EXPECT_EQ(parked->rows(0).key(0), "7");
}

TEST_F(LogReaderTest, ConflictsShowBothValuesAndAuthors) {
  const Sequence winner = log_.Write(log_.mumbai(), v1::RowChange::UPDATE, "7", {{"a", "a"}, {"1", "100"}}, "asha");
  const Sequence loser = log_.Write(log_.delhi(), v1::RowChange::UPDATE, "7", {{"a", "a"}, {"1", "90"}}, "ravi");
  log_.AddConflict("7", winner, loser);
  log_.AddConflict("8", winner, Sequence{99'999});  // Its event is not held.
  const absl::StatusOr<pb::ListConflictsReply> reply = LogReader::Open(path_).value()->Conflicts({});
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->conflicts_size(), 2);
  EXPECT_EQ(reply->conflicts(0).key(0), "8") << "newest first";
  EXPECT_FALSE(reply->conflicts(0).loser().has_value());
  const pb::Conflict& conflict = reply->conflicts(1);
  EXPECT_EQ(conflict.column(), "price");
  EXPECT_EQ(conflict.winner().value().text(), "100");
  EXPECT_EQ(conflict.winner().who(), "asha");
  EXPECT_EQ(conflict.winner().branch(), "mumbai");
  EXPECT_EQ(conflict.loser().value().text(), "90");
  EXPECT_EQ(conflict.loser().who(), "ravi");
}

TEST_F(LogReaderTest, AFileThatIsNoLogIsRefused) {
  EXPECT_TRUE(absl::IsNotFound(LogReader::Open(directory_.path() + "/none.db").status()));
  test::WriteFile(directory_.path() + "/text.db", std::string(10'000, 'x'));
  EXPECT_FALSE(LogReader::Open(directory_.path() + "/text.db").ok());
}

}  // namespace
}  // namespace assay
