#include "adapters/grpc/admin_client.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "log/annotate.h"

namespace assay {
namespace {

absl::StatusOr<std::string> ReadPem(const std::string& path, const char* option) {
  std::ifstream in(path);
  if (path.empty() || !in) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a network address needs admin.tls_client_ca, admin.tls_cert and admin.tls_key in the config, and ", option,
        path.empty() ? " is not there" : absl::StrCat(" cannot be read: ", path)));
  }
  std::stringstream content;
  content << in.rdbuf();
  return content.str();
}

// What connect() would say, in words that help.
absl::Status CheckSocket(const std::string& path) {
  struct stat st;
  if (stat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return absl::UnavailableError(absl::StrCat("no daemon is running: there is no socket ", path));
    return absl::PermissionDeniedError(absl::StrCat("cannot reach the socket ", path, ": ", std::strerror(errno),
                                                    "; run this as the user who runs assayd, or with sudo"));
  }
  if (!S_ISSOCK(st.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, " is no socket"));
  if (access(path.c_str(), R_OK | W_OK) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("the socket ", path, " belongs to user ", st.st_uid, ": run this as that user, or with sudo"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<admin::v1::Admin::Stub>> ConnectAdmin(const ClientOptions& options) {
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  absl::string_view path = options.address;
  const bool is_unix = absl::ConsumePrefix(&path, "unix:");
  if (is_unix) {
    absl::ConsumePrefix(&path, "//");
    ASSAY_RETURN_IF_ERROR(CheckSocket(std::string(path)));
  } else {
    grpc::SslCredentialsOptions tls;
    ASSAY_ASSIGN_OR_RETURN(tls.pem_root_certs, ReadPem(options.tls_ca, "admin.tls_client_ca"));
    ASSAY_ASSIGN_OR_RETURN(tls.pem_cert_chain, ReadPem(options.tls_cert, "admin.tls_cert"));
    ASSAY_ASSIGN_OR_RETURN(tls.pem_private_key, ReadPem(options.tls_key, "admin.tls_key"));
    credentials = grpc::SslCredentials(tls);
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(16 << 20);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetUserAgentPrefix("assay");
  const std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(options.address, credentials, arguments);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() +
                                 absl::ToChronoMilliseconds(options.connect_timeout))) {
    return absl::UnavailableError(absl::StrCat("no daemon answers on ", options.address,
                                               is_unix ? "" : " (or it does not accept this certificate)"));
  }
  return admin::v1::Admin::NewStub(channel);
}

}  // namespace assay
