#include "log/checkpoint.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "log/annotate.h"
#include "log/check.h"
#include "log/merkle_tree.h"

namespace assay {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kKeyIdBytes = 4;
constexpr size_t kSignatureBytes = 64;
constexpr size_t kKeyFileBytesMax = 4096;
constexpr absl::string_view kSignatureMark = "— ";

using Pkey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

const unsigned char* Bytes(absl::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

absl::Status Errno(absl::string_view what, const std::string& path, int error) {
  return absl::UnavailableError(absl::StrCat(what, " ", path, ": ", std::strerror(error)));
}

// Closes on leaving the scope.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

// C2SP signed-note: SHA-256(key name ‖ newline ‖ algorithm 1, Ed25519 ‖ public key), the first 4 bytes.
std::string KeyId(absl::string_view name, absl::string_view public_key) {
  const Hash hash = Sha256(absl::StrCat(name, "\n", absl::string_view("\x01", 1), public_key));
  return std::string(AsBytes(hash).substr(0, kKeyIdBytes));
}

bool VerifySignature(absl::string_view message, absl::string_view signature, absl::string_view public_key) {
  Pkey key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(public_key), public_key.size()),
           &EVP_PKEY_free);
  DigestContext context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  return key != nullptr && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(message), message.size()) == 1;
}

// The signed lines, the last newline included; the signature lines follow after an empty one.
absl::StatusOr<absl::string_view> BodyOf(absl::string_view text) {
  const size_t blank = text.find("\n\n");
  if (blank == absl::string_view::npos || text.back() != '\n') {
    return absl::InvalidArgumentError("a checkpoint is three lines, an empty line and a signature line");
  }
  return text.substr(0, blank + 1);
}

absl::StatusOr<Checkpoint> ParseBody(absl::string_view body) {
  std::vector<absl::string_view> lines =
      absl::StrSplit(body, '\n');  // `body` ends in a newline: the last line is empty.
  if (lines.size() < 4) return absl::InvalidArgumentError("a checkpoint has at least three lines: origin, size, root");
  Checkpoint checkpoint;
  ASSAY_ASSIGN_OR_RETURN(checkpoint.origin, OriginId::FromHex(lines[0]));
  if (!absl::SimpleAtoi(lines[1], &checkpoint.size) || absl::StrCat(checkpoint.size) != lines[1]) {
    return absl::InvalidArgumentError(
        absl::StrCat("a checkpoint's size is a plain decimal number, not \"", lines[1], "\""));
  }
  std::string root;
  if (!absl::Base64Unescape(lines[2], &root) || root.size() != checkpoint.root.size() ||
      absl::Base64Escape(root) != lines[2]) {
    return absl::InvalidArgumentError("a checkpoint's root is 32 bytes in base64");
  }
  std::memcpy(checkpoint.root.data(), root.data(), root.size());
  return checkpoint;
}

// The lines that are signed.
std::string Body(const Checkpoint& checkpoint) {
  return absl::StrCat(checkpoint.origin.Hex(), "\n", checkpoint.size, "\n",
                      absl::Base64Escape(AsBytes(checkpoint.root)), "\n");
}

}  // namespace

SigningKey::SigningKey(std::shared_ptr<EVP_PKEY> key) : key_(std::move(key)), public_key_(kKeyBytes, '\0') {
  size_t size = kKeyBytes;
  auto* bytes = reinterpret_cast<unsigned char*>(public_key_.data());
  ASSAY_CHECK(EVP_PKEY_get_raw_public_key(key_.get(), bytes, &size) == 1 && size == kKeyBytes);
}

absl::StatusOr<SigningKey> SigningKey::Generate() {
  Pkey key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), &EVP_PKEY_free);
  if (key == nullptr) return absl::InternalError("OpenSSL cannot generate an Ed25519 key");
  return SigningKey(std::move(key));
}

absl::StatusOr<SigningKey> SigningKey::Load(const std::string& path) {
  Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat("there is no signing key ", path));
    return Errno("cannot read the signing key", path, errno);
  }
  struct stat info;
  if (fstat(file.fd, &info) != 0) return Errno("cannot inspect the signing key", path, errno);
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the signing key ", path, " can be read by others: run `chmod 600 ", path, "`"));
  }
  std::string pem(kKeyFileBytesMax, '\0');
  const ssize_t count = read(file.fd, pem.data(), pem.size());
  if (count < 0) return Errno("cannot read the signing key", path, errno);
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(count)), &BIO_free);
  Pkey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  OPENSSL_cleanse(pem.data(), pem.size());
  if (key == nullptr || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is not an Ed25519 private key in PEM form: restore it from a backup, or open a new origin"));
  }
  return SigningKey(std::move(key));
}

absl::Status SigningKey::Save(const std::string& path) const {
  Bio bio(BIO_new(BIO_s_mem()), &BIO_free);
  ASSAY_CHECK(PEM_write_bio_PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* pem = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &pem);

  Descriptor file{open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR)};
  if (file.fd < 0) {
    if (errno == EEXIST) return absl::AlreadyExistsError(absl::StrCat("the signing key ", path, " is there already"));
    return Errno("cannot create the signing key", path, errno);
  }
  // Half a key would be refused by Load and by the next Save alike: leave none.
  if (write(file.fd, pem, size) != size || fsync(file.fd) != 0) {
    const int error = errno;
    unlink(path.c_str());
    return Errno("cannot write the signing key", path, error);
  }
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  Descriptor directory{open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (directory.fd < 0 || fsync(directory.fd) != 0) return Errno("cannot sync the folder", folder, errno);
  return absl::OkStatus();
}

std::string SigningKey::Sign(absl::string_view message) const {
  DigestContext context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  std::string signature(kSignatureBytes, '\0');
  size_t size = signature.size();
  ASSAY_CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1 &&
              EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, Bytes(message),
                             message.size()) == 1);
  return signature;
}

std::string SignCheckpoint(const Checkpoint& checkpoint, const SigningKey& key) {
  const std::string name = checkpoint.origin.Hex();
  return CheckpointText(checkpoint, absl::StrCat(KeyId(name, key.public_key()), key.Sign(Body(checkpoint))));
}

std::string CheckpointText(const Checkpoint& checkpoint, absl::string_view signature) {
  return absl::StrCat(Body(checkpoint), "\n", kSignatureMark, checkpoint.origin.Hex(), " ",
                      absl::Base64Escape(signature), "\n");
}

absl::StatusOr<std::string> SignatureOf(absl::string_view text) {
  ASSAY_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ParseCheckpoint(text));
  const size_t blank = text.rfind(' ');
  std::string signature;
  if (blank == absl::string_view::npos ||
      !absl::Base64Unescape(text.substr(blank + 1, text.size() - blank - 2), &signature) ||
      signature.size() != kKeyIdBytes + kSignatureBytes || CheckpointText(checkpoint, signature) != text) {
    return absl::InvalidArgumentError("a checkpoint with more, or something else, than its origin's signature");
  }
  return signature;
}

absl::StatusOr<Checkpoint> ParseCheckpoint(absl::string_view text) {
  ASSAY_ASSIGN_OR_RETURN(const absl::string_view body, BodyOf(text));
  return ParseBody(body);
}

absl::StatusOr<Checkpoint> VerifyCheckpoint(absl::string_view text, absl::string_view public_key) {
  ASSAY_ASSIGN_OR_RETURN(const absl::string_view body, BodyOf(text));
  ASSAY_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ParseBody(body));
  // Others (witnesses) may have signed too: only the origin's own signature counts, and one that names our key must
  // hold.
  const std::string name = checkpoint.origin.Hex();
  const std::string key_id = KeyId(name, public_key);
  const absl::string_view signatures = text.substr(body.size() + 1, text.size() - body.size() - 2);
  for (absl::string_view line : absl::StrSplit(signatures, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    std::string signature;
    if (words.size() != 3 || absl::StrCat(words[0], " ") != kSignatureMark ||
        !absl::Base64Unescape(words[2], &signature)) {
      return absl::InvalidArgumentError("a checkpoint's signature line is a dash, a name and base64");
    }
    if (words[1] != name || absl::string_view(signature).substr(0, kKeyIdBytes) != key_id) continue;
    if (VerifySignature(body, absl::string_view(signature).substr(kKeyIdBytes), public_key)) return checkpoint;
    return absl::DataLossError(
        absl::StrCat("the checkpoint of origin ", name, " at ", checkpoint.size, " has a bad signature"));
  }
  return absl::DataLossError(
      absl::StrCat("the checkpoint of origin ", name, " at ", checkpoint.size, " is not signed by its key"));
}

}  // namespace assay
