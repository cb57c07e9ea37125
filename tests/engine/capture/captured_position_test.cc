// Goal: how far capture has come is remembered to the last digit, and a damaged note is not taken for a beginning.
// Method: store and load over a real log file.
#include "engine/capture/captured_position.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "tests/support/open_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

class CapturedPositionTest : public ::testing::Test {
 protected:
  test::TempDirectory directory_{"captured"};
  test::OpenLog log_{directory_.path() + "/log.db"};
};

TEST_F(CapturedPositionTest, BeforeTheFirstTransactionAllIsZero) {
  EXPECT_EQ(LoadCapturedPosition(*log_.state).value(), CapturedPosition{});
}

TEST_F(CapturedPositionTest, EveryPartComesBackAlsoTheLargest) {
  const CapturedPosition all[] = {
      {{1}, {2}, 3, 4, {5}},
      {{UINT64_MAX}, {UINT64_MAX - 1}, INT64_MAX, UINT32_MAX, {UINT64_MAX - 2}},
      {{0}, {0}, -62'135'596'800'000'000, 0, {7}},  // Year 1: what a commit time may say, too.
  };
  for (const CapturedPosition& position : all) {
    log_.InTransaction([&] { ASSERT_TRUE(StoreCapturedPosition(position, log_.state.get()).ok()); });
    EXPECT_EQ(LoadCapturedPosition(*log_.state).value(), position);
  }
}

TEST_F(CapturedPositionTest, ARollbackTakesItBack) {
  const CapturedPosition kept{{1}, {2}, 3, 4, {5}};
  log_.InTransaction([&] { ASSERT_TRUE(StoreCapturedPosition(kept, log_.state.get()).ok()); });
  ASSERT_TRUE(log_.file->Begin().ok());
  ASSERT_TRUE(StoreCapturedPosition({{10}, {20}, 30, 40, {50}}, log_.state.get()).ok());
  log_.file->Rollback();
  EXPECT_EQ(LoadCapturedPosition(*log_.state).value(), kept);
}

}  // namespace
}  // namespace assay
