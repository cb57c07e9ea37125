// Goal: a log is begun once, for one branch, and a chain that continues another says so.
// Method: begin logs in files of their own and read their first event.
#include "engine/own_chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log/merkle_tree.h"
#include "tests/support/hand_clock.h"
#include "tests/support/open_log.h"
#include "tests/support/origins.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

class OwnChainTest : public ::testing::Test {
 protected:
  OwnChainTest() {
    config_.branch_name = "mumbai-1";
    config_.branch_number = 3;
  }
  absl::StatusOr<OriginId> Open(const std::optional<PreviousChain>& previous = std::nullopt) {
    const std::unique_ptr<LogFile> file = LogFile::Open(path_, {}).value();
    return OpenBranchLog(config_, file.get(), &clock_, &random_, previous);
  }

  test::TempDirectory directory_{"own_chain"};
  const std::string path_ = directory_.path() + "/log.db";
  EngineConfig config_;
  test::HandClock clock_;
  test::CountingRandom random_;
};

TEST_F(OwnChainTest, ALogHasNoChainOfItsOwnUntilItIsBegun) {
  test::OpenLog log(path_);
  EXPECT_TRUE(absl::IsNotFound(OwnOrigin(*log.state).status()));
  EXPECT_THAT(std::string(OwnOrigin(*log.state).status().message()), HasSubstr("assay init"));
  EXPECT_TRUE(absl::IsNotFound(CheckBranchLog(*log.log, *log.state, "mumbai-1", 3)));
}

TEST_F(OwnChainTest, TheFirstEventSaysWhoseTheChainIs) {
  config_.signing_key = SigningKey::Generate().value();
  const OriginId own = Open().value();
  test::OpenLog log(path_);
  EXPECT_EQ(OwnOrigin(*log.state).value(), own);
  EXPECT_EQ(log.log->Head(own).complete, Sequence{1});
  const v1::OriginOpened opened = log.log->Opening(own).value();
  EXPECT_EQ(opened.branch_name(), "mumbai-1");
  EXPECT_EQ(opened.branch_number(), 3u);
  EXPECT_EQ(opened.public_key(), config_.signing_key->public_key());
  EXPECT_EQ(opened.epoch(), 1u);
  EXPECT_TRUE(opened.previous_origin().empty());
}

// Rows found to be outdated at a join are stamped right after it, so that they lose against everything.
TEST_F(OwnChainTest, TheOpeningHasTheLowestStamp) {
  const OriginId own = Open().value();
  test::OpenLog log(path_);
  EXPECT_EQ(log.log->Head(own).complete_stamp, HlcStamp{1});
}

TEST_F(OwnChainTest, ALogIsBegunOnce) {
  const OriginId own = Open().value();
  EXPECT_TRUE(absl::IsAlreadyExists(Open().status()));
  test::OpenLog log(path_);
  EXPECT_EQ(OwnOrigin(*log.state).value(), own);
  EXPECT_EQ(log.log->EventCount(), 1);
}

TEST_F(OwnChainTest, AChainThatContinuesAnotherNamesItAsFarAsItIsKnown) {
  const Hash root = Sha256("the chain before");
  const OriginId own = Open(PreviousChain{test::Origin(9), 4, Sequence{77}, root}).value();
  test::OpenLog log(path_);
  const v1::OriginOpened opened = log.log->Opening(own).value();
  EXPECT_EQ(opened.epoch(), 5u);
  EXPECT_EQ(opened.previous_origin(), std::string(test::Origin(9).AsBytes()));
  EXPECT_EQ(opened.previous_sequence(), 77u);
  EXPECT_EQ(opened.previous_root(), std::string(root.begin(), root.end()));
}

TEST_F(OwnChainTest, AConfigOfAnotherNameOrNumberIsRefusedByName) {
  Open().value();
  test::OpenLog log(path_);
  EXPECT_EQ(CheckBranchLog(*log.log, *log.state, "mumbai-1", 3), absl::OkStatus());
  const absl::Status name = CheckBranchLog(*log.log, *log.state, "mumbai-2", 3);
  EXPECT_TRUE(absl::IsFailedPrecondition(name));
  EXPECT_THAT(std::string(name.message()), testing::AllOf(HasSubstr("mumbai-1"), HasSubstr("mumbai-2")));
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckBranchLog(*log.log, *log.state, "mumbai-1", 4)));
}

}  // namespace
}  // namespace assay
