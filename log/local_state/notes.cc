#include "log/local_state/notes.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "log/bytes.h"
#include "log/row_versions/row_ref.h"

namespace assay {
namespace {

// By EnrolmentState.
constexpr absl::string_view kEnrolmentNames[] = {"", "begun", "finished", "left"};

// `bytes` as texts of which every `each` belong together; nullopt: they are not.
std::optional<std::vector<std::string>> Texts(absl::string_view bytes, size_t each) {
  absl::StatusOr<std::vector<std::string>> texts = DecodeKey(bytes);
  if (!texts.ok() || texts->size() % each != 0) return std::nullopt;
  return *std::move(texts);
}

}  // namespace

std::string SubjectText(const OriginId& origin) { return origin.Hex(); }
std::string SubjectText(TableId table) { return absl::StrCat(table.value); }
std::string SubjectText(const std::string& table) { return table; }

std::string EncodeNote(uint64_t value) {
  std::string bytes;
  PutFixed64(&bytes, value);
  return bytes;
}

bool DecodeNote(absl::string_view bytes, uint64_t* value) {
  ByteReader reader(bytes);
  return reader.Fixed64(value) && reader.empty();
}

std::string EncodeNote(bool value) { return EncodeNote(uint64_t{value}); }

bool DecodeNote(absl::string_view bytes, bool* value) {
  uint64_t number = 0;
  if (!DecodeNote(bytes, &number) || number > 1) return false;
  *value = number == 1;
  return true;
}

std::string EncodeNote(Sequence value) { return EncodeNote(value.value); }
bool DecodeNote(absl::string_view bytes, Sequence* value) { return DecodeNote(bytes, &value->value); }

std::string EncodeNote(HlcStamp value) { return EncodeNote(value.value); }
bool DecodeNote(absl::string_view bytes, HlcStamp* value) { return DecodeNote(bytes, &value->value); }

std::string EncodeNote(const OriginId& value) { return std::string(value.AsBytes()); }

bool DecodeNote(absl::string_view bytes, OriginId* value) {
  const absl::StatusOr<OriginId> origin = OriginId::FromBytes(bytes);
  if (origin.ok()) *value = *origin;
  return origin.ok();
}

std::string EncodeNote(const std::string& value) { return value; }

bool DecodeNote(absl::string_view bytes, std::string* value) {
  value->assign(bytes.data(), bytes.size());
  return true;
}

// A name may have a line break in it.
std::string EncodeNote(const std::set<std::string>& texts) {
  return EncodeKey(std::vector<std::string>(texts.begin(), texts.end()));
}

bool DecodeNote(absl::string_view bytes, std::set<std::string>* value) {
  const auto texts = Texts(bytes, 1);
  if (!texts.has_value()) return false;
  value->insert(texts->begin(), texts->end());
  return true;
}

std::string EncodeNote(EnrolmentState value) { return std::string(kEnrolmentNames[static_cast<size_t>(value)]); }

bool DecodeNote(absl::string_view bytes, EnrolmentState* value) {
  const auto* at = std::find(std::begin(kEnrolmentNames), std::end(kEnrolmentNames), bytes);
  if (at == std::end(kEnrolmentNames)) return false;
  *value = static_cast<EnrolmentState>(at - std::begin(kEnrolmentNames));
  return true;
}

std::string EncodeNote(const ClockAhead& value) {
  std::string bytes;
  PutFixed64(&bytes, value.after.value);
  PutFixed64(&bytes, value.stamp.value);
  return bytes;
}

bool DecodeNote(absl::string_view bytes, ClockAhead* value) {
  ByteReader reader(bytes);
  return reader.Fixed64(&value->after.value) && reader.Fixed64(&value->stamp.value) && reader.empty();
}

std::string EncodeNote(const CapturedPosition& value) {
  std::string bytes;
  for (const uint64_t number :
       {value.commit_lsn.value, value.end_lsn.value, static_cast<uint64_t>(value.commit_time_us), uint64_t{value.xid},
        value.position.value}) {
    PutFixed64(&bytes, number);
  }
  return bytes;
}

bool DecodeNote(absl::string_view bytes, CapturedPosition* value) {
  ByteReader reader(bytes);
  uint64_t time = 0, xid = 0;
  if (!reader.Fixed64(&value->commit_lsn.value) || !reader.Fixed64(&value->end_lsn.value) || !reader.Fixed64(&time) ||
      !reader.Fixed64(&xid) || !reader.Fixed64(&value->position.value) || !reader.empty()) {
    return false;
  }
  value->commit_time_us = static_cast<int64_t>(time);
  value->xid = static_cast<uint32_t>(xid);
  return true;
}

std::string EncodeNote(const KnownServer& value) { return absl::StrCat(value.id, " ", value.timeline); }

bool DecodeNote(absl::string_view bytes, KnownServer* value) {
  const size_t space = bytes.rfind(' ');
  if (space == absl::string_view::npos || !absl::SimpleAtoi(bytes.substr(space + 1), &value->timeline)) return false;
  value->id = std::string(bytes.substr(0, space));
  return true;
}

std::string EncodeNote(const KnownSessions& value) {
  std::string bytes = EncodeNote(value.counter);
  for (const std::string& nonce : value.nonces) bytes += nonce;
  return bytes;
}

bool DecodeNote(absl::string_view bytes, KnownSessions* value) {
  ByteReader reader(bytes);
  if (!reader.Fixed64(&value->counter)) return false;
  while (!reader.empty()) {
    absl::string_view nonce;
    if (!reader.Take(KnownSessions::kNonceBytes, &nonce)) return false;
    value->nonces.emplace_back(nonce);
  }
  return true;
}

std::string EncodeNote(const DeclaredShape& value) {
  return absl::StrCat(value.fingerprint, " ", value.sequence.value);
}

bool DecodeNote(absl::string_view bytes, DeclaredShape* value) {
  const std::vector<absl::string_view> parts = absl::StrSplit(bytes, ' ');
  return parts.size() == 2 && absl::SimpleAtoi(parts[0], &value->fingerprint) &&
         absl::SimpleAtoi(parts[1], &value->sequence.value);
}

std::string EncodeNote(const ColumnNumbers& value) {
  std::vector<std::string> texts;
  for (const auto& [name, number] : value) texts.insert(texts.end(), {name, absl::StrCat(number)});
  return EncodeKey(texts);
}

bool DecodeNote(absl::string_view bytes, ColumnNumbers* value) {
  auto texts = Texts(bytes, 2);
  if (!texts.has_value()) return false;
  for (size_t i = 0; i < texts->size(); i += 2) {
    auto& [name, number] = value->emplace_back(std::move((*texts)[i]), 0);
    if (!absl::SimpleAtoi((*texts)[i + 1], &number)) return false;
  }
  return true;
}

std::string EncodeNote(const ColumnNulls& value) {
  std::vector<std::string> texts;
  for (const auto& [column, stamp] : value) {
    for (const uint64_t number : {uint64_t{column.first.value}, uint64_t{column.second.value}, stamp.value})
      texts.push_back(absl::StrCat(number));
  }
  return EncodeKey(texts);
}

bool DecodeNote(absl::string_view bytes, ColumnNulls* value) {
  const auto texts = Texts(bytes, 3);
  if (!texts.has_value()) return false;
  for (size_t i = 0; i < texts->size(); i += 3) {
    TableId table;
    ColumnId column;
    HlcStamp stamp;
    if (!absl::SimpleAtoi((*texts)[i], &table.value) || !absl::SimpleAtoi((*texts)[i + 1], &column.value) ||
        !absl::SimpleAtoi((*texts)[i + 2], &stamp.value)) {
      return false;
    }
    (*value)[{table, column}] = stamp;
  }
  return true;
}

std::string EncodeNote(const std::vector<WithheldValue>& value) {
  std::vector<std::string> texts;
  for (const WithheldValue& one : value)
    texts.insert(texts.end(), {one.table, one.key, one.column, absl::StrCat(one.bytes)});
  return EncodeKey(texts);
}

bool DecodeNote(absl::string_view bytes, std::vector<WithheldValue>* value) {
  auto texts = Texts(bytes, 4);
  if (!texts.has_value()) return false;
  for (size_t i = 0; i < texts->size(); i += 4) {
    WithheldValue& one = value->emplace_back(
        WithheldValue{std::move((*texts)[i]), std::move((*texts)[i + 1]), std::move((*texts)[i + 2])});
    if (!absl::SimpleAtoi((*texts)[i + 3], &one.bytes)) return false;
  }
  return true;
}

std::string EncodeNote(const UnrecordedTables& value) {
  std::vector<std::string> texts;
  for (const auto& [table, unrecorded] : value)
    texts.insert(texts.end(),
                 {table, absl::StrCat(unrecorded.rows), unrecorded.cause, unrecorded.made_anew ? "1" : "0"});
  return EncodeKey(texts);
}

bool DecodeNote(absl::string_view bytes, UnrecordedTables* value) {
  auto texts = Texts(bytes, 4);
  if (!texts.has_value()) return false;
  for (size_t i = 0; i < texts->size(); i += 4) {
    UnrecordedRows& one = (*value)[(*texts)[i]];
    if (!absl::SimpleAtoi((*texts)[i + 1], &one.rows)) return false;
    one.cause = std::move((*texts)[i + 2]);
    one.made_anew = (*texts)[i + 3] == "1";
  }
  return true;
}

std::string EncodeNote(const TableBaselines& value) {
  std::vector<std::string> texts;
  for (const auto& [table, at] : value) texts.insert(texts.end(), {table, absl::StrCat(at.value)});
  return EncodeKey(texts);
}

bool DecodeNote(absl::string_view bytes, TableBaselines* value) {
  auto texts = Texts(bytes, 2);
  if (!texts.has_value()) return false;
  for (size_t i = 0; i < texts->size(); i += 2) {
    if (!absl::SimpleAtoi((*texts)[i + 1], &(*value)[(*texts)[i]].value)) return false;
  }
  return true;
}

std::string EncodeNote(const UnreadableTables& value) {
  std::vector<std::string> texts;
  for (const auto& [at, rows] : value) {
    texts.insert(texts.end(), {std::string(at.first.AsBytes()), at.second, absl::StrCat(rows.first.value), rows.cause});
  }
  return EncodeKey(texts);
}

bool DecodeNote(absl::string_view bytes, UnreadableTables* value) {
  auto texts = Texts(bytes, 4);
  if (!texts.has_value()) return false;
  for (size_t i = 0; i < texts->size(); i += 4) {
    const absl::StatusOr<OriginId> origin = OriginId::FromBytes((*texts)[i]);
    if (!origin.ok()) return false;
    UnreadableRows& one = (*value)[{*origin, std::move((*texts)[i + 1])}];
    if (!absl::SimpleAtoi((*texts)[i + 2], &one.first.value)) return false;
    one.cause = std::move((*texts)[i + 3]);
  }
  return true;
}

std::string EncodeNote(const CheckedTable& value) {
  std::vector<std::string> texts = {
      absl::StrCat(value.ended_ms), absl::StrCat(value.declared.value), absl::StrCat(value.rows),
      absl::StrCat(value.cells),    absl::StrCat(value.passed_over),    absl::StrCat(value.waiting),
      absl::StrCat(value.restless), absl::StrCat(value.differing),      value.gave_up ? "1" : "0"};
  const auto add = [&texts](const std::optional<std::string>& text) {
    texts.insert(texts.end(), {text.has_value() ? "1" : "0", text.value_or("")});
  };
  for (const DifferingCell& cell : value.cells_listed) {
    texts.insert(texts.end(), {cell.key, cell.column});
    add(cell.here);
    add(cell.log);
  }
  return EncodeKey(texts);
}

bool DecodeNote(absl::string_view bytes, CheckedTable* value) {
  constexpr size_t kNumbers = 9, kCell = 6;
  auto texts = Texts(bytes, 1);
  if (!texts.has_value() || texts->size() < kNumbers || (texts->size() - kNumbers) % kCell != 0) return false;
  size_t at = 0;
  if (!absl::SimpleAtoi((*texts)[at++], &value->ended_ms)) return false;
  for (uint64_t* number : {&value->declared.value, &value->rows, &value->cells, &value->passed_over, &value->waiting,
                           &value->restless, &value->differing}) {
    if (!absl::SimpleAtoi((*texts)[at++], number)) return false;
  }
  value->gave_up = (*texts)[at++] == "1";
  const auto take = [&](std::optional<std::string>* text) {
    if ((*texts)[at++] == "1") *text = std::move((*texts)[at]);
    ++at;
  };
  while (at < texts->size()) {
    DifferingCell& cell = value->cells_listed.emplace_back();
    cell.key = std::move((*texts)[at++]);
    cell.column = std::move((*texts)[at++]);
    take(&cell.here);
    take(&cell.log);
  }
  return true;
}

}  // namespace assay
