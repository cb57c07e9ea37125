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

constexpr auto kReconcile = v1::TransactionHeader::RECONCILE;
constexpr char kKept[] = "changed here: recorded now, and kept";
constexpr char kStale[] = "an older value: brought up to date";

}  // namespace

absl::Status RowRepair::BeginPass(Pass pass, Lsn at, int64_t time_us) {
  Begin(pass, at, time_us);
  return fold().ForgetSeen();
}

absl::Status RowRepair::Compared(const ComparedRow& row) {
  report_.rows += writing();
  if (row.entry != nullptr) ASSAY_RETURN_IF_ERROR(fold().MarkSeen(row.ref));
  switch (row.comparison.kind) {
    case RowComparison::Kind::kOnlyHere:
      if (!writing()) return absl::OkStatus();
      List(row.key, "", "present", std::nullopt, kKept);
      ASSAY_RETURN_IF_ERROR(WriteAs(kReconcile, v1::RowChange::FOUND));
      return KeepInsert(row.tuple);
    case RowComparison::Kind::kEqual:
      if (!writing()) return absl::OkStatus();
      ++report_.equal;
      ASSAY_RETURN_IF_ERROR(TakeOn(row));
      return KeepUpdate(row, {});
    case RowComparison::Kind::kDiffers:
      if (writing()) return Differs(row);
      break;
    case RowComparison::Kind::kDeleted:
      if (writing()) return Deleted(row);
      break;
  }
  NoteDoubts(row);
  return absl::OkStatus();
}

void RowRepair::NoteDoubts(const ComparedRow& row) {
  std::vector<uint32_t> ordinals = row.comparison.differing;
  if (row.comparison.kind == RowComparison::Kind::kDeleted) {
    for (uint32_t i = 0; i < row.tuple.size(); ++i) {
      if (!IsKey(i)) ordinals.push_back(i);
    }
  }
  std::vector<Doubt>& doubts = doubts_[row.ref];
  for (uint32_t ordinal : ordinals) doubts.push_back({ColumnAt(ordinal).value, HashValue(row.tuple[ordinal])});
}

void RowRepair::NoteHeld(ColumnId column, bool has_text, bool is_null, absl::string_view text,
                         std::vector<Doubt>* doubts) {
  if (!has_text && !is_null) return;
  const uint64_t hash = HashValue(has_text ? TupleValue{TupleValue::Kind::kText, text} : TupleValue{});
  for (Doubt& doubt : *doubts) doubt.written |= doubt.column == column.value && doubt.hash == hash;
}

bool RowRepair::Written(const RowRef& ref, uint32_t ordinal, const TupleValue& value) const {
  const auto doubts = doubts_.find(ref);
  if (doubts == doubts_.end()) return false;
  for (const Doubt& doubt : doubts->second) {
    if (doubt.column == ColumnAt(ordinal).value && doubt.hash == HashValue(value)) return doubt.written;
  }
  return false;
}

absl::Status RowRepair::Deleted(const ComparedRow& row) {
  ASSAY_ASSIGN_OR_RETURN(const bool held, IsHeld(row.ref, std::nullopt, row.entry->versions.deleted));
  bool stale = !held;
  for (uint32_t i = 0; i < row.tuple.size() && stale; ++i) stale = IsKey(i) || Written(row.ref, i, row.tuple[i]);
  List(row.key, "", "present", "deleted", stale ? "an older row: deleted again" : kKept);
  if (stale) return Stale(row.ref, row.key, *row.entry, /*there=*/true);
  ASSAY_RETURN_IF_ERROR(TakeOn(row));
  ASSAY_RETURN_IF_ERROR(WriteAs(kReconcile, v1::RowChange::EDIT));
  return KeepInsert(row.tuple);
}

absl::Status RowRepair::Differs(const ComparedRow& row) {
  std::vector<uint32_t> changed;
  bool stale = false;
  for (uint32_t ordinal : row.comparison.differing) {
    const Version version = *row.entry->versions.Find(ColumnAt(ordinal));
    ASSAY_ASSIGN_OR_RETURN(const bool held, IsHeld(row.ref, ColumnAt(ordinal), version));
    const bool older = !held && Written(row.ref, ordinal, row.tuple[ordinal]);
    stale |= older;
    if (!older) changed.push_back(ordinal);
    ASSAY_ASSIGN_OR_RETURN(const ColumnText fold, ValueOf(version, ordinal));
    List(row.key, shape().columns[ordinal].name, TextOf(row.tuple[ordinal]), fold, older ? kStale : kKept);
  }
  ASSAY_RETURN_IF_ERROR(stale ? Stale(row.ref, row.key, *row.entry, /*there=*/true) : TakeOn(row));
  return KeepUpdate(row, changed);
}

absl::Status RowRepair::EndTable() {
  if (!writing()) return absl::OkStatus();
  return fold().ForEachUnseen(table(),
                              [this](const RowRef& ref, const FoldIndex::Entry& entry) { return Absent(ref, entry); });
}

absl::Status RowRepair::Absent(const RowRef& ref, const FoldIndex::Entry& entry) {
  if (!entry.versions.IsLive()) return absl::OkStatus();
  const Version written = entry.versions.written;
  ASSAY_ASSIGN_OR_RETURN(const bool held, IsHeld(ref, std::nullopt, written));
  ASSAY_ASSIGN_OR_RETURN(const ResolvedChange* change, values().Change(written));
  const RowKey key(change->row().key().begin(), change->row().key().end());
  // Of a table with another key than ours: it cannot be here.
  if (change->schema->key_columns != this->key().columns) return absl::OkStatus();
  if (!held) {
    ++report_.absent;
    List(key, "", std::nullopt, "present", "not here: written again");
    return Stale(ref, key, entry, /*there=*/false);
  }
  List(key, "", std::nullopt, "present", "deleted here: recorded now, and kept");
  ++report_.deleted;
  CaptureItem item;
  item.kind = CaptureItem::Kind::kDelete;
  std::vector<std::string> texts(shape().columns.size());
  item.old_tuple.assign(texts.size(), {TupleValue::Kind::kUnchanged, {}});
  for (size_t i = 0; i < key.size(); ++i) item.old_tuple[this->key().ordinals[i]] = {TupleValue::Kind::kText, key[i]};
  for (size_t i = 0; i < texts.size(); ++i) {
    const Version* version = IsKey(i) ? nullptr : entry.versions.Find(ColumnAt(i));
    if (version == nullptr) continue;
    absl::StatusOr<ColumnText> value = ValueOf(*version, i);
    if (!value.ok()) continue;  // Not written by anyone who could tell.
    item.old_tuple[i] = {value->has_value() ? TupleValue::Kind::kText : TupleValue::Kind::kNull, {}};
    if (value->has_value()) texts[i] = **std::move(value), item.old_tuple[i].text = texts[i];
  }
  ASSAY_RETURN_IF_ERROR(TakeOn(ref, entry.versions));
  ASSAY_RETURN_IF_ERROR(WriteAs(kReconcile, v1::RowChange::EDIT));
  const size_t bytes = BytesOf(item.old_tuple);
  return Record(std::move(item), bytes);
}

absl::Status RowRepair::EndPass() { return writing() ? CommitPass() : LookForOlderValues(); }

// One more time through the log, for the few rows that differ.
absl::Status RowRepair::LookForOlderValues() {
  if (doubts_.empty()) return absl::OkStatus();
  for (const OriginId& origin : parts().log->Origins()) {
    EventReader reader = parts().log->Read(origin, Sequence{1});
    while (true) {
      ASSAY_ASSIGN_OR_RETURN(const StoredEvent* stored, reader.Next());
      if (stored == nullptr) break;
      if (stored->masked || stored->table.empty()) continue;
      const absl::StatusOr<ResolvedChange> change = ResolveChange(stored->bytes, origin, *parts().names);
      // Nobody has read a value in it.
      if (absl::IsInvalidArgument(change.status()) || absl::IsPermissionDenied(change.status())) continue;
      ASSAY_RETURN_IF_ERROR(change.status());
      if (!change->event.has_row()) continue;
      const RowKey key(change->row().key().begin(), change->row().key().end());
      const auto doubts = doubts_.find(RowOf(change->schema->table, change->schema->key_columns, key));
      if (doubts == doubts_.end()) continue;
      for (int i = 0; i < change->row().columns_size(); ++i) {
        const v1::ColumnChange& column = change->row().columns(i);
        // What was replaced was held as well, though nobody may have written it: ALTER TABLE fills columns.
        NoteHeld(change->ColumnAt(i), column.has_value(), column.is_null(), column.value(), &doubts->second);
        NoteHeld(change->ColumnAt(i), column.has_old_value(), column.old_is_null(), column.old_value(),
                 &doubts->second);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status RowRepair::Stale(const RowRef& ref, const RowKey& key, const FoldIndex::Entry& entry, bool there) {
  report_.stale += there;
  return options_.make_due || MadeAnew() ? MakeDue(ref, key, entry.versions, there) : absl::OkStatus();
}

absl::Status RowRepair::KeepInsert(absl::Span<const TupleValue> tuple) {
  ++report_.inserted;
  return WriteInsert(tuple);
}

absl::Status RowRepair::KeepUpdate(const ComparedRow& row, const std::vector<uint32_t>& edited) {
  report_.updated += !edited.empty() || !row.comparison.unknown.empty();
  if (!edited.empty()) {
    ASSAY_RETURN_IF_ERROR(WriteAs(kReconcile, v1::RowChange::EDIT));
    ASSAY_RETURN_IF_ERROR(WriteUpdate(row, edited));
  }
  if (row.comparison.unknown.empty()) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(WriteAs(kReconcile, v1::RowChange::FOUND));
  return WriteUpdate(row, row.comparison.unknown);
}

void RowRepair::List(const RowKey& key, const std::string& column, const ColumnText& here, const ColumnText& fold,
                     const std::string& verdict) {
  if (report_.differences.size() == kDifferencesListed) return;
  RowRepairReport::Difference& added = report_.differences.emplace_back();
  added.table = shape().name;
  added.key = key;
  added.column = column;
  added.here = ListedText(here);
  added.fleet = ListedText(fold);
  added.verdict = verdict;
}

}  // namespace assay
