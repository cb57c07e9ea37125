// Looks at everything a branch needs and says, for each thing that is not right, the exact command that mends it.
//
//   for (const Check& check : Doctor(options, hub.get(), &clock)) Print(check.result, check.name, check.detail,
//   check.remedy);
//
// Changes nothing, apart from a temporary replication slot and one message in the WAL. It never fails itself: what
// cannot be looked at is a failed check. Works before, during and after an enrolment, with a daemon running or not.
// Blocks for seconds.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "adapters/libpq/connection.h"
#include "engine/clock.h"
#include "engine/remotes/hub.h"

namespace assay {

enum class CheckResult : uint8_t { kOk, kWarn, kFail };
absl::string_view CheckResultName(CheckResult result);  // "ok", "warn", "fail".

struct Check {
  std::string name;  // "wal_level"; stable, for programs.
  CheckResult result = CheckResult::kOk;
  std::string detail;  // What was found, for people.
  std::string remedy;  // A command, or what to change in the configuration; empty when ok.
};

struct DoctorOptions {
  int64_t number = 1, stride = 64;
  std::string url, admin_url;  // As the daemon connects; a superuser, or the tables' owner.
  std::vector<std::string> tables, exclude;
  std::string state_dir;
  bool has_hub = false;
  std::string hub_url;  // Only looked at for its TLS mode; never shown.
};

// `hub` may be null: not configured, or `hub_error` says why it could not be made.
std::vector<Check> Doctor(const DoctorOptions& options, Hub* hub, const absl::Status& hub_error, Clock* clock);

// ---- The parts, for Init ----

// Version, encoding, wal_level, room for a slot, what else must be so of a server; with the session of an
// administrator.
void CheckServer(Connection& admin, std::vector<Check>* checks);
// That the daemon's login can connect, also for replication, and may do what it must.
void CheckLogin(const std::string& url, std::vector<Check>* checks);

}  // namespace assay
