// Goal: a mistyped word is answered with the one that was meant, and never with a wild guess.
// Method: slips of the finger, and words that are near nothing.
#include "engine/did_you_mean.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(DidYouMeanTest, TheNearestKnownWordIsOffered) {
  const std::vector<std::string> known = {"status", "sync", "branches", "parked", "conflicts"};
  for (const char* slip : {"staus", "statsu", "Status", "sttatus", "stat"}) {
    EXPECT_EQ(DidYouMean(slip, known), "; did you mean status?") << slip;
  }
  EXPECT_EQ(DidYouMean("snc", known), "; did you mean sync?");
  EXPECT_EQ(DidYouMean("sync", known), "; did you mean sync?");
  EXPECT_EQ(DidYouMean("konflitcs", known), "; did you mean conflicts?") << "a long word may be further off";
}

TEST(DidYouMeanTest, AWordThatIsNearNothingIsAnsweredWithAll) {
  EXPECT_EQ(DidYouMean("replicate", {"status", "sync"}), "; known: status, sync");
  EXPECT_EQ(DidYouMean("", {"status", "sync"}), "; known: status, sync");
  EXPECT_EQ(DidYouMean("x", {}), "; known: ");
}

}  // namespace
}  // namespace assay
