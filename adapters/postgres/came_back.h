// Whether what PostgreSQL stored is what was to be stored: a type may round it, or show it in another spelling.
//
//   const CameBack came_back(table, writes, rows);
//   … RETURNING k.n` + came_back.returning()
//   ASSAY_RETURN_IF_ERROR(came_back.Check(writes.rows[row], result, at, first));
//
// What triggers and rules do to a row is another matter: see answer_check.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "adapters/libpq/connection.h"
#include "adapters/postgres/catalog.h"
#include "engine/database.h"

namespace assay {

class CameBack {
 public:
  // Of `rows`, which are indexes into writes.rows. Both outlive this.
  CameBack(const LocalTable& table, const TableWrites& writes, absl::Span<const uint32_t> rows);

  // Nothing of them can come back differently.
  bool Sure() const { return columns_.empty(); }
  // What to add to RETURNING: ", t.a, t.b", or nothing.
  const std::string& returning() const { return returning_; }
  // `result` has those from column `first` on. INVALID_ARGUMENT with SQLSTATE 22000: the row came back differently; the
  // message names the column, both texts and why.
  absl::Status Check(const RowWrite& row, const Result& result, int at, int first) const;

 private:
  const LocalTable& table_;
  const TableWrites& writes_;
  std::vector<size_t> columns_;  // To be compared, as indexes of TableWrites::columns.
  std::string returning_;
};

// `text` for a message: as much of it as a person reads.
std::string Shown(const ColumnText& text);

}  // namespace assay
