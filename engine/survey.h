// What a look at a branch's database found: whether what the configuration means, what the log has enrolled and what
// PostgreSQL hands out are one and the same.
//
// The stream of changes cannot tell what it does not bring: a table that was made anew, or is no longer published, is
// only silent. So a host looks at the catalog, at start, whenever the stream describes a table, and each minute, and
// hands the engine what it found. `tools/survey` has the body.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/database.h"
#include "engine/problem.h"
#include "log/local_state/notes.h"

namespace assay {

// The keys that are this branch's own: ≡ residue (mod modulus).
struct KeyClass {
  int64_t modulus = 0, residue = 0;
  std::string sequence;  // That hands them out.
};
// By TableName::ToString and column.
using KeyClasses = std::map<std::pair<std::string, std::string>, KeyClass>;

struct SurveyReport {
  // Enrolled tables of which changes may have been missed. The engine keeps them until a repair has compared them: the
  // cause may be gone a moment later, what was missed is not.
  UnrecordedTables missed;
  // Of tables and partitions whose old tuples are not whole.
  std::map<std::string, ReplicaIdentity> identities;
  std::vector<Problem> problems;  // What else is not as it should be, as it is now.
  KeyClasses key_classes;         // Of the columns of keys that strided sequences feed.
};

}  // namespace assay
