#include "log/segment_part.h"

#include <zstd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/bytes.h"
#include "log/check.h"
#include "log/part_dictionary.h"

namespace assay {
namespace {

// On disk and on the wire: never change a meaning.
enum PackingFlag : uint8_t {
  kRaw = 0,
  kZstd = 1,
  kDictionaryZstd = 2,
};

constexpr int kZstdLevel = 1;  // Level 3 takes twice as long for a few per cent.
constexpr size_t kWorthCompressing = 32;
// What the frame of a small part begins with: zstd's magic number, no size, no dictionary's name; and a window of 16
// kB, where the compressor names a smaller one.
constexpr absl::string_view kSmallFrameHead("\x28\xb5\x2f\xfd\x00\x20", 6);
constexpr size_t kBelievedBytes = size_t{4}
                                  << 20;  // A declared size is believed this far; beyond it, memory follows content.

constexpr size_t kCheckBytes = 4;
void PutCheck(std::string* payload, uint32_t check) {
  for (int shift = 0; shift < 32; shift += 8) payload->push_back(static_cast<char>(check >> shift));
}

// Contexts are large; each thread that packs keeps one.
ZSTD_CCtx* Compressor() {
  thread_local std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
  ASSAY_CHECK(context != nullptr);
  return context.get();
}

// Of small parts: with the dictionary, and without what a frame says and the part does already.
ZSTD_CCtx* DictionaryCompressor() {
  static const ZSTD_CDict* const dictionary =
      ZSTD_createCDict(PartDictionary().data(), PartDictionary().size(), kZstdLevel);
  thread_local std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(
      [] {
        ZSTD_CCtx* made = ZSTD_createCCtx();
        ASSAY_CHECK(made != nullptr && !ZSTD_isError(ZSTD_CCtx_refCDict(made, dictionary)) &&
                    !ZSTD_isError(ZSTD_CCtx_setParameter(made, ZSTD_c_contentSizeFlag, 0)) &&
                    !ZSTD_isError(ZSTD_CCtx_setParameter(made, ZSTD_c_dictIDFlag, 0)));
        return made;
      }(),
      &ZSTD_freeCCtx);
  return context.get();
}

const ZSTD_DDict* Dictionary() {
  static const ZSTD_DDict* const dictionary = ZSTD_createDDict(PartDictionary().data(), PartDictionary().size());
  return dictionary;
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

// The same of a frame that was made with the dictionary.
absl::StatusOr<std::string> DecompressSmall(absl::string_view rest, size_t size) {
  const std::string frame = absl::StrCat(kSmallFrameHead, rest);
  std::string out(size, '\0');
  const size_t rc =
      ZSTD_decompress_usingDDict(Decompressor(), out.data(), out.size(), frame.data(), frame.size(), Dictionary());
  if (ZSTD_isError(rc)) return absl::DataLossError(absl::StrCat("zstd: ", ZSTD_getErrorName(rc)));
  if (rc != size) return absl::DataLossError("a part unpacks to another size than it declares");
  return out;
}

}  // namespace

std::string PackPart(absl::string_view raw, uint32_t check) {
  std::string payload;
  if (raw.size() >= kWorthCompressing) {
    const bool small = raw.size() <= kDictionaryPartBytesMax;
    payload.push_back(small ? kDictionaryZstd : kZstd);
    PutCheck(&payload, check);
    PutVarint(&payload, raw.size());
    const size_t head = payload.size();
    payload.resize(head + ZSTD_compressBound(raw.size()));
    const size_t rc = small ? ZSTD_compress2(DictionaryCompressor(), payload.data() + head, payload.size() - head,
                                             raw.data(), raw.size())
                            : ZSTD_compressCCtx(Compressor(), payload.data() + head, payload.size() - head, raw.data(),
                                                raw.size(), kZstdLevel);
    ASSAY_CHECK(!ZSTD_isError(rc));
    payload.resize(head + rc);
    if (small) {
      ASSAY_CHECK(payload[head + 4] == kSmallFrameHead[4]);
      payload.erase(head, kSmallFrameHead.size());
    }
    if (payload.size() <= raw.size()) return payload;
    payload.clear();
  }
  payload.reserve(1 + kCheckBytes + raw.size());
  payload.push_back(kRaw);
  PutCheck(&payload, check);
  payload.append(raw.data(), raw.size());
  return payload;
}

absl::StatusOr<UnpackedPart> UnpackPart(absl::string_view payload, size_t bytes_max) {
  ByteReader reader(payload);
  uint8_t flag;
  if (!reader.Byte(&flag)) return absl::DataLossError("a part without bytes");
  if (flag > kDictionaryZstd) {
    return absl::FailedPreconditionError(
        absl::StrCat("a part is packed in a way unknown here (", flag, "): install a newer Assay"));
  }
  UnpackedPart part;
  absl::string_view check;
  if (!reader.Take(kCheckBytes, &check)) return absl::DataLossError("a part is cut short");
  part.check = PartCheck(0, check);
  if (flag == kRaw) {
    part.bytes = std::string(payload.substr(payload.size() - reader.size()));
    return part;
  }
  uint64_t size;
  if (flag == kDictionaryZstd) bytes_max = std::min(bytes_max, kDictionaryPartBytesMax);
  if (!reader.Varint(&size) || size > bytes_max) return absl::DataLossError("a part declares an impossible size");
  const absl::string_view frame = payload.substr(payload.size() - reader.size());
  ASSAY_ASSIGN_OR_RETURN(part.bytes, flag == kDictionaryZstd ? DecompressSmall(frame, size) : Decompress(frame, size));
  return part;
}

}  // namespace assay
