// Looks at everything a branch needs and says, for each thing that is not right, the exact command that mends it.
//
//   for (const Check& check : Doctor(options, hub.get(), &clock)) Print(check.result, check.name, check.detail,
//   check.remedy);
//
// Changes nothing, apart from a temporary replication slot and one message in the WAL. It never fails itself: what
// cannot be looked at is a failed check. Works before, during and after an enrolment, with a daemon running or not.
// Blocks for seconds.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/clock.h"
#include "engine/remotes/hub.h"
#include "tools/setup/findings.h"
#include "tools/survey/fed_sequences.h"

namespace assay {

struct DoctorOptions {
  int64_t number = 1, stride = 64;
  std::string url, admin_url;  // As the daemon connects; a superuser, or the tables' owner.
  std::vector<std::string> tables, exclude;
  SequenceChoices sequences;
  std::map<TableName, std::vector<std::string>> policies;  // As SurveyOptions has them.
  std::string state_dir;
  bool has_hub = false;
  std::string hub_url;  // Only looked at for its TLS mode; never shown.
};

// `hub` may be null: not configured, or `hub_error` says why it could not be made.
std::vector<Check> Doctor(const DoctorOptions& options, Hub* hub, const absl::Status& hub_error, Clock* clock);

}  // namespace assay
