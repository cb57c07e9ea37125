// What `assay init` installs once in a database, apart from what it does to each table: schema, role, publication,
// slot.
//
// Every function here may be run again and then changes nothing. Where a right is missing, the error names the command
// that a superuser can run instead.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "adapters/libpq/connection.h"
#include "tools/setup/enrolled_tables.h"

namespace assay {

// So that one changes what is installed in a database at a time. Until `admin` ends. FAILED_PRECONDITION while another
// has it, two seconds and more: a session's locks go a moment after its client.
absl::Status TakeInstallationLock(Connection& admin);

// sql/branch.sql, as this binary was built with it.
absl::Status InstallSchema(Connection& admin);

// The role assay_projector, which projections run as: it may set session_replication_role, and the login of `url` may
// become it.
absl::Status InstallRole(Connection& admin, const std::string& url);

// Rights on the schemas of the tables and of their columns' types; and the right to see every row where row-level
// security hides some.
absl::Status GrantAround(Connection& admin, const std::vector<SelectedTable>& tables);

// The publication, without tables. FAILED_PRECONDITION when one of that name is FOR ALL TABLES.
absl::Status InstallPublication(Connection& admin);

struct SlotState {
  bool exists = false, active = false;
};
absl::StatusOr<SlotState> FindSlot(Connection& admin);
// OK when there is none. FAILED_PRECONDITION while something streams from it.
absl::Status DropSlot(Connection& admin);

}  // namespace assay
