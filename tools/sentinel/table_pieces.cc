#include "tools/sentinel/table_pieces.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "adapters/postgres/copy_out.h"
#include "log/annotate.h"

namespace assay {
namespace {

constexpr absl::Duration kPieceTime = absl::Milliseconds(100);
constexpr size_t kPieceBytes = 4 << 20;
constexpr size_t kRowsMin = 10;

}  // namespace

absl::StatusOr<TablePieces> TablePieces::Open(Connection& connection, const TableName& name) {
  LocalCatalog catalog;
  ASSAY_RETURN_IF_ERROR(catalog.Load(connection, {name}, absl::ZeroDuration()));
  const LocalTable& table = catalog.Find(name);
  if (!table.refusal.empty()) return absl::FailedPreconditionError(table.refusal);
  TablePieces pieces(connection);
  pieces.from_ = absl::StrCat(table.only, " t");
  pieces.shape_.name = name;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    if (table.shape.columns[i].generated) continue;
    if (!table.columns[i].equals.empty()) pieces.shape_.key.push_back(static_cast<uint32_t>(pieces.columns_.size()));
    pieces.shape_.columns.push_back(table.shape.columns[i]);
    pieces.columns_.push_back({table.columns[i].quoted, table.columns[i].cast, table.columns[i].equals});
  }
  pieces.shape_.OrderKey();
  ASSAY_RETURN_IF_ERROR(pieces.ReadKeyOrder(table.quoted));
  return pieces;
}

absl::Status TablePieces::ReadKeyOrder(const std::string& quoted) {
  ASSAY_ASSIGN_OR_RETURN(
      const Result names,
      connection_->Execute("SELECT a.attname FROM pg_catalog.pg_index i CROSS JOIN LATERAL pg_catalog.unnest("
                           "i.indkey::pg_catalog.int2[]) WITH ORDINALITY u (attnum, position) JOIN "
                           "pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum WHERE "
                           "i.indrelid = $1::pg_catalog.regclass AND i.indisprimary AND u.position <= i.indnkeyatts "
                           "ORDER BY u.position",
                           {quoted}));
  for (int row = 0; row < names.rows(); ++row) {
    const auto named = [&](uint32_t ordinal) { return shape_.columns[ordinal].name == names.Text(row, "attname"); };
    const auto at = std::find_if(shape_.key.begin(), shape_.key.end(), named);
    if (at != shape_.key.end()) order_.push_back(*at);
  }
  if (order_.size() == shape_.key.size() && !order_.empty()) return absl::OkStatus();
  return absl::AbortedError("the primary key was changed while it was looked at");
}

std::string TablePieces::Columns() const {
  return absl::StrJoin(columns_, ", ",
                       [](std::string* out, const Column& column) { absl::StrAppend(out, "t.", column.quoted); });
}

std::string TablePieces::Behind() const {
  if (after_.empty()) return "";
  std::vector<std::string> names, values;
  for (size_t i = 0; i < order_.size(); ++i) {
    names.push_back(absl::StrCat("t.", columns_[order_[i]].quoted));
    values.push_back(absl::StrCat(connection_->QuoteLiteral(after_[i]), "::", columns_[order_[i]].cast));
  }
  return absl::StrCat(" WHERE (", absl::StrJoin(names, ", "), ") > (", absl::StrJoin(values, ", "), ")");
}

absl::Status TablePieces::Next(absl::FunctionRef<absl::Status(absl::Span<const TupleValue>)> visit) {
  const std::string order = absl::StrJoin(order_, ", ", [this](std::string* out, uint32_t ordinal) {
    absl::StrAppend(out, "t.", columns_[ordinal].quoted);
  });
  const absl::Time begun = SteadyNow();
  size_t rows = 0, bytes = 0;
  ASSAY_RETURN_IF_ERROR(AnnotateSql(
      CopyOut(*connection_,
              absl::StrCat("SELECT ", Columns(), " FROM ", from_, Behind(), " ORDER BY ", order, " LIMIT ", rows_),
              columns_.size(),
              [&](absl::Span<const TupleValue> tuple) {
                for (const TupleValue& value : tuple) bytes += value.text.size();
                if (++rows == rows_) {
                  after_.clear();
                  for (const uint32_t ordinal : order_) after_.emplace_back(tuple[ordinal].text);
                }
                return visit(tuple);
              }),
      absl::StrCat("read ", shape_.name.ToString())));
  at_end_ = rows < rows_;
  const bool much = SteadyNow() - begun > kPieceTime || bytes > kPieceBytes;
  rows_ = much ? std::max(rows_ / 2, kRowsMin) : std::min(rows_ * 2, kRowsMax);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<TablePieces::Row>> TablePieces::Find(const RowKey& key,
                                                                  const std::vector<uint32_t>& ordinals) {
  std::vector<std::string> terms;
  std::vector<Parameter> parameters;
  for (size_t i = 0; i < ordinals.size(); ++i) {
    const Column& column = columns_[ordinals[i]];
    terms.push_back(absl::StrCat("t.", column.quoted, " ", column.equals, " $", i + 1, "::", column.cast));
    parameters.push_back(key[i]);
  }
  const auto rows = connection_->ExecutePrepared(
      absl::StrCat("SELECT t.xmin::text, ", Columns(), " FROM ", from_, " WHERE ", absl::StrJoin(terms, " AND ")),
      parameters);
  // A key that this type cannot be: then it is not there.
  if (SqlstateOf(rows.status()).substr(0, 2) == "22") return std::optional<Row>();
  if (!rows.ok()) return AnnotateSql(rows.status(), absl::StrCat("read ", shape_.name.ToString()));
  if (rows->rows() == 0) return std::optional<Row>();
  Row row{rows->String(0, Result::Column::At(0)), {}};
  for (size_t i = 0; i < columns_.size(); ++i)
    row.values.push_back(rows->Value(0, Result::Column::At(static_cast<int>(i) + 1)));
  return std::optional(std::move(row));
}

}  // namespace assay
