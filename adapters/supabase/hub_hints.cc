#include "adapters/supabase/hub_hints.h"

#include <poll.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/libpq/steady_time.h"
#include "adapters/supabase/hub_error.h"
#include "log/annotate.h"

namespace assay {
namespace {

constexpr absl::Duration kSelfTest = absl::Seconds(2);
constexpr absl::Duration kQuiet = absl::Seconds(30);  // Then ask whether the other end is still there.
constexpr absl::Duration kBackOffMin = absl::Seconds(1);
constexpr absl::Duration kBackOffMax = absl::Minutes(1);
constexpr absl::Duration kPoolerBackOff = absl::Minutes(10);

std::string Nonce(Random& random) { return absl::StrCat(absl::Hex(random.Next(), absl::kZeroPad16)); }

}  // namespace

SupabaseHints::SupabaseHints(std::unique_ptr<HubSession> session, std::unique_ptr<Random> random)
    : session_(std::move(session)), random_(std::move(random)), link_(kBackOffMin, kBackOffMax) {}

absl::StatusOr<std::unique_ptr<SupabaseHints>> SupabaseHints::Create(HubOptions options,
                                                                     std::unique_ptr<Random> random) {
  options.call_timeout = std::min(options.call_timeout, absl::Seconds(10));  // All its calls are small.
  ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<HubSession> session, HubSession::Create(std::move(options)));
  return std::unique_ptr<SupabaseHints>(new SupabaseHints(std::move(session), std::move(random)));
}

absl::StatusOr<bool> SupabaseHints::Listen() {
  ASSAY_ASSIGN_OR_RETURN(const HubIdentity identity, session_->WhoAmI());
  own_number_ = absl::StrCat(identity.branch_number);
  const std::string channel = absl::StrCat("assay_test_", Nonce(*random_)), nonce = Nonce(*random_);
  ASSAY_RETURN_IF_ERROR(session_->Script(absl::StrCat("LISTEN assay_hub; LISTEN ", channel)));
  {
    HubOptions options = session_->options();
    options.lane.clear();
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<HubSession> other, HubSession::Create(std::move(options)));
    ASSAY_RETURN_IF_ERROR(other->Script(absl::StrCat("NOTIFY ", channel, ", '", nonce, "'")));
  }
  ASSAY_ASSIGN_OR_RETURN(Connection * connection, session_->Connected());
  ASSAY_ASSIGN_OR_RETURN(const bool delivered, Receive(*connection, SteadyNow() + kSelfTest, nonce));
  if (!delivered) return false;
  ASSAY_RETURN_IF_ERROR(session_->Script(absl::StrCat("UNLISTEN ", channel)));
  return true;
}

absl::StatusOr<bool> SupabaseHints::Receive(Connection& connection, absl::Time deadline, const std::string& nonce) {
  for (;;) {
    if (PQconsumeInput(connection.raw()) == 0) return HubError(connection.ConnectionError(), session_->url());
    bool found = false;
    while (PGnotify* notify = PQnotifies(connection.raw())) {
      last_heard_ = SteadyNow();
      found = found || (nonce.empty() ? notify->extra != own_number_ : notify->extra == nonce);
      PQfreemem(notify);
    }
    if (found) return true;
    ASSAY_ASSIGN_OR_RETURN(const bool readable, connection.Wait(deadline));
    if (!readable) return false;
  }
}

absl::Status SupabaseHints::Sleep(absl::Time until) {
  const std::shared_ptr<Interrupt>& interrupt = session_->options().interrupt;
  pollfd descriptor{interrupt == nullptr ? -1 : interrupt->fd(), POLLIN, 0};
  while (SteadyNow() < until) {
    const absl::Duration left = std::min(until - SteadyNow(), absl::Hours(1));
    if (poll(&descriptor, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) > 0) {
      return absl::CancelledError("interrupted: Assay is stopping");
    }
  }
  return absl::OkStatus();
}

absl::Status SupabaseHints::Fail(const absl::Status& cause) {
  listening_ = false;
  session_->Disconnect();
  // UNAVAILABLE to the host whatever the cause: the lanes that push and pull tell the same cause with its own code.
  link_.Fail(absl::IsCancelled(cause) ? cause : absl::UnavailableError(cause.message()), SteadyNow(), *random_);
  return link_.status;
}

absl::StatusOr<bool> SupabaseHints::Wait(absl::Duration wait) {
  const absl::Time deadline = SteadyNow() + wait;
  if (!listening_) {
    ASSAY_RETURN_IF_ERROR(Sleep(std::min(deadline, link_.next_try)));
    if (SteadyNow() < link_.next_try) return link_.status;
    const absl::StatusOr<bool> delivered = Listen();
    if (!delivered.ok()) return Fail(delivered.status());
    if (!*delivered) {
      Fail(absl::UnavailableError(
               "hub: its notifications do not arrive, so changes come with the next poll: the url leads through a "
               "transaction pooler (on Supabase, port 6543); the direct host or the session pooler, port 5432, "
               "delivers them"))
          .IgnoreError();
      link_.TryAt(Link(kPoolerBackOff, kPoolerBackOff).Later(SteadyNow(), *random_));
      return link_.status;
    }
    listening_ = true;
    last_heard_ = SteadyNow();
    link_.Succeed(last_heard_);
    return true;
  }
  for (;;) {
    absl::StatusOr<Connection*> connection = session_->Connected();
    if (!connection.ok()) return Fail(connection.status());
    const absl::StatusOr<bool> hint = Receive(**connection, std::min(deadline, last_heard_ + kQuiet), "");
    if (!hint.ok()) return Fail(hint.status());
    if (*hint || SteadyNow() >= deadline) return *hint;
    // A link that is open at this end only would wait for ever.
    if (absl::Status status = HubError((*connection)->Execute("SELECT 1").status(), session_->url()); !status.ok()) {
      return Fail(status);
    }
    last_heard_ = SteadyNow();
  }
}

}  // namespace assay
