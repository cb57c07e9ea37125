// Goal: what the hub answers is read field by field, and what is missing or no number is told from what is there.
// Method: objects as the hub's functions make them.
#include "adapters/supabase/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(JsonTest, FieldsAreReadByName) {
  const JsonObject object =
      ParseJsonObject(R"({"name":"mumbai","last":"18446744073709551615","active":true,"seen":"1700000000000001"})", "x")
          .value();
  EXPECT_EQ(TextField(object, "name"), "mumbai");
  EXPECT_TRUE(BoolField(object, "active"));
  EXPECT_EQ(NumberField(object, "last").value(), UINT64_MAX) << "a string: JSON's numbers would be rounded";
  EXPECT_EQ(TimeField(object, "seen"), absl::FromUnixMicros(1'700'000'000'000'001));
}

TEST(JsonTest, WhatIsNotThereIsToldFromWhatIs) {
  const JsonObject object =
      ParseJsonObject(R"({"empty":"","no":false,"number":12,"text":"12x","null":null})", "x").value();
  EXPECT_EQ(Field(object, "none"), nullptr);
  EXPECT_NE(Field(object, "null"), nullptr);
  EXPECT_EQ(TextField(object, "none"), "");
  EXPECT_EQ(TextField(object, "number"), "") << "no string";
  EXPECT_FALSE(BoolField(object, "none"));
  EXPECT_FALSE(BoolField(object, "no"));
  for (const char* name : {"none", "empty", "number", "text", "null"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(NumberField(object, name).status())) << name;
    EXPECT_EQ(TimeField(object, name), absl::InfinitePast()) << name;
  }
  EXPECT_THAT(std::string(NumberField(object, "none").status().message()), testing::HasSubstr("\"none\""));
}

TEST(JsonTest, WhatIsNoObjectIsRefusedByTheFunctionThatGaveIt) {
  for (const char* text : {"", "[]", "12", "{", R"({"a":})"}) {
    const absl::Status status = ParseJsonObject(text, "pull").status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("answer to pull")) << text;
  }
}

TEST(JsonTest, TextsComeBackAndBytesThatAreNoTextAreRefused) {
  JsonObject object;
  SetText(&object, "name", "a \"ring\"\n");
  EXPECT_EQ(TextField(ParseJsonObject(ToJson(object).value(), "x").value(), "name"), "a \"ring\"\n");
}

}  // namespace
}  // namespace assay
