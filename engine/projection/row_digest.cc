#include "engine/projection/row_digest.h"

#include <cstring>

namespace assay {
namespace {

void Mix(uint64_t word, uint64_t* digest) {
  *digest = (*digest ^ word) * 0x9E3779B97F4A7C15;
  *digest ^= *digest >> 32;
}

void Mix(absl::string_view text, uint64_t* digest) {
  Mix(text.size(), digest);
  const auto byte = [&](size_t at) { return uint64_t{static_cast<uint8_t>(text[at])}; };
  size_t at = 0;
  // Written out, eight bytes are one load.
  for (; at + 8 <= text.size(); at += 8) {
    Mix(byte(at) | byte(at + 1) << 8 | byte(at + 2) << 16 | byte(at + 3) << 24 | byte(at + 4) << 32 |
            byte(at + 5) << 40 | byte(at + 6) << 48 | byte(at + 7) << 56,
        digest);
  }
  if (at == text.size()) return;
  uint64_t word = 0;
  for (size_t i = text.size(); i > at; --i) word = word << 8 | byte(i - 1);
  Mix(word, digest);
}

}  // namespace

void ValuesHash::AddText(absl::string_view column, bool has_value, absl::string_view value) {
  Mix(column, &digest_);
  Mix(has_value ? 1 : 0, &digest_);
  if (has_value) Mix(value, &digest_);
}

void ValuesHash::Add(absl::string_view column, const std::optional<absl::string_view>& value) {
  AddText(column, value.has_value(), value.has_value() ? absl::string_view(*value) : absl::string_view());
}

void ValuesHash::Add(absl::string_view column, const TupleValue& value) {
  AddText(column, value.kind == TupleValue::Kind::kText, value.text);
}

uint64_t VersionsDigest(const RowVersions& versions) {
  uint64_t digest = 0;
  const auto add_version = [&](const Version& version) {
    uint64_t origin[2];
    static_assert(sizeof(origin) == sizeof(version.origin.bytes));
    std::memcpy(origin, version.origin.bytes.data(), sizeof(origin));
    for (uint64_t word : {version.stamp.value, origin[0], origin[1], version.sequence.value}) Mix(word, &digest);
  };
  add_version(versions.written);
  add_version(versions.deleted);
  for (const ColumnVersion& column : versions.columns) {
    Mix(column.column.value, &digest);
    add_version(column.version);
  }
  return digest;
}

uint64_t VersionsDigest(const RowVersions* stored) {
  static const uint64_t kNone = VersionsDigest(RowVersions{});
  return stored == nullptr ? kNone : VersionsDigest(*stored);
}

}  // namespace assay
