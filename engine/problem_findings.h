// From what the stages know to the problems that it means: pure, so that each can be shown without a fleet.
//
// One cause is one problem. A hub that cannot be reached fails pushes and pulls alike, and is named once; a database
// that is away fails capture and projection alike. Where a status names its problem (WithProblem) it is taken at its
// word, and elsewhere its code decides.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/capture/recorder.h"
#include "engine/database.h"
#include "engine/link.h"
#include "engine/problem.h"
#include "engine/remotes/hub.h"
#include "log/local_state/notes.h"
#include "log/types.h"

namespace assay {

// `halted`: database and log do not belong together, and capture stopped because of that.
std::vector<Problem> DatabaseProblems(const LinkStatus& capture, const LinkStatus& projection, bool halted);

// Of the links that are tried now.
std::vector<Problem> HubProblems(absl::string_view branch, absl::Span<const LinkStatus> links);

// A chain by the names people and tools know it by.
struct ChainName {
  OriginId origin;
  std::string branch;  // Empty: its opening is not held here.
  std::string ForPeople() const;
};

// A hub may name as many chains as it likes: so many are listed, and the own one, and then how many there are.
constexpr size_t kChainsListed = 10;
// `troubles`: of Puller::troubles those to be listed; `total`: how many those are.
std::vector<Problem> ChainProblems(absl::Span<const std::pair<ChainName, LinkStatus>> troubles, const OriginId& own,
                                   size_t total);

// `aside`: what the head office has set aside, but for what a later chain of the same branch goes on with.
std::vector<Problem> SetAsideProblems(absl::Span<const SetAsideChain> aside);

// `parked`: that wait to be written. `forgotten`: that a person does not wait for. `forged`: that came with Assay's
// mark, and it had not meant to write them.
std::vector<Problem> RowProblems(uint64_t parked, uint64_t forgotten, uint64_t forged);

constexpr size_t kValuesListed = 3;
std::vector<Problem> ValueProblems(absl::Span<const WithheldValue> values, size_t row_bytes_max);

// Of each kind so many tables are named, and then how many there are.
constexpr size_t kTablesListed = 5;
std::vector<Problem> UnrecordedProblems(const UnrecordedTables& tables);
// "row [7], column price: '1' here, '2' in the log".
std::string DifferenceText(const DifferingCell& cell);
// Of tables that were compared with the log, by TableName::ToString.
std::vector<Problem> DifferenceProblems(const std::map<std::string, CheckedTable>& checked);
// Of tables with new rows whose keys another branch may hand out as well.
std::vector<Problem> ForeignKeyProblems(const ForeignKeys& keys);
// Of tables whose old tuples are not whole, by TableName::ToString.
std::vector<Problem> IdentityProblems(const std::map<std::string, ReplicaIdentity>& identities);
// `name`: ChainName of each chain.
// `found`: SurveyReport::problems, sorted by kind.
std::vector<Problem> SurveyProblems(absl::Span<const Problem> found);
std::vector<Problem> UnreadableProblems(const UnreadableTables& tables,
                                        const std::function<ChainName(const OriginId&)>& name);

// What this branch has stamped or met ahead of its time. `now`: as far as anybody knows. `stamp`: of its newest event.
std::vector<Problem> AheadProblems(absl::string_view branch, const OriginId& own, HlcStamp stamp,
                                   const RecorderCounters& counters, absl::Time now);

// nullopt: near enough. `offset`: the hub's clock minus this machine's.
std::optional<Problem> ClockProblem(absl::Duration offset);

}  // namespace assay
