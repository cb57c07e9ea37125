// Which rows of a table were met, so that those that the log has and the table has not can be found: in a file, since
// the memory that it takes is not to grow with the table.
//
//   ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<SeenKeys> seen, SeenKeys::Create(state_dir));
//   seen->Add(key) …                              // In any order;
//   ASSAY_ASSIGN_OR_RETURN(bool met, seen->Has(key));   // then all that are asked for, best in the order of their bytes.
//
// The keys are hashes already, so their first byte spreads them over 256 parts. A part is read whole when one of its
// keys is asked for: some 600 KB of a table of ten million rows. The file has no name, and goes with the process. Not
// thread-safe. RESOURCE_EXHAUSTED: the disk is full; UNAVAILABLE: it cannot be written or read.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/row_versions/row_ref.h"

namespace assay {

class SeenKeys {
 public:
  // The file is made in `directory`.
  static absl::StatusOr<std::unique_ptr<SeenKeys>> Create(const std::string& directory);
  ~SeenKeys();
  SeenKeys(const SeenKeys&) = delete;
  SeenKeys& operator=(const SeenKeys&) = delete;

  absl::Status Add(const KeyHash& key);
  absl::StatusOr<bool> Has(const KeyHash& key);

 private:
  static constexpr size_t kBlockKeys = 128;
  struct Part {
    std::vector<KeyHash> newest;   // Not written yet.
    std::vector<uint32_t> blocks;  // Numbers of those that are, each of kBlockKeys.
  };
  explicit SeenKeys(int fd) : fd_(fd) {}
  absl::Status ReadPart(int number);

  const int fd_;
  uint32_t blocks_ = 0;
  std::array<Part, 256> parts_;
  int read_ = -1;              // The part that `keys_` are of.
  std::vector<KeyHash> keys_;  // Sorted.
};

}  // namespace assay
