// Goal: PostgreSQL reads back just the elements that were added, whatever is in them (arrays in its manual, 8.15.6).
// Method: the text, by the manual's rules; that a server agrees is shown by every projection test.
#include "adapters/libpq/array_text.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(ArrayTextTest, ElementsAreQuotedAndNullIsNot) {
  ArrayText array;
  EXPECT_EQ(array.size(), 0u);
  array.Add("ring");
  array.Add("");
  array.AddNull();
  array.Add("NULL");
  EXPECT_EQ(array.size(), 4u);
  EXPECT_EQ(array.text(), R"({"ring","",NULL,"NULL"})") << "the text NULL is no NULL";
  EXPECT_EQ(array.text(), R"({"ring","",NULL,"NULL"})") << "asked for again";
}

TEST(ArrayTextTest, NothingInAnElementEndsIt) {
  ArrayText array;
  array.Add(R"(it's "quoted", {x} and \ back)");
  array.Add("a\nb");
  EXPECT_EQ(array.text(), "{\"it's \\\"quoted\\\", {x} and \\\\ back\",\"a\nb\"}");
}

TEST(ArrayTextTest, AnOptionalIsItsTextOrNull) {
  ArrayText array;
  array.Add(std::optional<std::string>("ring"));
  array.Add(std::optional<absl::string_view>());
  EXPECT_EQ(array.text(), R"({"ring",NULL})");
  EXPECT_EQ(ArrayText().text(), "{}");
}

}  // namespace
}  // namespace assay
