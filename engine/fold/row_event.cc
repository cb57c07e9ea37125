#include "engine/fold/row_event.h"

#include <utility>

#include "log/proto_field.h"

namespace assay {
namespace {

ChangeKind KindOf(uint64_t operation) {
  switch (static_cast<int32_t>(operation)) {
    case v1::RowChange::INSERT:
      return ChangeKind::kInsert;
    case v1::RowChange::DELETE:
      return ChangeKind::kDelete;
    default:
      return ChangeKind::kUpdate;
  }
}

bool IsMessage(absl::string_view bytes) {
  return ForEachField(bytes, [](const ProtoField&) { return true; });
}

bool ScanColumn(absl::string_view bytes, RowEvent::Column* column) {
  return ForEachField(bytes, [column](const ProtoField& field) {
    switch (field.tag) {
      case VarintTag(v1::ColumnChange::kOrdinalFieldNumber):
        column->ordinal = static_cast<uint32_t>(field.number);
        break;
      case SizedTag(v1::ColumnChange::kValueFieldNumber):
        column->has_value = true, column->value = field.bytes;
        break;
      case VarintTag(v1::ColumnChange::kIsNullFieldNumber):
        column->is_null = field.number != 0;
        break;
    }
    return true;
  });
}

bool ScanRow(absl::string_view bytes, RowEvent* event) {
  return ForEachField(bytes, [event](const ProtoField& field) {
    switch (field.tag) {
      case VarintTag(v1::RowChange::kOperationFieldNumber):
        event->kind = KindOf(field.number);
        break;
      case VarintTag(v1::RowChange::kSchemaFieldNumber):
        event->schema = {field.number};
        break;
      case VarintTag(v1::RowChange::kStandingFieldNumber):
        event->standing = static_cast<v1::RowChange::Standing>(static_cast<int32_t>(field.number));
        break;
      case SizedTag(v1::RowChange::kKeyFieldNumber):
        event->key.push_back(field.bytes);
        break;
      case SizedTag(v1::RowChange::kColumnsFieldNumber):
        return ScanColumn(field.bytes, &event->columns.emplace_back());
      // Of no use here, but what is no message makes the event none.
      case SizedTag(v1::RowChange::kReplacedFieldNumber):
        return IsMessage(field.bytes);
    }
    return true;
  });
}

}  // namespace

bool RowEventReader::Scan(absl::string_view bytes) {
  event_.body = RowEvent::Body::kOther;
  event_.kind = ChangeKind::kUpdate;
  event_.standing = v1::RowChange::EDIT;
  event_.schema = {};
  event_.key.clear();
  event_.columns.clear();
  event_.header = {};
  bool has_header = false;
  return ForEachField(bytes, [&](const ProtoField& field) {
    switch (field.tag) {
      case SizedTag(v1::Event::kTransactionFieldNumber):
        event_.header = field.bytes;
        return !std::exchange(has_header, true);
      case SizedTag(v1::Event::kRowFieldNumber):
        return std::exchange(event_.body, RowEvent::Body::kRow) == RowEvent::Body::kOther &&
               ScanRow(field.bytes, &event_);
      case SizedTag(v1::Event::kSchemaFieldNumber):
      case SizedTag(v1::Event::kOriginOpenedFieldNumber):
        return false;  // Rare: not worth a second reader.
    }
    return true;
  });
}

void RowEventReader::Take(const v1::Event& event) {
  event_ = {};
  header_ = event.transaction().SerializeAsString();
  event_.header = header_;
  if (event.has_schema()) event_.body = RowEvent::Body::kSchema;
  if (!event.has_row()) return;
  event_.body = RowEvent::Body::kRow;
  event_.kind = KindOf(static_cast<uint64_t>(event.row().operation()));
  event_.standing = event.row().standing();
  event_.schema = {event.row().schema()};
  for (const std::string& key : event.row().key()) event_.key.push_back(key);
  for (const v1::ColumnChange& column : event.row().columns()) {
    event_.columns.push_back({column.ordinal(), column.has_value(), column.is_null(), column.value()});
  }
}

absl::StatusOr<const RowEvent*> RowEventReader::Read(absl::string_view bytes) {
  if (Scan(bytes)) return &event_;
  if (!parsed_.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return absl::DataLossError("it is not a valid message");
  Take(parsed_);
  return &event_;
}

}  // namespace assay
