#include "adapters/postgres/pgoutput.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace assay {
namespace {

constexpr int64_t kPostgresEpochUs = 946'684'800'000'000;  // 2000-01-01 in Unix microseconds.

// Reads big-endian fields and remembers the first failure, so that a parser reads on and looks once, at its end.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : left_(bytes) {}

  uint8_t Byte() { return static_cast<uint8_t>(Integer(1)); }
  uint16_t Int16() { return static_cast<uint16_t>(Integer(2)); }
  uint32_t Int32() { return static_cast<uint32_t>(Integer(4)); }
  uint64_t Int64() { return Integer(8); }
  Lsn ReadLsn() { return {Int64()}; }
  int64_t UnixMicros() { return static_cast<int64_t>(Int64() + static_cast<uint64_t>(kPostgresEpochUs)); }

  // Up to a zero byte.
  absl::string_view String() {
    const size_t end = left_.find('\0');
    if (end == absl::string_view::npos) return Fail();
    absl::string_view text = left_.substr(0, end);
    left_.remove_prefix(end + 1);
    return text;
  }
  absl::string_view Bytes(size_t count) {
    if (count > left_.size()) return Fail();
    absl::string_view bytes = left_.substr(0, count);
    left_.remove_prefix(count);
    return bytes;
  }
  absl::string_view Rest() { return std::exchange(left_, {}); }

  std::vector<TupleValue> Tuple() {
    std::vector<TupleValue> values;
    const uint16_t count = Int16();
    if (count > left_.size()) Fail();  // Each value is at least one byte: refuse before allocating.
    if (!ok_) return values;
    values.reserve(count);
    for (uint16_t i = 0; i < count && ok_; ++i) {
      switch (Byte()) {
        case 'n':
          values.push_back({TupleValue::Kind::kNull, {}});
          break;
        case 'u':
          values.push_back({TupleValue::Kind::kUnchanged, {}});
          break;
        case 't':
          values.push_back({TupleValue::Kind::kText, Bytes(Int32())});
          break;
        default:
          Fail();
      }
    }
    return values;
  }

  absl::string_view Fail() {
    ok_ = false;
    left_ = {};
    return {};
  }
  bool ok() const { return ok_; }
  bool AtEnd() const { return ok_ && left_.empty(); }

 private:
  uint64_t Integer(size_t size) {
    uint64_t value = 0;
    for (char c : Bytes(size)) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  }

  absl::string_view left_;
  bool ok_ = true;
};

pgoutput::Relation ReadRelation(Reader& reader) {
  pgoutput::Relation relation;
  relation.oid = reader.Int32();
  relation.schema = reader.String();
  if (relation.schema.empty()) relation.schema = "pg_catalog";
  relation.table = reader.String();
  switch (reader.Byte()) {  // pg_class.relreplident.
    case 'f':
      break;
    case 'd':
      relation.identity = ReplicaIdentity::kDefault;
      break;
    case 'i':
      relation.identity = ReplicaIdentity::kIndex;
      break;
    case 'n':
      relation.identity = ReplicaIdentity::kNothing;
      break;
    default:
      reader.Fail();
  }
  const uint16_t count = reader.Int16();
  for (uint16_t i = 0; i < count && reader.ok(); ++i) {
    pgoutput::Relation::Column& column = relation.columns.emplace_back();
    column.replica_key = (reader.Byte() & 1) != 0;
    column.name = reader.String();
    column.type_oid = reader.Int32();
    column.type_modifier = static_cast<int32_t>(reader.Int32());
  }
  return relation;
}

pgoutput::Insert ReadInsert(Reader& reader) {
  pgoutput::Insert insert{.relation = reader.Int32()};
  if (reader.Byte() != 'N') reader.Fail();
  insert.new_tuple = reader.Tuple();
  return insert;
}

pgoutput::Update ReadUpdate(Reader& reader) {
  pgoutput::Update update{.relation = reader.Int32()};
  uint8_t part = reader.Byte();
  if (part == 'O' || part == 'K') {
    update.old_is_whole = part == 'O';
    update.old_tuple = reader.Tuple();
    part = reader.Byte();
  }
  if (part != 'N') reader.Fail();
  update.new_tuple = reader.Tuple();
  return update;
}

pgoutput::Delete ReadDelete(Reader& reader) {
  pgoutput::Delete result{.relation = reader.Int32()};
  const uint8_t part = reader.Byte();
  if (part != 'O' && part != 'K') reader.Fail();
  result.old_is_whole = part == 'O';
  result.old_tuple = reader.Tuple();
  return result;
}

pgoutput::Truncate ReadTruncate(Reader& reader) {
  pgoutput::Truncate truncate;
  const uint32_t count = reader.Int32();
  reader.Byte();  // CASCADE and RESTART IDENTITY: what they did to other tables comes as those tables' own entries.
  for (uint32_t i = 0; i < count && reader.ok(); ++i) truncate.relations.push_back(reader.Int32());
  return truncate;
}

pgoutput::LogicalMessage ReadMessage(Reader& reader) {
  pgoutput::LogicalMessage message;
  message.transactional = (reader.Byte() & 1) != 0;
  reader.ReadLsn();
  message.prefix = reader.String();
  message.content = reader.Bytes(reader.Int32());
  return message;
}

pgoutput::Message Read(char type, Reader& reader) {
  switch (type) {
    case 'B': {
      pgoutput::Begin begin{.commit_lsn = reader.ReadLsn()};
      begin.commit_time_us = reader.UnixMicros();
      begin.xid = reader.Int32();
      return begin;
    }
    case 'C': {
      reader.Byte();  // Flags, of which there are none yet.
      pgoutput::Commit commit{.commit_lsn = reader.ReadLsn()};
      commit.end_lsn = reader.ReadLsn();
      reader.Int64();  // The commit time again.
      return commit;
    }
    case 'R':
      return ReadRelation(reader);
    case 'I':
      return ReadInsert(reader);
    case 'U':
      return ReadUpdate(reader);
    case 'D':
      return ReadDelete(reader);
    case 'T':
      return ReadTruncate(reader);
    case 'M':
      return ReadMessage(reader);
    case 'O':
    case 'Y':
      reader.Rest();
      return pgoutput::Ignored{};
    default:
      reader.Fail();
      return pgoutput::Ignored{};
  }
}

// The first bytes tell a developer what it was without showing a customer's data.
absl::Status Unreadable(absl::string_view what, absl::string_view bytes) {
  return absl::DataLossError(absl::StrFormat("%s of %d bytes, type 0x%02x, cannot be read", what, bytes.size(),
                                             bytes.empty() ? 0 : static_cast<uint8_t>(bytes[0])));
}

void AppendInt64(std::string& out, uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

}  // namespace

absl::StatusOr<WalsenderMessage> ParseWalsender(absl::string_view bytes) {
  Reader reader(bytes);
  WalsenderMessage message;
  switch (reader.Byte()) {
    case 'w':
      reader.Bytes(3 *
                   8);  // WAL positions and the server's clock: positions are taken from COMMIT, which is never 0/0.
      message.data = reader.Rest();
      break;
    case 'k':
      message.kind = WalsenderMessage::Kind::kKeepalive;
      message.end_lsn = reader.ReadLsn();
      reader.Int64();
      message.reply_requested = reader.Byte() != 0;
      break;
    default:
      reader.Fail();
  }
  if (!reader.AtEnd()) return Unreadable("replication message", bytes);
  return message;
}

std::string StandbyStatus(Lsn flushed, int64_t now_us) {
  std::string status = "r";
  for (int i = 0; i < 3; ++i) AppendInt64(status, flushed.value);  // Written, flushed, applied.
  AppendInt64(status, static_cast<uint64_t>(now_us - kPostgresEpochUs));
  status.push_back(0);  // No reply wanted.
  return status;
}

std::optional<uint32_t> pgoutput::RelationOfRow(absl::string_view bytes) {
  if (bytes.empty() || absl::string_view("IUD").find(bytes[0]) == absl::string_view::npos) return std::nullopt;
  Reader reader(bytes.substr(1));
  const uint32_t relation = reader.Int32();
  return reader.ok() ? std::optional(relation) : std::nullopt;
}

absl::StatusOr<pgoutput::Message> ParsePgoutput(absl::string_view bytes) {
  if (bytes.empty()) return Unreadable("pgoutput message", bytes);
  Reader reader(bytes.substr(1));
  pgoutput::Message message = Read(bytes[0], reader);
  if (!reader.AtEnd()) return Unreadable("pgoutput message", bytes);
  return message;
}

}  // namespace assay
