// One libpq session with the hub that any pooler will do for: one statement a call, unnamed and parameterized, in
// binary; nothing is SET, prepared or left behind, because behind a transaction pooler the next statement may run in
// another session.
//
//   ASSAY_ASSIGN_OR_RETURN(auto session, HubSession::Create({.url = config.hub_url}));
//   ASSAY_ASSIGN_OR_RETURN(std::string json, session->Call("SELECT assay_hub.heads()::text", {}));
//
// Connects when it is first needed and again after it was lost. Not thread-safe; only Interrupt::Trigger may come from
// elsewhere. Errors as in engine/remotes/hub.h, and CANCELLED once interrupted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "adapters/libpq/connection.h"
#include "adapters/supabase/hub_url.h"

namespace assay {

struct HubOptions {
  std::string url;
  bool allow_insecure = false;  // hub.allow_insecure in the config; see HubUrl.
  absl::Duration connect_timeout = absl::Seconds(10);
  absl::Duration call_timeout = absl::Seconds(60);  // A half-open link ends here, as DEADLINE_EXCEEDED.
  std::shared_ptr<Interrupt> interrupt;             // May be null.
  // Whom the login must be of, before anything is asked or sent: a chain under another branch's name stays in the fleet
  // for ever. Number 0: anybody.
  std::string branch_name = {};
  uint32_t branch_number = 0;
  // The password as it is now, asked for at each connection: it may have been changed while the daemon runs. Null, or a
  // failure: the url's.
  std::function<absl::StatusOr<std::string>()> password = nullptr;
  // The one session of a daemon for one thing, e.g. "push": at the hub it takes the place of those before it, whose
  // lines may have broken without the hub having noticed. Empty: one of many.
  std::string lane = {};
};

// Who the hub takes us for.
struct HubIdentity {
  std::string branch_name;
  uint32_t branch_number = 0;
  absl::Time hub_time;
};

class HubSession {
 public:
  // Does not connect. An error is one of HubUrl::Parse.
  static absl::StatusOr<std::unique_ptr<HubSession>> Create(HubOptions options);

  // The one value that `sql` returns, as bytes. Only for what may be done twice: a kept connection that turns out to be
  // dead is replaced and the call made again.
  absl::StatusOr<std::string> Call(absl::string_view sql, absl::Span<const absl::string_view> parameters);
  // Several statements without parameters, as one transaction; never made again.
  absl::Status Script(absl::string_view sql);
  // Asks the hub, and checks that it is of our version and knows us as the branch that the options say.
  // FAILED_PRECONDITION otherwise.
  absl::StatusOr<HubIdentity> WhoAmI();
  // Connected, or why not. Valid until the next call of anything here.
  absl::StatusOr<Connection*> Connected();
  void Disconnect() { connection_.reset(); }

  const HubOptions& options() const { return options_; }
  const HubUrl& url() const { return url_; }

 private:
  void EndGhosts();

  HubSession(HubOptions options, HubUrl url) : options_(std::move(options)), url_(std::move(url)) {}
  HubOptions options_;
  HubUrl url_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace assay
