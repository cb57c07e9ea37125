// Goal: a proof of each event of a chain holds, for us and for a checker that shares nothing with us; and none that was
// changed in a single byte does. Method: chains of every length up to some, and a Python program beside this file.
#include "engine/audit/event_proof.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/engine/recovery/recorded_branch.h"
#include "tests/support/child_process.h"

namespace assay {
namespace {

using test::RecordedBranch;
using ::testing::HasSubstr;

class EventProofTest : public ::testing::Test {
 protected:
  void Sign() { ASSERT_TRUE(branch_.log->SignCheckpoint(branch_.own, branch_.key).ok()); }
  absl::StatusOr<std::string> Prove(uint64_t sequence) {
    return ProveEvent(branch_.log.get(), branch_.own, Sequence{sequence});
  }
  absl::Status Check(const std::string& proof) { return CheckProof(proof, key_).status(); }

  RecordedBranch branch_{1};
  const std::string key_ = VerifierKey(branch_.own, branch_.key.public_key());
};

TEST_F(EventProofTest, EachEventOfAChainOfAnyLengthIsProven) {
  for (int length = 3; length <= 20; ++length) {
    branch_.Insert({absl::StrCat(length), "ring", "x"});
    ASSERT_NO_FATAL_FAILURE(Sign());
    for (uint64_t sequence = 1; sequence <= static_cast<uint64_t>(length); ++sequence) {
      const absl::StatusOr<std::string> proof = Prove(sequence);
      ASSERT_TRUE(proof.ok()) << proof.status();
      const absl::StatusOr<ProvenEvent> proven = CheckProof(*proof, key_);
      ASSERT_TRUE(proven.ok()) << proven.status();
      EXPECT_EQ(proven->sequence.value, sequence);
      EXPECT_EQ(proven->checkpoint.size, static_cast<uint64_t>(length));
      EXPECT_EQ(proven->bytes, *branch_.log->ReadEvent(branch_.own, Sequence{sequence}));
    }
  }
}

TEST_F(EventProofTest, WhatIsNotSignedYetIsNotProven) {
  branch_.Insert({"1", "ring", "x"});
  EXPECT_TRUE(absl::IsNotFound(Prove(3).status())) << "no checkpoint";
  ASSERT_NO_FATAL_FAILURE(Sign());
  branch_.Insert({"2", "ring", "x"});
  EXPECT_TRUE(Prove(3).ok());
  EXPECT_THAT(Prove(4).status().message(), HasSubstr("not signed yet"));
  EXPECT_TRUE(absl::IsNotFound(Prove(5).status()));
}

TEST_F(EventProofTest, AProofOfAnotherChainOrUnderAnotherKeyDoesNotHold) {
  branch_.Insert({"1", "ring", "x"});
  ASSERT_NO_FATAL_FAILURE(Sign());
  const std::string proof = Prove(3).value();
  EXPECT_TRUE(absl::IsDataLoss(
      CheckProof(proof, VerifierKey(branch_.own, SigningKey::Generate().value().public_key())).status()));
  RecordedBranch other(2);
  EXPECT_TRUE(absl::IsDataLoss(CheckProof(proof, VerifierKey(other.own, other.key.public_key())).status()));
  for (const char* key : {"", "x", "0123456789abcdef0123456789abcdef+00000000+AAAA"})
    EXPECT_TRUE(absl::IsInvalidArgument(CheckProof(proof, key).status())) << key;
  for (const char* text : {"", "c2sp.org/tlog-proof@v1\n\n", "c2sp.org/tlog-proof@v1\nextra \nindex 5\n\n"})
    EXPECT_FALSE(Check(text).ok()) << text;
}

// As somebody would run it who has Python and nothing of ours.
test::RunResult RunPython(const std::string& key, const std::vector<std::string>& proofs) {
  std::vector<std::string> words = {"python3", absl::StrCat(ASSAY_SOURCE_DIR, "/tests/engine/audit/check_proof.py"),
                                    key};
  words.insert(words.end(), proofs.begin(), proofs.end());
  return test::RunProgram(words, absl::Minutes(10));
}

// ASSAY_PROOFS=1000 for a long look.
TEST_F(EventProofTest, ACheckerThatSharesNothingWithUsSaysTheSame) {
  if (test::RunProgram({"python3", "--version"}).exit_code != 0) GTEST_SKIP() << "no Python";
  const char* asked = std::getenv("ASSAY_PROOFS");
  uint64_t count = 20;
  ASSERT_TRUE(asked == nullptr || absl::SimpleAtoi(asked, &count));
  for (uint64_t i = 0; i < count; ++i) branch_.Insert({absl::StrCat(i), "ring", absl::StrCat("price ", i)});
  ASSERT_NO_FATAL_FAILURE(Sign());
  const test::TempDirectory folder("proofs");
  test::SeededRandom random(11);
  std::vector<std::string> good, bad;
  for (uint64_t i = 0; i < count; ++i) {
    std::string proof = Prove(i + 1).value();
    good.push_back(absl::StrCat(folder.path(), "/", i, ".tlog-proof"));
    std::ofstream(good.back(), std::ios::binary) << proof;
    const size_t at = random.Next() % proof.size();
    proof[at] = static_cast<char>(proof[at] ^ (1 << random.Next() % 7));
    EXPECT_FALSE(Check(proof).ok()) << "event " << i + 1 << ", byte " << at;
    bad.push_back(absl::StrCat(folder.path(), "/", i, ".bad"));
    std::ofstream(bad.back(), std::ios::binary) << proof;
  }
  const test::RunResult accepted = RunPython(key_, good);
  EXPECT_EQ(accepted.exit_code, 0) << accepted.output;
  EXPECT_THAT(accepted.output, HasSubstr(absl::StrCat(count, " hold, 0 do not")));
  EXPECT_THAT(RunPython(key_, bad).output, HasSubstr(absl::StrCat("0 hold, ", count, " do not")));
}

}  // namespace
}  // namespace assay
