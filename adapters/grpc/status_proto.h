// The daemon's status as the messages of proto/admin.proto.
#pragma once

#include <vector>

#include "engine/operator.h"
#include "log/table_names.h"
#include "proto/admin.pb.h"

namespace assay {

// `now`: what is said to be ago or to come is counted from there.
admin::v1::Status StatusToProto(const DaemonStatus& status, absl::Time now, absl::TimeZone zone);
// Who is online and how far behind: what the hub last told, laid beside what is known here.
admin::v1::ListBranchesReply BranchesToProto(const DaemonStatus& status);

// What was found of `tables` (none: all), for a round that has ended.
void SetVerified(const DaemonStatus& status, const std::vector<TableName>& tables, admin::v1::VerifyTablesProgress* to);

}  // namespace assay
