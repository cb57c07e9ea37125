// The daemon, put together from its config: state directory, adapters, engine host, admin server.
//
//   ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<Daemon> daemon, Daemon::Start(config));
//   ... until it is told to stop ...
//   daemon->Stop(absl::Seconds(2));
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/config/config.h"

namespace assay {

class Daemon {
 public:
  // FAILED_PRECONDITION: no log yet (assay init), somebody else's log, a second daemon, files others can read.
  // ALREADY_EXISTS: the socket is in use. PostgreSQL or hub not being there is no error: the status tells, and it is
  // tried again. `naive_projection`: EngineConfig's, for the test program that must fail.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const Config& config, bool naive_projection = false);
  virtual ~Daemon() = default;

  // Everything acknowledged is durable at any moment; this ends in good order. False: a thread was still busy after
  // `patience`, in a call that cannot be interrupted; the process may simply end.
  virtual bool Stop(absl::Duration patience) = 0;
};

}  // namespace assay
