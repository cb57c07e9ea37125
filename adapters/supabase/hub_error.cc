#include "adapters/supabase/hub_error.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/libpq/sqlstate.h"
#include "engine/problem.h"

namespace assay {
namespace {

using Code = absl::StatusCode;

using Kind = ProblemKind;

struct Rule {
  absl::string_view sqlstate;  // A prefix of it.
  absl::string_view word;      // In lower case, somewhere in the message; empty: any.
  Code code;
  Kind kind;
  absl::string_view cause;   // Problem::cause.
  absl::string_view remedy;  // For whoever asks the hub from a command line; the status takes the catalogue's.
};

constexpr absl::string_view kNoBranch =
    "this role is no branch (and no admin) of the hub: the head office enrols a branch with `assay hub enrol NAME`";
constexpr absl::string_view kPaused =
    "the Supabase project is paused (restore it in the dashboard), or the project's reference in the url's user name "
    "is wrong";
constexpr absl::string_view kPausedCause = "the Supabase project is paused, or its name in hub.url is wrong";
constexpr absl::string_view kInstall = "the hub is of another version: run `assay hub install` with this Assay";
constexpr absl::string_view kNoConnectionLeft = "it has no connection left";
// libpq does not say which of these it is.
constexpr absl::string_view kNotTheHub =
    "whoever answered is not the hub, hub.url names another certificate, or it has expired by this machine's clock";
constexpr absl::string_view kPoolTooSmall = "its pooler has no connection free, and a branch takes three";

// The first that fits decides. Poolers answer with a general SQLSTATE, or none, and say in words what is wrong.
constexpr Rule kRules[] = {
    {"ZA001", "", Code::kOutOfRange, Kind::kHubDisagrees, "", ""},
    {"ZA002", "", Code::kInvalidArgument, Kind::kHubDisagrees, "", ""},
    {"ZA003", "", Code::kPermissionDenied, Kind::kHubBranchUnknown, "",
     "the head office enrols it with `assay hub enrol NAME`"},
    {"ZA004", "", Code::kPermissionDenied, Kind::kBranchSwitchedOff, "", ""},
    {"ZA005", "", Code::kFailedPrecondition, Kind::kHubOtherBranch, "", ""},
    {"ZA006", "", Code::kAlreadyExists, Kind::kHubDisagrees, "", ""},
    {"ZA007", "", Code::kNotFound, Kind::kHubDisagrees, "", ""},
    {"ZA008", "", Code::kAborted, Kind::kHubBusy, "another daemon has begun with this log", ""},
    {"ZA009", "", Code::kUnavailable, Kind::kHubBusy, "a large value has to be sent again", ""},
    {"3F000", "", Code::kFailedPrecondition, Kind::kHubNotSetUp, "",
     "the hub is not installed in this database: run `assay hub install` once"},
    {"42883", "assay_hub", Code::kFailedPrecondition, Kind::kHubOtherVersion, "", kInstall},
    {"42P01", "assay_hub", Code::kFailedPrecondition, Kind::kHubOtherVersion, "", kInstall},
    {"3D000", "", Code::kFailedPrecondition, Kind::kHubAddressWrong, "there is no database of that name",
     "correct the database's name in the hub's url"},
    {"42501", "assay_hub", Code::kPermissionDenied, Kind::kHubBranchUnknown, "", kNoBranch},
    {"42501", "for function", Code::kPermissionDenied, Kind::kHubBranchUnknown, "", kNoBranch},
    {"28000", "pg_hba.conf", Code::kPermissionDenied, Kind::kHubAccessRefused,
     "its pg_hba.conf does not admit this machine, or not in this way",
     "add a line for this role, database and machine to pg_hba.conf at the hub, and reload it there"},
    {"28000", "not permitted to log in", Code::kPermissionDenied, Kind::kHubAccessRefused, "its login is switched off",
     "at the hub: ALTER ROLE … LOGIN"},
    {"28000", "does not exist", Code::kPermissionDenied, Kind::kHubBranchUnknown, "",
     "there is no such role at the hub: correct the user in the hub's url, or let the head office enrol the branch with "
     "`assay hub enrol NAME`"},
    {"28", "\"assay_branch_", Code::kUnauthenticated, Kind::kHubPasswordRefused, "",
     "correct the password; if it is lost (or the hub was restored from a backup, which keeps no branch's password), "
     "the head office makes a new one with `assay hub password NAME`"},
    {"28", "", Code::kUnauthenticated, Kind::kHubPasswordRefused, "",
     "correct the user and the password in the hub's url"},
    {"53300", "", Code::kResourceExhausted, Kind::kHubBusy, kNoConnectionLeft,
     "the hub has no connection left for this role now"},
    {"25006", "", Code::kResourceExhausted, Kind::kHubFull,
     "it is read-only, as Supabase makes it when its disk is full",
     "the hub is read-only: Supabase does that when its disk is full"},
    {"53100", "", Code::kResourceExhausted, Kind::kHubFull, "its disk is full", ""},
    {"57014", "", Code::kDeadlineExceeded, Kind::kHubBusy, "it took too long to answer",
     "the hub took too long; what it was asked to do was undone"},
    {"40", "", Code::kUnavailable, Kind::kHubBusy, "others were writing at the same time", ""},
    {"55P03", "", Code::kUnavailable, Kind::kHubBusy, "others were writing at the same time", ""},
    {"", "tenant or user not found", Code::kUnavailable, Kind::kHubUnreachable, kPausedCause, kPaused},
    {"", "tenant/user", Code::kUnavailable, Kind::kHubUnreachable, kPausedCause, kPaused},
    {"", "max client", Code::kResourceExhausted, Kind::kHubBusy, kNoConnectionLeft,
     "the pooler has no connection left for this role now"},
    {"", "query_wait_timeout", Code::kResourceExhausted, Kind::kHubBusy, kPoolTooSmall,
     "the pooler has no connection free: give its pool three for each branch"},
    {"", "no more connections allowed", Code::kResourceExhausted, Kind::kHubBusy, kNoConnectionLeft,
     "the pooler has no connection left now"},
    {"", "root certificate file", Code::kFailedPrecondition, Kind::kHubCertificate,
     "its certificate is not on this machine",
     "download the hub's certificate (Supabase: Project Settings > Database > SSL Configuration) and add "
     "sslrootcert=/path/to/it to the hub's url"},
    {"", "certificate verify failed", Code::kFailedPrecondition, Kind::kHubCertificate, kNotTheHub,
     "whoever answered is not the hub, sslrootcert in the hub's url is not the hub's certificate, or the certificate has "
     "expired by this machine's clock"},
    {"", "does not match host name", Code::kFailedPrecondition, Kind::kHubCertificate,
     "its certificate is for another name", "whoever answered is not the hub, or the url has another name for it"},
    {"", "does not support ssl", Code::kFailedPrecondition, Kind::kHubCertificate, "it answers without encryption",
     "turn SSL on at the hub"},
    {"", "password authentication failed", Code::kUnauthenticated, Kind::kHubPasswordRefused, "",
     "correct the password in the hub's url"},
    {"", "no such user", Code::kUnauthenticated, Kind::kHubPasswordRefused, "", "correct the user in the hub's url"},
    {"", "no password supplied", Code::kUnauthenticated, Kind::kHubPasswordRefused, "",
     "give a password: hub.password_file in a branch's config, ~/.pgpass, or in the url"},
    {"", "connection refused", Code::kUnavailable, Kind::kHubUnreachable, "nobody answers there",
     "no server is running there, or host and port in the hub's url are wrong"},
    {"", "could not translate host name", Code::kUnavailable, Kind::kHubUnreachable,
     "this machine has no internet, or the name in hub.url is misspelt",
     "this machine is offline, or the host in the hub's url is misspelt"},
};

}  // namespace

absl::Status HubError(const absl::Status& status, const HubUrl& url) {
  if (status.ok()) return status;
  const std::string sqlstate = SqlstateOf(status);
  const std::string message = url.Redact(status.message());
  const std::string lower = absl::AsciiStrToLower(message);
  const auto* const rule = std::find_if(std::begin(kRules), std::end(kRules), [&](const Rule& each) {
    return absl::StartsWith(sqlstate, each.sqlstate) && absl::StrContains(lower, each.word);
  });
  const bool known = rule != std::end(kRules);
  absl::Status mapped(
      known ? rule->code : status.code(),
      absl::StrCat("hub: ", message, !known || rule->remedy.empty() ? "" : absl::StrCat(": ", rule->remedy)));
  status.ForEachPayload([&](absl::string_view name, const absl::Cord& payload) { mapped.SetPayload(name, payload); });
  return known ? WithProblem(mapped, rule->kind, rule->cause) : mapped;
}

}  // namespace assay
