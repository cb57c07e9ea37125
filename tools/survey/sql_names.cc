#include "tools/survey/sql_names.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace assay {

std::string OidArray(const std::vector<uint32_t>& oids) { return absl::StrCat("{", absl::StrJoin(oids, ","), "}"); }

std::string Quoted(const Connection& connection, const TableName& name) {
  return absl::StrCat(connection.QuoteIdentifier(name.schema), ".", connection.QuoteIdentifier(name.table));
}

}  // namespace assay
