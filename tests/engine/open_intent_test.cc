// Goal: a tag is believed for what was meant, once per row, and a note that another program wrote is not guessed at.
// Method: an intent made by hand; show it changes.
#include "engine/open_intent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/projection_plan.h"
#include "log/event_log.h"
#include "log/log_file.h"
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
  void Add(const std::string& key, v1::ProjectionIntent::Row::Write write, const std::string& name) {
    if (intent_.columns_size() == 0) intent_.add_columns()->add_columns(name_.value);
    v1::ProjectionIntent::Row* row = intent_.add_rows();
    SetRef(Ref(key), row);
    row->set_write(write);
    ValuesHash values;
    values.Add("name", std::optional<absl::string_view>(name));
    row->set_values(values.Finish());
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
};

TEST_F(OpenIntentTest, IsBelievedOncePerRowAndOnlyForWhatWasMeant) {
  Add("1", v1::ProjectionIntent::Row::INSERT, "ring");
  Add("2", v1::ProjectionIntent::Row::DELETE, "");
  Add("3", v1::ProjectionIntent::Row::NOTHING, "");
  OpenIntent intent = OpenIntent::Make(intent_).value();
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
  Add("1", v1::ProjectionIntent::Row::UPDATE, "ring");
  OpenIntent intent = OpenIntent::Make(intent_).value();
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
  Add("1", v1::ProjectionIntent::Row::INSERT, "ring");
  const std::string bytes = OpenIntent::Make(intent_).value().Serialize();
  OpenIntent again = OpenIntent::Parse(bytes).value();
  EXPECT_EQ(again.batch(), 7u);
  EXPECT_EQ(again.tag(), "tag");
  EXPECT_EQ(again.to(), (std::map<OriginId, Sequence>{{test::Origin(1), Sequence{12}}}));
  EXPECT_TRUE(Meant(again, "1", ChangeKind::kInsert, "ring"));

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
