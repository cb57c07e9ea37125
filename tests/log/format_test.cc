// The worked example of log/FORMAT.md is what the code writes, byte for byte.
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "log/log_schema.h"
#include "log/part_dictionary.h"
#include "log/segment_layout.h"
#include "log/segment_part.h"
#include "tests/log/test_events.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

constexpr absl::string_view kEvents[] = {
    "0a100123456789abcdef0123456789abcdef100119000000f451c28c01200128013200622b0a014110011a20d75a980182b10ab7d54bfed3c9"
    "64073a"
    "0ee172f3daa62325af021a68f707511a20014001",
    "0a100123456789abcdef0123456789abcdef100219000001f451c28c012002320220075a1f0a01731201741a090a016b1204696e74341a090a"
    "01761204"
    "74657874220100",
    "0a100123456789abcdef0123456789abcdef100319000001f451c28c0120022801520e080110021a013522050801120178"};
constexpr absl::string_view kTables[] = {"", "s.t", "s.t"};

// The page without line breaks, indents and code marks, so that long values may be wrapped.
std::string Squeezed(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (!absl::ascii_isspace(c)) out.push_back(c);
  }
  return out;
}

class FormatTest : public ::testing::Test {
 protected:
  void ExpectOnPage(absl::string_view what, absl::string_view value) {
    EXPECT_NE(page_.find(Squeezed(value)), std::string::npos) << "log/FORMAT.md should have " << what << ":\n" << value;
  }
  void ExpectHexOnPage(absl::string_view what, absl::string_view bytes) { ExpectOnPage(what, HexEncode(bytes)); }

  const std::string page_ = Squeezed(test::ReadFile(ASSAY_SOURCE_DIR "/log/FORMAT.md"));
};

TEST_F(FormatTest, WorkedExampleIsWhatTheCodeWrites) {
  TestLog log;
  std::vector<Hash> leaves;
  OriginId origin;
  ASSERT_OK(log.file->Begin());
  for (size_t i = 0; i < std::size(kEvents); ++i) {
    const std::string bytes = absl::HexStringToBytes(kEvents[i]);
    v1::Event event;
    ASSERT_TRUE(event.ParseFromString(bytes));
    origin = *OriginId::FromBytes(event.origin());
    ASSERT_OK(log.log->Append(event, kTables[i], bytes));
    leaves.push_back(LeafHash(bytes));
    ExpectOnPage("an event", kEvents[i]);
    ExpectHexOnPage("its leaf hash", AsBytes(leaves.back()));
  }
  ASSERT_OK(log.file->Commit());
  const Hash pair = NodeHash(leaves[0], leaves[1]);
  const Hash root = NodeHash(pair, leaves[2]);
  EXPECT_EQ(log.log->Root(origin), root);
  ExpectHexOnPage("the node over events 1 and 2", AsBytes(pair));
  ExpectHexOnPage("the root", AsBytes(root));

  ASSERT_OK_AND_ASSIGN(const auto segments, log.log->ReadSegments(origin, {1}, 1 << 20, true));
  ASSERT_EQ(segments.size(), 1u);
  ExpectHexOnPage("the layout", segments[0].layout);
  for (const SegmentPart& part : segments[0].parts) ExpectHexOnPage("a part", part.payload);
  ExpectHexOnPage("the stored body", EncodeSegmentBody(segments[0]));

  ASSERT_OK_AND_ASSIGN(Statement chain, log.file->Prepare("SELECT tree, checksum FROM chain"));
  ASSERT_TRUE(*chain.Step());
  ExpectHexOnPage("the stored tree", chain.Blob("tree"));
  ExpectHexOnPage("the chain's checksum", chain.Blob("checksum"));

  RowVersions row;
  row.written = {{0x018cc251f4010000}, origin, {3}};
  row.columns = {{{1}, row.written}};
  row.whole = true;
  ExpectHexOnPage("the row's versions", row.Encode(*log.log));
  const KeyHash key_hash = RowOf({0}, KeyColumns({"k"}), std::vector<std::string>{"5"}).key;
  ExpectHexOnPage("the row's key hash", {reinterpret_cast<const char*>(key_hash.data()), key_hash.size()});

  // Ed25519 key: the first of RFC 8032, section 7.1, as in event 1.
  test::TempDirectory directory("format");
  const std::string path = directory.path() + "/signing.key";
  test::WriteFile(
      path,
      "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE "
      "KEY-----\n",
      0600);
  ASSERT_OK_AND_ASSIGN(const SigningKey key, SigningKey::Load(path));
  const std::string note = SignCheckpoint({origin, 3, root}, key);
  ExpectOnPage("the checkpoint", note);
  ASSERT_OK(log.file->Begin());
  EXPECT_OK(log.log->KeepCheckpoint(origin, note));
  ASSERT_OK(log.file->Commit());
}

// Goal: whoever has the page only can unpack a small part.
// Method: the dictionary and a part are on it, and the part unpacks to what it says. (Another zstd may pack otherwise.)
TEST_F(FormatTest, PartOfTheDictionaryIsUnpackedAsThePageSays) {
  ExpectOnPage("the dictionary", absl::Base64Escape(PartDictionary()));
  ExpectOnPage("its size", absl::StrCat(PartDictionary().size(), " bytes in base64"));
  constexpr absl::string_view kPayload =
      "02010203044fc50100f3040ddd54cf7711297a3860f53e79b337cbefd721b927418b7594d9261beb6679b565cfdc39b3b2cbedf6aad6454b"
      "4091"
      "c7"
      "bd1e21974600";
  constexpr absl::string_view kUnpacked =
      "9b01524b080110021a2436626137623831302d396461642d313164312d383062342d30306330346664343330633822120801120e32303234"
      "2d"
      "30312d30312031323a220b08021207313235302e3030";
  ExpectOnPage("a payload of packing 2", kPayload);
  ExpectOnPage("what it unpacks to", kUnpacked);
  ASSERT_OK_AND_ASSIGN(const UnpackedPart part, UnpackPart(absl::HexStringToBytes(kPayload)));
  EXPECT_EQ(part.check, 0x04030201u);
  EXPECT_EQ(HexEncode(part.bytes), kUnpacked);
}

// A column that nobody explains is one that nobody can read.
TEST_F(FormatTest, EveryColumnOfEveryTableIsOnThePage) {
  TestLog log;
  ASSERT_OK_AND_ASSIGN(
      Statement columns,
      log.file->Prepare(
          "SELECT t.name AS table_name, c.name AS column_name FROM sqlite_schema t, pragma_table_info(t.name) c "
          "WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'"));
  while (*columns.Step()) {
    const std::string table(columns.Blob("table_name")), column(columns.Blob("column_name"));
    ExpectOnPage("table " + table, "`" + table + "`");
    ExpectOnPage("column " + table + "." + column, "`" + column + "`");
  }
}

}  // namespace
}  // namespace assay
