// Goal: a change carries the name that came with its own transaction, or none.
// Method: attributions sent to a recorder over a real log; the headers are read back from its chain.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/recovery/recorded_branch.h"

namespace assay {
namespace {

using ::testing::ElementsAre;

class AttributionTest : public ::testing::Test {
 protected:
  void Sell(const std::string& attribution) {
    CaptureItem item;
    item.commit_lsn = item.end_lsn = {++lsn_};
    item.relation = branch_.shape;
    for (const CaptureItem::Kind kind : {CaptureItem::Kind::kBegin, CaptureItem::Kind::kMessage,
                                         CaptureItem::Kind::kInsert, CaptureItem::Kind::kCommit}) {
      item.kind = kind;
      item.prefix = kAttributionPrefix;
      item.content = attribution;
      const std::string key = absl::StrCat(lsn_);
      if (kind == CaptureItem::Kind::kInsert) item.new_tuple = test::Tuple({key, "a", "b"});
      ASSERT_EQ(branch_.recorder->Record(item), absl::OkStatus());
    }
  }
  // Who sold, sale by sale.
  std::vector<std::string> Sellers() {
    std::vector<std::string> sellers;
    for (const v1::Event& event : branch_.Events()) {
      if (event.has_transaction()) sellers.push_back(event.transaction().attribution().application_user());
    }
    return sellers;
  }

  test::RecordedBranch branch_{1};
  uint64_t lsn_ = 100;
};

TEST_F(AttributionTest, WhatIsNoAttributionNamesNobodyHoweverOftenItComes) {
  Sell(R"({"application_user":"asha"})");
  Sell(R"({"application_user":"asha"})");
  Sell("asha's till");
  Sell("asha's till");
  Sell(R"({"application_user":"ravi"})");
  EXPECT_THAT(Sellers(), ElementsAre("asha", "asha", "", "", "ravi"));
}

}  // namespace
}  // namespace assay
