// The status as people read it.
#pragma once

#include <string>

#include "proto/admin.pb.h"

namespace assay {

// The sentence, all that is wrong, what waits, and how the branches are. `stages`: each stage and chain, too.
std::string StatusText(const admin::v1::Status& status, const admin::v1::ListBranchesReply& branches, bool stages);

// The branches as a table: in short, or with all that is known of each.
enum class BranchDetail { kShort, kAll };
std::string BranchesTable(const admin::v1::ListBranchesReply& branches, BranchDetail detail);
// "In step", "Halted", "Not heard": how a branch is, as far as anybody can know.
std::string BranchState(const admin::v1::Branch& branch);

}  // namespace assay
