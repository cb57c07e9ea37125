// Small numbers for the names of tables and columns, and the schemas that events name.
#include "tests/log/test_events.h"
#include "tests/log/test_rows.h"

namespace assay {
namespace {

using ::testing::ElementsAre;

class TableNamesTest : public ::testing::Test, protected TestLog {
 protected:
  v1::TableSchema SchemaOf(const std::string& table, const std::vector<std::string>& columns) {
    v1::TableSchema schema;
    schema.set_schema_name("public");
    schema.set_table_name(table);
    for (const std::string& column : columns) schema.add_columns()->set_name(column);
    schema.add_key(0);
    return schema;
  }
  absl::Status CommitSchema(const v1::TableSchema& schema) {
    TestTransaction transaction = Next(kA, {"public.t"});
    *transaction.events[0].mutable_schema() = schema;
    ASSAY_RETURN_IF_ERROR(file->Begin());
    ASSAY_RETURN_IF_ERROR(AppendAll(*log, transaction));
    return file->Commit();
  }
};

TEST_F(TableNamesTest, NumbersOfNamesStay) {
  ASSERT_OK(file->Begin());
  ASSERT_OK_AND_ASSIGN(const TableId products, names->IdOf({"public", "products"}));
  ASSERT_OK_AND_ASSIGN(const TableId odd, names->IdOf({"public", "My \"odd\" näme"}));
  ASSERT_OK_AND_ASSIGN(const ColumnId id, names->ColumnIdOf(products, "id"));
  ASSERT_OK_AND_ASSIGN(const ColumnId price, names->ColumnIdOf(products, "price"));
  ASSERT_OK(file->Commit());
  ASSERT_OK(Reopen());
  EXPECT_EQ(*names->IdOf({"public", "products"}), products);
  EXPECT_EQ(*names->IdOf({"public", "My \"odd\" näme"}), odd);
  EXPECT_NE(products, odd);
  EXPECT_EQ(*names->ColumnIdOf(products, "price"), price);
  EXPECT_EQ(id.value, 0u);
  EXPECT_EQ(price.value, 1u);
  EXPECT_EQ(names->ColumnNameOf(products, price), "price");
  EXPECT_EQ(names->NameOf(odd).table, "My \"odd\" näme");
}

TEST_F(TableNamesTest, RolledBackNameIsForgotten) {
  ASSERT_OK(file->Begin());
  ASSERT_OK(names->IdOf({"public", "one"}).status());
  file->Rollback();
  EXPECT_EQ(names->IdOf({"public", "two"})->value, 0u);
}

TEST_F(TableNamesTest, NamesAreQuotedWhereSqlNeedsIt) {
  EXPECT_EQ((TableName{"public", "products_2"}.ToString()), "public.products_2");
  EXPECT_EQ((TableName{"public", "My \"odd\" name"}.ToString()), "public.\"My \"\"odd\"\" name\"");
  EXPECT_EQ((TableName{"2nd", "Products"}.ToString()), "\"2nd\".\"Products\"");
  EXPECT_EQ((TableName{"a.b", "größe"}.ToString()), "\"a.b\".\"größe\"");
}

TEST_F(TableNamesTest, SchemaIsResolvedToNumbers) {
  ASSERT_OK(CommitSchema(SchemaOf("products", {"id", "price"})));
  ASSERT_OK(CommitSchema(SchemaOf("products", {"id", "name", "price"})));
  ASSERT_OK(file->Begin());
  const auto before = *names->Schema(kA, {1});
  const auto after = *names->Schema(kA, {2});
  ASSERT_OK(file->Commit());
  EXPECT_EQ(before->table, after->table);
  EXPECT_EQ(before->name.ToString(), "public.products");
  EXPECT_THAT(before->columns, ElementsAre(ColumnId{0}, ColumnId{1}));
  EXPECT_THAT(after->columns, ElementsAre(ColumnId{0}, ColumnId{2}, ColumnId{1}));
  EXPECT_THAT(after->key, ElementsAre(0u));
  EXPECT_EQ(*names->Schema(kA, {1}), before) << "cached";
}

TEST_F(TableNamesTest, EventThatIsNoValidSchemaIsRefused) {
  ASSERT_OK(Commit(kA, {"public.t"}));
  v1::TableSchema twice = SchemaOf("t", {"id", "id"}), keyless = SchemaOf("t", {"id"}), wild = keyless,
                  nameless = SchemaOf("", {"id"});
  keyless.clear_key();
  wild.add_key(7);
  for (const v1::TableSchema& schema : {twice, keyless, wild, nameless}) ASSERT_OK(CommitSchema(schema));
  for (uint64_t sequence = 1; sequence <= 5; ++sequence) {
    EXPECT_TRUE(absl::IsInvalidArgument(names->Schema(kA, {sequence}).status())) << sequence;
  }
  EXPECT_TRUE(absl::IsNotFound(names->Schema(kA, {6}).status()));
  EXPECT_TRUE(absl::IsNotFound(names->Schema(kB, {1}).status()));
}

TEST_F(TableNamesTest, ReaderInAnotherConnectionFollowsTheWriter) {
  ASSERT_OK_AND_ASSIGN(const auto reader, LogFile::Open("log.db", {.vfs = vfs.name(), .read_only = true}));
  ASSERT_OK_AND_ASSIGN(const auto read_log, EventLog::Open(reader.get()));
  ASSERT_OK_AND_ASSIGN(const auto read_names, TableNames::Open(reader.get(), read_log.get()));
  ASSERT_OK(CommitSchema(SchemaOf("products", {"id", "price"})));
  ASSERT_OK(file->Begin());
  ASSERT_OK(names->IdOf({"public", "other"}).status());
  ASSERT_OK(names->Schema(kA, {1}).status());
  ASSERT_OK(file->Commit());

  ASSERT_OK(read_log->Refresh());
  // Before it asks, the reader gives the table a number of its own; afterwards it has the writer's.
  EXPECT_EQ((*read_names->Schema(kA, {1}))->table, TableId{0});
  ASSERT_OK(read_names->Refresh());
  EXPECT_EQ((*read_names->Schema(kA, {1}))->table, TableId{1});
}

}  // namespace
}  // namespace assay
