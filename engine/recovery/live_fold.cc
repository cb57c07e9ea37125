#include "engine/recovery/live_fold.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/column_text.h"
#include "engine/fold/type_fit.h"
#include "log/annotate.h"
#include "log/check.h"
#include "log/local_state/unsettled_rows.h"

namespace assay {
namespace {

// What has no value that anybody here could read.
bool IsUnreadable(const absl::Status& status) {
  return absl::IsPermissionDenied(status) || absl::IsInvalidArgument(status);
}

}  // namespace

absl::Status LiveFold::Refresh() {
  ASSAY_RETURN_IF_ERROR(stores_.log->Refresh());
  ASSAY_RETURN_IF_ERROR(stores_.names->Refresh());
  ASSAY_RETURN_IF_ERROR(stores_.state->Refresh());
  return stores_.unsettled->Refresh();
}

absl::Status LiveFold::BeginTable(const TableShape& shape) {
  ASSAY_RETURN_IF_ERROR(Refresh());
  values_.Clear();
  history_.Clear();
  shape_ = shape;
  ASSAY_ASSIGN_OR_RETURN(table_, stores_.names->IdOf(shape.name));
  ASSAY_ASSIGN_OR_RETURN(const DeclaredShape newest, stores_.state->Read(kShapeNote, shape.name.ToString()));
  declared_ = newest.sequence;
  ASSAY_ASSIGN_OR_RETURN(renamed_elsewhere_, history_.RenamedElsewhere(table_));
  ASSAY_RETURN_IF_ERROR(ChooseColumns(shape));
  if (declared_.value == 0) return absl::OkStatus();  // It has had no rows yet.
  ASSAY_ASSIGN_OR_RETURN(const auto declared, stores_.names->Schema(own_, declared_));
  if (declared->key_columns == key_.columns) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the primary key of ", shape.name.ToString(),
                                                    " was changed, and no row by the new one has been captured yet"));
}

absl::Status LiveFold::ChooseColumns(const TableShape& shape) {
  ASSAY_ASSIGN_OR_RETURN(const ColumnNumbers numbers, stores_.state->Read(kColumnNumbersNote, table_));
  ASSAY_ASSIGN_OR_RETURN(const ColumnNulls nulls, stores_.state->Read(kNullsNote));
  ASSAY_ASSIGN_OR_RETURN(const ColumnNulls remade, stores_.state->Read(kRemadeNote));
  ASSAY_ASSIGN_OR_RETURN(const ColumnHistory::FormerNames former, history_.Former(table_, shape));
  key_ = ColumnHistory::KeyOf(shape, former);
  columns_.clear();
  here_.clear();
  is_key_.assign(shape.columns.size(), false);
  comparable_.assign(shape.columns.size(), false);
  for (const uint32_t key : shape.key) is_key_[key] = true;
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    const TableColumn& column = shape.columns[i];
    ASSAY_ASSIGN_OR_RETURN(const ColumnId id, stores_.names->ColumnIdOf(table_, column.name));
    columns_.push_back(id);
    here_.insert(id);
    // Or it was added and no row has been captured since: neither its name nor its number has been another's.
    const auto was_another = [&](const auto& each) {
      return each != std::pair(column.name, column.number) &&
             (each.first == column.name || each.second == column.number);
    };
    const bool known = column.number == 0 ||
                       std::count(numbers.begin(), numbers.end(), std::pair(column.name, column.number)) > 0 ||
                       std::none_of(numbers.begin(), numbers.end(), was_another);
    // Compared before that, they would count as compared, and what it has would be found at night.
    if (nulls.contains({table_, id}))
      return absl::AbortedError(absl::StrCat("column ", column.name, " of ", shape.name.ToString(),
                                             " has just come, and rows that wait for it are looked at first"));
    comparable_[i] = known && !remade.contains({table_, id}) && former[i].empty();
  }
  return absl::OkStatus();
}

LiveFold::HashedRow LiveFold::Hash(absl::Span<const TupleValue> tuple) const {
  ASSAY_CHECK(tuple.size() == columns_.size());
  HashedRow row;
  for (const uint32_t ordinal : key_.ordinals) row.key.emplace_back(tuple[ordinal].text);
  row.ref = RowOf(table_, key_.columns, row.key);
  row.hashes.reserve(tuple.size());
  for (size_t i = 0; i < tuple.size(); ++i)
    row.hashes.push_back(comparable_[i] && !is_key_[i] ? HashValue(tuple[i]) : kValueNotInLog);
  return row;
}

absl::StatusOr<RowVersions> LiveFold::VersionsOf(const RowRef& ref) {
  ASSAY_ASSIGN_OR_RETURN(const RowVersions* versions, stores_.rows->Get(ref));
  return versions == nullptr ? RowVersions{} : *versions;
}

bool LiveFold::MayBeRenamed(const RowVersions& versions) const {
  const auto is_here = [this](const ColumnVersion& column) { return here_.contains(column.column); };
  return renamed_elsewhere_ && !std::all_of(versions.columns.begin(), versions.columns.end(), is_here);
}

absl::StatusOr<FoldIndex::Entry> LiveFold::EntryOf(const RowVersions& versions) {
  FoldIndex::Entry entry{versions, std::vector<uint64_t>(versions.columns.size(), kValueNotInLog)};
  if (MayBeRenamed(versions)) return entry;
  std::vector<Version> seen;
  for (size_t i = 0; i < versions.columns.size(); ++i) {
    const Version version = versions.columns.VersionAt(i);
    if (std::find(seen.begin(), seen.end(), version) != seen.end()) continue;
    seen.push_back(version);
    const absl::StatusOr<const ResolvedChange*> change = values_.Change(version);
    if (IsUnreadable(change.status())) continue;
    ASSAY_RETURN_IF_ERROR(change.status());
    const v1::RowChange& row = (*change)->row();
    for (int k = 0; k < row.columns_size(); ++k) {  // Of a column that is named twice, the last counts.
      const ColumnId id = (*change)->ColumnAt(k);
      const size_t at = versions.columns.LowerBound(id);
      if (at == versions.columns.size() || versions.columns[at] != ColumnVersion{id, version}) continue;
      const v1::ColumnChange& column = row.columns(k);
      entry.hashes[at] = column.has_value() ? HashValue({TupleValue::Kind::kText, column.value()})
                         : column.is_null() ? HashValue({})
                                            : kValueNotInLog;
    }
  }
  return entry;
}

absl::Status LiveFold::Compare(absl::Span<const HashedRow> rows, CheckedTable* checked, std::vector<size_t>* doubtful,
                               std::vector<size_t>* found) {
  std::vector<RowVersions> versions;
  versions.reserve(rows.size());
  for (const HashedRow& row : rows) {
    ASSAY_ASSIGN_OR_RETURN(RowVersions of, VersionsOf(row.ref));
    versions.push_back(std::move(of));
  }
  // In the order of the log, so that each of its segments is unpacked once.
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto place = [&](size_t i) { return std::pair(versions[i].written.origin, versions[i].written.sequence); };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return place(a) < place(b); });
  const size_t values = static_cast<size_t>(std::count(is_key_.begin(), is_key_.end(), false));
  for (const size_t i : order) {
    ++checked->rows;
    RowComparison comparison;
    if (versions[i] != RowVersions{}) {
      ASSAY_ASSIGN_OR_RETURN(const FoldIndex::Entry entry, EntryOf(versions[i]));
      comparison = CompareRow(&entry, columns_, is_key_, rows[i].hashes);
    }
    checked->cells += comparison.compared;
    checked->passed_over += values - comparison.compared;
    if (comparison.kind != RowComparison::Kind::kEqual) doubtful->push_back(i);
    if (!FoundOf(versions[i], rows[i], comparison.unknown).empty()) found->push_back(i);
  }
  return absl::OkStatus();
}

std::vector<uint32_t> LiveFold::FoundOf(const RowVersions& versions, const HashedRow& row,
                                        const std::vector<uint32_t>& unknown) const {
  std::vector<uint32_t> found;
  if (!versions.IsLive() || MayBeRenamed(versions)) return found;
  for (const uint32_t ordinal : unknown) {
    if (comparable_[ordinal] && row.hashes[ordinal] != HashValue({})) found.push_back(ordinal);
  }
  return found;
}

absl::StatusOr<std::optional<FoundRow>> LiveFold::FoundIn(std::vector<ColumnText> here) {
  std::vector<TupleValue> tuple;
  for (const ColumnText& text : here) tuple.push_back(TupleOf(text));
  const HashedRow row = Hash(tuple);
  FoundRow found;
  ASSAY_ASSIGN_OR_RETURN(found.versions, VersionsOf(row.ref));
  ASSAY_ASSIGN_OR_RETURN(const FoldIndex::Entry entry, EntryOf(found.versions));
  found.columns = FoundOf(found.versions, row, CompareRow(&entry, columns_, is_key_, row.hashes).unknown);
  if (found.columns.empty()) return std::nullopt;
  ASSAY_ASSIGN_OR_RETURN(const std::optional<UnsettledRow> unsettled, stores_.unsettled->Find(row.ref));
  if (unsettled.has_value()) return std::nullopt;
  found.values = std::move(here);
  return found;
}

absl::StatusOr<bool> LiveFold::ForEachLive(
    size_t rows_max, KeyHash* from, const std::function<absl::Status(const KeyHash&, const RowVersions&)>& visit) {
  size_t rows = 0;
  bool more = false;
  ASSAY_RETURN_IF_ERROR(stores_.rows->ForEachFrom(
      table_, *from, [&](const KeyHash& key, const RowVersions& versions) -> absl::StatusOr<bool> {
        more = rows++ == rows_max;
        if (more) *from = key;
        if (!more && versions.IsLive()) ASSAY_RETURN_IF_ERROR(visit(key, versions));
        return !more;
      }));
  return more;
}

absl::StatusOr<std::optional<RowKey>> LiveFold::KeyOf(const RowVersions& versions) {
  const absl::StatusOr<const ResolvedChange*> change = values_.Change(versions.written);
  if (IsUnreadable(change.status())) return std::nullopt;
  ASSAY_RETURN_IF_ERROR(change.status());
  if ((*change)->schema->key_columns != key_.columns) return std::nullopt;
  const v1::RowChange& row = (*change)->row();
  return RowKey(row.key().begin(), row.key().end());
}

absl::StatusOr<LiveFold::Look> LiveFold::LookAt(const RowKey& key, const std::vector<ColumnText>* here) {
  const RowRef ref = RowOf(table_, key_.columns, key);
  Look look;
  ASSAY_ASSIGN_OR_RETURN(look.versions, VersionsOf(ref));
  const bool live = look.versions.IsLive();
  if (here != nullptr && live) {
    ASSAY_ASSIGN_OR_RETURN(const FoldIndex::Entry entry, EntryOf(look.versions));
    ASSAY_RETURN_IF_ERROR(AddCells(entry, key, *here, &look));
  } else if (here != nullptr || live) {
    look.cells.push_back({EncodeKey(key), "", here != nullptr ? ColumnText("present") : std::nullopt,
                          live                             ? ColumnText("present")
                          : look.versions == RowVersions{} ? std::nullopt
                                                           : ColumnText("deleted")});
  }
  if (look.cells.empty()) return look;
  ASSAY_ASSIGN_OR_RETURN(const std::optional<UnsettledRow> unsettled, stores_.unsettled->Find(ref));
  look.verdict = unsettled.has_value() ? Look::Verdict::kWaits : Look::Verdict::kDiffers;
  return look;
}

absl::StatusOr<bool> LiveFold::IsOfADroppedColumn(const Version& version, const v1::TableSchema::Column& written,
                                                  const TableColumn& here) {
  const TypeText from{written.type(), written.definition()}, to{here.type, here.definition};
  if (from == to || IsWidening(from, to)) return false;
  ASSAY_ASSIGN_OR_RETURN(const ColumnHistory::Fate fate,
                         history_.FateOf(version, table_, written.name(), written.number(), shape_));
  return fate.known && !fate.name.has_value();
}

absl::Status LiveFold::AddCells(const FoldIndex::Entry& entry, const RowKey& key, const std::vector<ColumnText>& here,
                                Look* look) {
  std::vector<TupleValue> tuple;
  for (const ColumnText& text : here) tuple.push_back(TupleOf(text));
  const RowComparison comparison = CompareRow(&entry, columns_, is_key_, Hash(tuple).hashes);
  for (const uint32_t ordinal : comparison.differing) {
    const Version version = *entry.versions.Find(columns_[ordinal]);
    ASSAY_ASSIGN_OR_RETURN(ColumnText log, values_.Value(version, columns_[ordinal]));
    ASSAY_ASSIGN_OR_RETURN(const ResolvedChange* change, values_.Change(version));
    const v1::TableSchema::Column* written = nullptr;
    for (int i = 0; i < change->row().columns_size(); ++i) {
      if (change->ColumnAt(i) != columns_[ordinal]) continue;
      written = &change->schema->schema.columns(static_cast<int>(change->row().columns(i).ordinal()));
    }
    ASSAY_CHECK(written != nullptr);  // It has a value.
    const TableColumn& column = shape_.columns[ordinal];
    if (log.has_value() && here[ordinal].has_value() &&
        Essence(*log, written->type()) == Essence(*here[ordinal], column.type)) {
      continue;
    }
    if (!here[ordinal].has_value()) {
      ASSAY_ASSIGN_OR_RETURN(const bool gone, IsOfADroppedColumn(version, *written, column));
      if (gone) continue;
    }
    look->cells.push_back({EncodeKey(key), shape_.columns[ordinal].name, ListedText(here[ordinal]), ListedText(log)});
  }
  return absl::OkStatus();
}

}  // namespace assay
