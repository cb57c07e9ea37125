#include "log/segment_part.h"

#include <zstd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "log/bytes.h"
#include "log/check.h"

namespace assay {
namespace {

// On disk and on the wire: never change a meaning.
enum PackingFlag : uint8_t { kRaw = 0, kZstd = 1 };

constexpr int kZstdLevel = 1;  // Level 3 takes twice as long for a few per cent.
constexpr size_t kWorthCompressing = 128;
constexpr size_t kBelievedBytes = size_t{4}
                                  << 20;  // A declared size is believed this far; beyond it, memory follows content.

// Contexts are large; each thread that packs keeps one.
ZSTD_CCtx* Compressor() {
  thread_local std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
  ASSAY_CHECK(context != nullptr);
  return context.get();
}

ZSTD_DCtx* Decompressor() {
  thread_local std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
  ASSAY_CHECK(context != nullptr);
  return context.get();
}

// The whole of `frame`, which must be one zstd frame of exactly `size` bytes of content.
absl::StatusOr<std::string> Decompress(absl::string_view frame, size_t size) {
  std::string out(std::min(size, kBelievedBytes), '\0');
  if (size <= kBelievedBytes) {
    const size_t rc = ZSTD_decompressDCtx(Decompressor(), out.data(), out.size(), frame.data(), frame.size());
    if (ZSTD_isError(rc)) return absl::DataLossError(absl::StrCat("zstd: ", ZSTD_getErrorName(rc)));
    if (rc != size) return absl::DataLossError("a part unpacks to another size than it declares");
    return out;
  }
  ZSTD_DCtx* context = Decompressor();
  ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
  ZSTD_inBuffer input{frame.data(), frame.size(), 0};
  size_t done = 0;
  for (;;) {
    ZSTD_outBuffer output{out.data(), out.size(), done};
    const size_t rc = ZSTD_decompressStream(context, &output, &input);
    if (ZSTD_isError(rc)) return absl::DataLossError(absl::StrCat("zstd: ", ZSTD_getErrorName(rc)));
    const bool stalled = output.pos == done && output.pos < output.size;
    done = output.pos;
    if (rc == 0) break;
    if (done == out.size()) {
      if (done == size) return absl::DataLossError("a part unpacks to more than it declares");
      out.resize(std::min(size, out.size() * 2));
    } else if (stalled && input.pos == input.size) {
      return absl::DataLossError("a compressed part is cut short");
    }
  }
  if (done != size || input.pos != input.size)
    return absl::DataLossError("a part unpacks to another size than it declares");
  return out;
}

}  // namespace

std::string PackPart(absl::string_view raw) {
  std::string payload;
  if (raw.size() >= kWorthCompressing) {
    payload.push_back(kZstd);
    PutVarint(&payload, raw.size());
    const size_t head = payload.size();
    payload.resize(head + ZSTD_compressBound(raw.size()));
    const size_t rc = ZSTD_compressCCtx(Compressor(), payload.data() + head, payload.size() - head, raw.data(),
                                        raw.size(), kZstdLevel);
    ASSAY_CHECK(!ZSTD_isError(rc));
    payload.resize(head + rc);
    if (payload.size() <= raw.size()) return payload;
    payload.clear();
  }
  payload.reserve(1 + raw.size());
  payload.push_back(kRaw);
  payload.append(raw.data(), raw.size());
  return payload;
}

absl::StatusOr<std::string> UnpackPart(absl::string_view payload, size_t bytes_max) {
  ByteReader reader(payload);
  uint8_t flag;
  if (!reader.Byte(&flag)) return absl::DataLossError("a part without bytes");
  if (flag == kRaw) return std::string(payload.substr(1));
  if (flag != kZstd) {
    return absl::FailedPreconditionError(
        absl::StrCat("a part is packed in a way unknown here (", flag, "): install a newer Assay"));
  }
  uint64_t size;
  if (!reader.Varint(&size) || size > bytes_max) return absl::DataLossError("a part declares an impossible size");
  return Decompress(payload.substr(payload.size() - reader.size()), size);
}

}  // namespace assay
