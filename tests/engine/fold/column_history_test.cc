// Goal: a rename is told from a drop and an add by the column's number, here and elsewhere, and what is remembered of
// it survives a restart. Method: declare and note tables over a small real log, and ask.
#include "engine/fold/column_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

// Name and number of each column after the key.
using Columns = std::vector<std::pair<std::string, uint32_t>>;

class ColumnHistoryTest : public ::testing::Test {
 protected:
  // In between: events can be appended, and what was noted is on the disk.
  void SetUp() override { Restart(); }
  void Restart() {
    if (small_.open().file->InTransaction()) {
      ASSERT_TRUE(small_.open().file->Commit().ok());
    }
    history_ = std::make_unique<ColumnHistory>(small_.mumbai(), small_.open().names.get(), small_.open().state.get());
  }
  void Begin() {
    if (!small_.open().file->InTransaction()) {
      ASSERT_TRUE(small_.open().file->Begin().ok());
    }
  }

  // Delhi declares its table; what it declared last is noted by Note…Declared.
  // `former`: names that columns had before, by their present ones.
  Sequence Declare(const Columns& columns, const std::string& type = "text",
                   const std::map<std::string, std::string>& former = {}) {
    v1::Event event = small_.Next(small_.delhi());
    v1::TableSchema* table = event.mutable_schema();
    table->set_schema_name("public");
    table->set_table_name("items");
    table->add_key(0);
    const auto add = [&](const std::string& name, uint32_t number) {
      v1::TableSchema::Column* column = table->add_columns();
      column->set_name(name);
      column->set_type(type);
      column->set_number(number);
      if (const auto at = former.find(name); at != former.end()) column->add_former(at->second);
    };
    add("id", 1);
    for (const auto& [name, number] : columns) add(name, number);
    small_.AppendRaw(event, "public.items");
    return Sequence{event.sequence()};
  }
  void NoteDeclared(Sequence sequence) {
    Begin();
    ASSERT_EQ(history_->NoteDeclared(small_.delhi(), Table(), sequence), absl::OkStatus());
  }

  static TableShape Shape(const Columns& columns) {
    TableShape shape{{"public", "items"}, {{"id", "text", true, false, 1}}, {0}};
    for (const auto& [name, number] : columns) shape.columns.push_back({name, "text", false, false, number});
    return shape;
  }
  TableId Table(const std::string& table = "items") { return small_.open().names->IdOf({"public", table}).value(); }
  void Note(const Columns& columns, const std::string& table = "items") {
    Begin();
    ASSERT_EQ(history_->Note(Table(table), Shape(columns)), absl::OkStatus());
  }
  std::map<std::string, std::string> RenamedHere(const Columns& now, const std::string& table = "items") {
    return history_->RenamedHere(Table(table), Shape(now)).value();
  }
  // What has become of delhi's column, which was written by its event `sequence`.
  ColumnHistory::Fate Fate(Sequence sequence, const std::string& name, uint32_t number) {
    Begin();
    const Version version{HlcStamp{1}, small_.delhi(), sequence};
    return history_->FateOf(version, Table(), name, number, Shape({})).value();
  }

  test::TempDirectory directory_{"columns"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  std::unique_ptr<ColumnHistory> history_;
};

TEST_F(ColumnHistoryTest, ARenamedColumnKeepsItsNumber) {
  Note({{"name", 2}, {"price", 3}});
  Note({{"title", 2}, {"price", 3}});
  EXPECT_THAT(RenamedHere({{"title", 2}, {"price", 3}}), ElementsAre(Pair("name", "title")));
  Note({{"label", 2}, {"price", 3}});
  EXPECT_THAT(RenamedHere({{"label", 2}, {"price", 3}}), ElementsAre(Pair("name", "label"), Pair("title", "label")))
      << "each name that it ever had";
}

TEST_F(ColumnHistoryTest, ADropAndAnAddAreNoRename) {
  Note({{"name", 2}});
  Note({{"title", 3}});
  EXPECT_THAT(RenamedHere({{"title", 3}}), IsEmpty());
}

TEST_F(ColumnHistoryTest, AnOldNameMayBeAnotherColumnsByNow) {
  Note({{"name", 2}});
  Note({{"title", 2}, {"name", 4}});
  EXPECT_THAT(RenamedHere({{"title", 2}, {"name", 4}}), ElementsAre(Pair("name", "title")))
      << "a new column took the name";
  EXPECT_THAT(RenamedHere({{"title", 2}}), IsEmpty()) << "the name was the new column's in the end";
}

TEST_F(ColumnHistoryTest, ANewColumnUnderAnOldNameIsNoTableMadeAnew) {
  Note({{"price", 2}});
  Note({{"price_old", 2}, {"price", 3}});
  const TableShape shape = Shape({{"price_old", 2}, {"price", 3}});
  EXPECT_THAT(history_->Former(Table(), shape).value(), ElementsAre(IsEmpty(), ElementsAre("price"), IsEmpty()));
  EXPECT_EQ(history_->TakeRemade(Table()).value().size(), 1u);
}

// A dump leaves dropped columns out, so what is restored from it has other numbers. Here: `gone` was column 2.
TEST_F(ColumnHistoryTest, ATableThatWasMadeAnewKeepsItsColumnsNames) {
  Note({{"gone", 2}, {"name", 3}, {"price", 4}});
  Note({{"title", 3}, {"price", 4}});
  const Columns restored = {{"title", 2}, {"price", 3}};
  Note(restored);
  EXPECT_THAT(RenamedHere(restored), ElementsAre(Pair("name", "title"))) << "and no price was ever called title";
  EXPECT_THAT(history_->Former(Table(), Shape(restored)).value(),
              ElementsAre(IsEmpty(), ElementsAre("name"), IsEmpty()));
  EXPECT_THAT(history_->TakeRemade(Table()).value(), IsEmpty());
}

TEST_F(ColumnHistoryTest, AColumnMadeAnewIsAnotherOneUnderItsName) {
  Note({{"name", 2}, {"price", 3}});
  Note({{"price", 3}, {"name", 4}});
  EXPECT_THAT(history_->TakeRemade(Table()).value(),
              ElementsAre(small_.open().names->ColumnIdOf(Table(), "name").value()));
  EXPECT_THAT(history_->TakeRemade(Table()).value(), IsEmpty()) << "once";
  EXPECT_THAT(history_->Former(Table(), Shape({{"price", 3}, {"name", 4}})).value(), Each(IsEmpty()));
}

TEST_F(ColumnHistoryTest, AColumnWithoutANumberIsNotNoted) {
  Note({{"name", 0}});
  Note({{"title", 2}});
  EXPECT_THAT(RenamedHere({{"title", 0}}), IsEmpty());
  EXPECT_THAT(RenamedHere({{"other", 0}, {"title", 2}}), IsEmpty());
}

TEST_F(ColumnHistoryTest, NumbersAreOfOneTable) {
  Note({{"name", 2}});
  Note({{"title", 2}}, "others");
  EXPECT_THAT(RenamedHere({{"title", 2}}, "others"), IsEmpty());
}

TEST_F(ColumnHistoryTest, NumbersAreRememberedOverARestartAndForgottenWithARollback) {
  Note({{"name", 2}});
  Restart();
  Note({{"title", 2}});
  EXPECT_THAT(RenamedHere({{"title", 2}}), ElementsAre(Pair("name", "title")));
  small_.open().file->Rollback();
  history_->Clear();
  EXPECT_THAT(RenamedHere({{"label", 2}}), ElementsAre(Pair("name", "label"))) << "title was rolled back";
  Note({{"title", 2}});  // As before: it is not taken for noted because it once was.
  EXPECT_THAT(RenamedHere({{"label", 2}}), ElementsAre(Pair("name", "label"), Pair("title", "label")));
}

TEST_F(ColumnHistoryTest, ARenameElsewhereIsKnownByItsDeclaration) {
  const Sequence before = Declare({{"name", 2}, {"price", 3}});
  const Sequence dropped = Declare({{"name", 2}, {"cost", 4}});
  const Sequence renamed = Declare({{"title", 2}, {"cost", 4}}, "text", {{"title", "name"}});
  NoteDeclared(before);
  EXPECT_FALSE(history_->RenamedElsewhere(Table()).value());
  NoteDeclared(dropped);
  EXPECT_FALSE(history_->RenamedElsewhere(Table()).value()) << "dropped and added";
  NoteDeclared(renamed);
  EXPECT_TRUE(history_->RenamedElsewhere(Table()).value());
  EXPECT_FALSE(history_->RenamedElsewhere(Table("others")).value());
  Restart();
  EXPECT_TRUE(history_->RenamedElsewhere(Table()).value());
}

TEST_F(ColumnHistoryTest, TheFateOfAColumnIsThatOfItsNumber) {
  const Sequence first = Declare({{"name", 2}, {"price", 3}});
  const Sequence last = Declare({{"title", 2}, {"name", 4}}, "varchar(20)");
  NoteDeclared(first);
  NoteDeclared(last);
  const ColumnHistory::Fate renamed = Fate(first, "name", 2);
  EXPECT_TRUE(renamed.known);
  EXPECT_EQ(renamed.name, "title");
  EXPECT_EQ(renamed.type, "varchar(20)") << "as it is now";
  const ColumnHistory::Fate dropped = Fate(first, "price", 3);
  EXPECT_TRUE(dropped.known);
  EXPECT_EQ(dropped.name, std::nullopt);
  EXPECT_EQ(Fate(first, "name", 4).name, "name") << "the column made anew";
}

TEST_F(ColumnHistoryTest, WithoutANumberAColumnGoesByItsNameAndItsAbsenceSaysNothing) {
  const Sequence declared = Declare({{"name", 2}});
  NoteDeclared(declared);
  EXPECT_EQ(Fate(declared, "name", 0).name, "name");
  EXPECT_FALSE(Fate(declared, "price", 0).known);
}

TEST_F(ColumnHistoryTest, ADeclaredColumnWithoutANumberMayBeAny) {
  const Sequence declared = Declare({{"name", 0}});
  NoteDeclared(declared);
  EXPECT_FALSE(Fate(declared, "price", 3).known);
  EXPECT_FALSE(Fate(declared, "price", 3).name.has_value());
}

// Found by EvolutionTest: a value may be newer than the newest declaration that is noted.
TEST_F(ColumnHistoryTest, NothingIsKnownOfAColumnThatWasWrittenAfterTheNewestDeclaration) {
  const Sequence declared = Declare({{"name", 2}});
  EXPECT_FALSE(Fate(declared, "name", 2).known) << "none is noted yet";
  NoteDeclared(declared);
  EXPECT_TRUE(Fate(declared, "price", 3).known);
  EXPECT_FALSE(Fate(declared.Next(), "price", 3).known);
}

TEST_F(ColumnHistoryTest, TheFateOfAnOwnColumnIsHowTheTableIsHere) {
  Begin();
  const Version own{HlcStamp{1}, small_.mumbai(), Sequence{3}};
  EXPECT_EQ(history_->FateOf(own, Table(), "name", 2, Shape({{"title", 2}})).value().name, "title");
  const ColumnHistory::Fate dropped = history_->FateOf(own, Table(), "name", 2, Shape({{"price", 3}})).value();
  EXPECT_TRUE(dropped.known);
  EXPECT_EQ(dropped.name, std::nullopt);
}

TEST_F(ColumnHistoryTest, APassedOverNullIsRememberedWithItsOldestStampUntilItsColumnAppears) {
  Begin();
  const TableId table = Table(), other = Table("others");
  const ColumnId name = small_.open().names->ColumnIdOf(table, "name").value();
  const ColumnId color = small_.open().names->ColumnIdOf(other, "color").value();
  ASSERT_TRUE(history_->NoteNull(table, name, HlcStamp{20}).ok());
  ASSERT_TRUE(history_->NoteNull(table, name, HlcStamp{10}).ok());
  ASSERT_TRUE(history_->NoteNull(table, name, HlcStamp{30}).ok());
  ASSERT_TRUE(history_->NoteNull(other, color, HlcStamp{5}).ok());
  Restart();
  Begin();
  EXPECT_THAT(history_->TablesWithNulls().value(), ElementsAre(table, other));
  EXPECT_THAT(history_->TakeAppeared(table, Shape({{"price", 3}})).value(), IsEmpty());
  EXPECT_THAT(history_->TakeAppeared(table, Shape({{"name", 9}, {"color", 3}})).value(),
              ElementsAre(Pair(name, HlcStamp{10})));
  EXPECT_THAT(history_->TakeAppeared(table, Shape({{"name", 9}})).value(), IsEmpty()) << "noted no longer";
  Restart();
  Begin();
  EXPECT_THAT(history_->TablesWithNulls().value(), ElementsAre(other)) << "nor after a restart";
}

// It was renamed here before anybody wrote a row; its writer renames it after the row. Both may be in one batch, so
// that no declaration with the old name was ever noted.
TEST_F(ColumnHistoryTest, APassedOverNullOfAColumnThatItsWriterRenamesIsLookedAtAgain) {
  const Sequence renamed = Declare({{"title", 2}, {"price", 3}}, "text", {{"title", "name"}});
  Begin();
  const ColumnId name = small_.open().names->ColumnIdOf(Table(), "name").value();
  const ColumnId price = small_.open().names->ColumnIdOf(Table(), "price").value();
  ASSERT_TRUE(history_->NoteNull(Table(), name, HlcStamp{20}).ok());
  ASSERT_TRUE(history_->NoteNull(Table(), price, HlcStamp{20}).ok());
  NoteDeclared(renamed);
  EXPECT_THAT(history_->TablesWithNulls().value(), ElementsAre(Table())) << "as before: PostgreSQL is asked";
  EXPECT_THAT(history_->TakeRemade(Table()).value(), ElementsAre(name));
  EXPECT_THAT(history_->TakeAppeared(Table(), Shape({{"name", 9}})).value(), IsEmpty());
}

TEST_F(ColumnHistoryTest, ANullOfATransactionThatWasRolledBackIsForgotten) {
  Begin();
  const TableId table = Table();
  const ColumnId name = small_.open().names->ColumnIdOf(table, "name").value();
  Restart();
  Begin();
  ASSERT_TRUE(history_->NoteNull(table, name, HlcStamp{20}).ok());
  small_.open().file->Rollback();
  history_->Clear();
  EXPECT_THAT(history_->TablesWithNulls().value(), IsEmpty());
}

}  // namespace
}  // namespace assay
