// Goal: a value is written where its column has gone by now, whichever name it was written under, into the type that it
// was written as, in the row that its key names; and nothing waits for what nobody has. Method: events of another
// branch in a small real log, gathered; the database's answer made by hand; look at what is to be written.
#include "engine/projection/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "engine/projection/appeared_columns.h"
#include "engine/written_as.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const TableName kItems{"public", "items"};

class ProjectionPlanTest : public ::testing::Test {
 protected:
  // What delhi's table is called by its own columns, from here on: name and number of each, after the key.
  void Declare(const std::vector<std::pair<std::string, uint32_t>>& columns, const std::string& type = "text") {
    v1::TableSchema table;
    table.set_schema_name("public");
    table.set_table_name("items");
    table.add_key(0);
    const auto add = [&](const std::string& name, uint32_t number, const std::string& its_type) {
      v1::TableSchema::Column* column = table.add_columns();
      column->set_name(name);
      column->set_type(its_type);
      column->set_number(number);
    };
    add("id", 1, "text");
    for (const auto& [name, number] : columns) add(name, number, type);
    Declare(table);
  }
  void Declare(const v1::TableSchema& table) {
    v1::Event event = small_.Next(small_.delhi());
    *event.mutable_schema() = declared_ = table;
    schema_ = event.sequence();
    small_.AppendRaw(event, "public.items");
  }
  // The last declaration, but for what `change` changes in it.
  template <typename Change>
  void DeclareBut(Change change) {
    v1::TableSchema table = declared_;
    change(&table);
    Declare(table);
  }
  // Delhi writes one column of row 7; `ordinal` as declared.
  void Write(uint32_t ordinal, const std::optional<std::string>& value,
             v1::RowChange::Operation operation = v1::RowChange::UPDATE,
             v1::RowChange::Standing standing = v1::RowChange::EDIT) {
    v1::Event event = small_.Next(small_.delhi());
    event.mutable_row()->set_operation(operation);
    event.mutable_row()->set_standing(standing);
    event.mutable_row()->set_schema(schema_);
    for (int i = 0; i < declared_.key_size(); ++i) event.mutable_row()->add_key(absl::StrCat(7 + i));
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
  void Plan(const Columns& now, const Columns& before = {}) { PlanFor(ShapeOf(now), ShapeOf(before)); }
  void PlanFor(const TableShape& now, const TableShape& before) {
    history_.reset(), rows_.reset(), unsettled_.reset(), state_.reset(), names_.reset(), log_.reset();
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
    ASSERT_TRUE(history_->Note(table, before).ok());
    ASSERT_TRUE(history_->Note(table, now).ok());
    std::vector<TargetRow> targets;
    for (const PendingRow& pending : batch.rows()) targets.push_back({.ref = pending.ref, .pending = &pending});
    ReadReply reply;
    ReadReply::Row row{.exists = exists_, .xmin = 1};
    if (exists_) row.values.resize(now.columns.size());
    reply.tables.push_back({now, "", {row}, answers_});
    FoldValues values(log_.get(), names_.get());
    ProjectionPlanner planner(names_.get(), &values, history_.get());
    planner.SetAsideWhatAnswers(answers_too_often_);
    plan_ = planner.Plan(targets, reply, {}, [this](const RowRef& ref) { return rows_->Get(ref); }).value();
    ASSERT_EQ(plan_.rows.size(), 1u);
  }
  // Delhi writes NULL into a column that is not here. Returns its table.
  TableId PassANullOver() {
    Declare({{"name", 2}});
    Write(1, std::nullopt);
    Plan({});
    return names_->IdOf(kItems).value();
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
  std::string Cause() const { return plan_.rows[0].remark().cause; }

  bool exists_ = true;  // PostgreSQL has row 7.
  std::string answers_;
  bool answers_too_often_ = false;
  v1::TableSchema declared_;
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
  const TableId table = PassANullOver();
  EXPECT_EQ(plan_.rows[0].remark().missing.size(), 0u);
  EXPECT_THAT(history_->TablesWithNulls().value(), ElementsAre(table));
  history_->Clear();  // What was noted is in the log file.
  EXPECT_THAT(history_->TakeAppeared(table, ShapeOf({{"price", 2}})).value(), IsEmpty());
  EXPECT_EQ(history_->TakeAppeared(table, ShapeOf({{"name", 2}})).value().size(), 1u);
  EXPECT_THAT(history_->TablesWithNulls().value(), IsEmpty());
}

TEST_F(ProjectionPlanTest, WhatWasFoundForAColumnThatIsNotHereIsNamedOnlyIfItsRowWasFoundWithIt) {
  exists_ = true;
  Declare({{"name", 2}});
  Write(1, "1000", v1::RowChange::UPDATE, v1::RowChange::FOUND);  // As a default there computed it.
  Plan({});
  EXPECT_EQ(plan_.rows[0].remark().missing.size(), 0u);
  EXPECT_EQ(history_->TablesWithNulls().value().size(), 1u) << "it is looked at again";
}

TEST_F(ProjectionPlanTest, WhatABaselineHasForAColumnThatIsNotHereIsNamed) {
  Declare({{"name", 2}});
  Write(1, "ring", v1::RowChange::INSERT, v1::RowChange::FOUND);
  Plan({});
  EXPECT_EQ(plan_.rows[0].remark().missing.size(), 1u);
}

TEST_F(ProjectionPlanTest, ARowWhoseNullWasPassedOverIsDueWhenItsColumnAppears) {
  const TableId table = PassANullOver();
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

// ---- Types ----

TEST_F(ProjectionPlanTest, AValueOfAnotherTypeWaitsAndSaysSo) {
  Declare({{"name", 2}, {"price", 3}}, "numeric(14,4)");
  Write(2, "1.2345");
  Plan({{"price", 2}});
  EXPECT_THAT(Written(), IsEmpty());
  EXPECT_EQ(plan_.rows[0].remark().missing.size(), 1u);
  EXPECT_THAT(Cause(), HasSubstr("column price was written as numeric(14,4) and is text here"));
}

TEST_F(ProjectionPlanTest, AValueGoesAlongAWideningAndIsComparedAllTheSame) {
  Declare({{"price", 3}}, "character varying(20)");
  Write(1, "1.50");
  Plan({{"price", 2}});
  EXPECT_THAT(Written(), ElementsAre("price=1.50"));
  EXPECT_THAT(plan_.writes[0].written_as, ElementsAre("character varying(20)"));
  EXPECT_EQ(plan_.columns.at(plan_.rows[0].columns).size(), 1u) << "its echo is compared";
}

TEST_F(ProjectionPlanTest, AValueOfAnotherTypeIsWrittenOnceItsWritersColumnHasTheTypeThatIsHere) {
  Declare({{"name", 2}, {"price", 3}}, "integer");
  Write(2, "12");
  Declare({{"name", 2}, {"price", 3}});
  Plan({{"price", 2}});
  EXPECT_THAT(Written(), ElementsAre("price=12"));
  EXPECT_THAT(plan_.writes[0].written_as, ElementsAre(kConvertedWhereItWasWritten));
  EXPECT_TRUE(plan_.columns.at(plan_.rows[0].columns).empty()) << "it may have another spelling in the echo";
}

TEST_F(ProjectionPlanTest, ANullIsTheSameInEveryType) {
  Declare({{"price", 3}}, "integer");
  Write(1, std::nullopt);
  Plan({{"price", 2}});
  EXPECT_TRUE(Cause().empty());
  EXPECT_TRUE(plan_.rows[0].remark().missing.empty()) << "nothing waits";
}

// A domain or a composite type of one name and two definitions.
TEST_F(ProjectionPlanTest, ATypeIsWhatItIsMadeOf) {
  Declare({{"w", 2}}, "weight");
  DeclareBut([](v1::TableSchema* table) { table->mutable_columns(1)->set_definition("weight numeric(10,3)"); });
  Write(1, "8.125");
  TableShape shape = ShapeOf({{"w", 2}});
  shape.columns[1].type = "weight";
  shape.columns[1].definition = "weight numeric(10,2)";
  PlanFor(shape, shape);
  EXPECT_THAT(Written(), IsEmpty());
  EXPECT_THAT(Cause(), HasSubstr("weight (weight numeric(10,3)) and is weight (weight numeric(10,2)) here"));
}

// NULL in its place would be a value that nobody gave it.
TEST_F(ProjectionPlanTest, ANewRowIsNotMadeWithoutAValueThatWaits) {
  exists_ = false;
  Declare({{"price", 2}}, "integer");
  Write(1, "5", v1::RowChange::INSERT);
  Plan({{"price", 2}});
  EXPECT_THAT(Written(), IsEmpty());
  EXPECT_TRUE(plan_.rows[0].refused);
  EXPECT_THAT(Cause(), HasSubstr("was written as integer"));
}

// ---- What answers ----

TEST_F(ProjectionPlanTest, ATableThatAnswersTooOftenIsSetAsideWithWhatAnswers) {
  Declare({{"price", 2}});
  Write(1, "5");
  answers_too_often_ = true;
  Plan({{"price", 2}});
  EXPECT_THAT(Written(), ElementsAre("price=5")) << "nothing answers here";
  answers_ = "trigger totals";
  Plan({{"price", 2}});
  EXPECT_THAT(Written(), IsEmpty());
  EXPECT_TRUE(plan_.rows[0].refused);
  EXPECT_THAT(Cause(), HasSubstr("makes others write more, again and again. This runs for rows of other branches, too: "
                                 "trigger totals"));
}

// ---- Names used again ----

// ALTER TABLE … DROP note, ADD note integer; at delhi first.
TEST_F(ProjectionPlanTest, AColumnMadeAnewThereDoesNotGoIntoTheOldOneHere) {
  Declare({{"note", 2}});
  Write(1, "old");
  Declare({{"note", 3}}, "integer");
  Write(1, "5");
  Plan({{"note", 2}});
  EXPECT_THAT(Written(), IsEmpty());
  EXPECT_THAT(Cause(), HasSubstr("column note was written as integer and is text here"));
}

// The same, here first: what delhi had in its old column waits until delhi drops that.
TEST_F(ProjectionPlanTest, AnOldColumnsValueDoesNotGoIntoTheOneThatWasMadeAnewHere) {
  Declare({{"note", 2}}, "integer");
  Write(1, "5");
  Plan({{"note", 4}}, {{"note", 3}});
  EXPECT_THAT(Written(), IsEmpty());
  EXPECT_EQ(plan_.rows[0].remark().missing.size(), 1u);
}

TEST_F(ProjectionPlanTest, NothingOfAnotherTypeWaitsOnceItsWriterHasDroppedTheColumn) {
  Declare({{"note", 2}}, "integer");
  Write(1, "5");
  Declare({{"note", 3}});
  Plan({{"note", 4}}, {{"note", 3}});
  EXPECT_THAT(Written(), IsEmpty());
  EXPECT_TRUE(Cause().empty());
}

// ALTER TABLE … RENAME price TO price_old, ADD price; at delhi first.
TEST_F(ProjectionPlanTest, ANameThatIsAnotherColumnsThereWaitsUntilItIsSoHere) {
  Declare({{"price_old", 2}, {"price", 3}});
  DeclareBut([](v1::TableSchema* table) { table->mutable_columns(1)->add_former("price"); });
  Write(2, "999");
  Plan({{"price", 2}});
  EXPECT_THAT(Written(), IsEmpty());
  EXPECT_THAT(Cause(), HasSubstr("column price is another one there by now: the one that is here is called price_old"));
}

TEST_F(ProjectionPlanTest, ANameThatIsAnotherColumnsOnBothSidesIsThatColumn) {
  Declare({{"price_old", 2}, {"price", 3}});
  DeclareBut([](v1::TableSchema* table) { table->mutable_columns(1)->add_former("price"); });
  Write(2, "999");
  Plan({{"price_old", 5}, {"price", 6}}, {{"price", 5}});
  EXPECT_THAT(Written(), ElementsAre("price=999"));
}

// The same, here first: delhi means its only price.
TEST_F(ProjectionPlanTest, AnOldNameThatIsAnotherColumnsHereGoesToTheColumnThatHadIt) {
  Declare({{"price", 2}});
  Write(1, "999");
  Plan({{"price_old", 5}, {"price", 6}}, {{"price", 5}});
  EXPECT_THAT(Written(), ElementsAre("price_old=999"));
}

TEST_F(ProjectionPlanTest, RowsWithAValueUnderANameThatIsAnotherColumnsNowAreDue) {
  Declare({{"c", 2}});
  Write(1, "10");
  Plan({{"c", 2}}, {{"c", 2}});
  const TableId table = names_->IdOf(kItems).value();
  const RowRef row = plan_.rows[0].ref;
  Batch batch(small_.mumbai(), log_.get(), names_.get(), state_.get());
  ASSERT_TRUE(batch.Gather(100).ok());
  ASSERT_TRUE(rows_->Put(row, batch.rows()[0].incoming()).ok());
  FoldValues values(log_.get(), names_.get());
  AppearedColumns appeared(rows_.get(), unsettled_.get(), &values, history_.get());
  EXPECT_FALSE(appeared.MakeRowsDue(table, ShapeOf({{"c", 2}}), absl::UnixEpoch()).value());
  ASSERT_TRUE(history_->Note(table, ShapeOf({{"c", 4}})).ok());
  EXPECT_TRUE(appeared.MakeRowsDue(table, ShapeOf({{"c", 4}}), absl::UnixEpoch()).value());
  const std::optional<UnsettledRow> due = unsettled_->Find(row).value();
  ASSERT_TRUE(due.has_value() && due->held.has_value());
  EXPECT_EQ(due->held->columns.size(), 0u) << "PostgreSQL holds nothing of it";
  EXPECT_FALSE(appeared.MakeRowsDue(table, ShapeOf({{"c", 4}}), absl::UnixEpoch()).value()) << "once";
}

// ---- Keys ----

TEST_F(ProjectionPlanTest, ARowUnderAnotherKeyWaitsWithBothKeysNamed) {
  Declare({{"code", 2}, {"name", 3}});
  DeclareBut([](v1::TableSchema* table) { table->set_key(0, 1); });
  Write(2, "ONE");
  Plan({{"code", 2}, {"name", 3}});
  EXPECT_THAT(Written(), IsEmpty()) << "the row whose id is 7 is another one";
  EXPECT_TRUE(plan_.rows[0].refused);
  EXPECT_EQ(Cause(), "the primary key of table public.items is (code) there and (id) here");
}

TEST_F(ProjectionPlanTest, ARowUnderAnotherKeyIsWrittenOnceTheKeysAgree) {
  Declare({{"code", 2}, {"name", 3}});
  DeclareBut([](v1::TableSchema* table) { table->set_key(0, 1); });
  Write(2, "ONE");
  TableShape shape = ShapeOf({{"code", 2}, {"name", 3}});
  shape.key = {1};
  PlanFor(shape, ShapeOf({{"code", 2}, {"name", 3}}));
  EXPECT_THAT(Written(), ElementsAre("name=ONE"));
}

TEST_F(ProjectionPlanTest, AKeyColumnThatWasRenamedHereOrThereIsTheSameOne) {
  Declare({{"name", 3}});
  Write(1, "ring");
  TableShape renamed = ShapeOf({{"name", 3}});
  renamed.columns[0].name = "sku";
  PlanFor(renamed, ShapeOf({{"name", 3}}));
  EXPECT_THAT(Written(), ElementsAre("name=ring"));
  file_->Rollback();
  DeclareBut([](v1::TableSchema* table) {
    table->mutable_columns(0)->set_name("sku");
    table->mutable_columns(0)->add_former("id");
  });
  Write(1, "box");
  Plan({{"name", 3}});
  EXPECT_THAT(Written(), ElementsAre("name=box"));
}

TEST_F(ProjectionPlanTest, KeysOfTypesInWhichOneTextMayBeTwoRowsWait) {
  Declare({{"name", 3}});
  DeclareBut([](v1::TableSchema* table) { table->mutable_columns(0)->set_type("character varying(8)"); });
  Write(1, "ring");
  TableShape shape = ShapeOf({{"name", 3}});
  shape.columns[0].type = "character(8)";
  PlanFor(shape, shape);
  EXPECT_THAT(Written(), IsEmpty());
  EXPECT_THAT(Cause(), HasSubstr("key column id of table public.items is character varying(8) there and character(8)"));
  file_->Rollback();
  Plan({{"name", 3}});
  EXPECT_THAT(Written(), ElementsAre("name=ring")) << "text holds every varchar";
}

TEST_F(ProjectionPlanTest, AKeyOfAnotherTypeIsWrittenOnceItsWritersColumnHasTheTypeThatIsHere) {
  const auto plan_after = [this](const std::string& was, const std::string& is) {
    if (file_ != nullptr) file_->Rollback();
    if (declared_.columns_size() == 0) Declare({{"name", 3}});
    DeclareBut([&](v1::TableSchema* table) { table->mutable_columns(0)->set_type(was); });
    Write(1, "ring");
    DeclareBut([&](v1::TableSchema* table) { table->mutable_columns(0)->set_type(is); });
    TableShape shape = ShapeOf({{"name", 3}});
    shape.columns[0].type = is;
    PlanFor(shape, shape);
  };
  plan_after("text", "integer");
  EXPECT_THAT(Written(), ElementsAre("name=ring"));
  plan_after("bigint", "character varying(8)");
  EXPECT_THAT(Written(), ElementsAre("name=ring"));
  plan_after("character(8)", "character varying(8)");
  EXPECT_THAT(Written(), IsEmpty()) << "there, the padding is gone from the text";
}

// A reader takes no key whose columns are in another order than every reader has them in.
TEST_F(ProjectionPlanTest, AKeyOfSeveralColumnsIsInTheOrderOfTheirNames) {
  Declare({{"bill", 2}, {"name", 3}});
  DeclareBut([](v1::TableSchema* table) {
    table->set_key(0, 1);
    table->add_key(0);
  });
  Write(2, "one");
  TableShape shape = ShapeOf({{"bill", 2}, {"name", 3}});
  shape.key = {1, 0};
  PlanFor(shape, shape);
  EXPECT_THAT(Written(), ElementsAre("name=one"));
  EXPECT_EQ(plan_.writes[0].rows[0].row.key(), EncodeKey({"7", "8"})) << "bill 7 of id 8";
}

// By the log's names the key is (id, no), by the present ones here (no, ref).
TEST_F(ProjectionPlanTest, AKeyThatARenameHerePutInAnotherOrderIsReadAndWrittenInThat) {
  Declare({{"no", 2}, {"name", 3}});
  DeclareBut([](v1::TableSchema* table) { table->add_key(1); });
  Write(2, "one");
  TableShape before = ShapeOf({{"no", 2}, {"name", 3}}), now = before;
  before.key = {0, 1};
  now.columns[0].name = "ref";
  now.key = {1, 0};
  PlanFor(now, before);
  EXPECT_THAT(Written(), ElementsAre("name=one"));
  EXPECT_EQ(plan_.writes[0].rows[0].row.key(), EncodeKey({"8", "7"})) << "id 7 of no 8";
  EXPECT_TRUE(plan_.outdated) << "it was read as if the order were the log's: read again";
}

// ---- A row is made only if it was seen whole ----

TEST_F(ProjectionPlanTest, NoRowIsMadeOfChangesToARowThatWasNeverSeenWhole) {
  exists_ = false;
  Declare({{"name", 2}, {"price", 3}});
  Write(2, "9");
  Plan({{"name", 2}, {"price", 3}});
  EXPECT_THAT(Written(), IsEmpty());
  EXPECT_TRUE(plan_.rows[0].refused);
  EXPECT_THAT(Cause(), HasSubstr("the beginning of this row of table public.items is not known to this branch"));
}

TEST_F(ProjectionPlanTest, ARowThatWasSeenWholeComesBackWholeAfterADelete) {
  exists_ = false;
  Declare({{"name", 2}, {"price", 3}});
  Write(1, "ring", v1::RowChange::INSERT);
  Write(1, std::nullopt, v1::RowChange::DELETE);
  Write(2, "9");
  Plan({{"name", 2}, {"price", 3}});
  EXPECT_THAT(Written(), ElementsAre("name=ring", "price=9"));
}

}  // namespace
}  // namespace assay
