#include "adapters/postgres/pgoutput.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace assay {
namespace {

using ::testing::ElementsAre;

// Bytes as the wire has them: integers big-endian, strings zero-terminated.
class Bytes {
 public:
  Bytes& Int(uint64_t value, int size) {
    for (int shift = (size - 1) * 8; shift >= 0; shift -= 8) bytes_.push_back(static_cast<char>(value >> shift));
    return *this;
  }
  Bytes& Char(char c) { return Int(static_cast<uint8_t>(c), 1); }
  Bytes& Text(absl::string_view text) {
    bytes_.append(text.data(), text.size());
    return Int(0, 1);
  }
  Bytes& Value(absl::string_view text) {
    Char('t').Int(text.size(), 4);
    bytes_.append(text.data(), text.size());
    return *this;
  }
  operator absl::string_view() const { return bytes_; }
  const std::string& string() const { return bytes_; }

 private:
  std::string bytes_;
};

Bytes RelationBytes() {
  Bytes bytes;
  bytes.Char('R').Int(16385, 4).Text("public").Text("products").Char('f').Int(2, 2);
  bytes.Int(1, 1).Text("id").Int(23, 4).Int(0xffffffff, 4);
  bytes.Int(0, 1).Text("price").Int(1700, 4).Int(786438, 4);
  return bytes;
}

Bytes UpdateBytes() {
  Bytes bytes;
  bytes.Char('U').Int(16385, 4).Char('O').Int(2, 2).Value("7").Char('n');
  bytes.Char('N').Int(2, 2).Value("7").Char('u');
  return bytes;
}

MATCHER_P(TextIs, text, "") { return arg.kind == TupleValue::Kind::kText && arg.text == text; }
MATCHER_P(KindIs, kind, "") { return arg.kind == kind; }

template <typename T>
T MustParse(absl::string_view bytes) {
  auto message = ParsePgoutput(bytes);
  EXPECT_TRUE(message.ok()) << message.status();
  if (!message.ok() || !std::holds_alternative<T>(*message)) {
    ADD_FAILURE() << "not the message it should be";
    return {};
  }
  return std::get<T>(*std::move(message));
}

TEST(PgoutputTest, BeginCarriesCommitTimeInUnixMicroseconds) {
  const auto begin = MustParse<pgoutput::Begin>(Bytes().Char('B').Int(0x16B374D848, 8).Int(1'000'000, 8).Int(731, 4));
  EXPECT_EQ(begin.commit_lsn.ToString(), "16/B374D848");
  EXPECT_EQ(begin.commit_time_us, 946'684'801'000'000);
  EXPECT_EQ(begin.xid, 731u);
}

TEST(PgoutputTest, CommitTimeBefore2000IsNegativeOnTheWire) {
  EXPECT_EQ(
      MustParse<pgoutput::Begin>(Bytes().Char('B').Int(1, 8).Int(uint64_t(-1'000'000), 8).Int(1, 4)).commit_time_us,
      946'684'799'000'000);
}

TEST(PgoutputTest, CommitCarriesBothPositions) {
  const auto commit = MustParse<pgoutput::Commit>(Bytes().Char('C').Int(0, 1).Int(10, 8).Int(20, 8).Int(0, 8));
  EXPECT_EQ(commit.commit_lsn.value, 10u);
  EXPECT_EQ(commit.end_lsn.value, 20u);
}

TEST(PgoutputTest, RelationNamesItsColumnsAndTypes) {
  const Bytes bytes = RelationBytes();
  const auto relation = MustParse<pgoutput::Relation>(bytes);
  EXPECT_EQ(relation.oid, 16385u);
  EXPECT_EQ(relation.schema, "public");
  EXPECT_EQ(relation.table, "products");
  ASSERT_EQ(relation.columns.size(), 2u);
  EXPECT_TRUE(relation.columns[0].replica_key);
  EXPECT_EQ(relation.columns[1].name, "price");
  EXPECT_EQ(relation.columns[1].type_oid, 1700u);
  EXPECT_EQ(relation.columns[1].type_modifier, 786438);
}

TEST(PgoutputTest, NullUnchangedAndTextAreToldApart) {
  const Bytes bytes = UpdateBytes();
  const auto update = MustParse<pgoutput::Update>(bytes);
  EXPECT_TRUE(update.old_is_whole);
  EXPECT_THAT(update.old_tuple, ElementsAre(TextIs("7"), KindIs(TupleValue::Kind::kNull)));
  EXPECT_THAT(update.new_tuple, ElementsAre(TextIs("7"), KindIs(TupleValue::Kind::kUnchanged)));
}

TEST(PgoutputTest, EmptyTextIsNotNull) {
  const Bytes bytes = Bytes().Char('I').Int(1, 4).Char('N').Int(1, 2).Value("");
  EXPECT_THAT(MustParse<pgoutput::Insert>(bytes).new_tuple, ElementsAre(TextIs("")));
}

TEST(PgoutputTest, DeleteWithKeyOnlySaysSo) {
  EXPECT_FALSE(MustParse<pgoutput::Delete>(Bytes().Char('D').Int(1, 4).Char('K').Int(1, 2).Value("7")).old_is_whole);
}

TEST(PgoutputTest, TruncateListsEveryTable) {
  EXPECT_THAT(MustParse<pgoutput::Truncate>(Bytes().Char('T').Int(2, 4).Int(1, 1).Int(5, 4).Int(6, 4)).relations,
              ElementsAre(5u, 6u));
}

TEST(PgoutputTest, MessageTellsWhetherItIsTransactional) {
  const Bytes bytes = Bytes().Char('M').Int(1, 1).Int(9, 8).Text("assay.fence").Int(2, 4).Char('h').Char('i');
  const auto message = MustParse<pgoutput::LogicalMessage>(bytes);
  EXPECT_TRUE(message.transactional);
  EXPECT_EQ(message.prefix, "assay.fence");
  EXPECT_EQ(message.content, "hi");
}

// Goal: no bytes crash the parser or pass as something they are not.
// Method: every prefix of valid messages, valid messages with a byte too many, and every byte replaced in turn.
TEST(PgoutputTest, EveryTruncationIsDataLoss) {
  for (const Bytes& whole : {RelationBytes(), UpdateBytes()}) {
    for (size_t size = 0; size < whole.string().size(); ++size) {
      EXPECT_EQ(ParsePgoutput(whole.string().substr(0, size)).status().code(), absl::StatusCode::kDataLoss) << size;
    }
    EXPECT_EQ(ParsePgoutput(whole.string() + "x").status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(PgoutputTest, FlippedBytesNeverCrash) {
  for (const Bytes& whole : {RelationBytes(), UpdateBytes()}) {
    for (size_t at = 0; at < whole.string().size(); ++at) {
      for (int value = 0; value < 256; ++value) {
        std::string bytes = whole.string();
        bytes[at] = static_cast<char>(value);
        const auto parsed = ParsePgoutput(bytes);
        EXPECT_TRUE(parsed.ok() || absl::IsDataLoss(parsed.status())) << parsed.status();
      }
    }
  }
}

TEST(PgoutputTest, LengthsBeyondTheMessageAreRefusedBeforeAllocating) {
  EXPECT_FALSE(ParsePgoutput(Bytes().Char('I').Int(1, 4).Char('N').Int(1, 2).Char('t').Int(0xffffffff, 4)).ok());
  EXPECT_FALSE(ParsePgoutput(Bytes().Char('I').Int(1, 4).Char('N').Int(0xffff, 2)).ok());
  EXPECT_FALSE(ParsePgoutput(Bytes().Char('T').Int(0xffffffff, 4).Int(0, 1)).ok());
}

TEST(PgoutputTest, UnknownTypeIsDataLoss) {
  EXPECT_EQ(ParsePgoutput("Z").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ParsePgoutput("").status().code(), absl::StatusCode::kDataLoss);
}

TEST(WalsenderTest, KeepaliveTellsWhetherToAnswer) {
  const auto message = ParseWalsender(Bytes().Char('k').Int(42, 8).Int(0, 8).Int(1, 1));
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->kind, WalsenderMessage::Kind::kKeepalive);
  EXPECT_EQ(message->end_lsn.value, 42u);
  EXPECT_TRUE(message->reply_requested);
}

TEST(WalsenderTest, DataIsWhatFollowsTheHeader) {
  const Bytes bytes = Bytes().Char('w').Int(1, 8).Int(2, 8).Int(3, 8).Char('B');
  const auto message = ParseWalsender(bytes);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->data, "B");
}

TEST(WalsenderTest, WhatIsTooShortIsDataLoss) {
  EXPECT_EQ(ParseWalsender("k").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ParseWalsender("w12").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ParseWalsender("").status().code(), absl::StatusCode::kDataLoss);
}

TEST(WalsenderTest, StatusConfirmsOnePositionThreeTimes) {
  const std::string status = StandbyStatus({0x0102030405060708}, 946'684'800'000'001);
  const std::string lsn = "\1\2\3\4\5\6\7\x8";
  EXPECT_EQ(status, "r" + lsn + lsn + lsn + std::string("\0\0\0\0\0\0\0\1\0", 9));
}

}  // namespace
}  // namespace assay
