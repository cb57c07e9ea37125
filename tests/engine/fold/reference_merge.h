// The merge as one would explain it to a person, slow and without any cleverness: engine/fold/merge.h is held against
// it, and the simulation computes from it what every table must hold in the end.
//
// It looks at all writes of a row at once, as a set. It never joins, caches or orders anything.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "log/types.h"

namespace assay {

struct ReferenceWrite {
  Version version;
  bool is_delete = false;
  std::map<std::string, std::optional<std::string>> values;  // Column to text or NULL; empty for a delete.
};

struct ReferenceRow {
  Version written;  // Of the newest insert or update; none: no such write.
  Version deleted;  // Of the newest delete.
  std::map<std::string, Version> versions;
  std::map<std::string, std::optional<std::string>> values;

  bool IsLive() const { return !written.IsNone() && written > deleted; }
};

// The row that a set of writes amounts to; their order means nothing, repeating one neither.
ReferenceRow ReferenceFold(const std::vector<ReferenceWrite>& writes);

}  // namespace assay
