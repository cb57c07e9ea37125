// The way to a running daemon: a channel that says plainly when nobody answers.
//
//   ASSIGN(auto admin, ConnectAdmin({.address = "unix:/run/assay/assay.sock"}));
//   admin->GetStatus(&context, request, &reply)
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/admin.grpc.pb.h"

namespace assay {

struct ClientOptions {
  std::string address;                    // unix:/path or host:port.
  std::string tls_ca, tls_cert, tls_key;  // PEM files, for host:port.
  absl::Duration connect_timeout = absl::Seconds(3);
};

// UNAVAILABLE: nobody listens there. PERMISSION_DENIED: not ours to use. Each says what to do.
absl::StatusOr<std::unique_ptr<admin::v1::Admin::Stub>> ConnectAdmin(const ClientOptions& options);

}  // namespace assay
