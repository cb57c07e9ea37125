#include "engine/projection/intent.h"

#include <utility>

#include "engine/projection/row_digest.h"
#include "log/annotate.h"
#include "log/bytes.h"
#include "log/proto_field.h"

namespace assay {
namespace {

constexpr uint32_t kIntentFormat = 1;
constexpr size_t kRowBytes = 48;  // As most rows are stored.

IntentRow FromStored(const v1::ProjectionIntent::Row& stored) {
  constexpr uint32_t kColumnsMax = (1 << 24) - 1;  // Damaged, and no list of columns: matches nothing.
  IntentRow row{.ref = {TableId{stored.table()}, {}},
                .columns = std::min(stored.columns(), kColumnsMax),
                .values = stored.values(),
                .versions = stored.versions(),
                .note = stored.note()};
  const uint64_t words[2] = {stored.key_hash_low(), stored.key_hash_high()};
  for (size_t i = 0; i < row.ref.key.size(); ++i) row.ref.key[i] = static_cast<uint8_t>(words[i / 8] >> i % 8 * 8);
  row.write = static_cast<IntentRow::Write>(stored.write());
  row.refused = stored.refused();
  if (stored.missing().empty() && stored.cause().empty() && stored.sqlstate().empty() && stored.key().empty())
    return row;
  IntentRow::Remark& remark = row.MutableRemark();
  remark.missing.assign(stored.missing().begin(), stored.missing().end());
  remark.cause = stored.cause();
  remark.sqlstate = stored.sqlstate();
  remark.key = stored.key();
  if (const absl::StatusOr<OriginId> origin = OriginId::FromBytes(stored.origin()); origin.ok())
    remark.origin = *origin;
  remark.sequence = Sequence{stored.sequence()};
  return row;
}

void ToStored(const IntentRow& row, v1::ProjectionIntent::Row* stored) {
  uint64_t words[2] = {0, 0};
  static_assert(sizeof(words) == sizeof(row.ref.key));
  for (size_t i = 0; i < row.ref.key.size(); ++i) words[i / 8] |= uint64_t{row.ref.key[i]} << i % 8 * 8;
  stored->Clear();
  stored->set_table(row.ref.table.value);
  stored->set_key_hash_low(words[0]);
  stored->set_key_hash_high(words[1]);
  stored->set_write(static_cast<v1::ProjectionIntent::Row::Write>(row.write));
  stored->set_columns(row.columns);
  stored->set_values(row.values);
  stored->set_versions(row.versions);
  stored->set_note(row.note);
  stored->set_refused(row.refused);
  if (row.own_remark == nullptr) return;
  const IntentRow::Remark& remark = row.remark();
  stored->mutable_missing()->Add(remark.missing.begin(), remark.missing.end());
  stored->set_cause(remark.cause);
  stored->set_sqlstate(remark.sqlstate);
  if (remark.key.empty()) return;
  stored->set_key(remark.key);
  stored->set_origin(remark.origin.bytes.data(), remark.origin.bytes.size());
  stored->set_sequence(remark.sequence.value);
}

}  // namespace

static_assert(static_cast<int>(IntentRow::Write::kNothing) == v1::ProjectionIntent::Row::NOTHING);
static_assert(static_cast<int>(IntentRow::Write::kInsert) == v1::ProjectionIntent::Row::INSERT);
static_assert(static_cast<int>(IntentRow::Write::kUpdate) == v1::ProjectionIntent::Row::UPDATE);
static_assert(static_cast<int>(IntentRow::Write::kDelete) == v1::ProjectionIntent::Row::DELETE);

const IntentRow::Remark& IntentRow::remark() const {
  static const Remark kNone;
  return own_remark == nullptr ? kNone : *own_remark;
}

IntentRow::Remark& IntentRow::MutableRemark() {
  if (own_remark == nullptr) own_remark = std::make_unique<Remark>();
  return *own_remark;
}

OpenIntent::OpenIntent(v1::ProjectionIntent intent, std::map<OriginId, Sequence> to, std::deque<IntentRow> rows)
    : intent_(std::move(intent)), to_(std::move(to)), rows_(std::move(rows)) {
  index_.reserve(rows_.size());
  for (IntentRow& row : rows_) index_.insert(&row);
}

absl::StatusOr<OpenIntent> OpenIntent::Make(v1::ProjectionIntent intent, std::deque<IntentRow> rows) {
  intent.set_format(kIntentFormat);
  std::map<OriginId, Sequence> to;
  for (const v1::ProjectionIntent::Range& range : intent.ranges()) {
    ASSAY_ASSIGN_OR_RETURN(const OriginId origin, OriginId::FromBytes(range.origin()));
    to[origin] = Sequence{range.to()};
  }
  return OpenIntent(std::move(intent), std::move(to), std::move(rows));
}

std::string OpenIntent::Serialize() const {
  std::string bytes = intent_.SerializeAsString(), row_bytes;
  bytes.reserve(bytes.size() + rows_.size() * kRowBytes);
  // One after the other: as messages all together they would take three times the memory that they take here.
  v1::ProjectionIntent::Row stored;
  for (const IntentRow& row : rows_) {
    ToStored(row, &stored);
    stored.SerializeToString(&row_bytes);
    PutVarint(&bytes, SizedTag(v1::ProjectionIntent::kRowsFieldNumber));
    PutSized(&bytes, row_bytes);
  }
  return bytes;
}

absl::StatusOr<OpenIntent> OpenIntent::Parse(const std::string& bytes) {
  v1::ProjectionIntent intent;
  if (!intent.ParseFromString(bytes)) {
    return absl::DataLossError(
        "the log's note of the last projection is damaged: put the newest copy of the log file back");
  }
  if (intent.format() != kIntentFormat) {
    return absl::FailedPreconditionError(
        "the log's note of the last projection was written by another version of Assay: start that one once, until `assay status` shows "
        "nothing pending, and then this one");
  }
  std::deque<IntentRow> rows;
  for (const v1::ProjectionIntent::Row& stored : intent.rows()) rows.push_back(FromStored(stored));
  intent.clear_rows();
  return Make(std::move(intent), std::move(rows));
}

bool OpenIntent::LeavesOut() const {
  return std::any_of(rows_.begin(), rows_.end(),
                     [](const IntentRow& row) { return row.refused || !row.remark().missing.empty(); });
}

bool OpenIntent::Meant(const RowRef& ref, ChangeKind kind, const TableShape& shape, absl::Span<const TupleValue> tuple,
                       TableNames& names) {
  using Write = IntentRow::Write;
  using Seen = IntentRow::Seen;
  const auto it = index_.find(ref);
  if (it == index_.end() || (*it)->seen == Seen::kAll) return false;
  IntentRow& row = **it;
  // Rows that exchange a unique value are taken out of their table and put back (Database::Project).
  if (row.write == Write::kUpdate && kind == ChangeKind::kDelete) {
    const bool is_first = row.seen == Seen::kNothing;
    row.seen = Seen::kTakenOut;
    return is_first;
  }
  if (row.seen == Seen::kTakenOut && kind == ChangeKind::kInsert) kind = ChangeKind::kUpdate;
  const Write expected = kind == ChangeKind::kInsert   ? Write::kInsert
                         : kind == ChangeKind::kDelete ? Write::kDelete
                                                       : Write::kUpdate;
  if (row.write != expected) return false;
  if (kind != ChangeKind::kDelete) {
    ValuesHash hash;
    size_t at = 0;
    if (row.columns >= static_cast<uint32_t>(intent_.columns_size())) return false;
    for (uint32_t column : intent_.columns(static_cast<int>(row.columns)).columns()) {
      const std::string& name = names.ColumnNameOf(ref.table, ColumnId{column});
      // Mostly in the same order: begin after the last one.
      for (size_t tried = 0; tried < shape.columns.size(); ++tried, ++at) {
        if (at == shape.columns.size()) at = 0;
        if (shape.columns[at].name != name) continue;
        hash.Add(name, tuple[at]);
        break;
      }
    }
    if (hash.Finish() != row.values) return false;
  }
  row.seen = Seen::kAll;
  return true;
}

}  // namespace assay
