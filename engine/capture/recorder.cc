#include "engine/capture/recorder.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/bytes.h"
#include "log/check.h"

namespace assay {
namespace {

// A key value is never NULL and, with a whole old tuple, never unchanged TOAST. A part of the key that an update left
// alone, and that is stored out of line, comes from the `old` tuple.
absl::StatusOr<RowKey> KeyOf(const TableShape& shape, absl::Span<const TupleValue> tuple,
                             absl::Span<const TupleValue> old = {}) {
  RowKey key;
  key.reserve(shape.key.size());
  for (uint32_t ordinal : shape.key) {
    const bool unchanged = ordinal < tuple.size() && tuple[ordinal].kind == TupleValue::Kind::kUnchanged;
    const absl::Span<const TupleValue> from = unchanged ? old : tuple;
    if (ordinal >= from.size() || from[ordinal].kind != TupleValue::Kind::kText) {
      return absl::DataLossError(absl::StrCat("a captured row of ", shape.name.ToString(),
                                              " came without its key; run `assay doctor`: is REPLICA IDENTITY FULL?"));
    }
    key.emplace_back(from[ordinal].text);
  }
  return key;
}

bool SameValue(const TupleValue& a, const TupleValue& b) { return a.kind == b.kind && a.text == b.text; }

void SetNew(const TupleValue& value, v1::ColumnChange* column) {
  if (value.kind == TupleValue::Kind::kText) column->set_value(value.text.data(), value.text.size());
  if (value.kind == TupleValue::Kind::kNull) column->set_is_null(true);
}

void SetOld(const TupleValue& value, v1::ColumnChange* column) {
  if (value.kind == TupleValue::Kind::kText) column->set_old_value(value.text.data(), value.text.size());
  if (value.kind == TupleValue::Kind::kNull) column->set_old_is_null(true);
}

}  // namespace

Recorder::Recorder(const EngineConfig& config, const OriginId& own, const Stores& stores, Clock* clock,
                   ProjectionEcho* echo)
    : own_(own),
      log_(stores.log),
      names_(stores.names),
      rows_(stores.rows),
      state_(stores.state),
      echo_(echo),
      tables_(config, own, stores.names, stores.state),
      withheld_(stores.state),
      writer_(own, config, stores.log, stores.state, &tables_, &hybrid_),
      local_(own, stores, clock) {}

absl::Status Recorder::Load() {
  ASSAY_ASSIGN_OR_RETURN(const HlcStamp clock, state_->Read(kClockNote));
  // Never behind our own chain, even if the stored clock were.
  hybrid_ = HybridClock(std::max(clock, log_->Head(own_).complete_stamp));
  ASSAY_ASSIGN_OR_RETURN(clock_ahead_, state_->Read(kClockAheadNote));
  ASSAY_ASSIGN_OR_RETURN(captured_, state_->Read(kCapturedNote));
  passed_ = captured_.commit_lsn;
  ASSAY_RETURN_IF_ERROR(withheld_.Load());
  tables_.Clear();
  writer_.Clear();
  fences_.clear();
  in_transaction_ = false;
  return absl::OkStatus();
}

void Recorder::SetSource(v1::TransactionHeader::Source source, v1::RowChange::Standing standing) {
  source_ = source;
  standing_ = standing;
}

absl::Status Recorder::Record(const CaptureItem& item) {
  switch (item.kind) {
    case CaptureItem::Kind::kBegin:
      return Begin(item);
    case CaptureItem::Kind::kMessage:
      if (item.prefix == kFencePrefix) {
        fences_.emplace_back(item.content);
      } else if (known_) {
        break;
      } else if (item.prefix == kProjectionPrefix) {
        HlcStamp stamp;
        // A tag nobody meant opens an ordinary transaction, whoever wrote it.
        if (!tagged_ && !writer_.stamped() && echo_->Claims(item.content, &stamp)) {
          tagged_ = true;
          hybrid_.ObserveProjection(stamp);
        }
      } else if (item.prefix == kAttributionPrefix) {
        return Attribution(item.content);
      }
      return absl::OkStatus();
    case CaptureItem::Kind::kInsert:
    case CaptureItem::Kind::kUpdate:
    case CaptureItem::Kind::kDelete:
    case CaptureItem::Kind::kTruncate: {
      if (known_) break;
      if (!item.relation->key.empty()) return item.kind == CaptureItem::Kind::kTruncate ? Truncate(item) : Row(item);
      CaptureItem keyed = item;
      ASSAY_ASSIGN_OR_RETURN(keyed.relation, tables_.WithKnownKey(item.relation));
      return item.kind == CaptureItem::Kind::kTruncate ? Truncate(keyed) : Row(keyed);
    }
    case CaptureItem::Kind::kCommit:
      return Commit(item);
    case CaptureItem::Kind::kKeepalive:
      break;
  }
  return absl::OkStatus();
}

absl::Status Recorder::Begin(const CaptureItem& item) {
  ASSAY_CHECK(!in_transaction_);
  in_transaction_ = true;
  const bool live = source_ == v1::TransactionHeader::LIVE;
  // What was read at a snapshot, not from the stream, is all of one position.
  known_ = live && item.commit_lsn <= passed_;
  tagged_ = false;
  writer_.Begin({source_, standing_, item.commit_time_us, item.commit_lsn, item.xid});
  if (!live || known_ || clock_ahead_.after == Lsn{} || item.commit_lsn <= clock_ahead_.after) return absl::OkStatus();
  hybrid_.ObserveProjection(clock_ahead_.stamp);
  clock_ahead_ = {};
  ASSAY_RETURN_IF_ERROR(state_->Write(kClockNote, hybrid_.now()));
  return state_->Write(kClockAheadNote, clock_ahead_);
}

absl::Status Recorder::Row(const CaptureItem& item) {
  const TableShape& shape = *item.relation;
  const bool has_new = item.kind != CaptureItem::Kind::kDelete;
  const absl::Span<const TupleValue> tuple = has_new ? item.new_tuple : item.old_tuple;
  if (tuple.size() != shape.columns.size()) {
    return absl::DataLossError(absl::StrCat("a captured row of ", shape.name.ToString(), " has ", tuple.size(),
                                            " columns, its table ", shape.columns.size()));
  }
  if (item.kind == CaptureItem::Kind::kUpdate && item.old_tuple.size() != shape.columns.size()) {
    return absl::FailedPreconditionError(absl::StrCat("an update of ", shape.name.ToString(),
                                                      " came without the row before it: run \"ALTER TABLE ",
                                                      shape.name.ToString(), " REPLICA IDENTITY FULL\""));
  }
  ASSAY_ASSIGN_OR_RETURN(const DeclaredTable* table, tables_.Describe(item.relation));
  const bool update = item.kind == CaptureItem::Kind::kUpdate;
  ASSAY_ASSIGN_OR_RETURN(
      const RowKey key,
      KeyOf(shape, tuple, update ? absl::MakeConstSpan(item.old_tuple) : absl::Span<const TupleValue>()));
  if (tagged_) {
    const ChangeKind kind = item.kind == CaptureItem::Kind::kInsert   ? ChangeKind::kInsert
                            : item.kind == CaptureItem::Kind::kDelete ? ChangeKind::kDelete
                                                                      : ChangeKind::kUpdate;
    if (echo_->Meant({table->table, HashKey(key)}, kind, shape, tuple)) return absl::OkStatus();
    ++counters_.false_tags;
  }
  switch (item.kind) {
    case CaptureItem::Kind::kInsert:
      return Insert(shape, *table, tuple, key, nullptr);
    case CaptureItem::Kind::kDelete:
      return Delete(shape, *table, tuple, key);
    default:
      break;
  }
  ASSAY_ASSIGN_OR_RETURN(const RowKey old_key, KeyOf(shape, item.old_tuple));
  if (old_key == key) return Update(shape, *table, item, key);
  // A changed key is another row: the old one dies, the new one is born whole. TOAST left alone comes from the old row.
  std::vector<TupleValue> whole = item.new_tuple;
  for (size_t i = 0; i < whole.size(); ++i) {
    if (whole[i].kind == TupleValue::Kind::kUnchanged) whole[i] = item.old_tuple[i];
  }
  ASSAY_RETURN_IF_ERROR(Delete(shape, *table, item.old_tuple, old_key));
  return Insert(shape, *table, whole, key, &old_key);
}

absl::Status Recorder::Insert(const TableShape& shape, const DeclaredTable& table, absl::Span<const TupleValue> tuple,
                              const RowKey& key, const RowKey* moved_from) {
  ASSAY_ASSIGN_OR_RETURN(v1::RowChange * row, writer_.NextRow(shape, table, v1::RowChange::INSERT, key));
  const RowRef ref{table.table, HashKey(key)};
  ASSAY_ASSIGN_OR_RETURN(const RowVersions& held, local_.Held(ref));
  if (moved_from != nullptr) {
    for (const std::string& text : *moved_from) row->add_moved_from(text);
  }
  std::vector<ColumnId> touched;
  touched.reserve(shape.columns.size());
  std::vector<uint32_t> withheld;
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    if (table.is_key[i]) continue;
    v1::ColumnChange* column = row->add_columns();
    column->set_ordinal(i);
    if (writer_.TakesRoom(tuple[i]))
      SetNew(tuple[i], column);
    else
      withheld.push_back(i);
    touched.push_back(table.columns[i]);
  }
  row->set_row_replaced(writer_.ReplacedIndex(Newest(held)));
  ASSAY_RETURN_IF_ERROR(withheld_.Note(shape, key, writer_.row(), withheld, tuple));
  return local_.Move(ref, key, {ChangeKind::kInsert, writer_.version(), std::move(touched)});
}

absl::Status Recorder::Update(const TableShape& shape, const DeclaredTable& table, const CaptureItem& item,
                              const RowKey& key) {
  std::vector<bool> written(shape.columns.size());
  bool any = false;
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    if (table.is_key[i] || item.new_tuple[i].kind == TupleValue::Kind::kUnchanged ||
        SameValue(item.old_tuple[i], item.new_tuple[i])) {
      continue;
    }
    written[i] = any = true;
    for (uint32_t other : table.moves_with[i]) written[other] = true;
  }
  if (!any) return absl::OkStatus();  // SET x = x changes nothing that another branch could show.
  ASSAY_ASSIGN_OR_RETURN(v1::RowChange * row, writer_.NextRow(shape, table, v1::RowChange::UPDATE, key));
  const RowRef ref{table.table, HashKey(key)};
  ASSAY_ASSIGN_OR_RETURN(const RowVersions& held, local_.Held(ref));
  std::vector<ColumnId> touched;
  touched.reserve(shape.columns.size());
  std::vector<uint32_t> withheld;
  std::vector<TupleValue> values = item.new_tuple;
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    if (!written[i]) continue;
    v1::ColumnChange* column = row->add_columns();
    column->set_ordinal(i);
    if (values[i].kind == TupleValue::Kind::kUnchanged) values[i] = item.old_tuple[i];
    if (writer_.TakesRoom(values[i]))
      SetNew(values[i], column);
    else
      withheld.push_back(i);
    const Version* replaced = held.Find(table.columns[i]);
    if (replaced != nullptr) column->set_replaced(writer_.ReplacedIndex(*replaced));
    touched.push_back(table.columns[i]);
  }
  // What the values before leave no room for is missed by nobody but the auditor.
  for (v1::ColumnChange& column : *row->mutable_columns()) {
    const TupleValue& old_value = item.old_tuple[column.ordinal()];
    if (writer_.TakesRoom(old_value)) SetOld(old_value, &column);
  }
  row->set_row_replaced(writer_.ReplacedIndex(Newest(held)));
  ASSAY_RETURN_IF_ERROR(withheld_.Note(shape, key, writer_.row(), withheld, values));
  return local_.Move(ref, key, {ChangeKind::kUpdate, writer_.version(), std::move(touched)});
}

absl::Status Recorder::Delete(const TableShape& shape, const DeclaredTable& table, absl::Span<const TupleValue> tuple,
                              const RowKey& key) {
  ASSAY_ASSIGN_OR_RETURN(v1::RowChange * row, writer_.NextRow(shape, table, v1::RowChange::DELETE, key));
  const RowRef ref{table.table, HashKey(key)};
  ASSAY_ASSIGN_OR_RETURN(const RowVersions& held, local_.Held(ref));
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    if (table.is_key[i]) continue;
    v1::ColumnChange* column = row->add_columns();
    column->set_ordinal(i);
    if (writer_.TakesRoom(tuple[i])) SetOld(tuple[i], column);
    const Version* replaced = held.Find(table.columns[i]);
    if (replaced != nullptr) column->set_replaced(writer_.ReplacedIndex(*replaced));
  }
  row->set_row_replaced(writer_.ReplacedIndex(Newest(held)));
  ASSAY_RETURN_IF_ERROR(withheld_.Note(shape, key, writer_.row(), {}, tuple));
  return local_.Move(ref, key, {ChangeKind::kDelete, writer_.version(), {}});
}

absl::Status Recorder::Truncate(const CaptureItem& item) {
  ASSAY_ASSIGN_OR_RETURN(const DeclaredTable* table, tables_.Describe(item.relation));
  // The rows that were there, in the order they were written, so that the look into the log for their last values runs
  // forward. A parked row is in the fold and not in PostgreSQL: the statement never saw it.
  std::vector<std::pair<Version, RowRef>> live;
  ASSAY_RETURN_IF_ERROR(
      rows_->ForEach(table->table, [&](const KeyHash& key, const RowVersions& versions) -> absl::Status {
        const RowRef ref{table->table, key};
        ASSAY_ASSIGN_OR_RETURN(const bool there, local_.IsThere(ref, versions));
        if (there) live.push_back({versions.written, ref});
        return absl::OkStatus();
      }));
  std::sort(live.begin(), live.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.origin, a.first.sequence) < std::pair(b.first.origin, b.first.sequence);
  });
  // A row of this very transaction may be among them, and its event is looked up in the log. Deletes follow, so it is
  // not the last.
  if (!live.empty()) ASSAY_RETURN_IF_ERROR(writer_.Flush());
  FoldValues values(log_, names_);
  for (const auto& [written, ref] : live) {
    ASSAY_ASSIGN_OR_RETURN(const ResolvedChange* change, values.Change(written));
    const RowKey key(change->row().key().begin(), change->row().key().end());
    ASSAY_ASSIGN_OR_RETURN(const RowVersions& held, local_.Held(ref));
    std::vector<std::string> texts(item.relation->columns.size());
    std::vector<TupleValue> tuple(texts.size(), TupleValue{TupleValue::Kind::kUnchanged, {}});
    for (size_t i = 0; i < tuple.size(); ++i) {
      const Version* version = table->is_key[i] ? nullptr : held.Find(table->columns[i]);
      if (version == nullptr) continue;
      absl::StatusOr<ColumnText> value = values.Value(*version, table->columns[i]);
      if (!value.ok()) continue;  // Not written by anyone who could tell: no old value to keep.
      tuple[i].kind = value->has_value() ? TupleValue::Kind::kText : TupleValue::Kind::kNull;
      if (value->has_value()) texts[i] = **value, tuple[i].text = texts[i];
    }
    ASSAY_RETURN_IF_ERROR(Delete(*item.relation, *table, tuple, key));
  }
  return absl::OkStatus();
}

absl::Status Recorder::Attribution(absl::string_view json) {
  if (writer_.attributed()) return absl::OkStatus();
  // Mostly the same as that of the transaction before.
  if (json == attribution_json_) {
    writer_.Attribute(last_attribution_);
    return absl::OkStatus();
  }
  auto attribution = std::make_shared<v1::Attribution>();
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  // Anyone may emit such a message; one that is no attribution leaves the change unattributed, which shows.
  const google::protobuf::StringPiece text(json.data(), json.size());
  if (google::protobuf::util::JsonStringToMessage(text, attribution.get(), options).ok()) {
    last_attribution_ = std::move(attribution);
    attribution_json_ = std::string(json);
    writer_.Attribute(last_attribution_);
  }
  return absl::OkStatus();
}

absl::Status Recorder::Commit(const CaptureItem& item) {
  ASSAY_CHECK(in_transaction_);
  in_transaction_ = false;
  if (known_) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(bool changed, writer_.End());
  if (changed) {
    if (!writer_.attributed() && source_ == v1::TransactionHeader::LIVE && !tagged_) {
      ++counters_.unattributed_transactions;
    }
    counters_.last_commit_us = writer_.facts().commit_time_us;
  }
  if (tagged_) {
    ASSAY_RETURN_IF_ERROR(echo_->Landed());
    changed = true;
  }
  passed_ = std::max(passed_, item.commit_lsn);
  // A transaction that left nothing in the log may come again after a crash: it leaves nothing again.
  if (!changed) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(state_->Write(kClockNote, hybrid_.now()));
  if (source_ != v1::TransactionHeader::LIVE) return absl::OkStatus();  // Not from the stream: it never comes by.
  captured_ = {item.commit_lsn, item.end_lsn, writer_.facts().commit_time_us, writer_.facts().xid, item.end_lsn};
  return state_->Write(kCapturedNote, captured_);
}

absl::Status Recorder::MovePosition(Lsn position) {
  captured_.position = position;
  return state_->Write(kCapturedNote, captured_);
}

}  // namespace assay
