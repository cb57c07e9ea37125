// Goal: a tag is believed for what was meant, once per row, and a note that another program wrote is not guessed at.
// Method: an intent made by hand; show it changes.
#include "engine/projection/intent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/projection/row_digest.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "log/row_versions/row_ref.h"
#include "tests/support/origins.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

class OpenIntentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(file_->Begin().ok());
    table_ = names_->IdOf(shape_.name).value();
    name_ = names_->ColumnIdOf(table_, "name").value();
  }
  RowRef Ref(const std::string& key) const { return {table_, HashKey(RowKey{key})}; }
  void Add(const std::string& key, IntentRow::Write write, const std::string& name) {
    if (intent_.columns_size() == 0) intent_.add_columns()->add_columns(name_.value);
    IntentRow& row = rows_.emplace_back();
    row.ref = Ref(key);
    row.write = write;
    ValuesHash values;
    values.Add("name", std::optional<absl::string_view>(name));
    row.values = values.Finish();
  }
  bool Meant(OpenIntent& intent, const std::string& key, ChangeKind kind, const std::string& name) {
    const std::vector<TupleValue> tuple = {{TupleValue::Kind::kText, key}, {TupleValue::Kind::kText, name}};
    return intent.Meant(Ref(key), kind, shape_, tuple, *names_);
  }

  test::TempDirectory directory_{"open_intent"};
  std::unique_ptr<LogFile> file_ = LogFile::Open(directory_.path() + "/log.db", {}).value();
  std::unique_ptr<EventLog> log_ = EventLog::Open(file_.get()).value();
  std::unique_ptr<TableNames> names_ = TableNames::Open(file_.get(), log_.get()).value();
  const TableShape shape_{{"public", "items"}, {{"id", "text"}, {"name", "text"}}, {0}};
  TableId table_;
  ColumnId name_;
  v1::ProjectionIntent intent_;
  std::deque<IntentRow> rows_;
};

TEST_F(OpenIntentTest, IsBelievedOncePerRowAndOnlyForWhatWasMeant) {
  Add("1", IntentRow::Write::kInsert, "ring");
  Add("2", IntentRow::Write::kDelete, "");
  Add("3", IntentRow::Write::kNothing, "");
  OpenIntent intent = OpenIntent::Make(intent_, std::move(rows_)).value();
  EXPECT_FALSE(Meant(intent, "1", ChangeKind::kInsert, "chain")) << "another value";
  EXPECT_FALSE(Meant(intent, "1", ChangeKind::kUpdate, "ring")) << "another operation";
  EXPECT_TRUE(Meant(intent, "1", ChangeKind::kInsert, "ring"));
  EXPECT_FALSE(Meant(intent, "1", ChangeKind::kInsert, "ring")) << "twice";
  EXPECT_TRUE(Meant(intent, "2", ChangeKind::kDelete, ""));
  EXPECT_FALSE(Meant(intent, "3", ChangeKind::kInsert, "")) << "it was to stay as it is";
  EXPECT_FALSE(Meant(intent, "4", ChangeKind::kInsert, "ring")) << "nobody spoke of it";
  // What the next projection must keep away from does not change while the echo comes in.
  for (const char* key : {"1", "2", "3"}) EXPECT_TRUE(intent.Concerns(Ref(key))) << key;
  EXPECT_FALSE(intent.Concerns(Ref("4")));
}

TEST_F(OpenIntentTest, AnUpdatedRowMayBeTakenOutAndPutBackOnce) {
  Add("1", IntentRow::Write::kUpdate, "ring");
  OpenIntent intent = OpenIntent::Make(intent_, std::move(rows_)).value();
  EXPECT_FALSE(Meant(intent, "1", ChangeKind::kInsert, "ring")) << "it has not been taken out";
  EXPECT_TRUE(Meant(intent, "1", ChangeKind::kDelete, "old"));
  EXPECT_FALSE(Meant(intent, "1", ChangeKind::kDelete, "old"));
  EXPECT_TRUE(Meant(intent, "1", ChangeKind::kInsert, "ring"));
  EXPECT_FALSE(Meant(intent, "1", ChangeKind::kDelete, "ring"));
  EXPECT_FALSE(Meant(intent, "1", ChangeKind::kInsert, "ring"));
}

TEST_F(OpenIntentTest, ComesBackFromItsBytesAndAnotherFormatIsRefused) {
  intent_.set_batch(7);
  intent_.set_tag("tag");
  v1::ProjectionIntent::Range* range = intent_.add_ranges();
  range->set_origin(std::string(test::Origin(1).AsBytes()));
  range->set_to(12);
  Add("1", IntentRow::Write::kInsert, "ring");
  Add("2", IntentRow::Write::kNothing, "");
  rows_.back().refused = true;
  rows_.back().MutableRemark() = {{3}, "too long", "22001", EncodeKey({"2"}), test::Origin(1), Sequence{9}};
  const std::string bytes = OpenIntent::Make(intent_, std::move(rows_)).value().Serialize();
  OpenIntent again = OpenIntent::Parse(bytes).value();
  EXPECT_EQ(again.batch(), 7u);
  EXPECT_EQ(again.tag(), "tag");
  EXPECT_EQ(again.to(), (std::map<OriginId, Sequence>{{test::Origin(1), Sequence{12}}}));
  EXPECT_TRUE(Meant(again, "1", ChangeKind::kInsert, "ring"));
  // Row by row it is what the message as a whole would be: what another build of this format wrote is read, and it
  // reads this.
  v1::ProjectionIntent whole;
  ASSERT_TRUE(whole.ParseFromString(bytes));
  ASSERT_EQ(whole.rows_size(), 2);
  EXPECT_EQ(whole.rows(0).table(), table_.value);
  EXPECT_EQ(whole.rows(0).write(), v1::ProjectionIntent::Row::INSERT);
  EXPECT_EQ(whole.rows(1).cause(), "too long");
  EXPECT_EQ(whole.rows(1).missing(0), 3u);
  EXPECT_EQ(OpenIntent::Parse(whole.SerializeAsString()).value().Serialize(), bytes);
  const std::deque<IntentRow> rows = std::move(again).TakeRows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].remark().key, "");
  EXPECT_EQ(rows[1].ref, Ref("2"));
  EXPECT_TRUE(rows[1].refused);
  EXPECT_EQ(rows[1].remark().missing, std::vector<uint32_t>{3});
  EXPECT_EQ(rows[1].remark().cause, "too long");
  EXPECT_EQ(rows[1].remark().sqlstate, "22001");
  EXPECT_EQ(rows[1].remark().key, EncodeKey({"2"}));
  EXPECT_EQ(rows[1].remark().origin, test::Origin(1));
  EXPECT_EQ(rows[1].remark().sequence, Sequence{9});

  const absl::Status damaged = OpenIntent::Parse(bytes.substr(0, bytes.size() - 1)).status();
  EXPECT_TRUE(absl::IsDataLoss(damaged)) << damaged;
  v1::ProjectionIntent other;
  ASSERT_TRUE(other.ParseFromString(bytes));
  other.set_format(other.format() + 1);
  const absl::Status refused = OpenIntent::Parse(other.SerializeAsString()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(refused.message(), HasSubstr("another version of Assay"));
}

}  // namespace
}  // namespace assay
