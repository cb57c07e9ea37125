// Goal: whatever the hub, its pooler or the line answers, the code says what to do, the message the cause and the
// remedy, and the password never shows. Method: messages as PostgreSQL, Supabase and libpq write them.
#include "adapters/supabase/hub_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/libpq/sqlstate.h"

namespace assay {
namespace {

using Code = absl::StatusCode;
using ::testing::HasSubstr;
using ::testing::Not;

class HubErrorTest : public ::testing::Test {
 protected:
  absl::Status Error(const char* sqlstate, const std::string& message) {
    const absl::Status status =
        *sqlstate == 0 ? absl::UnavailableError(message) : StatusFromSqlstate(sqlstate, message);
    return HubError(status, url_);
  }
  const HubUrl url_ =
      HubUrl::Parse("postgresql://assay_branch_1:s3cret@db.example:5432/postgres", /*allow_insecure=*/true).value();
};

TEST_F(HubErrorTest, EachAnswerHasItsCodeAndRemedy) {
  struct Case {
    const char* sqlstate;
    const char* message;
    Code code;
    const char* remedy;
  };
  const Case cases[] = {
      {"ZA001", "a gap", Code::kOutOfRange, ""},
      {"ZA003", "no branch", Code::kPermissionDenied, "assay hub enrol"},
      {"ZA004", "deactivated", Code::kPermissionDenied, ""},
      {"ZA006", "enrolled already", Code::kAlreadyExists, ""},
      {"ZA007", "no such branch", Code::kNotFound, ""},
      {"ZA008", "another session", Code::kAborted, ""},
      {"3F000", "schema \"assay_hub\" does not exist", Code::kFailedPrecondition, "assay hub install"},
      {"42883", "function assay_hub.push(bytea) does not exist", Code::kFailedPrecondition, "another version"},
      {"42883", "function other() does not exist", Code::kFailedPrecondition, ""},
      {"42501", "permission denied for function push", Code::kPermissionDenied, "assay hub enrol"},
      {"28P01", "password authentication failed for user \"assay_branch_1\"", Code::kUnauthenticated,
       "assay hub password"},
      {"28P01", "password authentication failed for user \"postgres\"", Code::kUnauthenticated, "correct the user"},
      {"25006", "cannot execute INSERT in a read-only transaction", Code::kResourceExhausted, "disk is full"},
      {"57014", "canceling statement due to statement timeout", Code::kDeadlineExceeded, "undone"},
      {"40001", "could not serialize", Code::kUnavailable, ""},
      {"XX000", "Tenant or user not found", Code::kUnavailable, "paused"},
      {"", "FATAL: Max client connections reached", Code::kResourceExhausted, "pooler"},
      {"", "SSL error: certificate verify failed", Code::kFailedPrecondition, "not the hub"},
      {"", "connection refused", Code::kUnavailable, "no server is running there"},
      {"", "could not translate host name \"db.example\"", Code::kUnavailable, "offline"},
  };
  for (const Case& each : cases) {
    const absl::Status error = Error(each.sqlstate, each.message);
    EXPECT_EQ(error.code(), each.code) << each.message;
    EXPECT_THAT(std::string(error.message()), HasSubstr(each.message)) << "the cause";
    EXPECT_THAT(std::string(error.message()), HasSubstr(each.remedy)) << each.message;
    EXPECT_EQ(SqlstateOf(error), each.sqlstate);
  }
}

TEST_F(HubErrorTest, AnythingElseKeepsItsCode) {
  EXPECT_EQ(HubError(absl::OkStatus(), url_), absl::OkStatus());
  EXPECT_EQ(Error("22P02", "invalid input").code(), Code::kInvalidArgument);
  EXPECT_EQ(Error("", "something new").code(), Code::kUnavailable);
}

TEST_F(HubErrorTest, ThePasswordNeverShows) {
  EXPECT_THAT(std::string(Error("", "connection refused: postgresql://assay_branch_1:s3cret@db.example").message()),
              Not(HasSubstr("s3cret")));
}

}  // namespace
}  // namespace assay
