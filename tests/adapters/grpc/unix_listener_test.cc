// Goal: nobody but its owner and root gets at the daemon's socket, not even for a moment or by a folder that others may
// write to; and no daemon takes another's place. Method: bind sockets in folders of all kinds, and connect to them.
#include "adapters/grpc/unix_listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

class UnixListenerTest : public ::testing::Test {
 protected:
  // A connected descriptor, or -1.
  static int Connect(const std::string& path) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
    close(fd);
    return -1;
  }
  static mode_t ModeOf(const std::string& path) {
    struct stat st;
    return lstat(path.c_str(), &st) == 0 ? st.st_mode & 0777 : 0;
  }
  static bool IsThere(const std::string& path) { return access(path.c_str(), F_OK) == 0; }
  // As a daemon leaves it that was killed: the file is there, and nobody answers.
  static void LeaveBehind(const std::string& path) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    close(fd);
  }

  test::TempDirectory directory_{"listener"};
  const std::string path_ = directory_.path() + "/assayd.sock";
};

TEST_F(UnixListenerTest, WhoConnectsIsAcceptedAndKnown) {
  const auto listener = UnixListener::Bind(path_).value();
  EXPECT_TRUE(absl::IsNotFound(listener->Accept(0).status())) << "nobody came";
  const int client = Connect(path_);
  ASSERT_GE(client, 0);
  const absl::StatusOr<int> accepted = listener->Accept(1000);
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  EXPECT_EQ(PeerUser(*accepted).value(), geteuid());
  char byte;
  EXPECT_EQ(read(*accepted, &byte, 1), -1) << "it does not wait for what nobody has sent";
  close(*accepted);
  close(client);
  EXPECT_FALSE(PeerUser(-1).ok());
}

TEST_F(UnixListenerTest, SocketAndFolderAreItsOwnersAlone) {
  const std::string path = directory_.path() + "/run/assayd.sock";
  const mode_t before = umask(0);
  const auto listener = UnixListener::Bind(path);
  umask(before);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(ModeOf(path), 0600u);
  EXPECT_EQ(ModeOf(directory_.path() + "/run"), 0700u);
}

TEST_F(UnixListenerTest, AFolderThatOthersMayWriteToIsRefusedWithTheRemedy) {
  const std::string folder = directory_.path() + "/open";
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  ASSERT_EQ(chmod(folder.c_str(), 0770), 0);
  const auto listener = UnixListener::Bind(folder + "/assayd.sock");
  EXPECT_TRUE(absl::IsFailedPrecondition(listener.status()));
  EXPECT_THAT(std::string(listener.status().message()), HasSubstr("chmod 700 " + folder));
  ASSERT_EQ(chmod(folder.c_str(), 01777), 0);
  EXPECT_TRUE(UnixListener::Bind(folder + "/assayd.sock").ok()) << "as /tmp: nobody may rename what is another's";
}

TEST_F(UnixListenerTest, ASocketThatNobodyAnswersOnIsReplacedAndALivingOneIsNot) {
  LeaveBehind(path_);
  ASSERT_TRUE(IsThere(path_));
  const auto listener = UnixListener::Bind(path_);
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto second = UnixListener::Bind(path_);
  EXPECT_TRUE(absl::IsAlreadyExists(second.status()));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("assay status --socket " + path_));
  const int client = Connect(path_);
  EXPECT_GE(client, 0) << "the first one is still there";
  close(client);
}

TEST_F(UnixListenerTest, WhatIsNoSocketStays) {
  std::ofstream(path_) << "notes";
  const auto listener = UnixListener::Bind(path_);
  EXPECT_TRUE(absl::IsFailedPrecondition(listener.status()));
  EXPECT_TRUE(IsThere(path_));
}

TEST_F(UnixListenerTest, ItsSocketGoesWithItAndAnothersStays) {
  auto listener = UnixListener::Bind(path_).value();
  listener.reset();
  EXPECT_FALSE(IsThere(path_));
  listener = UnixListener::Bind(path_).value();
  ASSERT_EQ(unlink(path_.c_str()), 0);
  LeaveBehind(path_);  // Somebody else's, in its place.
  listener.reset();
  EXPECT_TRUE(IsThere(path_));
}

TEST_F(UnixListenerTest, APathThatNoSocketCanHaveIsRefused) {
  for (const std::string& path : {std::string(), std::string("assayd.sock"), "/" + std::string(200, 'x')})
    EXPECT_TRUE(absl::IsInvalidArgument(UnixListener::Bind(path).status())) << path;
}

}  // namespace
}  // namespace assay
