// Goal: whatever a hub, a pooler or a proxy answers, the branch's people are told which problem it is, and never the
// password. Method: the statuses as libpq brings them.
#include "adapters/supabase/hub_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/libpq/sqlstate.h"
#include "engine/problem.h"

namespace assay {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Kind = ProblemKind;

constexpr char kUrl[] = "postgresql://assay_branch_1:hunter2@db.example.com:5432/postgres?sslmode=verify-full";

class HubErrorTest : public ::testing::Test {
 protected:
  absl::Status Error(const absl::Status& status) { return HubError(status, url_); }
  const HubUrl url_ = HubUrl::Parse(kUrl, /*allow_insecure=*/false).value();
};

TEST_F(HubErrorTest, WhatIsKnownOfACauseBecomesItsProblem) {
  const struct {
    const char* sqlstate;  // Empty: libpq's own.
    const char* message;
    absl::StatusCode code;
    Kind kind;
    const char* sentence;
  } cases[] = {
      {"ZA003", "role x is no branch of this hub", absl::StatusCode::kPermissionDenied, Kind::kHubBranchUnknown,
       "The hub does not know pune-1 as a branch."},
      {"ZA004", "branch pune-1 was deactivated by the head office", absl::StatusCode::kPermissionDenied,
       Kind::kBranchSwitchedOff, "The head office has switched pune-1 off: nothing is sent or received."},
      {"ZA005", "chain is another's", absl::StatusCode::kFailedPrecondition, Kind::kHubOtherBranch,
       "The hub knows this login as another branch than pune-1."},
      {"ZA002", "push: not a frame", absl::StatusCode::kInvalidArgument, Kind::kHubDisagrees,
       "The hub and this branch do not understand each other."},
      {"3F000", "schema \"assay_hub\" does not exist", absl::StatusCode::kFailedPrecondition, Kind::kHubNotSetUp,
       "The hub has not been set up for Assay."},
      {"42883", "function assay_hub.push(bytea) does not exist", absl::StatusCode::kFailedPrecondition,
       Kind::kHubOtherVersion, "The hub's part of Assay and this branch's are of two versions."},
      {"3D000", "database \"x\" does not exist", absl::StatusCode::kFailedPrecondition, Kind::kHubAddressWrong,
       "The hub's address in the config is wrong: there is no database of that name."},
      {"28P01", "password authentication failed for user \"assay_branch_1\"", absl::StatusCode::kUnauthenticated,
       Kind::kHubPasswordRefused, "The hub refuses the login of pune-1."},
      {"28000",
       "no pg_hba.conf entry for host \"10.0.0.7\", user \"assay_branch_1\", database \"postgres\", no encryption",
       absl::StatusCode::kPermissionDenied, Kind::kHubAccessRefused,
       "The hub does not let pune-1 in: its pg_hba.conf does not admit this machine, or not in this way."},
      {"28000", "pg_hba.conf rejects connection for host \"10.0.0.7\", user \"assay_branch_1\"",
       absl::StatusCode::kPermissionDenied, Kind::kHubAccessRefused,
       "The hub does not let pune-1 in: its pg_hba.conf does not admit this machine, or not in this way."},
      {"28000", "role \"assay_branch_1\" is not permitted to log in", absl::StatusCode::kPermissionDenied,
       Kind::kHubAccessRefused, "The hub does not let pune-1 in: its login is switched off."},
      {"28000", "role \"assay_branch_1\" does not exist", absl::StatusCode::kPermissionDenied, Kind::kHubBranchUnknown,
       "The hub does not know pune-1 as a branch."},
      {"08P01", "query_wait_timeout", absl::StatusCode::kResourceExhausted, Kind::kHubBusy,
       "The hub has no time for pune-1: its pooler has no connection free, and a branch takes three."},
      {"53300", "too many connections for role", absl::StatusCode::kResourceExhausted, Kind::kHubBusy,
       "The hub has no time for pune-1: it has no connection left."},
      {"53100", "could not extend file", absl::StatusCode::kResourceExhausted, Kind::kHubFull,
       "The hub takes nothing more: its disk is full."},
      {"25006", "cannot execute INSERT in a read-only transaction", absl::StatusCode::kResourceExhausted,
       Kind::kHubFull, "The hub takes nothing more: it is read-only, as Supabase makes it when its disk is full."},
      {"57014", "canceling statement due to statement timeout", absl::StatusCode::kDeadlineExceeded, Kind::kHubBusy,
       "The hub has no time for pune-1: it took too long to answer."},
      {"", "connection to server at \"db.example.com\" failed: Connection refused", absl::StatusCode::kUnavailable,
       Kind::kHubUnreachable, "The hub cannot be reached: nobody answers there."},
      {"", "could not translate host name \"db.example.com\" to address", absl::StatusCode::kUnavailable,
       Kind::kHubUnreachable,
       "The hub cannot be reached: this machine has no internet, or the name in hub.url is misspelt."},
      {"", "root certificate file \"/x\" does not exist", absl::StatusCode::kFailedPrecondition, Kind::kHubCertificate,
       "The hub cannot prove that it is the hub: its certificate is not on this machine."},
      {"", "SSL error: certificate verify failed", absl::StatusCode::kFailedPrecondition, Kind::kHubCertificate,
       "The hub cannot prove that it is the hub: whoever answered is not the hub, hub.url names another certificate, or "
       "it has expired by this machine's clock."},
      {"XX000", "FATAL: Tenant or user not found", absl::StatusCode::kUnavailable, Kind::kHubUnreachable,
       "The hub cannot be reached: the Supabase project is paused, or its name in hub.url is wrong."},
  };
  for (const auto& one : cases) {
    const absl::Status came =
        *one.sqlstate == '\0' ? absl::UnavailableError(one.message) : StatusFromSqlstate(one.sqlstate, one.message);
    const absl::Status status = Error(came);
    EXPECT_EQ(status.code(), one.code) << one.message;
    EXPECT_EQ(SqlstateOf(status), one.sqlstate) << one.message;
    const std::optional<NamedProblem> named = ProblemNamedBy(status);
    ASSERT_TRUE(named.has_value()) << one.message;
    EXPECT_EQ(ProblemName(named->kind), ProblemName(one.kind)) << one.message;
    EXPECT_EQ(SentenceOf({.kind = named->kind, .subject = "pune-1", .cause = named->cause}), one.sentence);
  }
}

TEST_F(HubErrorTest, WhatIsNotKnownKeepsItsCodeAndClaimsNothing) {
  const absl::Status status = Error(absl::UnavailableError("the moon is in the way"));
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_FALSE(ProblemNamedBy(status).has_value());
  EXPECT_TRUE(Error(absl::OkStatus()).ok());
}

TEST_F(HubErrorTest, ThePasswordIsNeverRepeated) {
  const absl::Status status = Error(StatusFromSqlstate("28P01", "the password hunter2 is not good enough"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace assay
