// Each note's bytes: what was encoded is decoded, and what was not is refused.
#include "log/local_state/notes.h"

#include <limits>
#include <set>

#include "tests/log/test_events.h"
#include "tests/log/test_rows.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

template <typename T>
T RoundTrip(const T& value) {
  T read{};
  EXPECT_TRUE(DecodeNote(EncodeNote(value), &read));
  return read;
}

template <typename T>
bool Refuses(absl::string_view bytes) {
  T value{};
  return !DecodeNote(bytes, &value);
}

TEST(NotesTest, WhatWasEncodedIsDecoded) {
  for (const uint64_t number : {uint64_t{0}, uint64_t{7}, std::numeric_limits<uint64_t>::max()}) {
    EXPECT_EQ(RoundTrip(number), number);
    EXPECT_EQ(RoundTrip(Sequence{number}), Sequence{number});
    EXPECT_EQ(RoundTrip(HlcStamp{number}), HlcStamp{number});
  }
  for (const bool flag : {false, true}) EXPECT_EQ(RoundTrip(flag), flag);
  EXPECT_EQ(RoundTrip(kA), kA);
  EXPECT_EQ(RoundTrip(std::string()), "");
  EXPECT_EQ(RoundTrip(std::string("the hub has session 4")), "the hub has session 4");
  EXPECT_EQ(RoundTrip(std::set<std::string>()), std::set<std::string>());
  EXPECT_EQ(RoundTrip(std::set<std::string>{"public.a", "public.b"}), (std::set<std::string>{"public.a", "public.b"}));
  EXPECT_EQ(RoundTrip(std::set<std::string>{"public.\"a\nb\""}), std::set<std::string>{"public.\"a\nb\""});
  for (const EnrolmentState each :
       {EnrolmentState::kNone, EnrolmentState::kBegun, EnrolmentState::kFinished, EnrolmentState::kLeft}) {
    EXPECT_EQ(RoundTrip(each), each);
  }
  const CapturedPosition captured{{1}, {2}, -3, 4'000'000'000, {5}};
  EXPECT_EQ(RoundTrip(captured), captured);
  const KnownServer server{"7000000000000000001/16384", 3};
  EXPECT_EQ(RoundTrip(server), server);
  EXPECT_EQ(RoundTrip(KnownServer{}), KnownServer{});
  const KnownSessions sessions{9, {std::string(16, 'a'), std::string(16, '\0')}};
  EXPECT_EQ(RoundTrip(sessions), sessions);
  const DeclaredShape shape{std::numeric_limits<uint64_t>::max(), {7}};
  EXPECT_EQ(RoundTrip(shape), shape);
  const ColumnNumbers numbers{{"id", 1}, {"my \"odd\" näme", 1600}};
  EXPECT_EQ(RoundTrip(numbers), numbers);
  const ColumnNulls nulls{{{TableId{1}, ColumnId{2}}, HlcStamp{3}}, {{TableId{1}, ColumnId{4}}, HlcStamp{5}}};
  EXPECT_EQ(RoundTrip(nulls), nulls);
  const std::vector<WithheldValue> withheld{{"public.t", std::string("\x01\0", 2), "photo", 300'000'000}};
  EXPECT_EQ(RoundTrip(withheld), withheld);
  const UnrecordedTables unrecorded{
      {"public.t", {3, "it has no primary key"}}, {"public.u", {}}, {"public.v", {0, "", true}}};
  EXPECT_EQ(RoundTrip(unrecorded), unrecorded);
  const TableBaselines baselines{{"public.t", {7}}, {"public.\"u v\"", {1ull << 63}}};
  EXPECT_EQ(RoundTrip(baselines), baselines);
  const CheckedTable checked{
      .ended_ms = 7,
      .declared = {8},
      .rows = 1,
      .cells = 2,
      .passed_over = 3,
      .waiting = 4,
      .restless = 5,
      .differing = 6,
      .gave_up = true,
      .cells_listed = {{std::string("\x01\0", 2), "price", "1", std::nullopt}, {"", "", "", ""}}};
  EXPECT_EQ(RoundTrip(checked), checked);
  EXPECT_EQ(RoundTrip(CheckedTable{}), CheckedTable{});
  const UnreadableTables unreadable{{{kA, "public.t"}, {{7}, "a table without a primary key"}}, {{kB, ""}, {{8}, ""}}};
  EXPECT_EQ(RoundTrip(unreadable), unreadable);
}

TEST(NotesTest, WhatIsCutShortOrTooLongIsRefused) {
  EXPECT_TRUE(Refuses<uint64_t>("1234567"));
  EXPECT_TRUE(Refuses<uint64_t>("123456789"));
  EXPECT_TRUE(Refuses<bool>(EncodeNote(uint64_t{2})));
  EXPECT_TRUE(Refuses<OriginId>("15 bytes of 16."));
  EXPECT_TRUE(Refuses<EnrolmentState>("began"));
  const std::string captured = EncodeNote(CapturedPosition{});
  EXPECT_TRUE(Refuses<CapturedPosition>(captured.substr(1)));
  EXPECT_TRUE(Refuses<CapturedPosition>(captured + "x"));
  EXPECT_TRUE(Refuses<KnownServer>("7000000000000000001/16384"));
  EXPECT_TRUE(Refuses<KnownServer>("7000000000000000001/16384 first"));
  EXPECT_TRUE(Refuses<KnownSessions>(EncodeNote(KnownSessions{1, {std::string(16, 'a')}}) + "x"));
  EXPECT_TRUE(Refuses<KnownSessions>("short"));
  EXPECT_TRUE(Refuses<DeclaredShape>("42"));
  EXPECT_TRUE(Refuses<DeclaredShape>("42 seven"));
  EXPECT_TRUE(Refuses<ColumnNumbers>(EncodeKey(std::vector<std::string>{"id"})));
  EXPECT_TRUE(Refuses<ColumnNumbers>(EncodeKey(std::vector<std::string>{"id", "first"})));
  EXPECT_TRUE(Refuses<ColumnNulls>(EncodeKey(std::vector<std::string>{"1", "2"})));
  EXPECT_TRUE(Refuses<ColumnNulls>(EncodeKey(std::vector<std::string>{"1", "2", "x"})));
  EXPECT_TRUE(Refuses<std::vector<WithheldValue>>(EncodeKey(std::vector<std::string>{"t", "k", "c", "many"})));
  EXPECT_TRUE(Refuses<std::vector<WithheldValue>>("\x05x"));
  EXPECT_TRUE(Refuses<UnrecordedTables>(EncodeKey(std::vector<std::string>{"t", "3"})));
  EXPECT_TRUE(Refuses<UnrecordedTables>(EncodeKey(std::vector<std::string>{"t", "some", "why"})));
  EXPECT_TRUE(Refuses<TableBaselines>(EncodeKey(std::vector<std::string>{"t", "far"})));
  EXPECT_TRUE(Refuses<TableBaselines>(EncodeKey(std::vector<std::string>{"t"})));
  EXPECT_TRUE(Refuses<CheckedTable>(EncodeKey(std::vector<std::string>(8, "0"))));
  EXPECT_TRUE(Refuses<CheckedTable>(EncodeKey(std::vector<std::string>(10, "0"))));
  EXPECT_TRUE(Refuses<CheckedTable>(EncodeKey(std::vector<std::string>(9, "some"))));
  EXPECT_TRUE(Refuses<UnreadableTables>(EncodeKey(std::vector<std::string>{"short", "t", "3", "why"})));
  EXPECT_TRUE(Refuses<UnreadableTables>(EncodeKey(std::vector<std::string>{std::string(16, 'o'), "t", "one", "why"})));
}

TEST(NotesTest, EveryNoteHasANameOfItsOwnThatTheFormatPageExplains) {
  const std::string page = test::ReadFile(ASSAY_SOURCE_DIR "/log/FORMAT.md");
  std::set<absl::string_view> names;
  for (const absl::string_view name : kNoteNames) {
    EXPECT_TRUE(names.insert(name).second) << name << " is the name of two notes";
    const bool explained = page.find(absl::StrCat("`", name, "`")) != std::string::npos ||
                           page.find(absl::StrCat("`", name, ":")) != std::string::npos;
    EXPECT_TRUE(explained) << "log/FORMAT.md should say what " << name << " is";
  }
}

// Goal: a note added to notes.h is also in kNoteNames, so that the format page must explain it.
TEST(NotesTest, EveryNoteIsListed) {
  const std::string header = test::ReadFile(ASSAY_SOURCE_DIR "/log/local_state/notes.h");
  size_t declared = 0;
  for (size_t at = header.find("inline constexpr Note<"); at != std::string::npos;
       at = header.find("inline constexpr Note<", at + 1)) {
    ++declared;
  }
  EXPECT_EQ(std::size(kNoteNames), declared);
}

}  // namespace
}  // namespace assay
