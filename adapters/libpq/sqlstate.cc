#include "adapters/libpq/sqlstate.h"

#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace assay {
namespace {

constexpr absl::string_view kPayload = "assay/sqlstate";

absl::StatusCode CodeOf(absl::string_view sqlstate) {
  struct Rule {
    absl::string_view prefix;  // The longest match that stands first decides.
    absl::StatusCode code;
  };
  static constexpr Rule kRules[] = {
      {"08", absl::StatusCode::kUnavailable},
      {"57P", absl::StatusCode::kUnavailable},    // Shutdown, crash, starting up, idle session ended.
      {"53300", absl::StatusCode::kUnavailable},  // Too many connections.
      {"53", absl::StatusCode::kResourceExhausted},
      {"58", absl::StatusCode::kUnavailable},     // The server's own I/O failed.
      {"25006", absl::StatusCode::kUnavailable},  // Read-only: a standby, or a hosted database whose disk filled up.
      {"25P03", absl::StatusCode::kUnavailable},  // Idle in transaction: the session is gone.
      {"55006", absl::StatusCode::kUnavailable},  // In use, as a slot by another walsender.
      {"55P03", absl::StatusCode::kAborted},      // Lock timeout.
      {"57014", absl::StatusCode::kAborted},      // Cancelled, as by statement_timeout.
      {"40", absl::StatusCode::kAborted},         // Serialization failure, deadlock.
      {"28", absl::StatusCode::kUnauthenticated},
      {"42501", absl::StatusCode::kPermissionDenied},
      {"22", absl::StatusCode::kInvalidArgument},
      {"23", absl::StatusCode::kInvalidArgument},
      {"54", absl::StatusCode::kInvalidArgument},  // Row or index entry too large.
      {"42804", absl::StatusCode::kInvalidArgument},
      {"42846", absl::StatusCode::kInvalidArgument},
      {"XX001", absl::StatusCode::kDataLoss},
      {"XX002", absl::StatusCode::kDataLoss},
      {"XX", absl::StatusCode::kInternal},
      {"0A", absl::StatusCode::kFailedPrecondition},
      {"3", absl::StatusCode::kFailedPrecondition},  // Database, schema or cursor that does not exist.
      {"42", absl::StatusCode::kFailedPrecondition},
      {"55", absl::StatusCode::kFailedPrecondition},
      {"P0", absl::StatusCode::kFailedPrecondition},  // RAISE in somebody's function.
  };
  for (const Rule& rule : kRules) {
    if (absl::StartsWith(sqlstate, rule.prefix)) return rule.code;
  }
  return absl::StatusCode::kInternal;
}

}  // namespace

absl::Status StatusFromSqlstate(absl::string_view sqlstate, absl::string_view message) {
  absl::Status status(CodeOf(sqlstate), message);
  status.SetPayload(kPayload, absl::Cord(sqlstate));
  return status;
}

std::string SqlstateOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  return payload.has_value() ? std::string(*payload) : std::string();
}

absl::Status AnnotateSql(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { annotated.SetPayload(url, payload); });
  return annotated;
}

}  // namespace assay
