// LISTENs on the hub for the news that some other branch pushed.
//
// At start it notifies itself from a second session: a transaction pooler accepts LISTEN and never delivers, and then
// there are no hints, which is said, and polling is all there is. (From a second session, because one that shares its
// server connection with its own NOTIFY would see it even there.)
//
//   ASSAY_ASSIGN_OR_RETURN(auto hints, SupabaseHints::Create({.url = config.hub_url, .interrupt = interrupt}));
//   while (running) engine.OnHints(hints->Wait(absl::Seconds(30)));
//
// Has a connection of its own and one thread that waits on it. After an error, Wait tries again by itself when it is
// time: 1 s up to 1 min after a lost connection, 10 min behind a transaction pooler. Until then it waits and gives the
// same error, so a host may call it in a plain loop. CANCELLED once interrupted.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapters/supabase/hub_session.h"
#include "engine/remotes/hub.h"

namespace assay {

class SupabaseHints : public HubHints {
 public:
  // Errors as SupabaseHub::Create.
  static absl::StatusOr<std::unique_ptr<SupabaseHints>> Create(HubOptions options);

  // True also once after each (re)connecting: what was pushed meanwhile was notified to nobody.
  absl::StatusOr<bool> Wait(absl::Duration wait) override;

 private:
  explicit SupabaseHints(std::unique_ptr<HubSession> session) : session_(std::move(session)) {}
  absl::Status Listen();
  absl::Status Sleep(absl::Time until);
  // Takes what has arrived. True: another branch pushed, or `nonce` came back when one is given.
  absl::StatusOr<bool> Receive(Connection& connection, absl::Time deadline, const std::string& nonce);

  std::unique_ptr<HubSession> session_;
  bool listening_ = false;
  std::string own_number_;  // What our own pushes are notified as.
  absl::Time last_heard_;
  absl::Status failure_;  // Why we do not listen.
  absl::Time next_try_ = absl::InfinitePast();
  absl::Duration back_off_;
};

}  // namespace assay
