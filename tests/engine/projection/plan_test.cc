// Goal: a value is written where its column has gone by now, whichever name it was written under, and nothing waits for
// what nobody has. Method: events of another branch in a small real log, gathered; the database's answer made by hand;
// look at what is to be written.
#include "engine/projection/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "engine/projection/appeared_columns.h"
#include "engine/written_as.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const TableName kItems{"public", "items"};

class ProjectionPlanTest : public ::testing::Test {
 protected:
  // What delhi's table is called by its own columns, from here on: name and number of each, after the key.
  void Declare(const std::vector<std::pair<std::string, uint32_t>>& columns, const std::string& type = "text") {
    v1::Event event = small_.Next(small_.delhi());
    v1::TableSchema* table = event.mutable_schema();
    table->set_schema_name("public");
    table->set_table_name("items");
    table->add_key(0);
    const auto add = [&](const std::string& name, uint32_t number, const std::string& its_type) {
      v1::TableSchema::Column* column = table->add_columns();
      column->set_name(name);
      column->set_type(its_type);
      column->set_number(number);
    };
    add("id", 1, "text");
    for (const auto& [name, number] : columns) add(name, number, type);
    schema_ = event.sequence();
    small_.AppendRaw(event, "public.items");
  }
  // Delhi writes one column of row 7; `ordinal` as declared.
  void Write(uint32_t ordinal, const std::optional<std::string>& value) {
    v1::Event event = small_.Next(small_.delhi());
    event.mutable_row()->set_operation(v1::RowChange::UPDATE);
    event.mutable_row()->set_schema(schema_);
    event.mutable_row()->add_key("7");
    v1::ColumnChange* column = event.mutable_row()->add_columns();
    column->set_ordinal(ordinal);
    value.has_value() ? column->set_value(*value) : column->set_is_null(true);
    small_.AppendRaw(event, "public.items");
  }

  // As a daemon of mumbai that reads the log: its table has these columns, after the key, and has had them as in
  // `before`.
  using Columns = std::vector<std::pair<std::string, uint32_t>>;
  static TableShape ShapeOf(const Columns& columns) {
    TableShape shape{kItems, {{"id", "text", true, false, 1}}, {0}};
    for (const auto& [name, number] : columns) shape.columns.push_back({name, "text", false, false, number});
    return shape;
  }
  void Plan(const Columns& now, const Columns& before = {}) {
    file_ = LogFile::Open(path_, {}).value();
    log_ = EventLog::Open(file_.get()).value();
    names_ = TableNames::Open(file_.get(), log_.get()).value();
    state_ = LocalState::Open(file_.get(), log_.get()).value();
    unsettled_ = UnsettledRows::Open(file_.get(), log_.get()).value();
    rows_ = RowVersionStore::Open(file_.get(), log_.get()).value();
    history_ = std::make_unique<ColumnHistory>(small_.mumbai(), names_.get(), state_.get());
    ASSERT_TRUE(file_->Begin().ok());
    Batch batch(small_.mumbai(), log_.get(), names_.get(), state_.get());
    ASSERT_TRUE(batch.Gather(100).ok());
    for (const auto& [table, sequence] : batch.declared()) {
      const Sequence noted{note_only_the_first_ > 0 ? note_only_the_first_ : sequence.value};
      ASSERT_TRUE(history_->NoteDeclared(table.first, table.second, noted).ok());
    }
    const TableId table = names_->IdOf(kItems).value();
    ASSERT_TRUE(history_->Note(table, ShapeOf(before)).ok());
    ASSERT_TRUE(history_->Note(table, ShapeOf(now)).ok());
    std::vector<TargetRow> targets;
    for (const PendingRow& pending : batch.rows()) targets.push_back({.ref = pending.ref, .pending = &pending});
    ReadReply reply;
    ReadReply::Row row{.exists = true, .xmin = 1};
    row.values.resize(now.size() + 1);
    reply.tables.push_back({ShapeOf(now), "", {row}});
    FoldValues values(log_.get(), names_.get());
    ProjectionPlanner planner(names_.get(), &values, history_.get());
    plan_ = planner.Plan(targets, reply, {}, [this](const RowRef& ref) { return rows_->Get(ref); }).value();
    ASSERT_EQ(plan_.rows.size(), 1u);
  }
  std::vector<std::string> Written() const {
    std::vector<std::string> written;
    for (const TableWrites& writes : plan_.writes) {
      for (size_t i = 0; i < writes.columns.size(); ++i) {
        written.push_back(writes.columns[i] + "=" + std::string(writes.Value(writes.rows[0], i).value_or("NULL")));
      }
    }
    return written;
  }

  test::TempDirectory directory_{"plan"};
  const std::string path_ = directory_.path() + "/log.db";
  test::SmallLog small_{path_};
  uint64_t schema_ = 0;
  uint64_t note_only_the_first_ = 0;
  std::unique_ptr<LogFile> file_;
  std::unique_ptr<EventLog> log_;
  std::unique_ptr<TableNames> names_;
  std::unique_ptr<LocalState> state_;
  std::unique_ptr<UnsettledRows> unsettled_;
  std::unique_ptr<RowVersionStore> rows_;
  std::unique_ptr<ColumnHistory> history_;
  ProjectionPlan plan_;
};

TEST_F(ProjectionPlanTest, AColumnThatWasRenamedHereTakesWhatIsWrittenUnderItsOldName) {
  Declare({{"name", 2}});
  Write(1, "ring");
  Plan({{"title", 2}}, {{"name", 2}});
  EXPECT_THAT(Written(), ElementsAre("title=ring"));
  EXPECT_EQ(plan_.rows[0].remark().missing.size(), 0u);
}

// Method: each column is written by itself, so the row's texts are of several events; the fixture's batch is gone when
// the plan is looked at.
TEST_F(ProjectionPlanTest, WhatIsToBeWrittenOutlivesTheBatch) {
  Declare({{"note", 2}, {"name", 3}, {"price", 4}});
  const std::string large(100'000, 'x');
  Write(3, "120");
  Write(1, large);
  Write(2, std::nullopt);
  Plan({{"name", 3}, {"note", 2}, {"price", 4}});
  EXPECT_THAT(Written(), ElementsAre("note=" + large, "price=120"));
  ASSERT_EQ(plan_.writes.size(), 1u);
  EXPECT_EQ(plan_.writes[0].rows[0].row.key(), EncodeKey({"7"}));
}

TEST_F(ProjectionPlanTest, AColumnThatWasDroppedAndAnotherAddedIsNoRename) {
  Declare({{"name", 2}});
  Write(1, "ring");
  Plan({{"title", 3}}, {{"name", 2}});
  EXPECT_THAT(Written(), IsEmpty());
  EXPECT_EQ(plan_.rows[0].remark().missing.size(), 1u) << "whoever wrote it has it still";
}

TEST_F(ProjectionPlanTest, AColumnThatItsWriterHasRenamedSinceGoesToTheNewName) {
  Declare({{"name", 2}});
  Write(1, "ring");
  Declare({{"title", 2}});
  Plan({{"title", 5}});
  EXPECT_THAT(Written(), ElementsAre("title=ring"));
}

TEST_F(ProjectionPlanTest, OfTwoNamesOfOneColumnTheNewestWriteWins) {
  Declare({{"name", 2}, {"title", 3}});
  Write(1, "older");
  Write(2, "newer");
  Plan({{"title", 2}}, {{"name", 2}});
  EXPECT_THAT(Written(), ElementsAre("title=newer"));
}

TEST_F(ProjectionPlanTest, AnOldNameWinsWhenItWasWrittenLast) {
  Declare({{"name", 2}, {"title", 3}});
  Write(2, "older");
  Write(1, "newer");
  Plan({{"title", 2}}, {{"name", 2}});
  EXPECT_THAT(Written(), ElementsAre("title=newer"));
}

TEST_F(ProjectionPlanTest, NothingWaitsForAColumnThatItsWriterHasDroppedSince) {
  Declare({{"name", 2}, {"price", 3}});
  Write(1, "ring");
  Write(2, "9");
  Declare({{"price", 3}});
  Plan({{"price", 9}});
  EXPECT_THAT(Written(), ElementsAre("price=9"));
  EXPECT_EQ(plan_.rows[0].remark().missing.size(), 0u);
}

// Found by EvolutionTest: the declaration that a value was written under may be in the very batch that brings it.
TEST_F(ProjectionPlanTest, ADeclarationFromBeforeAValueDoesNotTellOfItsColumn) {
  Declare({{"price", 3}});
  note_only_the_first_ = schema_;
  Declare({{"price", 3}, {"name", 4}});
  Write(2, "ring");
  Plan({{"price", 3}});
  EXPECT_EQ(plan_.rows[0].remark().missing.size(), 1u);
}

TEST_F(ProjectionPlanTest, AColumnOfTheSameNameMadeAnewIsAnotherOne) {
  Declare({{"name", 2}});
  Write(1, "ring");
  Declare({{"name", 4}});
  Plan({});
  EXPECT_EQ(plan_.rows[0].remark().missing.size(), 0u) << "the value was of the column that is gone";
}

TEST_F(ProjectionPlanTest, ANullForAColumnThatIsNotHereIsRememberedUntilItAppears) {
  Declare({{"name", 2}});
  Write(1, std::nullopt);
  Plan({});
  EXPECT_EQ(plan_.rows[0].remark().missing.size(), 0u);
  const TableId table = names_->IdOf(kItems).value();
  EXPECT_THAT(history_->TablesWithNulls().value(), ElementsAre(table));
  history_->Clear();  // What was noted is in the log file.
  EXPECT_THAT(history_->TakeAppeared(table, ShapeOf({{"price", 2}})).value(), IsEmpty());
  EXPECT_EQ(history_->TakeAppeared(table, ShapeOf({{"name", 2}})).value().size(), 1u);
  EXPECT_THAT(history_->TablesWithNulls().value(), IsEmpty());
}

TEST_F(ProjectionPlanTest, ARowWhoseNullWasPassedOverIsDueWhenItsColumnAppears) {
  Declare({{"name", 2}});
  Write(1, std::nullopt);
  Plan({});
  const TableId table = names_->IdOf(kItems).value();
  const RowRef row = plan_.rows[0].ref;
  Batch batch(small_.mumbai(), log_.get(), names_.get(), state_.get());
  ASSERT_TRUE(batch.Gather(100).ok());
  ASSERT_TRUE(rows_->Put(row, batch.rows()[0].incoming()).ok());
  FoldValues values(log_.get(), names_.get());
  AppearedColumns appeared(rows_.get(), unsettled_.get(), &values, history_.get());
  EXPECT_FALSE(appeared.MakeRowsDue(table, ShapeOf({{"price", 2}}), absl::UnixEpoch()).value());
  EXPECT_FALSE(unsettled_->Find(row).value().has_value());
  EXPECT_TRUE(appeared.MakeRowsDue(table, ShapeOf({{"name", 2}}), absl::UnixEpoch()).value());
  const std::optional<UnsettledRow> due = unsettled_->Find(row).value();
  ASSERT_TRUE(due.has_value());
  EXPECT_EQ(due->retry_at_ms, 0);
  ASSERT_TRUE(due->held.has_value());
  EXPECT_EQ(due->held->columns.size(), 0u) << "it may hold a default";
  EXPECT_FALSE(appeared.MakeRowsDue(table, ShapeOf({{"name", 2}}), absl::UnixEpoch()).value()) << "once";
}

TEST_F(ProjectionPlanTest, AValueOfAnotherTypeSaysSo) {
  Declare({{"name", 2}, {"price", 3}}, "numeric(14,4)");
  Write(2, "1.2345");
  Plan({{"price", 2}});
  ASSERT_EQ(plan_.writes.size(), 1u);
  EXPECT_THAT(plan_.writes[0].written_as, ElementsAre("numeric(14,4)"));
  EXPECT_TRUE(plan_.columns.at(plan_.rows[0].columns).empty())
      << "what PostgreSQL makes of it is not known, so the echo cannot be compared";
}

TEST_F(ProjectionPlanTest, AValueOfATypeThatItsWriterHasGivenUpSinceIsConvertedHereToo) {
  Declare({{"name", 2}, {"price", 3}}, "numeric(14,4)");
  Write(2, "1.2345");
  Declare({{"name", 2}, {"price", 3}});
  Plan({{"price", 2}});
  ASSERT_EQ(plan_.writes.size(), 1u);
  EXPECT_THAT(plan_.writes[0].written_as, ElementsAre(kConvertedWhereItWasWritten));
  EXPECT_TRUE(plan_.columns.at(plan_.rows[0].columns).empty());
}

}  // namespace
}  // namespace assay
