// From what the stages know to the problems that it means: pure, so that each can be shown without a fleet.
//
// One cause is one problem. A hub that cannot be reached fails pushes and pulls alike, and is named once; a database
// that is away fails capture and projection alike. Where a status names its problem (WithProblem) it is taken at its
// word, and elsewhere its code decides.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/capture/withheld_values.h"
#include "engine/link.h"
#include "engine/problem.h"
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

// `parked`: that wait to be written. `forged`: that came with Assay's mark, and it had not meant to write them.
std::vector<Problem> RowProblems(uint64_t parked, uint64_t forged);

constexpr size_t kValuesListed = 3;
std::vector<Problem> ValueProblems(absl::Span<const WithheldValue> values, size_t row_bytes_max);

// nullopt: near enough. `offset`: the hub's clock minus this machine's.
std::optional<Problem> ClockProblem(absl::Duration offset);

}  // namespace assay
