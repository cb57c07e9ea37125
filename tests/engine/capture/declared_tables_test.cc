// Goal: each shape of a captured table has its numbers and its declaration in the chain, and a new shape a new one.
// Method: describe shapes over a small real log; what is declared is appended by the test, as a recorder would.
#include "engine/capture/declared_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class DeclaredTablesTest : public ::testing::Test {
 protected:
  DeclaredTablesTest() { Restart(); }
  test::OpenLog& log() { return small_.open(); }
  void Restart() {
    tables_ = std::make_unique<DeclaredTables>(config_, small_.mumbai(), log().names.get(), log().state.get());
  }
  static std::shared_ptr<TableShape> Shape(std::vector<TableColumn> columns, std::vector<uint32_t> key = {0}) {
    return std::make_shared<TableShape>(TableShape{{"public", "goods"}, std::move(columns), std::move(key)});
  }
  static std::shared_ptr<TableShape> Goods() {
    return Shape(
        {{"id", "text", true, false, 1}, {"name", "text", false, false, 2}, {"price", "numeric", false, false, 3}});
  }
  // Good until Clear.
  const DeclaredTable& Describe(const std::shared_ptr<const TableShape>& shape) {
    const DeclaredTable* table = nullptr;
    log().InTransaction([&] { table = tables_->Describe(shape).value(); });
    return *table;
  }
  // Appends what the chain has to say of the shape.
  Sequence Declare(const std::shared_ptr<const TableShape>& shape) {
    const DeclaredTable& table = Describe(shape);
    v1::Event event = small_.Next(small_.mumbai());
    SetSchema(*shape, table, event.mutable_schema());
    small_.AppendRaw(event, table.name);
    log().InTransaction([&] { ASSERT_TRUE(tables_->Declare(table, Sequence{event.sequence()}).ok()); });
    return Sequence{event.sequence()};
  }
  Sequence InChain(const std::shared_ptr<const TableShape>& shape) { return tables_->InChain(Describe(shape)).value(); }

  test::TempDirectory directory_{"declared"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  EngineConfig config_;
  std::unique_ptr<DeclaredTables> tables_;
};

TEST_F(DeclaredTablesTest, AShapeIsResolvedToThisLogsNumbers) {
  const auto shape = Goods();
  const DeclaredTable& table = Describe(shape);
  EXPECT_EQ(table.name, "public.goods");
  EXPECT_EQ(table.table, log().names->IdOf({"public", "goods"}).value());
  ASSERT_EQ(table.columns.size(), 3u);
  EXPECT_EQ(log().names->ColumnNameOf(table.table, table.columns[2]), "price");
  EXPECT_THAT(table.is_key, ElementsAre(true, false, false));
  EXPECT_EQ(&Describe(shape), &table) << "looked up once";
}

TEST_F(DeclaredTablesTest, AShapeIsDeclaredOnceAndANewOneAgain) {
  EXPECT_EQ(InChain(Goods()), Sequence{}) << "to be declared first";
  const Sequence first = Declare(Goods());
  EXPECT_EQ(InChain(Goods()), first) << "of the same shape, another object";
  Restart();
  EXPECT_EQ(InChain(Goods()), first) << "a restart declares nothing anew";
  const auto more = Shape({{"id", "text", true, false, 1}, {"name", "text", false, false, 2}});
  EXPECT_EQ(InChain(more), Sequence{});
  const Sequence second = Declare(more);
  EXPECT_EQ(InChain(more), second);
  EXPECT_EQ(InChain(Goods()), Sequence{}) << "the newest holds: a shape that comes back is declared again";
}

TEST_F(DeclaredTablesTest, WhateverTellsAValuesPlaceIsPartOfTheShape) {
  Declare(Goods());
  auto renamed = Goods(), retyped = Goods(), renumbered = Goods(), rekeyed = Goods(), redefined = Goods();
  renamed->columns[1].name = "title";
  retyped->columns[2].type = "numeric(12,2)";
  renumbered->columns[2].number = 4;  // Dropped, and made anew under the same name.
  rekeyed->key = {0, 1};
  redefined->columns[2].definition = "weight numeric(10,3)";  // A domain of that name.
  for (const auto& changed : {renamed, retyped, renumbered, rekeyed, redefined})
    EXPECT_EQ(InChain(changed), Sequence{});
}

TEST_F(DeclaredTablesTest, ADeclarationThatWasRolledBackIsMadeAgain) {
  const auto shape = Goods();
  Describe(shape);
  ASSERT_TRUE(log().file->Begin().ok());
  ASSERT_TRUE(tables_->Declare(*tables_->Describe(shape).value(), Sequence{9}).ok());
  log().file->Rollback();
  tables_->Clear();
  EXPECT_EQ(InChain(shape), Sequence{});
}

TEST_F(DeclaredTablesTest, TheChainSaysAllThatIsKnownOfATable) {
  v1::TableSchema schema;
  auto shape = Goods();
  shape->columns[1].not_null = true;
  shape->columns[2].definition = "weight numeric(10,3)";
  const DeclaredTable& table = Describe(shape);
  SetSchema(*shape, table, &schema);
  EXPECT_EQ(schema.schema_name(), "public");
  EXPECT_EQ(schema.table_name(), "goods");
  ASSERT_EQ(schema.columns_size(), 3);
  EXPECT_EQ(schema.columns(1).name(), "name");
  EXPECT_TRUE(schema.columns(1).not_null());
  EXPECT_FALSE(schema.columns(2).not_null());
  EXPECT_EQ(schema.columns(2).type(), "numeric");
  EXPECT_EQ(schema.columns(2).number(), 3u);
  EXPECT_THAT(schema.key(), ElementsAre(0));
  EXPECT_EQ(schema.columns(2).definition(), "weight numeric(10,3)");
  EXPECT_EQ(schema.fingerprint(), table.fingerprint);
}

// Two branches that declared one key in two orders mean the same row by the same texts.
TEST_F(DeclaredTablesTest, AKeyIsInTheOrderOfItsColumnsFirstNames) {
  const auto shape = Shape({{"pos", "integer", true, false, 1}, {"bill", "integer", true, false, 2}}, {0, 1});
  EXPECT_THAT(Describe(shape).key.ordinals, ElementsAre(1, 0));
  EXPECT_THAT(Describe(shape).key.names, ElementsAre("bill", "pos"));
  EXPECT_EQ(Describe(shape).key.columns, KeyColumns(std::vector<std::string>{"bill", "pos"}));
}

TEST_F(DeclaredTablesTest, AKeyColumnThatIsRenamedIsTheSameOne) {
  const auto before = Shape({{"bill", "integer", true, false, 1}, {"pos", "integer", true, false, 2}}, {0, 1});
  const ColumnHistory::Key key = Describe(before).key;
  Declare(before);
  Restart();
  const auto after = Shape({{"voucher", "integer", true, false, 1}, {"pos", "integer", true, false, 2}}, {1, 0});
  const DeclaredTable& renamed = Describe(after);
  EXPECT_EQ(renamed.key.columns, key.columns);
  EXPECT_EQ(renamed.key.ordinals, key.ordinals) << "in the same order, though not by the name that it has now";
  v1::TableSchema schema;
  SetSchema(*after, renamed, &schema);
  EXPECT_THAT(schema.columns(0).former(), ElementsAre("bill"));
  EXPECT_THAT(schema.key(), ElementsAre(0, 1));
  const Sequence declared = Declare(after);
  EXPECT_EQ(log().names->Schema(small_.mumbai(), declared).value()->key_columns, key.columns) << "readers agree";
}

TEST_F(DeclaredTablesTest, AnotherColumnThatBecomesTheKeyMakesOtherRows) {
  const uint64_t by_id = Describe(Goods()).key.columns;
  auto by_name = Goods();
  by_name->key = {1};
  EXPECT_NE(Describe(by_name).key.columns, by_id);
}

TEST_F(DeclaredTablesTest, ColumnsMoveTogetherAsThePolicySays) {
  config_.policies[{"public", "goods"}].column_groups = {{"name", "price"}, {"price", "weight"}};
  const DeclaredTable& grouped = Describe(Goods());
  EXPECT_THAT(grouped.moves_with[0], IsEmpty()) << "a key is never written along";
  EXPECT_THAT(grouped.moves_with[1], UnorderedElementsAre(1, 2));
  EXPECT_THAT(std::set<uint32_t>(grouped.moves_with[2].begin(), grouped.moves_with[2].end()), ElementsAre(1, 2))
      << "a column that is not here does no harm";
  config_.policies[{"public", "goods"}] = {.whole_row = true};
  Restart();
  const DeclaredTable& whole = Describe(Goods());
  EXPECT_THAT(whole.moves_with[1], UnorderedElementsAre(1, 2));
  EXPECT_THAT(whole.moves_with[0], IsEmpty());
  config_.policies.clear();
  Restart();
  EXPECT_THAT(Describe(Goods()).moves_with[1], IsEmpty());
}

// ---- The key in force: the catalog is ahead of the stream ----

class KeyInForceTest : public DeclaredTablesTest {
 protected:
  // As "id, name, code": where `key` is now, and the values of a row.
  static std::shared_ptr<TableShape> Coded(std::vector<uint32_t> key) {
    return Shape({{"id", "text", true, false, 1}, {"name", "text", false, false, 2}, {"code", "text", false, false, 3}},
                 key);
  }
  static std::vector<TupleValue> Row(const std::vector<absl::string_view>& texts) {
    std::vector<TupleValue> row;
    for (const absl::string_view text : texts) {
      row.push_back(text == "NULL" ? TupleValue{} : TupleValue{TupleValue::Kind::kText, text});
    }
    return row;
  }
  // The columns by which a row that comes as `shape` is known.
  std::vector<std::string> KeyOf(const std::shared_ptr<const TableShape>& shape,
                                 const std::vector<absl::string_view>& before,
                                 const std::vector<absl::string_view>& after) {
    DeclaredTables::InForce in_force;
    log().InTransaction([&] { in_force = tables_->OfRow(shape, Row(before), Row(after)).value(); });
    moves_ = in_force.key_moves;
    std::vector<std::string> names;
    for (const uint32_t ordinal : in_force.table->shape->key)
      names.push_back(in_force.table->shape->columns[ordinal].name);
    EXPECT_EQ(in_force.table->refusal.ok(), !names.empty());
    return names;
  }
  bool moves_ = false;
};

TEST_F(KeyInForceTest, ATableWithoutAKeyHasTheOneThatTheChainRemembers) {
  const auto keyless = Coded({});
  EXPECT_THAT(KeyOf(keyless, {}, {"1", "a", "x"}), IsEmpty()) << "nobody knows it";
  Declare(Coded({0}));
  EXPECT_THAT(KeyOf(keyless, {}, {"1", "a", "x"}), ElementsAre("id"));
  EXPECT_FALSE(moves_);
  Restart();
  EXPECT_THAT(
      KeyOf(Shape({{"code", "text", false, false, 3}, {"number", "text", false, false, 1}}, {}), {}, {"x", "1"}),
      ElementsAre("number"))
      << "by the column's number: it has another place and another name";
  EXPECT_THAT(KeyOf(Shape({{"name", "text", false, false, 2}}, {}), {}, {"a"}), IsEmpty()) << "half a key is none";
}

TEST_F(KeyInForceTest, AKeyThatIsFilledInItsOwnTransactionHoldsOnceTheStreamHasShownIt) {
  Declare(Coded({0}));
  const auto coded = Coded({2});  // As the catalog has it, already at the first of these rows.
  EXPECT_THAT(KeyOf(coded, {"1", "a", "NULL"}, {"1", "a", "x"}), ElementsAre("id"));
  EXPECT_THAT(KeyOf(coded, {}, {"2", "b", "y"}), ElementsAre("id")) << "not for a part of what it describes";
  EXPECT_FALSE(moves_);
  tables_->OnRelation({"public", "goods"});
  EXPECT_THAT(KeyOf(coded, {"1", "a", "x"}, {"1", "c", "x"}), ElementsAre("code"));
  EXPECT_TRUE(moves_) << "the rows before are known under another key";
  Declare(coded);
  EXPECT_THAT(KeyOf(coded, {"1", "c", "x"}, {"1", "d", "x"}), ElementsAre("code"));
  EXPECT_FALSE(moves_) << "said once";
}

TEST_F(KeyInForceTest, ANewKeyHoldsAtOnceWhereTheOldOneIsGone) {
  Declare(Coded({0}));
  const auto without_id = Shape({{"name", "text", false, false, 2}, {"code", "text", true, false, 3}}, {1});
  EXPECT_THAT(KeyOf(without_id, {}, {"a", "x"}), ElementsAre("code"));
  EXPECT_TRUE(moves_);
}

TEST_F(KeyInForceTest, RowsThatTheChainHasAreKnownUnderTheDeclaredKey) {
  Declare(Coded({0}));
  const DeclaredTable* table = nullptr;
  log().InTransaction([&] { table = tables_->OfRowsInChain(Coded({2})).value(); });
  EXPECT_THAT(table->shape->key, ElementsAre(0));
}

TEST_F(DeclaredTablesTest, WhatNoReaderWouldTakeIsRefused) {
  EXPECT_TRUE(Describe(Goods()).refusal.ok());
  const auto twice = Shape({{"id", "text"}, {"id", "text"}});
  const auto nameless = Shape({{"", "text"}});
  const auto garbled = Shape({{"id", "text"},
                              {"pri\xff"
                               "ce",
                               "text"}});  // A database that is not in UTF-8.
  const auto keyless = Shape({{"id", "text"}}, {});
  const auto wild = Shape({{"id", "text"}}, {3});
  for (const auto& shape : {twice, nameless, garbled, keyless, wild})
    EXPECT_TRUE(absl::IsInvalidArgument(Describe(shape).refusal)) << shape->columns.back().name;
}

}  // namespace
}  // namespace assay
