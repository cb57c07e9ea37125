// The daemon's status as the messages of proto/admin.proto.
#pragma once

#include "engine/operator.h"
#include "proto/admin.pb.h"

namespace assay {

// For `events` at that rate, in whole seconds; infinite when they would never come.
absl::Duration TimeLeft(uint64_t events, double events_per_second);

admin::v1::Status StatusToProto(const DaemonStatus& status);
// Who is online and how far behind: what the hub last told, laid beside what is known here.
admin::v1::ListBranchesReply BranchesToProto(const DaemonStatus& status);

}  // namespace assay
