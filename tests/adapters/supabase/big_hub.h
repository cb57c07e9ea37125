// A hub with many branches and long chains, made with SQL: pushing them would take days.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "engine/remotes/hub.h"
#include "tests/adapters/supabase/supabase_server.h"

namespace assay::test {

struct BigHub {
  int branches = 1'000;
  int segments = 1'000;  // Of each chain, an event each; those of all chains came in turn.
};

// Into a hub fresh from ResetHub. Its branches 1, 2 and 3 are among them, each with the open session BigHubSession.
absl::Status Fill(SupabaseServer& supabase, const BigHub& big);
OriginId BigHubOrigin(int branch);
std::string BigHubSession(int branch);
// What a branch that has everything asks for.
PullRequest BigHubRequest(const BigHub& big);
// Of that chain, as the hub keeps it.
std::string BigHubCheckpoint(const BigHub& big, int branch);
// The report of `branch`, as the hub has it.
BranchReport BigHubReport(const BigHub& big, int branch);
// One event more of that chain, with its session.
PushRequest BigHubPush(const BigHub& big, int branch);

}  // namespace assay::test
