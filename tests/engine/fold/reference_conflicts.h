// Which edits of a cell are in conflict, as one would explain it to a person: engine/fold/conflict_finder.h is held
// against it, and the simulation's lists of conflicts.
//
// It looks at all edits of a cell at once, as a set, and takes each pair of them.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "log/types.h"

namespace assay {

struct ReferenceEdit {
  Version version;
  std::map<OriginId, Sequence> seen;  // How much of each other chain its writer had seen.
  std::optional<std::string>
      content;  // What two of them disagree about: a column's value; "delete" or "edit" of a life.
};

inline bool ReferenceSaw(const ReferenceEdit& later, const ReferenceEdit& earlier) {
  if (later.version.origin == earlier.version.origin) return later.version.sequence >= earlier.version.sequence;
  const auto seen = later.seen.find(earlier.version.origin);
  return seen != later.seen.end() && seen->second >= earlier.version.sequence;
}

// Winner and loser of each conflict.
inline std::set<std::pair<Version, Version>> ReferenceConflicts(const std::vector<ReferenceEdit>& edits) {
  const auto concurrent = [](const ReferenceEdit& a, const ReferenceEdit& b) {
    return !ReferenceSaw(a, b) && !ReferenceSaw(b, a);
  };
  // Another edit stands for `one` against `other`.
  const auto stood_for = [&](const ReferenceEdit& one, const ReferenceEdit& other) {
    for (const ReferenceEdit& later : edits) {
      if (later.version != one.version && ReferenceSaw(later, one) && concurrent(later, other)) return true;
    }
    return false;
  };
  std::set<std::pair<Version, Version>> conflicts;
  for (const ReferenceEdit& a : edits) {
    for (const ReferenceEdit& b : edits) {
      if (b.version < a.version && concurrent(a, b) && a.content != b.content && !stood_for(a, b) && !stood_for(b, a))
        conflicts.insert({a.version, b.version});
    }
  }
  return conflicts;
}

}  // namespace assay
