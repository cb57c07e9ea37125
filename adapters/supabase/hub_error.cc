#include "adapters/supabase/hub_error.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/libpq/sqlstate.h"

namespace assay {
namespace {

using Code = absl::StatusCode;

struct Rule {
  absl::string_view sqlstate;  // A prefix of it.
  absl::string_view word;      // In lower case, somewhere in the message; empty: any.
  Code code;
  absl::string_view remedy;
};

constexpr absl::string_view kNoBranch =
    "this role is no branch (and no admin) of the hub: the head office enrols a branch with `assay hub enrol NAME`";
constexpr absl::string_view kPaused =
    "the Supabase project is paused (restore it in the dashboard), or the project's reference in the url's user name "
    "is wrong";

// The first that fits decides. Poolers answer with a general SQLSTATE, or none, and say in words what is wrong.
constexpr Rule kRules[] = {
    {"ZA001", "", Code::kOutOfRange, ""},
    {"ZA002", "", Code::kInvalidArgument, ""},
    {"ZA003", "", Code::kPermissionDenied, "the head office enrols it with `assay hub enrol NAME`"},
    {"ZA004", "", Code::kPermissionDenied, ""},
    {"ZA005", "", Code::kFailedPrecondition, ""},
    {"ZA006", "", Code::kAlreadyExists, ""},
    {"ZA007", "", Code::kNotFound, ""},
    {"ZA008", "", Code::kAborted, ""},
    {"3F000", "", Code::kFailedPrecondition, "the hub is not installed in this database: run `assay hub install` once"},
    {"42883", "assay_hub", Code::kFailedPrecondition,
     "the hub is of another version: run `assay hub install` with this Assay"},
    {"42P01", "assay_hub", Code::kFailedPrecondition,
     "the hub is of another version: run `assay hub install` with this Assay"},
    {"3D000", "", Code::kFailedPrecondition, "correct the database's name in the hub's url"},
    {"42501", "assay_hub", Code::kPermissionDenied, kNoBranch},
    {"42501", "for function", Code::kPermissionDenied, kNoBranch},
    {"28", "\"assay_branch_", Code::kUnauthenticated,
     "correct the password; if it is lost (or the hub was restored from a backup, which keeps no branch's password), "
     "the "
     "head office makes a new one with `assay hub password NAME`"},
    {"28", "", Code::kUnauthenticated, "correct the user and the password in the hub's url"},
    {"53300", "", Code::kResourceExhausted, "the hub has no connection left for this role now"},
    {"25006", "", Code::kResourceExhausted, "the hub is read-only: Supabase does that when its disk is full"},
    {"57014", "", Code::kDeadlineExceeded, "the hub took too long; what it was asked to do was undone"},
    {"40", "", Code::kUnavailable, ""},
    {"55P03", "", Code::kUnavailable, ""},
    {"", "tenant or user not found", Code::kUnavailable, kPaused},
    {"", "tenant/user", Code::kUnavailable, kPaused},
    {"", "max client", Code::kResourceExhausted, "the pooler has no connection left for this role now"},
    {"", "no more connections allowed", Code::kResourceExhausted, "the pooler has no connection left now"},
    {"", "root certificate file", Code::kFailedPrecondition,
     "download the hub's certificate (Supabase: Project Settings > Database > SSL Configuration) and add "
     "sslrootcert=/path/to/it to "
     "the hub's url"},
    {"", "certificate verify failed", Code::kFailedPrecondition,
     "whoever answered is not the hub, or sslrootcert in the hub's url is not the hub's certificate"},
    {"", "does not match host name", Code::kFailedPrecondition,
     "whoever answered is not the hub, or the url has another name for it"},
    {"", "does not support ssl", Code::kFailedPrecondition, "turn SSL on at the hub"},
    {"", "password authentication failed", Code::kUnauthenticated, "correct the password in the hub's url"},
    {"", "no such user", Code::kUnauthenticated, "correct the user in the hub's url"},
    {"", "no password supplied", Code::kUnauthenticated,
     "give a password: hub.password_file in a branch's config, ~/.pgpass, or in the url"},
    {"", "connection refused", Code::kUnavailable,
     "no server is running there, or host and port in the hub's url are wrong"},
    {"", "could not translate host name", Code::kUnavailable,
     "this machine is offline, or the host in the hub's url is misspelt"},
};

}  // namespace

absl::Status HubError(const absl::Status& status, const HubUrl& url) {
  if (status.ok()) return status;
  const std::string sqlstate = SqlstateOf(status);
  const std::string message = url.Redact(status.message());
  const std::string lower = absl::AsciiStrToLower(message);
  Rule found{"", "", status.code(), ""};
  for (const Rule& rule : kRules) {
    if (!absl::StartsWith(sqlstate, rule.sqlstate) || !absl::StrContains(lower, rule.word)) continue;
    found = rule;
    break;
  }
  absl::Status mapped(found.code, absl::StrCat("hub: ", message, found.remedy.empty() ? "" : ": ", found.remedy));
  status.ForEachPayload([&](absl::string_view name, const absl::Cord& payload) { mapped.SetPayload(name, payload); });
  return mapped;
}

}  // namespace assay
