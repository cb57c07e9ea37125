// A checkpoint: "origin O had N events and this root", signed by the origin's Ed25519 key.
//
// The text form is C2SP's tlog-checkpoint in a signed note: three lines (origin, size, base64 root), an empty line, and
// a signature line "— <origin> <base64 of 4-byte key id ‖ 64-byte signature>". Whoever kept one can prove truncation or
// rewriting later. A checkpoint is never progress: that is a cursor.
// (https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note)
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/types.h"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY.

namespace assay {

struct Checkpoint {
  OriginId origin;
  uint64_t size = 0;  // Events: the sequence of the last one covered.
  Hash root{};
};

// An origin's Ed25519 key pair. The private half lives in a file of mode 0600 beside the log and never in the log.
// Copies share one key; from any thread.
class SigningKey {
 public:
  static absl::StatusOr<SigningKey> Generate();
  // FAILED_PRECONDITION, with the chmod to run, when group or others can read the file.
  static absl::StatusOr<SigningKey> Load(const std::string& path);
  // Creates `path` with mode 0600, synced; ALREADY_EXISTS rather than overwrite.
  absl::Status Save(const std::string& path) const;

  const std::string& public_key() const { return public_key_; }  // 32 bytes.
  std::string Sign(absl::string_view message) const;             // 64 bytes.

 private:
  explicit SigningKey(std::shared_ptr<evp_pkey_st> key);
  std::shared_ptr<evp_pkey_st> key_;  // Made once: to make it of its bytes takes as long as to sign.
  std::string public_key_;
};

std::string SignCheckpoint(const Checkpoint& checkpoint, const SigningKey& key);
// The same, signed already: `signature` is 4 bytes of key id and 64 of Ed25519.
std::string CheckpointText(const Checkpoint& checkpoint, absl::string_view signature);
// The origin's signature in what SignCheckpoint wrote. INVALID_ARGUMENT when `text` is anything else.
absl::StatusOr<std::string> SignatureOf(absl::string_view text);
// What `text` claims, whoever signed it. INVALID_ARGUMENT when it is no checkpoint.
absl::StatusOr<Checkpoint> ParseCheckpoint(absl::string_view text);
// INVALID_ARGUMENT when `text` is no checkpoint; DATA_LOSS when it is not signed by `public_key`.
absl::StatusOr<Checkpoint> VerifyCheckpoint(absl::string_view text, absl::string_view public_key);

}  // namespace assay
