#include "engine/recovery/row_repair.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/column_text.h"
#include "engine/fold/merge.h"
#include "log/annotate.h"
#include "log/check.h"

namespace assay {
namespace {

constexpr char kKept[] = "changed here: recorded now, and kept";
constexpr char kStale[] = "an older value: brought up to date";

size_t BytesOf(absl::Span<const TupleValue> tuple) {
  size_t bytes = 0;
  for (const TupleValue& value : tuple) bytes += value.text.size();
  return bytes;
}

}  // namespace

absl::Status RowRepair::BeginPass(Pass pass, Lsn at, int64_t time_us) {
  pass_ = pass;
  time_us_ = time_us;
  feed_.Begin(at, time_us);
  parts_.recorder->SetSource(v1::TransactionHeader::RECONCILE, /*ancient=*/false);
  return fold_->ForgetSeen();
}

absl::Status RowRepair::BeginTable(std::shared_ptr<const TableShape> shape) {
  shape_ = std::move(shape);
  ASSAY_ASSIGN_OR_RETURN(table_, parts_.names->IdOf(shape_->name));
  columns_.clear();
  is_key_.assign(shape_->columns.size(), false);
  for (uint32_t key : shape_->key) is_key_[key] = true;
  for (const TableColumn& column : shape_->columns) {
    ASSAY_ASSIGN_OR_RETURN(const ColumnId id, parts_.names->ColumnIdOf(table_, column.name));
    columns_.push_back(id);
  }
  return absl::OkStatus();
}

absl::Status RowRepair::Row(absl::Span<const TupleValue> tuple) {
  ASSAY_CHECK(tuple.size() == columns_.size());
  RowKey key;
  for (uint32_t ordinal : shape_->key) key.emplace_back(tuple[ordinal].text);
  const RowRef ref{table_, HashKey(key)};
  ASSAY_ASSIGN_OR_RETURN(const FoldIndex::Entry* entry, fold_->Find(ref));
  const RowComparison comparison = CompareRow(entry, columns_, is_key_, tuple);
  const bool writing = pass_ == Pass::kWrite;
  report_.rows += writing;
  if (entry != nullptr) ASSAY_RETURN_IF_ERROR(fold_->MarkSeen(ref));
  switch (comparison.kind) {
    case RowComparison::Kind::kOnlyHere:
      if (!writing) return absl::OkStatus();
      List(key, "", "present", std::nullopt, kKept);
      return WriteInsert(tuple);
    case RowComparison::Kind::kEqual:
      if (!writing) return absl::OkStatus();
      ++report_.equal;
      ASSAY_RETURN_IF_ERROR(TakeOn(ref, entry->versions));
      return WriteUpdate(*entry, tuple, comparison.unknown);
    case RowComparison::Kind::kDiffers:
    case RowComparison::Kind::kDeleted:
      break;
  }
  if (writing) return Differs(ref, key, *entry, comparison, tuple);
  std::vector<uint32_t> ordinals = comparison.differing;
  if (comparison.kind == RowComparison::Kind::kDeleted) {
    for (uint32_t i = 0; i < tuple.size(); ++i) {
      if (!is_key_[i]) ordinals.push_back(i);
    }
  }
  std::vector<Doubt>& doubts = doubts_[ref];
  for (uint32_t ordinal : ordinals) doubts.push_back({columns_[ordinal].value, HashValue(tuple[ordinal])});
  return absl::OkStatus();
}

bool RowRepair::Written(const RowRef& ref, uint32_t column, const TupleValue& value) const {
  const auto doubts = doubts_.find(ref);
  if (doubts == doubts_.end()) return false;
  for (const Doubt& doubt : doubts->second) {
    if (doubt.column == column && doubt.hash == HashValue(value)) return doubt.written;
  }
  return false;
}

absl::Status RowRepair::Differs(const RowRef& ref, const RowKey& key, const FoldIndex::Entry& found,
                                const RowComparison& comparison, absl::Span<const TupleValue> tuple) {
  const FoldIndex::Entry entry = found;  // The index's own is good until the next call only.
  if (comparison.kind == RowComparison::Kind::kDeleted) {
    ASSAY_ASSIGN_OR_RETURN(const bool held, held_(ref, std::nullopt, entry.versions.deleted));
    bool stale = !held;
    for (uint32_t i = 0; i < tuple.size() && stale; ++i)
      stale = is_key_[i] || Written(ref, columns_[i].value, tuple[i]);
    List(key, "", "present", "deleted", stale ? "an older row: deleted again" : kKept);
    if (stale) return MakeDue(ref, key, entry, /*there=*/true);
    ASSAY_RETURN_IF_ERROR(TakeOn(ref, entry.versions));
    return WriteInsert(tuple);
  }
  std::vector<uint32_t> changed = comparison.unknown;
  bool stale = false;
  for (uint32_t ordinal : comparison.differing) {
    const Version version = *entry.versions.Find(columns_[ordinal]);
    ASSAY_ASSIGN_OR_RETURN(const bool held, held_(ref, columns_[ordinal], version));
    const bool older = !held && Written(ref, columns_[ordinal].value, tuple[ordinal]);
    stale |= older;
    if (!older) changed.push_back(ordinal);
    ASSAY_ASSIGN_OR_RETURN(ColumnText fold, values_.Value(version, columns_[ordinal]));
    List(key, shape_->columns[ordinal].name, TextOf(tuple[ordinal]), std::move(fold), older ? kStale : kKept);
  }
  std::sort(changed.begin(), changed.end());
  if (!stale) {
    ASSAY_RETURN_IF_ERROR(TakeOn(ref, entry.versions));
    return WriteUpdate(entry, tuple, changed);
  }
  ASSAY_RETURN_IF_ERROR(MakeDue(ref, key, entry, /*there=*/true));
  return WriteUpdate(entry, tuple, changed);
}

absl::Status RowRepair::EndTable() {
  if (pass_ == Pass::kCompare) return absl::OkStatus();
  return fold_->ForEachUnseen(table_,
                              [this](const RowRef& ref, const FoldIndex::Entry& entry) { return Absent(ref, entry); });
}

absl::Status RowRepair::Absent(const RowRef& ref, const FoldIndex::Entry& entry) {
  if (!entry.versions.IsLive()) return absl::OkStatus();
  const Version written = entry.versions.written;
  ASSAY_ASSIGN_OR_RETURN(const bool held, held_(ref, std::nullopt, written));
  ASSAY_ASSIGN_OR_RETURN(const ResolvedChange* change, values_.Change(written));
  const RowKey key(change->row().key().begin(), change->row().key().end());
  if (key.size() != shape_->key.size())
    return absl::OkStatus();  // Of a table of another form than ours: it cannot be here.
  if (!held) {
    ++report_.absent;
    List(key, "", std::nullopt, "present", "not here: written again");
    return MakeDue(ref, key, entry, /*there=*/false);
  }
  List(key, "", std::nullopt, "present", "deleted here: recorded now, and kept");
  ++report_.deleted;
  CaptureItem item;
  item.kind = CaptureItem::Kind::kDelete;
  std::vector<std::string> texts(shape_->columns.size());
  item.old_tuple.assign(texts.size(), {TupleValue::Kind::kUnchanged, {}});
  for (size_t i = 0; i < key.size(); ++i) item.old_tuple[shape_->key[i]] = {TupleValue::Kind::kText, key[i]};
  for (size_t i = 0; i < texts.size(); ++i) {
    const Version* version = is_key_[i] ? nullptr : entry.versions.Find(columns_[i]);
    if (version == nullptr) continue;
    absl::StatusOr<ColumnText> value = values_.Value(*version, columns_[i]);
    if (!value.ok()) continue;  // Not written by anyone who could tell.
    item.old_tuple[i] = {value->has_value() ? TupleValue::Kind::kText : TupleValue::Kind::kNull, {}};
    if (value->has_value()) texts[i] = **std::move(value), item.old_tuple[i].text = texts[i];
  }
  ASSAY_RETURN_IF_ERROR(TakeOn(ref, entry.versions));
  const size_t bytes = BytesOf(item.old_tuple);
  return feed_.Record(shape_, std::move(item), bytes);
}

absl::Status RowRepair::EndPass() {
  if (pass_ == Pass::kCompare) return LookForOlderValues();
  return feed_.Commit();
}

// One more time through the log, for the few rows that differ.
absl::Status RowRepair::LookForOlderValues() {
  if (doubts_.empty()) return absl::OkStatus();
  for (const OriginId& origin : parts_.log->Origins()) {
    EventReader reader = parts_.log->Read(origin, Sequence{1});
    while (true) {
      ASSAY_ASSIGN_OR_RETURN(const StoredEvent* stored, reader.Next());
      if (stored == nullptr) break;
      if (stored->masked || stored->table.empty()) continue;
      ASSAY_ASSIGN_OR_RETURN(const ResolvedChange change, ResolveChange(stored->bytes, origin, *parts_.names));
      if (!change.event.has_row()) continue;
      const RowKey key(change.row().key().begin(), change.row().key().end());
      const auto doubts = doubts_.find({change.schema->table, HashKey(key)});
      if (doubts == doubts_.end()) continue;
      for (int i = 0; i < change.row().columns_size(); ++i) {
        const v1::ColumnChange& column = change.row().columns(i);
        if (!column.has_value() && !column.is_null()) continue;
        const uint64_t hash =
            HashValue(column.has_value() ? TupleValue{TupleValue::Kind::kText, column.value()} : TupleValue{});
        for (Doubt& doubt : doubts->second)
          doubt.written |= doubt.column == change.ColumnAt(i).value && doubt.hash == hash;
      }
    }
  }
  return absl::OkStatus();
}

absl::Status RowRepair::TakeOn(const RowRef& ref, const RowVersions& versions) {
  ASSAY_RETURN_IF_ERROR(parts_.unsettled->Settle(ref));
  return parts_.rows->Put(ref, versions);
}

absl::Status RowRepair::MakeDue(const RowRef& ref, const RowKey& key, const FoldIndex::Entry& entry, bool there) {
  report_.stale += there;
  if (!options_.make_due) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(parts_.rows->Put(ref, entry.versions));
  const Version newest = Newest(entry.versions);
  const WaitingEvent waiting{EncodeKey(key), newest.origin, newest.sequence};
  if (there) return parts_.unsettled->MarkDifferent(ref, waiting, time_us_ / 1000);
  return parts_.unsettled->MarkDue(ref, waiting, std::nullopt, time_us_ / 1000);
}

absl::Status RowRepair::WriteInsert(absl::Span<const TupleValue> tuple) {
  ++report_.inserted;
  CaptureItem item;
  item.kind = CaptureItem::Kind::kInsert;
  item.new_tuple.assign(tuple.begin(), tuple.end());
  return feed_.Record(shape_, std::move(item), BytesOf(tuple));
}

absl::Status RowRepair::WriteUpdate(const FoldIndex::Entry& entry, absl::Span<const TupleValue> tuple,
                                    const std::vector<uint32_t>& ordinals) {
  if (ordinals.empty()) return absl::OkStatus();
  ++report_.updated;
  CaptureItem item;
  item.kind = CaptureItem::Kind::kUpdate;
  item.new_tuple.assign(tuple.begin(), tuple.end());
  item.old_tuple = item.new_tuple;
  std::vector<ColumnText> before;
  before.reserve(ordinals.size());  // The tuple points into it.
  size_t bytes = 0;
  for (uint32_t ordinal : ordinals) {
    bytes += tuple[ordinal].text.size();
    const Version* version = entry.versions.Find(columns_[ordinal]);
    if (version == nullptr) {
      item.old_tuple[ordinal] = {TupleValue::Kind::kUnchanged, {}};  // Nobody says what it was before.
      continue;
    }
    ASSAY_ASSIGN_OR_RETURN(ColumnText value, values_.Value(*version, columns_[ordinal]));
    before.push_back(std::move(value));
    item.old_tuple[ordinal] = TupleOf(before.back());
  }
  return feed_.Record(shape_, std::move(item), bytes);
}

void RowRepair::List(const RowKey& key, const std::string& column, const ColumnText& here, const ColumnText& fold,
                     const std::string& verdict) {
  if (report_.differences.size() == kDifferencesListed) return;
  RowRepairReport::Difference& added = report_.differences.emplace_back();
  added.table = shape_->name;
  added.key = key;
  added.column = column;
  added.here = ListedText(here);
  added.fleet = ListedText(fold);
  added.verdict = verdict;
}

}  // namespace assay
