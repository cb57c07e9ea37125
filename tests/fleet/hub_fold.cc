#include "tests/fleet/hub_fold.h"

#include <openssl/sha.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "proto/event.pb.h"
#include "tests/support/temp_directory.h"

namespace assay::test {
namespace {

using std::string;

// Of the bytes that FORMAT.md describes. What does not fit is remembered, and zeros come from then on.
class Bytes {
 public:
  explicit Bytes(absl::string_view bytes) : rest_(bytes) {}
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = Byte();
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    good_ = false;
    return 0;
  }
  uint8_t Byte() {
    const absl::string_view one = Take(1);
    return one.empty() ? 0 : static_cast<uint8_t>(one[0]);
  }
  absl::string_view Take(size_t size) {
    good_ = good_ && size <= rest_.size();
    if (!good_) return {};
    const absl::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  absl::string_view Rest() { return Take(rest_.size()); }
  bool empty() const { return rest_.empty(); }
  bool good() const { return good_; }

 private:
  absl::string_view rest_;
  bool good_ = true;
};

string Dictionary() {
  const string page = ReadFile(string(ASSAY_SOURCE_DIR) + "/log/FORMAT.md");
  const size_t start = page.find("```\nN6Qw") + 4;
  string bytes;
  absl::Base64Unescape(page.substr(start, page.find("```", start) - start), &bytes);
  return bytes;
}

absl::StatusOr<string> Unpack(absl::string_view payload) {
  Bytes bytes(payload);
  const uint8_t packing = bytes.Byte();
  bytes.Take(4);  // The check: every event is compared with its leaf hash instead.
  if (packing == 0) return string(bytes.Rest());
  const uint64_t size = bytes.Varint();
  string frame(bytes.Rest()), unpacked(std::min<uint64_t>(size, uint64_t{1} << 30), '\0');
  size_t done = 0;
  if (packing == 2) {
    static const string* const dictionary = new string(Dictionary());
    frame = absl::HexStringToBytes("28b52ffd0020") + frame;
    ZSTD_DCtx* context = ZSTD_createDCtx();
    done = ZSTD_decompress_usingDict(context, unpacked.data(), unpacked.size(), frame.data(), frame.size(),
                                     dictionary->data(), dictionary->size());
    ZSTD_freeDCtx(context);
  } else {
    done = ZSTD_decompress(unpacked.data(), unpacked.size(), frame.data(), frame.size());
  }
  if (!bytes.good() || packing > 2 || done != size) return absl::DataLossError("a part cannot be unpacked");
  return unpacked;
}

string LeafHash(const string& event) {
  const string bytes = string(1, '\0') + event;
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), hash);
  return string(reinterpret_cast<const char*>(hash), sizeof(hash));
}

// Stamp, origin, sequence: as they compare, so do versions.
using Order = std::tuple<uint64_t, string, uint64_t>;

struct Row {
  Order written, deleted;
  bool whole = false;
  std::map<string, std::pair<Order, std::optional<string>>> columns;
  std::set<string> unknown;  // Columns whose newest value is in no event.
};

struct Table {
  std::vector<string> key;  // By the columns' first names.
  std::map<string, string> types;
  std::set<string> unsteady;  // Columns that are not the same in all declarations.
  bool skipped = false;
  std::map<std::vector<string>, Row> rows;
};

class HubFold {
 public:
  absl::Status Read(SqlSession& hub);
  const std::map<string, Table>& tables() const { return tables_; }

 private:
  absl::Status TakeSegment(const std::vector<string>& segment);
  void TakeSchema(const string& origin, uint64_t sequence, const v1::TableSchema& schema);
  void TakeRow(const string& origin, const v1::Event& event);

  std::map<string, Table> tables_;
  std::map<std::pair<string, uint64_t>, v1::TableSchema> schemas_;
};

absl::Status HubFold::Read(SqlSession& hub) {
  // Piece by piece: a large fleet's hub does not fit into one reply.
  auto origins = hub.Run("SELECT origin FROM assay_hub.origin");
  if (!origins.ok()) return origins.status();
  for (const auto& origin : *origins) {
    for (string after = "0";;) {
      auto segments = hub.Run(
          "SELECT origin, first, last, ends_transaction, layout, leaf_hashes, array_length(payloads, 1), "
          "(SELECT string_agg(encode(CASE WHEN n - 1 = piece_part THEN (SELECT string_agg(bytes, '' ORDER BY number) "
          "FROM assay_hub.piece c WHERE (c.origin, c.last) = (s.origin, s.last)) ELSE p END, 'hex'), ',' ORDER BY n) "
          "FROM unnest(payloads) WITH ORDINALITY u(p, n)) "
          "FROM assay_hub.segment s WHERE origin = $1::bytea AND last > $2::bigint ORDER BY last LIMIT 20",
          {origin[0], after});
      if (!segments.ok()) return segments.status();
      if (segments->empty()) break;
      for (const auto& segment : *segments) {
        if (absl::Status status = TakeSegment(segment); !status.ok()) {
          return absl::DataLossError(
              absl::StrCat("segment ", segment[1], " to ", segment[2], " of ", segment[0], ": ", status.message()));
        }
      }
      after = segments->back()[2];
    }
  }
  return absl::OkStatus();
}

// The fields 1 to 5 of an event.
string PlaceOf(const string& origin, uint64_t sequence, uint64_t stamp, uint64_t first, bool ends) {
  v1::Event place;
  place.set_origin(origin);
  place.set_sequence(sequence);
  place.set_stamp(stamp);
  place.set_transaction_first(first);
  place.set_ends_transaction(ends);
  return place.SerializeAsString();
}

absl::Status HubFold::TakeSegment(const std::vector<string>& segment) {
  const string origin = absl::HexStringToBytes(segment[0].substr(2));
  const uint64_t first = std::stoull(segment[1]), last = std::stoull(segment[2]);
  const bool ends = segment[3] == "t";
  const string layout = absl::HexStringToBytes(segment[4].substr(2));
  const string hashes = absl::HexStringToBytes(segment[5].substr(2));
  std::vector<string> parts;
  std::vector<Bytes> readers;
  for (absl::string_view hex : absl::StrSplit(segment[7], ',')) {
    absl::StatusOr<string> part = Unpack(absl::HexStringToBytes(hex));
    if (!part.ok()) return part.status();
    parts.push_back(*std::move(part));
  }
  for (const string& part : parts) readers.emplace_back(part);

  Bytes places(layout);
  if (places.Byte() != 1) return absl::DataLossError("a layout of another format");
  const uint64_t transactions = places.Varint();
  std::vector<std::pair<uint64_t, uint64_t>> sizes;  // Stamp, events.
  for (uint64_t i = 0, stamp = 0; i < transactions && places.good(); ++i) {
    stamp += places.Varint();
    sizes.push_back({stamp, places.Varint()});
  }
  uint64_t sequence = first;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const uint64_t begins = sequence;
    for (uint64_t n = 0; n < sizes[i].second; ++n, ++sequence) {
      const size_t part = places.Byte();
      if (!places.good() || part >= readers.size() || sequence > last) return absl::DataLossError("a layout that lies");
      const uint64_t head = readers[part].Varint();
      const absl::string_view body = readers[part].Take(head / 2);
      const bool is_last = n + 1 == sizes[i].second && (ends || i + 1 < sizes.size());
      const string bytes =
          head % 2 == 1 ? PlaceOf(origin, sequence, sizes[i].first, begins, is_last) + string(body) : string(body);
      v1::Event event;
      if (!readers[part].good() || !event.ParseFromString(bytes)) return absl::DataLossError("an event that is none");
      if (LeafHash(bytes) != hashes.substr(32 * (sequence - first), 32))
        return absl::DataLossError(absl::StrCat("event ", sequence, " has another leaf hash"));
      if (event.has_schema()) TakeSchema(origin, sequence, event.schema());
      if (event.has_row()) TakeRow(origin, event);
    }
  }
  return sequence == last + 1 && places.empty() ? absl::OkStatus() : absl::DataLossError("a layout that does not fit");
}

string FirstName(const v1::TableSchema::Column& column) {
  return column.former_size() > 0 ? column.former(0) : column.name();
}

void HubFold::TakeSchema(const string& origin, uint64_t sequence, const v1::TableSchema& schema) {
  schemas_[{origin, sequence}] = schema;
  const string name = absl::StrCat(schema.schema_name(), ".", schema.table_name());
  const bool is_new = tables_.count(name) == 0;
  Table& table = tables_[name];
  std::vector<string> key;
  for (const uint32_t ordinal : schema.key()) {
    key.push_back(FirstName(schema.columns(static_cast<int>(ordinal))));
    table.skipped |= schema.columns(static_cast<int>(ordinal)).former_size() > 0;
  }
  table.skipped |= !is_new && table.key != key;
  table.key = key;
  std::map<string, string> types;
  for (const auto& column : schema.columns()) {
    types[column.name()] = absl::StrCat(column.type(), " ", column.definition());
    if (column.former_size() > 0) table.unsteady.insert(column.name());
    table.unsteady.insert(column.former().begin(), column.former().end());
  }
  if (!is_new) {
    for (const auto& each : {types, table.types}) {
      for (const auto& [column, type] : each) {
        if (types.count(column) == 0 || table.types.count(column) == 0 || types[column] != table.types[column])
          table.unsteady.insert(column);
      }
    }
  }
  table.types.insert(types.begin(), types.end());
}

void HubFold::TakeRow(const string& origin, const v1::Event& event) {
  const v1::RowChange& change = event.row();
  const auto schema = schemas_.find({origin, change.schema()});
  if (schema == schemas_.end()) return;
  Table& table = tables_[absl::StrCat(schema->second.schema_name(), ".", schema->second.table_name())];
  Row& row = table.rows[{change.key().begin(), change.key().end()}];
  const uint64_t stamp = change.standing() == v1::RowChange::FOUND      ? 1
                         : change.standing() == v1::RowChange::GIVEN_UP ? 0
                                                                        : event.stamp();
  const Order order{stamp, origin, event.sequence()};
  Order& life = change.operation() == v1::RowChange::DELETE ? row.deleted : row.written;
  life = std::max(life, order);
  if (change.operation() == v1::RowChange::DELETE) return;
  row.whole |= change.operation() == v1::RowChange::INSERT;
  for (const v1::ColumnChange& column : change.columns()) {
    const string& name = schema->second.columns(static_cast<int>(column.ordinal())).name();
    auto& newest = row.columns[name];
    if (newest.first > order) continue;
    newest = {order, column.has_value() ? std::optional<string>(column.value()) : std::nullopt};
    row.unknown.erase(name);
    if (!column.has_value() && !column.is_null()) row.unknown.insert(name);
  }
}

string Quoted(const string& name) { return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\""); }

// format() shows a value as its type's output function does, which a cast to text does not: 't' is a boolean's.
string Hex(const string& column) {
  return absl::StrCat("CASE WHEN ", Quoted(column), " IS NOT DISTINCT FROM NULL THEN '-' ELSE ",
                      "encode(convert_to(format('%s', ", Quoted(column), "), 'UTF8'), 'hex') END");
}

class Comparison {
 public:
  explicit Comparison(SqlSession& branch) : branch_(branch) {}
  void Look(const string& name, const Table& table);
  // Once all tables have been looked at.
  std::vector<string> Differences() {
    for (const string& row : std::exchange(unknown_, {})) {
      if (!may_be_renamed_) Note(row);
    }
    return differences_;
  }

 private:
  void Note(const string& difference) {
    if (differences_.size() < 12) differences_.push_back(difference);
  }

  SqlSession& branch_;
  std::vector<string> differences_;
  std::vector<string> unknown_;  // Rows that no chain has under their table's name,
  bool may_be_renamed_ = false;  // which may be another than it was.
};

void Comparison::Look(const string& name, const Table& table) {
  if (table.skipped) return;
  const size_t dot = name.find('.');
  auto present = branch_.Run(
      "SELECT a.attname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN "
      "pg_catalog.pg_attribute a ON a.attrelid = c.oid WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT "
      "a.attisdropped AND a.attgenerated = '' ORDER BY 1",
      {name.substr(0, dot), name.substr(dot + 1)});
  if (!present.ok() || present->empty()) {  // The table is not here any more: it may have another name.
    may_be_renamed_ = true;
    return;
  }
  std::vector<string> columns, selected;
  for (const string& column : table.key) selected.push_back(Hex(column));
  for (const auto& column : *present) {
    const bool is_key = std::count(table.key.begin(), table.key.end(), column[0]) > 0;
    if (is_key || table.types.count(column[0]) == 0 || table.unsteady.count(column[0]) > 0) continue;
    columns.push_back(column[0]);
    selected.push_back(Hex(column[0]));
  }
  auto rows = branch_.Run(absl::StrCat("SELECT ", absl::StrJoin(selected, ", "), " FROM ", Quoted(name.substr(0, dot)),
                                       ".", Quoted(name.substr(dot + 1))));
  if (!rows.ok()) return;  // A key column that is not here any more.
  std::map<std::vector<string>, std::vector<string>> here;
  for (const auto& row : *rows) {
    std::vector<string> key;
    for (size_t i = 0; i < table.key.size(); ++i) key.push_back(absl::HexStringToBytes(row[i]));
    here[key] = {row.begin() + static_cast<ptrdiff_t>(table.key.size()), row.end()};
  }
  for (const auto& [key, row] : table.rows) {
    const string who = absl::StrCat("row (", absl::StrJoin(key, ", "), ") of ", name);
    const auto at = here.find(key);
    const bool lives = row.written > row.deleted;
    if (lives != (at != here.end()) && (row.whole || !lives))
      Note(absl::StrCat(who, lives ? " is missing" : " is there, and deleted by the log"));
    if (!lives || at == here.end()) continue;
    for (size_t i = 0; i < columns.size(); ++i) {
      const auto column = row.columns.find(columns[i]);
      if (column == row.columns.end() || row.unknown.count(columns[i]) > 0) continue;
      const std::optional<string>& meant = column->second.second;
      if (at->second[i] != (meant.has_value() ? absl::BytesToHexString(*meant) : "-")) {
        const string has = at->second[i] == "-" ? "NULL" : absl::HexStringToBytes(at->second[i]);
        Note(absl::StrCat(who, " has ", columns[i], " = ", has, ", and the log says ", meant.value_or("NULL")));
      }
    }
  }
  for (const auto& [key, row] : here) {
    if (table.rows.count(key) == 0)
      unknown_.push_back(absl::StrCat("row (", absl::StrJoin(key, ", "), ") of ", name, " is in no chain"));
  }
}

}  // namespace

absl::Status CompareWithHub(SqlSession& hub, SqlSession& branch) {
  HubFold fold;
  if (absl::Status status = fold.Read(hub); !status.ok()) return status;
  Comparison comparison(branch);
  for (const auto& [name, table] : fold.tables()) comparison.Look(name, table);
  const std::vector<string> differences = comparison.Differences();
  if (differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrJoin(differences, "\n"));
}

}  // namespace assay::test
