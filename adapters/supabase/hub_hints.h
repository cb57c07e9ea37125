// LISTENs on the hub for the news that some other branch pushed.
//
// At start it notifies itself from a second session: a transaction pooler accepts LISTEN and never delivers, and then
// there are no hints, which is said, and polling is all there is. (From a second session, because one that shares its
// server connection with its own NOTIFY would see it even there.)
//
//   ASSAY_ASSIGN_OR_RETURN(auto hints, SupabaseHints::Create({.url = config.hub_url, .interrupt = interrupt},
//                                                            std::make_unique<SystemRandom>()));
//   while (running) Tell(hints->Wait(absl::Seconds(30)));  // Engine::OnHubHint and OnHintsChanged.
//
// Has a connection of its own and one thread that waits on it. After an error, Wait tries again by itself when it is
// time: 1 s up to 1 min after a lost connection, 10 min behind a transaction pooler. Up to half of that is taken off by
// chance, so that a fleet which lost its hub at one moment does not come back at one moment. Until then Wait waits and
// gives the same error, so a host may call it in a plain loop. CANCELLED once interrupted.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapters/supabase/hub_session.h"
#include "engine/clock.h"
#include "engine/link.h"
#include "engine/remotes/hub.h"

namespace assay {

class SupabaseHints : public HubHints {
 public:
  // Does not connect. An error is one of HubUrl::Parse.
  static absl::StatusOr<std::unique_ptr<SupabaseHints>> Create(HubOptions options, std::unique_ptr<Random> random);

  // True also once after each (re)connecting: what was pushed meanwhile was notified to nobody.
  absl::StatusOr<bool> Wait(absl::Duration wait) override;

 private:
  SupabaseHints(std::unique_ptr<HubSession> session, std::unique_ptr<Random> random);
  // False: LISTEN was accepted, and a notification did not arrive.
  absl::StatusOr<bool> Listen();
  // Puts the next try off and returns what Wait answers until then.
  absl::Status Fail(const absl::Status& cause);
  absl::Status Sleep(absl::Time until);
  // Takes what has arrived. True: another branch pushed, or `nonce` came back when one is given.
  absl::StatusOr<bool> Receive(Connection& connection, absl::Time deadline, const std::string& nonce);

  std::unique_ptr<HubSession> session_;
  std::unique_ptr<Random> random_;
  bool listening_ = false;
  std::string own_number_;  // What our own pushes are notified as.
  absl::Time last_heard_;
  Link link_;  // On the steady clock.
};

}  // namespace assay
