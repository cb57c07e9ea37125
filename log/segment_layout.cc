#include "log/segment_layout.h"

#include "absl/strings/str_cat.h"
#include "log/bytes.h"

namespace assay {
namespace {
constexpr uint8_t kLayoutFormat = 1;
}  // namespace

std::string SegmentLayout::Encode() const {
  std::string out;
  out.reserve(event_parts.size() + 6 * transactions.size() + 16);
  out.push_back(kLayoutFormat);
  PutVarint(&out, transactions.size());
  uint64_t before = 0;
  for (const Transaction& transaction : transactions) {
    PutVarint(&out, transaction.stamp.value - before);
    PutVarint(&out, transaction.events);
    before = transaction.stamp.value;
  }
  out.append(event_parts.data(), event_parts.size());
  return out;
}

absl::Status SegmentLayout::Parse(absl::string_view bytes) {
  ByteReader reader(bytes);
  uint8_t format;
  uint64_t count;
  if (!reader.Byte(&format)) return absl::DataLossError("no layout");
  if (format != kLayoutFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat("its layout has format ", format, ", unknown here: install a newer Assay"));
  }
  // Each transaction takes two bytes here and one for an event, at least.
  if (!reader.Varint(&count) || count == 0 || count > reader.size() / 3)
    return absl::DataLossError("no or too many transactions");
  transactions.clear();
  transactions.reserve(count);
  uint64_t stamp = 0, events = 0;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t rise, in_transaction;
    if (!reader.Varint(&rise) || !reader.Varint(&in_transaction)) return absl::DataLossError("its layout is cut short");
    if ((i > 0 && rise == 0) || stamp + rise < stamp) return absl::DataLossError("stamps that do not rise");
    stamp += rise;
    if (in_transaction == 0 || in_transaction > bytes.size())
      return absl::DataLossError("a transaction of impossible size");
    events += in_transaction;
    transactions.push_back({{stamp}, in_transaction});
  }
  if (events != reader.size()) return absl::DataLossError("not one part an event");
  reader.Take(events, &event_parts);
  return absl::OkStatus();
}

}  // namespace assay
