#include "tools/setup/table_removal.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/libpq/connection.h"
#include "adapters/libpq/steady_time.h"
#include "log/annotate.h"
#include "tools/setup/branch_log.h"
#include "tools/setup/enrolled_tables.h"
#include "tools/setup/installation.h"

namespace assay {
namespace {

absl::Status CheckLeftOut(const RemoveTableOptions& options) {
  if (!options.patterns.Mean(options.table)) return absl::OkStatus();
  std::vector<std::string> exclude = options.patterns.exclude;
  exclude.push_back(absl::StrCat(options.table.schema, ".", options.table.table));
  return absl::InvalidArgumentError(absl::StrCat("the config still means ", options.table.ToString(),
                                                 ", and the next `assay init` would enrol it again: under "
                                                 "[postgres] write exclude = [\"",
                                                 absl::StrJoin(exclude, "\", \""), "\"], and run this again"));
}

absl::StatusOr<bool> IsThere(Connection& admin, const TableName& table) {
  ASSAY_ASSIGN_OR_RETURN(
      const Result rows,
      admin.Execute("SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE "
                    "n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')",
                    {table.schema, table.table}));
  return rows.rows() > 0;
}

absl::Status ReleaseTable(Connection& admin, const TableName& table, absl::Time deadline) {
  ASSAY_ASSIGN_OR_RETURN(const std::vector<TableName> published, PublishedTables(admin));
  // Before the replica identity: a published table without a usable one makes an application's UPDATE fail.
  if (std::binary_search(published.begin(), published.end(), table)) {
    ASSAY_RETURN_IF_ERROR(ExecuteWithShortLocks(
        admin, absl::StrCat("ALTER PUBLICATION ", kPublication, " DROP TABLE ONLY ", Quoted(admin, table)), {},
        absl::StrCat("take ", table.ToString(), " out of the publication"), deadline));
  }
  ASSAY_RETURN_IF_ERROR(RestoreTables(admin, deadline, table));
  // What is left is of relations that are gone.
  return admin
      .Execute(
          "DELETE FROM assay.enrolled e WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = "
          "e.relation) AND e.schema_name = $1 AND e.table_name = $2",
          {table.schema, table.table})
      .status();
}

absl::StatusOr<int64_t> LeaveOut(OpenLog& open, const TableName& table, int64_t now_ms) {
  ASSAY_ASSIGN_OR_RETURN(std::set<std::string> enrolled, open.state->Read(kEnrolledTablesNote));
  ASSAY_ASSIGN_OR_RETURN(UnrecordedTables unrecorded, open.state->Read(kUnrecordedNote));
  enrolled.erase(table.ToString());
  unrecorded.erase(table.ToString());
  ASSAY_RETURN_IF_ERROR(open.state->Write(kEnrolledTablesNote, enrolled));
  ASSAY_RETURN_IF_ERROR(open.state->Write(kUnrecordedNote, unrecorded));
  ASSAY_ASSIGN_OR_RETURN(const TableId id, open.names->IdOf(table));
  return open.unsettled->Forget(id, std::nullopt, now_ms);
}

}  // namespace

absl::StatusOr<RemoveTableReport> RemoveTable(const RemoveTableOptions& options, Clock* clock) {
  ASSAY_RETURN_IF_ERROR(CheckLeftOut(options));
  ASSAY_ASSIGN_OR_RETURN(const std::set<std::string> enrolled, EnrolledTables(options.log_path));
  if (!enrolled.contains(options.table.ToString())) {
    return absl::NotFoundError(absl::StrCat(options.table.ToString(), " is not enrolled here; enrolled are: ",
                                            enrolled.empty() ? "none" : absl::StrJoin(enrolled, ", ")));
  }
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> admin,
                         Connection::Open(options.admin_url, {.application_name = "assay tables"}));
  ASSAY_RETURN_IF_ERROR(TakeInstallationLock(*admin));
  RemoveTableReport report;
  ASSAY_ASSIGN_OR_RETURN(report.was_there, IsThere(*admin, options.table));
  ASSAY_RETURN_IF_ERROR(ReleaseTable(*admin, options.table, SteadyNow() + options.lock_wait));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<OpenLog> open, OpenLog::Open(options.log_path));
  ASSAY_RETURN_IF_ERROR(open->file->Begin());
  const absl::StatusOr<int64_t> forgotten = LeaveOut(*open, options.table, absl::ToUnixMillis(clock->Now()));
  if (!forgotten.ok()) {
    open->file->Rollback();
    return forgotten.status();
  }
  report.forgotten = *forgotten;
  ASSAY_RETURN_IF_ERROR(open->file->Commit());
  return report;
}

}  // namespace assay
