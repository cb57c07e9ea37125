// The names of what Assay installs in a branch's database, and how names are written in SQL.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/libpq/connection.h"
#include "log/table_names.h"

namespace assay {

inline constexpr char kAssaySchema[] = "assay";
inline constexpr char kPublication[] = "assay";
inline constexpr char kSlot[] = "assay";
inline constexpr char kProjectorRole[] = "assay_projector";
inline constexpr char kAttributionTrigger[] = "assay_attribution";

// "{1,2,3}": an oid[] as a parameter.
std::string OidArray(const std::vector<uint32_t>& oids);

// schema.table, both quoted.
std::string Quoted(const Connection& connection, const TableName& name);

}  // namespace assay
