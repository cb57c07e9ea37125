// Origins, versions and rows, in few words, for the tests of what stands on the event log.
#pragma once

#include <string>

#include "log/row_versions/row_ref.h"
#include "log/types.h"
#include "tests/support/origins.h"

namespace assay {

inline const OriginId kA = test::Origin(0xaa);
inline const OriginId kB = test::Origin(0xbb);

inline Version V(uint64_t stamp, const OriginId& origin, uint64_t sequence) { return {{stamp}, origin, {sequence}}; }
inline RowRef Row(uint32_t table, const std::string& key) { return {{table}, HashKey({key})}; }

}  // namespace assay
