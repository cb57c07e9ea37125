// What the head office does once per hub and once per branch, as a role with the privileges of Supabase's `postgres`:
// not superuser.
//
//   ASSAY_ASSIGN_OR_RETURN(auto admin, HubAdmin::Create({.url = admin_url}));
//   ASSAY_RETURN_IF_ERROR(admin->Install());
//   ASSAY_ASSIGN_OR_RETURN(BranchLogin login, admin->Enrol("mumbai-1", 1, {"*"}));  // login.url goes to the branch
//
// A branch logs in as the role assay_branch_<number>, whose password is made here, sent to the hub as a SCRAM verifier
// only, and told once. Not thread-safe. Errors as in engine/remotes/hub.h, and ALREADY_EXISTS, NOT_FOUND.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "adapters/supabase/hub_session.h"

namespace assay {

// To hand over to a branch.
struct BranchLogin {
  std::string role;
  std::string password;
  std::string url;  // The admin's, with this role and password, without sslrootcert (a file of the admin's machine).
};

struct EnrolledBranch {
  std::string name;
  uint32_t number = 0;
  std::string login_role;
  bool active = true;
  bool retired = false;
  std::optional<uint64_t> set_aside;  // A chain of it is, after this event: the first such.
  std::vector<std::string> tables;    // Granted; "*": every one.
  absl::Time enrolled;
  absl::Time last_seen;  // InfinitePast: never.
  uint64_t forks = 0;    // Pieces of evidence kept against its chains.
};

class HubAdmin {
 public:
  // Does not connect. An error is one of HubUrl::Parse.
  static absl::StatusOr<std::unique_ptr<HubAdmin>> Create(HubOptions options);

  // Installs, or brings to this version, sql/hub.sql in one transaction. Again: changes nothing. PERMISSION_DENIED
  // names what the role lacks.
  absl::Status Install();

  // Makes the login role, its password and its grants, all or nothing. `tables` as SegmentPart::table, or "*" for all.
  // ALREADY_EXISTS when name or number is taken.
  absl::StatusOr<BranchLogin> Enrol(absl::string_view name, uint32_t number, const std::vector<std::string>& tables);
  // A new password: the old one is lost or leaked, or the hub was restored from a backup, which on Supabase keeps none.
  absl::StatusOr<BranchLogin> RenewPassword(absl::string_view name);
  // False: from the next call on it can neither push nor pull, under whatever connection.
  absl::Status SetActive(absl::string_view name, bool active);
  // Closed for good: nobody waits for it any more. SetActive takes it back.
  absl::Status Retire(absl::string_view name);

  struct QuarantinedChain {
    std::string origin;  // Hexadecimal.
    uint64_t after = 0;  // The last event that is given, and taken.
  };
  // Sets aside the chains of a branch that others refuse, from where the first of them stands; or, when nobody refuses
  // any, its newest with all that was given of it. `after`: from there instead. NOT_FOUND: no such branch, or nothing
  // to set aside.
  absl::StatusOr<std::vector<QuarantinedChain>> Quarantine(absl::string_view name, std::optional<uint64_t> after);
  // Takes that back for all its chains.
  absl::StatusOr<std::vector<QuarantinedChain>> LiftQuarantine(absl::string_view name);
  // The tables it may read from now on, as a whole.
  absl::Status SetGrants(absl::string_view name, const std::vector<std::string>& tables);

  absl::StatusOr<std::vector<EnrolledBranch>> Branches();

 private:
  explicit HubAdmin(std::unique_ptr<HubSession> session) : session_(std::move(session)) {}
  absl::StatusOr<std::vector<QuarantinedChain>> Chains(absl::string_view name, const std::string& after, bool lift);
  absl::StatusOr<BranchLogin> MakeLogin(const std::string& role, std::string* verifier);

  std::unique_ptr<HubSession> session_;
};

}  // namespace assay
