#include "tools/cli/text.h"

#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "engine/audit/proto_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/cli/terminal.h"

namespace assay {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TextTest : public ::testing::Test {
 protected:
  ~TextTest() override { SetScreen(Terminal()); }
  static void OnTerminalOf(int width, bool colours = false) {
    SetScreen({.live = true, .colours = colours, .width = width, .zone = absl::UTCTimeZone()});
  }
  static TextTable Sales() {
    TextTable table({{"EVENT"}, {"ROW", Fit::kMiddle}, {"CHANGE", Fit::kEnd}, {"TRIES", Fit::kWhole, 1}, {"NONE"}});
    table.Add({"mumbai-1/4211", "public.products ec6ef230-0f3a-4b1c-9d2e-b9c58adc",
               TextCell("price 78450.00 to 81200.00, ₹, making 3600.00 to 4060.00", Paint::kBlue), "12", ""});
    table.Add({"pune-1/1877", "public.carts 5521", "new", "3", ""});
    return table;
  }
  static size_t Widest(const std::string& text) {
    size_t widest = 0;
    for (const absl::string_view line : absl::StrSplit(text, '\n')) widest = std::max(widest, TextWidth(line));
    return widest;
  }
};

TEST_F(TextTest, ATableFitsTheTerminalAndNamesAndNumbersStayWhole) {
  for (const int width : {60, 80, 100}) {
    OnTerminalOf(width);
    const std::string text = Sales().ToString();
    EXPECT_LE(Widest(text), static_cast<size_t>(width)) << text;
    EXPECT_THAT(text, HasSubstr("mumbai-1/4211"));
    EXPECT_THAT(text, HasSubstr("…"));
    EXPECT_THAT(text, Not(HasSubstr("NONE"))) << "nothing is in it";
  }
  OnTerminalOf(80);
  EXPECT_THAT(Sales().ToString(), Not(HasSubstr("TRIES"))) << "it leaves before anything is cut";
  EXPECT_THAT(Sales().ToString(), HasSubstr("9c58adc")) << "a key is cut in the middle";
  OnTerminalOf(200);
  EXPECT_THAT(Sales().ToString(), HasSubstr("TRIES"));
}

TEST_F(TextTest, ANarrowTerminalGetsABlockARow) {
  OnTerminalOf(40);
  EXPECT_THAT(Sales().ToString(), HasSubstr("EVENT: pune-1/1877\nROW: public.carts 5521\nCHANGE: new\nTRIES: 3\n\n"));
}

TEST_F(TextTest, InAPipeAndWhenAskedForNothingIsCut) {
  const std::string piped = Sales().ToString();
  EXPECT_THAT(piped, HasSubstr("making 3600.00 to 4060.00"));
  EXPECT_THAT(piped, HasSubstr("TRIES\n"));
  SetScreen({.live = true, .wide = true, .width = 80});
  EXPECT_EQ(Sales().ToString(), piped);
}

TEST_F(TextTest, ColoursTakeNoPlaceAndAreThereOnlyWhereTheyAreWanted) {
  OnTerminalOf(80, /*colours=*/true);
  const std::string text = Sales().ToString();
  EXPECT_THAT(text, HasSubstr("\033[34mprice"));
  EXPECT_LE(Widest(text), 80u);
  OnTerminalOf(80);
  EXPECT_THAT(Sales().ToString(), Not(HasSubstr("\033")));
}

TEST_F(TextTest, ASentenceIsBrokenBetweenWordsAndACommandIsNot) {
  const std::string text =
      "`assay parked` says which and why. Mend what it names, and then run `assay parked retry --table public.x`.";
  EXPECT_EQ(Wrapped(text, 8, 8), text) << "in a pipe";
  OnTerminalOf(60);
  const std::string wrapped = std::string(8, ' ') + Wrapped(text, 8, 8);
  EXPECT_LE(Widest(wrapped), 60u) << wrapped;
  EXPECT_THAT(wrapped, HasSubstr("\n        "));
  EXPECT_THAT(wrapped, HasSubstr("`assay parked retry --table public.x`"));
}

TEST_F(TextTest, TimesAreShortOnATerminalAndWholeWithTheirZoneInAPipe) {
  absl::TimeZone kolkata;
  ASSERT_TRUE(absl::LoadTimeZone("Asia/Kolkata", &kolkata));
  const auto time = ToProto(absl::FromCivil(absl::CivilSecond(2025, 3, 1, 9, 5, 7), kolkata));
  SetScreen({.zone = kolkata});
  EXPECT_EQ(When(true, time), "2025-03-01 09:05:07 +0530");
  EXPECT_EQ(Ago(true, time), "2025-03-01 09:05:07 +0530") << "nobody knows when it is read";
  SetScreen({.zone = absl::UTCTimeZone()});
  EXPECT_EQ(When(true, time), "2025-03-01 03:35:07 +0000");
  SetScreen({.live = true, .zone = kolkata});
  EXPECT_EQ(When(true, time), "1 Mar 2025 09:05:07");
  EXPECT_EQ(Ago(true, ToProto(absl::Now() - absl::Minutes(33))), "33 min ago");
  EXPECT_EQ(Ago(true, ToProto(absl::Now() + absl::Seconds(90.5))), "in 90 s");
  EXPECT_EQ(When(false, time), "-");
}

TEST_F(TextTest, TheZoneIsNamedOnceAtTheRightEndOfATerminalsFirstLine) {
  EXPECT_EQ(TitleLine("4 branches."), "4 branches.\n");
  OnTerminalOf(80);
  const std::string line = TitleLine("4 branches.");
  EXPECT_EQ(TextWidth(line), 81u) << "with its end";
  EXPECT_TRUE(absl::EndsWith(line, " UTC\n")) << line;
}

}  // namespace
}  // namespace assay
