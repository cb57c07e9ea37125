#include "engine/open_intent.h"

#include <utility>

#include "engine/projection_plan.h"
#include "log/annotate.h"

namespace assay {
namespace {

constexpr uint32_t kIntentFormat = 2;

}  // namespace

OpenIntent::OpenIntent(v1::ProjectionIntent intent, std::map<OriginId, Sequence> to)
    : intent_(std::make_unique<v1::ProjectionIntent>(std::move(intent))), to_(std::move(to)) {
  rows_.reserve(intent_->rows_size());
  for (const v1::ProjectionIntent::Row& row : intent_->rows()) rows_[RefOf(row)] = {&row};
}

absl::StatusOr<OpenIntent> OpenIntent::Make(v1::ProjectionIntent intent) {
  intent.set_format(kIntentFormat);
  std::map<OriginId, Sequence> to;
  for (const v1::ProjectionIntent::Range& range : intent.ranges()) {
    ASSAY_ASSIGN_OR_RETURN(const OriginId origin, OriginId::FromBytes(range.origin()));
    to[origin] = Sequence{range.to()};
  }
  return OpenIntent(std::move(intent), std::move(to));
}

absl::StatusOr<OpenIntent> OpenIntent::Parse(const std::string& bytes) {
  v1::ProjectionIntent intent;
  if (!intent.ParseFromString(bytes)) {
    return absl::DataLossError("the log's note of the last projection is damaged: put the newest copy of the log file back");
  }
  if (intent.format() != kIntentFormat) {
    return absl::FailedPreconditionError(
        "the log's note of the last projection was written by another version of Assay: start that one once, until `assay status` shows "
        "nothing pending, and then this one");
  }
  return Make(std::move(intent));
}

bool OpenIntent::Meant(const RowRef& ref, ChangeKind kind, const TableShape& shape, absl::Span<const TupleValue> tuple,
                       TableNames& names) {
  const auto it = rows_.find(ref);
  if (it == rows_.end() || it->second.seen == Seen::kAll) return false;
  Seen& seen = it->second.seen;
  const v1::ProjectionIntent::Row& row = *it->second.row;
  // Rows that exchange a unique value are taken out of their table and put back (Database::Project).
  if (row.write() == v1::ProjectionIntent::Row::UPDATE && kind == ChangeKind::kDelete) {
    return std::exchange(seen, Seen::kTakenOut) == Seen::kNothing;
  }
  if (seen == Seen::kTakenOut && kind == ChangeKind::kInsert) kind = ChangeKind::kUpdate;
  const auto expected = kind == ChangeKind::kInsert   ? v1::ProjectionIntent::Row::INSERT
                        : kind == ChangeKind::kDelete ? v1::ProjectionIntent::Row::DELETE
                                                      : v1::ProjectionIntent::Row::UPDATE;
  if (row.write() != expected) return false;
  if (kind != ChangeKind::kDelete) {
    ValuesHash hash;
    size_t at = 0;
    if (row.columns() >= static_cast<uint32_t>(intent_->columns_size())) return false;
    for (uint32_t column : intent_->columns(static_cast<int>(row.columns())).columns()) {
      const std::string& name = names.ColumnNameOf(ref.table, ColumnId{column});
      // Mostly in the same order: begin after the last one.
      for (size_t tried = 0; tried < shape.columns.size(); ++tried, ++at) {
        if (at == shape.columns.size()) at = 0;
        if (shape.columns[at].name != name) continue;
        hash.Add(name, tuple[at]);
        break;
      }
    }
    if (hash.Finish() != row.values()) return false;
  }
  seen = Seen::kAll;
  return true;
}

}  // namespace assay
