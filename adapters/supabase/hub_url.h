// The hub's connection string, checked before anything is sent: whoever answers gets the password.
//
//   ASSAY_ASSIGN_OR_RETURN(HubUrl url, HubUrl::Parse("postgresql://branch_1:…@db.example.supabase.co:5432/postgres",
//   false));
//
// Plain values; no error ever quotes a password, nor a piece of a string that was meant to be one.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace assay {

class HubUrl {
 public:
  // A host that is not loopback is reached with sslmode=verify-full, which is filled in when nothing is said and
  // insisted on when something weaker is, unless `allow_insecure`. INVALID_ARGUMENT: no connection string.
  // FAILED_PRECONDITION: a weaker sslmode, with what to write instead.
  static absl::StatusOr<HubUrl> Parse(absl::string_view text, bool allow_insecure);

  // As key='value' pairs, password included: for libpq only.
  std::string Conninfo() const;
  // As a URL for `user` and `password`, to hand over to a branch. Leaves local files (sslrootcert) out.
  std::string UrlFor(absl::string_view user, absl::string_view password) const;
  void SetPassword(absl::string_view password) { values_["password"] = std::string(password); }
  // Empty when it was not given.
  std::string Value(absl::string_view keyword) const;
  // `text` without the password, should some library or server ever have repeated it.
  std::string Redact(absl::string_view text) const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace assay
