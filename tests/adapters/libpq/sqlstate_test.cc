// Goal: a SQLSTATE says what a caller is to do, and is not lost on its way up.
// Method: those that are met, by class and one by one.
#include "adapters/libpq/sqlstate.h"

#include <gtest/gtest.h>

#include "log/annotate.h"

namespace assay {
namespace {

TEST(SqlstateTest, CodesSayWhatToDo) {
  using Code = absl::StatusCode;
  const std::pair<const char*, Code> expected[] = {
      {"08006", Code::kUnavailable},         // Connection failure.
      {"57P01", Code::kUnavailable},         // Shutdown.
      {"57P03", Code::kUnavailable},         // Starting up.
      {"53300", Code::kUnavailable},         // Too many connections: unlike the rest of its class.
      {"53100", Code::kResourceExhausted},   // Disk full.
      {"53200", Code::kResourceExhausted},   // Out of memory.
      {"58030", Code::kUnavailable},         // The server's own I/O.
      {"25006", Code::kUnavailable},         // Read-only.
      {"55006", Code::kUnavailable},         // A slot in use.
      {"55P03", Code::kAborted},             // A lock that is not to be had.
      {"55000", Code::kFailedPrecondition},  // Not in the prerequisite state, as a slot that was lost.
      {"57014", Code::kAborted},             // Cancelled.
      {"40001", Code::kAborted},             // Serialization failure.
      {"40P01", Code::kAborted},             // Deadlock.
      {"28P01", Code::kUnauthenticated},     // Password.
      {"42501", Code::kPermissionDenied},
      {"42P01", Code::kFailedPrecondition},  // No such table.
      {"42703", Code::kFailedPrecondition},  // No such column.
      {"42804", Code::kInvalidArgument},     // A value of another type: unlike the rest of its class.
      {"3D000", Code::kFailedPrecondition},  // No such database.
      {"22P02", Code::kInvalidArgument},     // A text that is no value of the type.
      {"23505", Code::kInvalidArgument},     // Unique.
      {"54000", Code::kInvalidArgument},     // Too large.
      {"XX001", Code::kDataLoss},            // A damaged file.
      {"XX000", Code::kInternal},
      {"P0001", Code::kFailedPrecondition},  // RAISE in somebody's function.
      {"0A000", Code::kFailedPrecondition},
      {"99999", Code::kInternal},  // Not in the manual.
      {"", Code::kInternal},
  };
  for (const auto& [sqlstate, code] : expected) {
    EXPECT_EQ(StatusFromSqlstate(sqlstate, "message").code(), code) << sqlstate;
    EXPECT_EQ(SqlstateOf(StatusFromSqlstate(sqlstate, "message")), sqlstate);
  }
}

TEST(SqlstateTest, SurvivesAnnotation) {
  const absl::Status status = AnnotateSql(StatusFromSqlstate("23505", "duplicate"), "insert");
  EXPECT_EQ(SqlstateOf(status), "23505");
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(), "insert: duplicate");
  EXPECT_EQ(SqlstateOf(absl::AbortedError("of our own")), "");
  EXPECT_EQ(AnnotateSql(absl::OkStatus(), "insert"), absl::OkStatus());
}

}  // namespace
}  // namespace assay
