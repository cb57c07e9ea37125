// Compares five facts about each table that are to be one: what the configuration means, what exists, what the log has
// enrolled, how PostgreSQL publishes it, and how its rows are captured. And whether the sequences behind its keys hand
// out this branch's values alone.
//
//   ASSAY_ASSIGN_OR_RETURN(SurveyReport report, TakeSurvey(connection, {.patterns = {{"public.*"}, {}}, …}));
//
// The daemon takes it on its own login, `doctor` on an administrator's; nothing is changed. It reads catalogs and the
// tables of schema assay, and no rows of anybody's tables. Blocks for milliseconds; some hundred with 1,500 tables.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/libpq/connection.h"
#include "engine/survey.h"
#include "tools/survey/fed_sequences.h"
#include "tools/survey/table_selection.h"

namespace assay {

struct SurveyOptions {
  TablePatterns patterns;
  int64_t stride = 64, number = 1;  // branch.stride and branch.number.
  SequenceChoices sequences;        // [sequences].
  std::set<std::string> enrolled;   // The tables that the log has a baseline of (kEnrolledTablesNote).
  // [tables."schema.table"]: which tables have a policy, and the columns that it names.
  std::map<TableName, std::vector<std::string>> policies;
};

// FAILED_PRECONDITION: what Assay installed in the database is gone, as after DROP SCHEMA.
absl::StatusOr<SurveyReport> TakeSurvey(Connection& connection, const SurveyOptions& options);

}  // namespace assay
