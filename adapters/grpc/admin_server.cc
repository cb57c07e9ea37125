#include "adapters/grpc/admin_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_posix.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "adapters/grpc/admin_service.h"
#include "adapters/grpc/unix_listener.h"
#include "log/annotate.h"

namespace assay {
namespace {

constexpr int kRequestBytesMax = 256 << 10;  // Requests are small; what is larger is an attack or a mistake.
constexpr int kThreadsMax = 64;              // Each stream under way takes one.
constexpr std::chrono::milliseconds kGrace(500);

absl::StatusOr<std::string> ReadPem(const std::string& path, const char* key) {
  std::ifstream in(path);
  if (path.empty() || !in) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot read admin.", key, path.empty() ? " (not set)" : " " + path,
                     ": a network address is served only with TLS client certificates"));
  }
  std::stringstream content;
  content << in.rdbuf();
  return content.str();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsCredentials(const AdminOptions& options) {
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  ASSAY_ASSIGN_OR_RETURN(pair.private_key, ReadPem(options.tls_key, "tls_key"));
  ASSAY_ASSIGN_OR_RETURN(pair.cert_chain, ReadPem(options.tls_cert, "tls_cert"));
  ASSAY_ASSIGN_OR_RETURN(tls.pem_root_certs, ReadPem(options.tls_client_ca, "tls_client_ca"));
  tls.pem_key_cert_pairs.push_back(std::move(pair));
  return grpc::SslServerCredentials(tls);
}

class Server final : public AdminServer {
 public:
  explicit Server(Operator* daemon) : service_(daemon) {}

  absl::Status Start(const AdminOptions& options) {
    // Process-wide, and before the first server is built.
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    grpc::ResourceQuota quota("admin");
    quota.SetMaxThreads(kThreadsMax);
    builder.SetResourceQuota(quota);
    builder.SetMaxReceiveMessageSize(kRequestBytesMax);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.RegisterService(&service_);

    address_ = options.listen;
    absl::string_view listen = options.listen;
    int port = -1;
    if (absl::ConsumePrefix(&listen, "unix:")) {
      ASSAY_ASSIGN_OR_RETURN(listener_, UnixListener::Bind(std::string(listen)));
    } else {
      ASSAY_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ServerCredentials> credentials, TlsCredentials(options));
      builder.AddListeningPort(options.listen, credentials, &port);
    }
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      return absl::AlreadyExistsError(absl::StrCat("cannot listen on ", options.listen,
                                                   ": in use already, no address of this machine, ",
                                                   "or the certificate and key do not fit; set another admin.listen"));
    }
    if (port > 0) address_ = absl::StrCat(address_.substr(0, address_.rfind(':')), ":", port);
    SetServing(false);
    if (listener_ != nullptr) accepting_ = std::thread([this] { AcceptLoop(); });
    return absl::OkStatus();
  }

  ~Server() override {
    stopping_ = true;
    if (accepting_.joinable()) accepting_.join();
    listener_ = nullptr;
    service_.Stop();
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() + kGrace);
    server_->Wait();
  }

  void SetServing(bool serving) override {
    if (auto* health = server_->GetHealthCheckService(); health != nullptr) {
      health->SetServingStatus(admin::v1::Admin::service_full_name(), serving);
    }
  }
  std::string address() const override { return address_; }

 private:
  void AcceptLoop() {
    while (!stopping_) {
      const absl::StatusOr<int> fd = listener_->Accept(100);
      if (!fd.ok()) continue;
      const absl::StatusOr<uid_t> user = PeerUser(*fd);
      if (user.ok() && (*user == geteuid() || *user == 0))
        grpc::AddInsecureChannelFromFd(server_.get(), *fd);
      else
        close(*fd);
    }
  }

  AdminService service_;
  std::string address_;
  std::unique_ptr<UnixListener> listener_;
  std::unique_ptr<grpc::Server> server_;
  std::atomic<bool> stopping_{false};
  std::thread accepting_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const AdminOptions& options, Operator* daemon) {
  auto server = std::make_unique<Server>(daemon);
  ASSAY_RETURN_IF_ERROR(server->Start(options));
  return server;
}

}  // namespace assay
