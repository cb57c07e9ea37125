#include "adapters/grpc/admin_server.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "adapters/grpc/admin_client.h"
#include "adapters/grpc/admin_service.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/adapters/grpc/scripted_operator.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

namespace pb = admin::v1;
using test::ScriptedOperator;
using ::testing::HasSubstr;

class AdminServerTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<AdminServer>> Start() {
    return AdminServer::Start({.listen = "unix:" + path_}, &daemon_);
  }
  int Connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path_.begin(), path_.end(), address.sun_path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  test::TempDirectory directory_{"server"};
  const std::string path_ = directory_.path() + "/run/a.sock";
  ScriptedOperator daemon_{directory_.path() + "/none.db"};
};

TEST_F(AdminServerTest, SocketIsForItsOwnerOnlyAndGoneAfterwards) {
  {
    auto server = Start();
    ASSERT_TRUE(server.ok()) << server.status();
    struct stat st;
    ASSERT_EQ(stat(path_.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600u);
    ASSERT_EQ(stat((directory_.path() + "/run").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0700u);
  }
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

TEST_F(AdminServerTest, SocketInUseIsRefusedAndAStaleOneReplaced) {
  auto first = Start();
  ASSERT_TRUE(first.ok());
  const absl::Status second = Start().status();
  EXPECT_TRUE(absl::IsAlreadyExists(second)) << second;
  EXPECT_THAT(std::string(second.message()), HasSubstr(path_));
  EXPECT_TRUE(ConnectAdmin({.address = "unix:" + path_}).ok()) << "the first goes on";
  first->reset();

  // What a killed daemon leaves behind: the file, and nobody listening.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path_.begin(), path_.end(), address.sun_path);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  close(fd);
  EXPECT_TRUE(Start().ok());

  test::WriteFile(path_, "not a socket");
  EXPECT_TRUE(absl::IsFailedPrecondition(Start().status()));
  EXPECT_EQ(test::ReadFile(path_), "not a socket");
}

TEST_F(AdminServerTest, DirectoryThatOthersMayWriteToIsRefused) {
  ASSERT_EQ(mkdir((directory_.path() + "/run").c_str(), 0755), 0);
  ASSERT_EQ(chmod((directory_.path() + "/run").c_str(), 0777), 0);
  EXPECT_THAT(std::string(Start().status().message()), HasSubstr("run chmod 700"));
}

TEST_F(AdminServerTest, AnotherUserIsTurnedAway) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  auto server = Start();
  ASSERT_TRUE(server.ok());
  // Even with the modes opened: the kernel says who is there.
  chmod(path_.c_str(), 0666);
  chmod((directory_.path() + "/run").c_str(), 0755);
  chmod(directory_.path().c_str(), 0755);
  const pid_t child = fork();
  if (child == 0) {
    if (setuid(65534) != 0) _exit(1);
    const int fd = Connect();
    char byte;
    _exit(read(fd, &byte, 1) == 0 ? 0 : 2);  // Closed at once; gRPC would have sent its settings.
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(AdminServerTest, GarbageAndSilenceDoNotHurt) {
  auto server = Start();
  ASSERT_TRUE(server.ok());
  const int silent = Connect();
  for (const std::string& garbage : {std::string(100'000, '\0'), std::string("GET / HTTP/1.1\r\n\r\n"),
                                     std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") + std::string(5000, '\xff')}) {
    const int fd = Connect();
    EXPECT_GE(send(fd, garbage.data(), garbage.size(), MSG_NOSIGNAL), 0);
    close(fd);
  }
  auto stub = ConnectAdmin({.address = "unix:" + path_});
  ASSERT_TRUE(stub.ok());
  // A request larger than any of ours.
  grpc::ClientContext context;
  pb::ListEventsRequest request;
  request.set_origin(std::string(1 << 20, 'x'));
  pb::LogEvent event;
  auto reader = (*stub)->ListEvents(&context, request);
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  grpc::ClientContext again;
  pb::Status status;
  EXPECT_TRUE((*stub)->GetStatus(&again, {}, &status).ok());
  close(silent);
}

TEST_F(AdminServerTest, ShutdownEndsTheStreamsUnderWayWithinASecond) {
  auto server = Start();
  ASSERT_TRUE(server.ok());
  auto stub = ConnectAdmin({.address = "unix:" + path_});
  grpc::ClientContext context;
  auto reader = (*stub)->WatchStatus(&context, {});
  pb::Status status;
  ASSERT_TRUE(reader->Read(&status));
  const absl::Time begin = absl::Now();
  server->reset();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
  EXPECT_FALSE(reader->Read(&status));
  EXPECT_FALSE(reader->Finish().ok());
}

// The bytes of one unary call whose reply may be anything: health and reflection have no generated code here.
absl::StatusOr<std::string> RawCall(const std::string& path, const std::string& method, const std::string& request) {
  auto channel = grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  grpc::CompletionQueue queue;
  auto call = stub.PrepareCall(&context, method, &queue);
  const grpc::Slice slice(request);
  grpc::ByteBuffer out(&slice, 1), in;
  grpc::Status status;
  void* tag;
  bool ok;
  const auto wait = [&] { queue.Next(&tag, &ok); };
  call->StartCall(&queue), wait();
  call->Write(out, &queue), wait();
  call->WritesDone(&queue), wait();
  call->Read(&in, &queue), wait();
  const bool read = ok;
  call->Finish(&status, &queue), wait();
  if (!read) return FromGrpc(status);
  std::vector<grpc::Slice> slices;
  if (!in.Dump(&slices).ok()) return absl::InternalError("no bytes");
  std::string bytes;
  for (const grpc::Slice& each : slices) bytes.append(reinterpret_cast<const char*>(each.begin()), each.size());
  return bytes;
}

TEST_F(AdminServerTest, HealthTellsWhetherTheEngineServes) {
  auto server = Start();
  ASSERT_TRUE(server.ok());
  const auto health = [&](const std::string& service) {
    std::string request;
    if (!service.empty()) request = absl::StrCat("\x0a", std::string(1, static_cast<char>(service.size())), service);
    return *RawCall(path_, "/grpc.health.v1.Health/Check", request);
  };
  EXPECT_EQ(health(""), "\x08\x01") << "SERVING";
  EXPECT_EQ(health("assay.admin.v1.Admin"), "\x08\x02") << "NOT_SERVING";
  (*server)->SetServing(true);
  EXPECT_EQ(health("assay.admin.v1.Admin"), "\x08\x01");
}

TEST_F(AdminServerTest, ReflectionListsTheService) {
  auto server = Start();
  ASSERT_TRUE(server.ok());
  absl::StatusOr<std::string> reply =
      RawCall(path_, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", std::string("\x3a\x01*"));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(*reply, HasSubstr("assay.admin.v1.Admin"));
  EXPECT_THAT(*reply, HasSubstr("grpc.health.v1.Health"));
}

TEST_F(AdminServerTest, NetworkNeedsAClientCertificate) {
  const std::string d = directory_.path();
  const std::string make =
      absl::StrCat("cd ", d,
                   " && exec 2>/dev/null && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
                   "-days 2 -subj /CN=ca "
                   "-keyout ca.key -out ca.pem && for n in localhost client; do openssl req -newkey ec -pkeyopt "
                   "ec_paramgen_curve:prime256v1 "
                   "-nodes -subj /CN=$n -addext subjectAltName=DNS:localhost -keyout $n.key -out $n.csr && openssl "
                   "x509 -req -in $n.csr "
                   "-CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -days 2 -out $n.pem; done");
  ASSERT_EQ(std::system(make.c_str()), 0);
  AdminOptions options{.listen = "localhost:0"};
  EXPECT_TRUE(absl::IsFailedPrecondition(AdminServer::Start(options, &daemon_).status())) << "never in the clear";
  options.tls_cert = d + "/localhost.pem";
  options.tls_key = d + "/localhost.key";
  options.tls_client_ca = d + "/ca.pem";
  auto server = AdminServer::Start(options, &daemon_);
  ASSERT_TRUE(server.ok()) << server.status();
  ClientOptions client{(*server)->address(), d + "/ca.pem", d + "/client.pem", d + "/client.key"};
  auto stub = ConnectAdmin(client);
  ASSERT_TRUE(stub.ok()) << stub.status();
  grpc::ClientContext context;
  pb::Status status;
  EXPECT_TRUE((*stub)->GetStatus(&context, {}, &status).ok());

  grpc::SslCredentialsOptions no_certificate;
  no_certificate.pem_root_certs = test::ReadFile(d + "/ca.pem");
  for (const auto& credentials : {grpc::SslCredentials(no_certificate), grpc::InsecureChannelCredentials()}) {
    auto stranger = pb::Admin::NewStub(grpc::CreateChannel((*server)->address(), credentials));
    grpc::ClientContext stranger_context;
    stranger_context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
    EXPECT_FALSE(stranger->GetStatus(&stranger_context, {}, &status).ok());
  }
  AdminOptions again = options;
  again.listen = (*server)->address();
  EXPECT_FALSE(AdminServer::Start(again, &daemon_).ok()) << "in use";
}

TEST_F(AdminServerTest, ClientSaysWhenNobodyIsThere) {
  EXPECT_THAT(std::string(ConnectAdmin({.address = "unix:" + path_}).status().message()),
              HasSubstr("no daemon is running"));
  EXPECT_TRUE(absl::IsInvalidArgument(ConnectAdmin({.address = "localhost:1"}).status())) << "certificates are missing";
}

}  // namespace
}  // namespace assay
