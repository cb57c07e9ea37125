// The walsender's stream: any bytes are DATA_LOSS or a message whose texts lie within them.
#include "adapters/postgres/pgoutput.h"
#include "log/check.h"

namespace assay {
namespace {

void Within(absl::string_view whole, absl::string_view text) {
  if (text.empty()) return;
  ASSAY_CHECK(text.data() >= whole.data() && text.data() + text.size() <= whole.data() + whole.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  absl::StatusOr<WalsenderMessage> envelope = ParseWalsender(bytes);
  for (absl::string_view message : {envelope.ok() ? envelope->data : absl::string_view(), bytes}) {
    absl::StatusOr<pgoutput::Message> parsed = ParsePgoutput(message);
    if (!parsed.ok()) continue;
    if (const auto* update = std::get_if<pgoutput::Update>(&*parsed)) {
      for (const TupleValue& value : update->old_tuple) Within(bytes, value.text);
      for (const TupleValue& value : update->new_tuple) Within(bytes, value.text);
    }
    if (const auto* relation = std::get_if<pgoutput::Relation>(&*parsed)) {
      for (const auto& column : relation->columns) Within(bytes, column.name);
    }
  }
  return 0;
}

}  // namespace assay
