#include "log/checkpoint.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "log/merkle_tree.h"
#include "tests/log/test_events.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// The first key of RFC 8032, section 7.1.
constexpr char kPem[] =
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE "
    "KEY-----\n";
constexpr char kPublicKey[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
// Made with Python's `cryptography` from the C2SP pages.
constexpr char kNote[] =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n"
    "— aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
    "bLy1XVE+T7CtApZt0EQi+g+Cwn6gK5y/fAW3NBGzaqXSjAmUdXZN+JnKQBBMAwF+wENI+OMTDKnBmzATebxd"
    "D5Pi2wc=\n";

class CheckpointTest : public ::testing::Test {
 protected:
  test::TempDirectory directory_{"checkpoint"};
  const std::string path_ = absl::StrCat(directory_.path(), "/signing.key");
  const Checkpoint checkpoint_{test::Origin(0xaa), 7, Sha256("")};

  SigningKey KnownKey() {
    test::WriteFile(path_, kPem, 0600);
    absl::StatusOr<SigningKey> key = SigningKey::Load(path_);
    EXPECT_OK(key.status());
    return *key;
  }
};

TEST_F(CheckpointTest, NoteIsTheOneThatOthersMake) {
  const SigningKey key = KnownKey();
  EXPECT_EQ(HexEncode(key.public_key()), kPublicKey);
  EXPECT_EQ(SignCheckpoint(checkpoint_, key), kNote);
}

TEST_F(CheckpointTest, SignedCheckpointIsReadBack) {
  ASSERT_OK_AND_ASSIGN(const Checkpoint read, VerifyCheckpoint(kNote, KnownKey().public_key()));
  EXPECT_EQ(read.origin, checkpoint_.origin);
  EXPECT_EQ(read.size, 7u);
  EXPECT_EQ(read.root, checkpoint_.root);
}

TEST_F(CheckpointTest, SignatureOfAWitnessDoesNotDisturb) {
  const std::string note = absl::StrCat(kNote, "— witness.example AAAAAGdhcmJhZ2U=\n");
  EXPECT_OK(VerifyCheckpoint(note, KnownKey().public_key()).status());
}

TEST_F(CheckpointTest, NoChangedByteIsBelieved) {
  const std::string public_key = KnownKey().public_key();
  const std::string note = kNote;
  for (size_t i = 0; i < note.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = note;
      changed[i] ^= static_cast<char>(1 << bit);
      const absl::Status status = VerifyCheckpoint(changed, public_key).status();
      // The last two bits of the base64 are padding: changing them changes no byte of the signature.
      EXPECT_FALSE(status.ok() && changed.find("wc=") != std::string::npos) << i << ": " << changed;
      EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status) || absl::IsDataLoss(status)) << status;
    }
  }
  for (size_t size = 0; size < note.size(); ++size)
    EXPECT_FALSE(VerifyCheckpoint(note.substr(0, size), public_key).ok()) << size;
}

TEST_F(CheckpointTest, AnothersSignatureIsDataLoss) {
  ASSERT_OK_AND_ASSIGN(const SigningKey other, SigningKey::Generate());
  EXPECT_TRUE(absl::IsDataLoss(VerifyCheckpoint(kNote, other.public_key()).status()));
  EXPECT_TRUE(absl::IsDataLoss(VerifyCheckpoint(SignCheckpoint(checkpoint_, other), KnownKey().public_key()).status()));
}

TEST_F(CheckpointTest, WhatIsNoCheckpointIsInvalid) {
  const std::string public_key = KnownKey().public_key();
  for (const std::string& text :
       {std::string(), std::string("\n\n"), std::string("x\n7\ny\n\n— x y\n"),
        absl::StrReplaceAll(kNote, {{"\n7\n", "\n07\n"}}), absl::StrReplaceAll(kNote, {{"\n7\n", "\n-7\n"}})}) {
    EXPECT_TRUE(absl::IsInvalidArgument(VerifyCheckpoint(text, public_key).status())) << text;
    EXPECT_TRUE(absl::IsInvalidArgument(ParseCheckpoint(text).status())) << text;
  }
}

TEST_F(CheckpointTest, SavedKeyIsTheSameKeyAndNobodyElseCanReadIt) {
  ASSERT_OK_AND_ASSIGN(const SigningKey key, SigningKey::Generate());
  ASSERT_OK(key.Save(path_));
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_OK_AND_ASSIGN(const SigningKey loaded, SigningKey::Load(path_));
  EXPECT_EQ(loaded.public_key(), key.public_key());
  EXPECT_EQ(loaded.Sign("x"), key.Sign("x"));
  EXPECT_THAT(key.Sign("x"), SizeIs(64));
}

TEST_F(CheckpointTest, KeyThatOthersCanReadIsRefusedWithTheRemedy) {
  for (const int mode : {0640, 0604, 0660, 0610}) {
    test::WriteFile(path_, kPem, mode);
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    const absl::Status status = SigningKey::Load(path_).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << mode;
    EXPECT_THAT(status.message(), HasSubstr(absl::StrCat("chmod 600 ", path_)));
  }
}

TEST_F(CheckpointTest, KeyIsNeverOverwritten) {
  ASSERT_OK_AND_ASSIGN(const SigningKey key, SigningKey::Generate());
  ASSERT_OK(key.Save(path_));
  EXPECT_TRUE(absl::IsAlreadyExists(SigningKey::Generate()->Save(path_)));
  EXPECT_EQ(SigningKey::Load(path_)->public_key(), key.public_key());
}

TEST_F(CheckpointTest, FileThatIsNoKeyIsRefused) {
  EXPECT_TRUE(absl::IsNotFound(SigningKey::Load(path_).status()));
  for (const char* content : {"", "hello", "-----BEGIN PRIVATE KEY-----\nMC4CAQA=\n-----END PRIVATE KEY-----\n"}) {
    test::WriteFile(path_, content, 0600);
    EXPECT_TRUE(absl::IsFailedPrecondition(SigningKey::Load(path_).status())) << content;
  }
}

}  // namespace
}  // namespace assay
