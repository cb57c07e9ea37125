#include "engine/row_event.h"

#include <utility>

#include "log/bytes.h"

namespace assay {
namespace {

enum WireType : uint64_t { kVarint = 0, kFixed64 = 1, kSized = 2, kFixed32 = 5 };
constexpr uint64_t Tag(uint64_t field, WireType type) { return field << 3 | type; }

ChangeKind KindOf(uint64_t operation) {
  switch (static_cast<int32_t>(operation)) {
    case v1::RowChange::INSERT: return ChangeKind::kInsert;
    case v1::RowChange::DELETE: return ChangeKind::kDelete;
    default: return ChangeKind::kUpdate;
  }
}

// The next field: its tag, and the number or the bytes that it holds. False: the bytes end inside it, or it is of a kind that we do not write.
bool NextField(ByteReader& reader, uint64_t* tag, uint64_t* number, absl::string_view* sized) {
  if (!reader.Varint(tag) || *tag >> 3 == 0 || *tag > UINT32_MAX) return false;
  switch (*tag & 7) {
    case kVarint: return reader.Varint(number);
    case kFixed64: return reader.Fixed64(number);
    case kSized: return reader.Sized(sized);
    case kFixed32: return reader.Take(4, sized);
    default: return false;
  }
}

bool ScanColumn(absl::string_view bytes, RowEvent::Column* column) {
  ByteReader reader(bytes);
  while (!reader.empty()) {
    uint64_t tag, number = 0;
    absl::string_view sized;
    if (!NextField(reader, &tag, &number, &sized)) return false;
    switch (tag) {
      case Tag(1, kVarint): column->ordinal = static_cast<uint32_t>(number); break;
      case Tag(2, kSized): column->has_value = true, column->value = sized; break;
      case Tag(3, kVarint): column->is_null = number != 0; break;
    }
  }
  return true;
}

}  // namespace

bool RowEventReader::ScanRow(absl::string_view bytes) {
  ByteReader reader(bytes);
  while (!reader.empty()) {
    uint64_t tag, number = 0;
    absl::string_view sized;
    if (!NextField(reader, &tag, &number, &sized)) return false;
    switch (tag) {
      case Tag(1, kVarint): event_.kind = KindOf(number); break;
      case Tag(2, kVarint): event_.schema = {number}; break;
      case Tag(3, kSized): event_.key.push_back(sized); break;
      case Tag(4, kSized):
        if (!ScanColumn(sized, &event_.columns.emplace_back())) return false;
        break;
      case Tag(5, kSized):
        // Of no use here, but a parser would look at it: what is no message makes the event none.
        if (!ScanColumn(sized, &ignored_)) return false;
        break;
    }
  }
  return true;
}

bool RowEventReader::Scan(absl::string_view bytes) {
  event_.body = RowEvent::Body::kOther;
  event_.kind = ChangeKind::kUpdate;
  event_.schema = {};
  event_.key.clear();
  event_.columns.clear();
  event_.header = {};
  ByteReader reader(bytes);
  bool has_body = false, has_header = false;
  while (!reader.empty()) {
    uint64_t tag, number = 0;
    absl::string_view sized;
    if (!NextField(reader, &tag, &number, &sized)) return false;
    switch (tag) {
      case Tag(6, kSized):
        if (std::exchange(has_header, true)) return false;
        event_.header = sized;
        break;
      case Tag(10, kSized):
        if (std::exchange(has_body, true) || !ScanRow(sized)) return false;
        event_.body = RowEvent::Body::kRow;
        break;
      case Tag(11, kSized):
      case Tag(12, kSized):
        return false;  // Rare: not worth a second reader.
    }
  }
  return true;
}

void RowEventReader::Take(const v1::Event& event) {
  event_ = {};
  header_ = event.transaction().SerializeAsString();
  event_.header = header_;
  if (event.has_schema()) event_.body = RowEvent::Body::kSchema;
  if (!event.has_row()) return;
  event_.body = RowEvent::Body::kRow;
  event_.kind = KindOf(event.row().operation());
  event_.schema = {event.row().schema()};
  for (const std::string& key : event.row().key()) event_.key.push_back(key);
  for (const v1::ColumnChange& column : event.row().columns()) {
    event_.columns.push_back({column.ordinal(), column.has_value(), column.is_null(), column.value()});
  }
}

absl::StatusOr<const RowEvent*> RowEventReader::Read(absl::string_view bytes) {
  if (Scan(bytes)) return &event_;
  if (!parsed_.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return absl::DataLossError("it is not a valid message");
  Take(parsed_);
  return &event_;
}

}  // namespace assay
