// Goal: one captured row never stops the recorder, what it leaves out is named, and nothing is signed that a reader
// would refuse (engine/capture/unrecorded.h). Method: feed what PostgreSQL can hand over and no log can take.
#include "engine/capture/unrecorded.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "engine/fold/batch.h"
#include "tests/engine/capture/recorder_fixture.h"
#include "tests/support/open_log.h"

namespace assay {
namespace {

class UnrecordedTest : public RecorderTest {};

// Filled and dropped, or bereft of its key, in one transaction: no other branch would take a row without a key.
TEST_F(UnrecordedTest, ATableNobodyKnowsTheKeyOfIsNamedAndTheRestOfItsTransactionIsRecorded) {
  const auto products = shape_;
  TableShape keyless{{"public", "import"}, {{"id", "integer", true}, {"note", "text"}}, {}};
  Begin(100);
  Insert({"1", "10.00", "5"});
  shape_ = std::make_shared<const TableShape>(keyless);
  Insert({"7", "x"});
  Update({"7", "x"}, {"7", "y"});
  Change(CaptureItem::Kind::kTruncate, {}, {});
  shape_ = products;
  Insert({"2", "20.00", "6"});
  Commit(100);
  const auto events = Events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].schema().table_name(), "products");
  EXPECT_EQ(events[2].row().key(0), "2");
  EXPECT_TRUE(events[2].ends_transaction());
  ASSERT_EQ(recorder_->unrecorded().size(), 1u);
  EXPECT_EQ(recorder_->unrecorded().at("public.import").rows, 3u);
  EXPECT_THAT(recorder_->unrecorded().at("public.import").cause, testing::HasSubstr("without a primary key"));
}

TEST_F(UnrecordedTest, ARowThatCannotBeRecordedIsLeftOutAndNamedAndTheRestOfItsTransactionIsRecorded) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Insert({std::nullopt, "10.00", "5"});                                           // A key dropped as a key since.
  Update({"1", "10.00", "5"}, {std::nullopt, "11.00", "5"});                      //
  ChangeTuples(CaptureItem::Kind::kDelete, {kUnknown, kUnknown, Text("5")}, {});  // REPLICA IDENTITY USING INDEX.
  Insert({"3", "10.00"});                                                         // Not of this shape.
  Delete({"3"});                                                                  //
  Update({}, {"1", "10.00", "6"});                                                //
  Change(CaptureItem::Kind::kUnreadable, {}, {});
  Update({"1", "10.00", "5"}, {"1", "12.00", "5"});
  Commit(100);
  const auto events = Events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[2].row().columns(0).value(), "12.00");
  EXPECT_TRUE(events[2].ends_transaction());
  EXPECT_EQ(recorder_->unrecorded().at("public.products").rows, 7u);
}

TEST_F(UnrecordedTest, WhatWasLeftOutIsKnownAfterARestartAndCountsOnce) {
  const auto leave_out = [&](uint64_t lsn) {
    Begin(lsn);
    Insert({std::nullopt, "10.00", "5"});
  };
  leave_out(100);
  EXPECT_TRUE(recorder_->MayCommit());
  ASSERT_TRUE(file_->Commit().ok());  // The log commits, the stream breaks off, and the transaction comes again.
  Open();
  EXPECT_TRUE(recorder_->unrecorded().empty());
  leave_out(100);
  Commit(100);
  ASSERT_TRUE(file_->Commit().ok());
  Open();
  EXPECT_EQ(recorder_->unrecorded().at("public.products").rows, 1u);
  leave_out(100);  // It has left no event, and is known all the same.
  Commit(100);
  EXPECT_EQ(recorder_->unrecorded().at("public.products").rows, 1u);
  EXPECT_TRUE(Events().empty());
}

// BEGIN; ALTER TABLE … ADD code; UPDATE …; ALTER TABLE … DROP CONSTRAINT …, ADD PRIMARY KEY (code); COMMIT
TEST_F(UnrecordedTest, AKeyMadeAndFilledInOneTransactionStopsNothing) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  shape_ = std::make_shared<const TableShape>(
      TableShape{{"public", "products"},
                 {{"id", "integer", true}, {"price", "numeric"}, {"stock", "integer"}, {"code", "text"}},
                 {3}});
  Relation(ReplicaIdentity::kFull);
  Begin(200);
  Update({"1", "10.00", "5", std::nullopt}, {"1", "10.00", "5", "R1"});
  Commit(200);
  EXPECT_TRUE(recorder_->unrecorded().empty());
  Relation(ReplicaIdentity::kFull);
  Begin(300);
  Insert({"2", "20.00", "6", "R2"});
  Commit(300);
  const auto events = Events();
  ASSERT_EQ(events.size(), 6u);
  EXPECT_THAT(events[2].schema().key(), testing::ElementsAre(0));
  EXPECT_THAT(events[3].row().key(), testing::ElementsAre("1")) << "under the key that it was inserted with";
  EXPECT_EQ(events[3].row().columns(0).value(), "R1");
  EXPECT_THAT(events[4].schema().key(), testing::ElementsAre(3));
  EXPECT_THAT(events[5].row().key(), testing::ElementsAre("R2"));
  EXPECT_EQ(recorder_->unrecorded().at("public.products").rows, 0u) << "to be compared: old rows have the old key";
}

TEST_F(UnrecordedTest, AnAttributionThatNoReaderCouldParseIsNone) {
  Begin(100);
  CaptureItem message;
  message.kind = CaptureItem::Kind::kMessage;
  message.prefix = kAttributionPrefix;
  message.content = "{\"application_user\":\"asha\xff\"}";
  Feed(message);
  Insert({"1", "10.00", "5"});
  Commit(100);
  v1::Event event;
  EXPECT_TRUE(event.ParseFromString(log_->ReadEvent(own_, Sequence{2}).value()));
}

// Goal: nothing is signed that a reader would refuse, and nothing that PostgreSQL could send is an error.
// Method: two thousand rows of tables with names that collide, are empty or no UTF-8, with and without keys, whose
// values are missing, NULL or not sent; then another branch folds the chain.
TEST_F(UnrecordedTest, WhateverIsCapturedAReaderTakes) {
  std::mt19937 random(17);
  const auto below = [&](size_t end) { return random() % end; };
  const std::vector<std::string> names = {"id", "price", "stock", "", "id", "pri\xff"};
  std::vector<std::shared_ptr<const TableShape>> shapes;
  for (int i = 0; i < 40; ++i) {
    TableShape shape{{"public", absl::StrCat(below(8) == 0 ? "t\xff" : "t", below(6))}, {}, {}};
    for (size_t column = 0; column < 2 + below(3); ++column)
      shape.columns.push_back({names[below(3) == 0 ? below(names.size()) : column], "text", false, false,
                               static_cast<uint32_t>(below(2) * (column + 1))});
    for (size_t key = 0; key < below(3); ++key) shape.key.push_back(static_cast<uint32_t>((key + below(2)) % 2));
    shapes.push_back(std::make_shared<const TableShape>(shape));
  }
  const auto tuple = [&] {
    std::vector<TupleValue> values(below(10) == 0 ? below(5) : shape_->columns.size());
    for (TupleValue& value : values) {
      if (below(4) != 0) value = Text(std::vector<absl::string_view>{"1", "2", "x", ""}[below(4)]);
      if (below(8) == 0) value = kUnknown;
    }
    return values;
  };
  for (uint64_t transaction = 1; transaction <= 400; ++transaction) {
    Begin(100 * transaction);
    for (int i = 0; i < 5; ++i) {
      shape_ = shapes[below(shapes.size())];
      if (below(4) == 0) Relation(ReplicaIdentity::kDefault);
      using Kind = CaptureItem::Kind;
      const Kind kind = std::vector<Kind>{Kind::kInsert, Kind::kInsert,   Kind::kUpdate,    Kind::kUpdate,
                                          Kind::kDelete, Kind::kTruncate, Kind::kUnreadable}[below(7)];
      ChangeTuples(kind, kind == Kind::kInsert ? std::vector<TupleValue>() : tuple(),
                   kind == Kind::kDelete ? std::vector<TupleValue>() : tuple());
    }
    Commit(100 * transaction);
  }
  ASSERT_TRUE(file_->Commit().ok());
  EXPECT_GT(Events().size(), 300u);
  EXPECT_GT(recorder_->unrecorded().size(), 3u);

  test::OpenLog reader(folder_.path() + "/reader.db");
  const OriginId other{{7, 7}};
  reader.InTransaction([&] {
    for (Sequence from{1}; from <= log_->Head(own_).last; from = reader.log->Head(own_).last.Next()) {
      const std::vector<Segment> segments = log_->ReadSegments(own_, from, 1 << 20, true).value();
      for (const Segment& segment : segments) ASSERT_EQ(reader.log->AppendPulled(segment), absl::OkStatus());
    }
    Batch batch(other, reader.log.get(), reader.names.get(), reader.state.get());
    while (!batch.Gather(10'000).value()) {
    }
    EXPECT_TRUE(batch.stopped().empty()) << batch.stopped().begin()->second;
    EXPECT_EQ(batch.to().at(own_), log_->Head(own_).complete);
    EXPECT_EQ(reader.state->Read(kUnreadableNote).value(), UnreadableTables());
  });
  ASSERT_TRUE(file_->Begin().ok());
}

}  // namespace
}  // namespace assay
