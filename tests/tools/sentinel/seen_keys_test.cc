// What was added is there, and nothing else, in memory or in the file; the file has no name.
#include "tools/sentinel/seen_keys.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

TEST(SeenKeysTest, WhatWasAddedIsThereAndNothingElse) {
  test::TempDirectory directory("seen");
  const auto seen = SeenKeys::Create(directory.path()).value();
  constexpr int kKeys = 100'000;  // Of each part, some are in the file and some are not yet.
  for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(seen->Add(HashKey({absl::StrCat(i)})).ok());
  for (int i = 0; i < kKeys; i += 97) {
    EXPECT_TRUE(*seen->Has(HashKey({absl::StrCat(i)}))) << i;
    EXPECT_FALSE(*seen->Has(HashKey({absl::StrCat("no ", i)}))) << i;
  }
  const KeyHash late = HashKey({"late"});
  EXPECT_FALSE(*seen->Has(late));
  ASSERT_TRUE(seen->Add(late).ok());
  EXPECT_TRUE(*seen->Has(late)) << "added to the part that was read last";
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(SeenKeysTest, ADirectoryThatIsNoneIsSaid) {
  EXPECT_TRUE(absl::IsUnavailable(SeenKeys::Create("/nowhere/at/all").status()));
}

}  // namespace
}  // namespace assay
