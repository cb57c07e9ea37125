// The words every layer shares: who, which, when, where.
//
// Each is its own type, so that none passes for another: a Sequence counts events of one chain, an Lsn is a position in
// one PostgreSQL server's WAL, an HlcStamp orders versions and nothing ever resumes from it. All are plain values; all
// are ordered; none allocates.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <limits>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace assay {

// One incarnation of a branch's log: 128 random bits.
struct OriginId {
  std::array<uint8_t, 16> bytes{};

  auto operator<=>(const OriginId&) const = default;

  // 32 lower-case hexadecimal digits.
  std::string Hex() const;
  absl::string_view AsBytes() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

  // INVALID_ARGUMENT unless `hex` is 32 hexadecimal digits.
  static absl::StatusOr<OriginId> FromHex(absl::string_view hex);
  // INVALID_ARGUMENT unless `bytes` is 16 bytes.
  static absl::StatusOr<OriginId> FromBytes(absl::string_view bytes);
};

// Position in one origin's chain, dense from 1; 0 is "before the first".
struct Sequence {
  uint64_t value = 0;
  auto operator<=>(const Sequence&) const = default;
  Sequence Next() const { return {value + 1}; }
};

// Hybrid logical time: 48 bits of Unix milliseconds above a 16-bit counter, so that +1 carries by itself.
struct HlcStamp {
  uint64_t value = 0;
  auto operator<=>(const HlcStamp&) const = default;
  int64_t millis() const { return static_cast<int64_t>(value >> 16); }
  uint32_t counter() const { return static_cast<uint32_t>(value & 0xffff); }
  // The highest stamp has none after it: it is its own next, and never wraps to the lowest.
  HlcStamp Next() const { return {value + (value != std::numeric_limits<uint64_t>::max())}; }
  // `millis` outside 0 .. 2^48-1 is clamped to the nearer end.
  static HlcStamp FromMillis(int64_t millis);
};

// One write of one column or row. The total order of versions is this struct's order: there is no "equal" between two
// writes.
struct Version {
  HlcStamp stamp;
  OriginId origin;
  Sequence sequence;
  auto operator<=>(const Version&) const = default;
  // A version that no write has: older than every write.
  bool IsNone() const { return sequence.value == 0; }
};

// Position in one PostgreSQL server's WAL, never compared across servers.
struct Lsn {
  uint64_t value = 0;
  auto operator<=>(const Lsn&) const = default;
  // PostgreSQL's form, "16/B374D848".
  std::string ToString() const;
};

// A SHA-256.
using Hash = std::array<uint8_t, 32>;

std::string HexEncode(absl::string_view bytes);
inline absl::string_view AsBytes(const Hash& hash) { return {reinterpret_cast<const char*>(hash.data()), hash.size()}; }

// "3f2a…/17": how an event is named in messages to people. The first 8 hexadecimal digits of the origin, then the
// sequence.
std::string EventName(const OriginId& origin, Sequence sequence);

}  // namespace assay
