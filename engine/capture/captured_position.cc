#include "engine/capture/captured_position.h"

#include <optional>
#include <string>

#include "log/annotate.h"
#include "log/bytes.h"

namespace assay {
namespace {

constexpr char kCaptured[] = "captured";

}  // namespace

absl::StatusOr<CapturedPosition> LoadCapturedPosition(LocalState& state) {
  CapturedPosition captured;
  ASSAY_ASSIGN_OR_RETURN(const std::optional<std::string> stored, state.Get(kCaptured));
  if (!stored.has_value()) return captured;
  ByteReader reader(*stored);
  uint64_t time = 0, xid = 0;
  if (!reader.Fixed64(&captured.commit_lsn.value) || !reader.Fixed64(&captured.end_lsn.value) ||
      !reader.Fixed64(&time) || !reader.Fixed64(&xid) || !reader.Fixed64(&captured.position.value) || !reader.empty()) {
    return absl::DataLossError("the log's note of the last captured transaction is damaged; run `assay repair`");
  }
  captured.commit_time_us = static_cast<int64_t>(time);
  captured.xid = static_cast<uint32_t>(xid);
  return captured;
}

absl::Status StoreCapturedPosition(const CapturedPosition& captured, LocalState* state) {
  std::string bytes;
  for (const uint64_t number :
       {captured.commit_lsn.value, captured.end_lsn.value, static_cast<uint64_t>(captured.commit_time_us),
        uint64_t{captured.xid}, captured.position.value}) {
    PutFixed64(&bytes, number);
  }
  return state->Set(kCaptured, bytes);
}

}  // namespace assay
