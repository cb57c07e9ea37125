// Serves the Admin service, health checking and reflection, to those who may.
//
// On a unix socket (mode 0600) the server accepts connections itself, asks the kernel who is at the other end
// (SO_PEERCRED), and hands the socket to gRPC only when that is the user the daemon runs as, or root. On host:port it
// speaks TLS only and wants a certificate signed by `tls_client_ca` from every client.
//
//   ASSIGN(auto server, AdminServer::Start({.listen = "unix:/run/assay/assay.sock"}, &host));
//   server->SetServing(true);   // "assay.admin.v1.Admin" in health checks; the process itself ("") serves from the
//   start.
//
// The destructor ends the calls under way, within half a second.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/operator.h"

namespace assay {

struct AdminOptions {
  std::string listen;                            // unix:/path or host:port (port 0: any free one).
  std::string tls_cert, tls_key, tls_client_ca;  // PEM files, for host:port.
};

class AdminServer {
 public:
  // ALREADY_EXISTS: somebody listens there. FAILED_PRECONDITION: the socket's directory is not safe, or TLS files are
  // missing. A socket that a dead daemon left behind is removed. `daemon` must outlive this.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(const AdminOptions& options, Operator* daemon);
  virtual ~AdminServer() = default;

  virtual void SetServing(bool serving) = 0;
  // What clients connect to; with the port that was taken.
  virtual std::string address() const = 0;
};

}  // namespace assay
