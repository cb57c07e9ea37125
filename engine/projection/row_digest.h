// Digests of a row: of the values that a projection writes, and of the versions that it rests on.
//
// Stored with an intent, so the same in every build. Nobody gains by a collision (a tag is secret until it is used), so
// no cryptography.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "engine/database.h"
#include "log/row_versions/row_versions.h"

namespace assay {

// Over names and values, so that an echo can be compared with what was meant.
class ValuesHash {
 public:
  void Add(absl::string_view column, const std::optional<absl::string_view>& value);
  void Add(absl::string_view column, const TupleValue& value);
  uint64_t Finish() const { return digest_; }

 private:
  void AddText(absl::string_view column, bool has_value, absl::string_view value);

  uint64_t digest_ = 0;
};

// Identifies a row's versions at one moment.
uint64_t VersionsDigest(const RowVersions& versions);
uint64_t VersionsDigest(const RowVersions* stored);  // Null: of a row that was never stored.

}  // namespace assay
