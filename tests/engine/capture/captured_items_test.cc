// Goal: what capture has brought comes out item by item in the stream's order, and its texts last as long.
// Method: batches made by hand.
#include "engine/capture/captured_items.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace assay {
namespace {

using ::testing::ElementsAre;

CaptureBatch Batch(const std::vector<std::string>& texts) {
  CaptureBatch batch;
  for (const std::string& text : texts) {
    batch.buffers.push_back(std::make_unique<std::string>(text));
    batch.items.push_back({.kind = CaptureItem::Kind::kMessage, .content = *batch.buffers.back()});
  }
  return batch;
}
std::vector<std::string> Drain(CapturedItems& items) {
  std::vector<std::string> out;
  for (; !items.empty(); items.DropFront()) out.emplace_back(items.front().content);
  return out;
}

TEST(CapturedItemsTest, ItemsOfSeveralBatchesComeInTheirOrderAndEmptyBatchesAreNone) {
  CapturedItems items;
  EXPECT_TRUE(items.empty());
  items.Add({});
  EXPECT_TRUE(items.empty());
  items.Add(Batch({"1", "2"}));
  items.Add({});
  items.Add(Batch({"3"}));
  EXPECT_THAT(Drain(items), ElementsAre("1", "2", "3"));
}

TEST(CapturedItemsTest, ABatchThatComesMeanwhileGoesBehind) {
  CapturedItems items;
  items.Add(Batch({"1", "2"}));
  items.DropFront();
  items.Add(Batch({"3"}));
  EXPECT_THAT(Drain(items), ElementsAre("2", "3"));
}

TEST(CapturedItemsTest, AStreamThatBeginsAgainBeginsWithItsFirstItem) {
  CapturedItems items;
  items.Add(Batch({"1", "2"}));
  items.DropFront();
  items.Clear();
  EXPECT_TRUE(items.empty());
  items.Add(Batch({"3", "4"}));
  EXPECT_THAT(Drain(items), ElementsAre("3", "4")) << "not its second";
}

}  // namespace
}  // namespace assay
