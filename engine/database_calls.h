// The calls that the engine asks its host to make to the branch's PostgreSQL, and their replies.
//
// One call is under way at most, on whatever thread the host likes. Each is answered by Engine::OnDatabaseReply, except
// DatabaseAbandon, which is not answered.
#pragma once

#include <cstdint>
#include <variant>

#include "absl/status/statusor.h"
#include "engine/database.h"

namespace assay {

struct DatabaseRead {
  ReadRequest request;
};
struct DatabaseProject {
  ProjectRequest request;
};
struct DatabaseAbandon {};
struct DatabaseLastBatch {};
using DatabaseCall = std::variant<DatabaseRead, DatabaseProject, DatabaseAbandon, DatabaseLastBatch>;

using DatabaseReply =
    std::variant<absl::StatusOr<ReadReply>, ProjectReply, absl::StatusOr<uint64_t>>;  // Abandon: none.

}  // namespace assay
