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

// A key value is never NULL. A part of the key that an update left alone, and that is stored out of line, comes from
// the `old` tuple. INVALID_ARGUMENT: the tuple has not all of the key.
absl::StatusOr<RowKey> KeyOf(const DeclaredTable& table, absl::Span<const TupleValue> tuple,
                             absl::Span<const TupleValue> old = {}) {
  RowKey key;
  key.reserve(table.key.ordinals.size());
  for (uint32_t ordinal : table.key.ordinals) {
    const bool unchanged = ordinal < tuple.size() && tuple[ordinal].kind == TupleValue::Kind::kUnchanged;
    const absl::Span<const TupleValue> from = unchanged ? old : tuple;
    if (ordinal >= from.size() || from[ordinal].kind != TupleValue::Kind::kText) {
      return absl::InvalidArgumentError(
          absl::StrCat("a row came without a value of its key column ", table.shape->columns[ordinal].name));
    }
    key.emplace_back(from[ordinal].text);
  }
  return key;
}

// The log is whole, and an event of it does not say what was asked for.
bool IsNotTold(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsPermissionDenied(status) || absl::IsInvalidArgument(status);
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
      unrecorded_(stores.state),
      writer_(own, config, stores.log, stores.state, &tables_, &hybrid_),
      local_(own, stores, clock) {}

absl::Status Recorder::Load() {
  ASSAY_ASSIGN_OR_RETURN(const HlcStamp clock, state_->Read(kClockNote));
  // Never behind our own chain, even if the stored clock were.
  hybrid_ = HybridClock(std::max(clock, log_->Head(own_).complete_stamp));
  ASSAY_ASSIGN_OR_RETURN(clock_ahead_, state_->Read(kClockAheadNote));
  ASSAY_ASSIGN_OR_RETURN(baselines_, state_->Read(kBaselinesNote));
  ASSAY_ASSIGN_OR_RETURN(captured_, state_->Read(kCapturedNote));
  OnStreamRestart();
  ASSAY_RETURN_IF_ERROR(withheld_.Load());
  ASSAY_RETURN_IF_ERROR(unrecorded_.Load());
  tables_.Clear();
  writer_.Clear();
  fences_.clear();
  in_transaction_ = false;
  return absl::OkStatus();
}

void Recorder::OnStreamRestart() { passed_ = captured_.commit_lsn; }

void Recorder::SetSource(v1::TransactionHeader::Source source, v1::RowChange::Standing standing) {
  source_ = source;
  standing_ = standing;
}

absl::Status Recorder::Record(const CaptureItem& item) {
  switch (item.kind) {
    case CaptureItem::Kind::kBegin:
      return Begin(item);
    case CaptureItem::Kind::kMessage:
      return Message(item);
    case CaptureItem::Kind::kRelation:
      Relation(item);
      return absl::OkStatus();
    case CaptureItem::Kind::kInsert:
    case CaptureItem::Kind::kUpdate:
    case CaptureItem::Kind::kDelete:
    case CaptureItem::Kind::kTruncate:
    case CaptureItem::Kind::kUnreadable: {
      if (known_ || IsInBaseline(item)) break;
      const absl::Status status = Change(item);
      if (!absl::IsInvalidArgument(status)) return status;
      unrecorded_.Note(item.relation->name.ToString(), 1, status.message());
      return absl::OkStatus();
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
  unrecorded_.Begin();
  ahead_ = absl::FromUnixMicros(item.commit_time_us) - now_ > kCommitAheadMax;
  const int64_t stamp_time_us = ahead_ ? absl::ToUnixMicros(now_) : item.commit_time_us;
  writer_.Begin({source_, standing_, item.commit_time_us, stamp_time_us, item.commit_lsn, item.xid});
  if (!live || known_ || clock_ahead_.after == Lsn{} || item.commit_lsn <= clock_ahead_.after) return absl::OkStatus();
  hybrid_.ObserveProjection(clock_ahead_.stamp);
  clock_ahead_ = {};
  ASSAY_RETURN_IF_ERROR(state_->Write(kClockNote, hybrid_.now()));
  return state_->Write(kClockAheadNote, clock_ahead_);
}

bool Recorder::IsInBaseline(const CaptureItem& item) const {
  if (baselines_.empty() || source_ != v1::TransactionHeader::LIVE) return false;
  const auto at = baselines_.find(item.relation->name.ToString());
  return at != baselines_.end() && writer_.facts().commit_lsn <= at->second;
}

absl::Status Recorder::Message(const CaptureItem& item) {
  if (item.prefix == kFencePrefix) {
    fences_.emplace_back(item.content);
  } else if (known_) {
    return absl::OkStatus();
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
}

void Recorder::Relation(const CaptureItem& item) {
  tables_.OnRelation(item.relation->name);
  const std::string table = item.relation->name.ToString();
  if (item.identity == ReplicaIdentity::kFull)
    identities_.erase(table);
  else
    identities_[table] = item.identity;
}

absl::Status Recorder::OnSurvey(const UnrecordedTables& missed, std::map<std::string, ReplicaIdentity> identities) {
  ASSAY_CHECK(!in_transaction_);
  identities_ = std::move(identities);
  return unrecorded_.Missed(missed);
}

absl::Status Recorder::Change(const CaptureItem& item) {
  if (item.kind == CaptureItem::Kind::kUnreadable) return absl::InvalidArgumentError("a row came that makes no sense");
  if (item.kind == CaptureItem::Kind::kTruncate) return Truncate(item);
  const size_t columns = item.relation->columns.size();
  for (const auto* tuple : {&item.old_tuple, &item.new_tuple}) {
    const bool wanted = item.kind == CaptureItem::Kind::kUpdate ||
                        (tuple == &item.old_tuple) == (item.kind == CaptureItem::Kind::kDelete);
    if (!wanted || tuple->size() == columns) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("a row came with ", tuple->size(), " columns, and its table has ", columns));
  }
  return Row(item);
}

absl::Status Recorder::Row(const CaptureItem& item) {
  const bool update = item.kind == CaptureItem::Kind::kUpdate;
  const bool has_new = item.kind != CaptureItem::Kind::kDelete;
  const absl::Span<const TupleValue> tuple = has_new ? item.new_tuple : item.old_tuple;
  absl::Span<const TupleValue> before;
  if (update) before = item.old_tuple;
  ASSAY_ASSIGN_OR_RETURN(const DeclaredTables::InForce in_force, tables_.OfRow(item.relation, before, tuple));
  const DeclaredTable& table = *in_force.table;
  ASSAY_RETURN_IF_ERROR(table.refusal);
  const TableShape& shape = *table.shape;
  ASSAY_ASSIGN_OR_RETURN(const RowKey key, KeyOf(table, tuple, before));
  if (in_force.key_moves)
    unrecorded_.Note(table.name, 0, "its primary key is another than that of the rows that the log has");
  if (tagged_) {
    const ChangeKind kind = update ? ChangeKind::kUpdate : has_new ? ChangeKind::kInsert : ChangeKind::kDelete;
    if (echo_->Meant(RowOf(table.table, table.key.columns, key), kind, shape, tuple)) return absl::OkStatus();
    ++counters_.false_tags;
  }
  if (has_new && !update) {
    if (source_ == v1::TransactionHeader::LIVE) foreign_keys_.Look(shape, tuple);
    return Insert(table, tuple, key, nullptr);
  }
  if (!has_new) before = tuple;
  RowKey old_key = key;
  if (update) {
    ASSAY_ASSIGN_OR_RETURN(old_key, OldKey(table, before, key));
  }
  const auto record = [&](absl::Span<const TupleValue> old) {
    if (!has_new) return Delete(table, old, key);
    return old_key == key ? Update(table, old, tuple, key) : MoveRow(table, old, tuple, old_key, key);
  };
  const bool whole = std::none_of(before.begin(), before.end(),
                                  [](const TupleValue& value) { return value.kind == TupleValue::Kind::kUnchanged; });
  if (whole) return record(before);
  std::vector<TupleValue> known(before.begin(), before.end());
  std::vector<std::string> texts;
  ASSAY_RETURN_IF_ERROR(FillIn(table, RowOf(table.table, table.key.columns, old_key), &known, &texts));
  return record(known);
}

absl::StatusOr<RowKey> Recorder::OldKey(const DeclaredTable& table, absl::Span<const TupleValue> before,
                                        const RowKey& key) {
  absl::StatusOr<RowKey> old_key = KeyOf(table, before);
  const auto& ordinals = table.key.ordinals;
  const bool untold = std::any_of(ordinals.begin(), ordinals.end(), [&](uint32_t ordinal) {
    return before[ordinal].kind == TupleValue::Kind::kUnchanged;
  });
  if (old_key.ok() || !untold) return old_key;
  // A key does not move to where a row is: the row that the log has under this key is the one that was updated.
  const RowRef ref = RowOf(table.table, table.key.columns, key);
  ASSAY_ASSIGN_OR_RETURN(const RowVersions* versions, rows_->Get(ref));
  ASSAY_ASSIGN_OR_RETURN(const bool there, local_.IsThere(ref, versions == nullptr ? RowVersions{} : *versions));
  if (there) return key;
  return absl::InvalidArgumentError("an update came without the key that its row had before");
}

// Of the transaction's last event, which is not in the log yet.
absl::StatusOr<ColumnText> Recorder::HeldValue(size_t ordinal) {
  const v1::RowChange* row = writer_.held_row();
  for (int i = 0; i < row->columns_size(); ++i) {
    const v1::ColumnChange& column = row->columns(i);
    if (column.ordinal() != ordinal || (!column.has_value() && !column.is_null())) continue;
    return column.has_value() ? ColumnText(column.value()) : std::nullopt;
  }
  return absl::NotFoundError("it does not say");
}

absl::Status Recorder::FillIn(const DeclaredTable& table, const RowRef& ref, std::vector<TupleValue>* before,
                              std::vector<std::string>* texts) {
  ASSAY_ASSIGN_OR_RETURN(const RowVersions& held, local_.Held(ref));
  FoldValues values(log_, names_);
  texts->resize(before->size());  // They stay where they are: `before` points into them.
  for (size_t i = 0; i < before->size(); ++i) {
    TupleValue& value = (*before)[i];
    const Version* version = table.is_key[i] ? nullptr : held.Find(table.columns[i]);
    if (version == nullptr || value.kind != TupleValue::Kind::kUnchanged) continue;
    const bool is_held = writer_.held_row() != nullptr && *version == writer_.version();
    absl::StatusOr<ColumnText> known = is_held ? HeldValue(i) : values.Value(*version, table.columns[i]);
    if (IsNotTold(known.status())) continue;
    ASSAY_RETURN_IF_ERROR(known.status());
    value.kind = known->has_value() ? TupleValue::Kind::kText : TupleValue::Kind::kNull;
    if (known->has_value()) value.text = (*texts)[i] = **std::move(known);
  }
  return absl::OkStatus();
}

// A changed key is another row: the old one dies, the new one is born whole. TOAST left alone comes from the old row.
absl::Status Recorder::MoveRow(const DeclaredTable& table, absl::Span<const TupleValue> before,
                               absl::Span<const TupleValue> after, const RowKey& old_key, const RowKey& key) {
  std::vector<TupleValue> whole(after.begin(), after.end());
  for (size_t i = 0; i < whole.size(); ++i) {
    if (whole[i].kind == TupleValue::Kind::kUnchanged) whole[i] = before[i];
    if (whole[i].kind != TupleValue::Kind::kUnchanged) continue;
    unrecorded_.Note(table.name, 0,
                     absl::StrCat("a row came to another key without its value of ", table.shape->columns[i].name));
  }
  ASSAY_RETURN_IF_ERROR(Delete(table, before, old_key));
  return Insert(table, whole, key, &old_key);
}

absl::Status Recorder::Insert(const DeclaredTable& table, absl::Span<const TupleValue> tuple, const RowKey& key,
                              const RowKey* moved_from) {
  const TableShape& shape = *table.shape;
  ASSAY_ASSIGN_OR_RETURN(v1::RowChange * row, writer_.NextRow(shape, table, v1::RowChange::INSERT, key));
  const RowRef ref = RowOf(table.table, table.key.columns, key);
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

absl::Status Recorder::Update(const DeclaredTable& table, absl::Span<const TupleValue> before,
                              absl::Span<const TupleValue> after, const RowKey& key) {
  const TableShape& shape = *table.shape;
  std::vector<bool> written(shape.columns.size());
  bool any = false;
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    if (table.is_key[i] || after[i].kind == TupleValue::Kind::kUnchanged || SameValue(before[i], after[i])) continue;
    written[i] = any = true;
    for (uint32_t other : table.moves_with[i]) {
      // What nobody can tell the value of cannot be written along.
      written[other] =
          before[other].kind != TupleValue::Kind::kUnchanged || after[other].kind != TupleValue::Kind::kUnchanged;
    }
  }
  if (!any) return absl::OkStatus();  // SET x = x changes nothing that another branch could show.
  ASSAY_ASSIGN_OR_RETURN(v1::RowChange * row, writer_.NextRow(shape, table, v1::RowChange::UPDATE, key));
  const RowRef ref = RowOf(table.table, table.key.columns, key);
  ASSAY_ASSIGN_OR_RETURN(const RowVersions& held, local_.Held(ref));
  std::vector<ColumnId> touched;
  touched.reserve(shape.columns.size());
  std::vector<uint32_t> withheld;
  std::vector<TupleValue> values(after.begin(), after.end());
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    if (!written[i]) continue;
    v1::ColumnChange* column = row->add_columns();
    column->set_ordinal(i);
    if (values[i].kind == TupleValue::Kind::kUnchanged) values[i] = before[i];
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
    const TupleValue& old_value = before[column.ordinal()];
    if (writer_.TakesRoom(old_value)) SetOld(old_value, &column);
  }
  row->set_row_replaced(writer_.ReplacedIndex(Newest(held)));
  ASSAY_RETURN_IF_ERROR(withheld_.Note(shape, key, writer_.row(), withheld, values));
  return local_.Move(ref, key, {ChangeKind::kUpdate, writer_.version(), std::move(touched)});
}

absl::Status Recorder::Delete(const DeclaredTable& table, absl::Span<const TupleValue> tuple, const RowKey& key) {
  const TableShape& shape = *table.shape;
  ASSAY_ASSIGN_OR_RETURN(v1::RowChange * row, writer_.NextRow(shape, table, v1::RowChange::DELETE, key));
  const RowRef ref = RowOf(table.table, table.key.columns, key);
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
  ASSAY_ASSIGN_OR_RETURN(const DeclaredTable* table, tables_.OfRowsInChain(item.relation));
  ASSAY_RETURN_IF_ERROR(table->refusal);
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
  FoldValues values(log_, names_);
  for (const auto& [written, ref] : live) {
    ASSAY_ASSIGN_OR_RETURN(const std::optional<RowKey> key, KeyBehind(written, *table, &values));
    if (!key.has_value()) {
      unrecorded_.Note(table->name, 1, "a row was truncated whose key the log does not tell");
      continue;
    }
    // The event that is held back may be one that is looked up now. A delete follows, so that it is not the last.
    ASSAY_RETURN_IF_ERROR(writer_.Flush());
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
    ASSAY_RETURN_IF_ERROR(Delete(*table, tuple, *key));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<RowKey>> Recorder::KeyBehind(const Version& written, const DeclaredTable& table,
                                                          FoldValues* values) {
  const v1::RowChange* row = writer_.held_row();
  std::shared_ptr<const ResolvedSchema> schema;
  if (row != nullptr && written == writer_.version()) {
    ASSAY_ASSIGN_OR_RETURN(schema, names_->Schema(own_, Sequence{row->schema()}));
  } else {
    const absl::StatusOr<const ResolvedChange*> change = values->Change(written);
    if (IsNotTold(change.status())) return std::nullopt;
    if (!change.ok()) return change.status();
    row = &(*change)->row();
    schema = (*change)->schema;
  }
  if (schema->key_columns != table.key.columns) return std::nullopt;
  return RowKey(row->key().begin(), row->key().end());
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
  ASSAY_ASSIGN_OR_RETURN(const bool left_out, unrecorded_.Commit());
  if (changed) {
    if (!writer_.attributed() && source_ == v1::TransactionHeader::LIVE && !tagged_) {
      ++counters_.unattributed_transactions;
    }
    counters_.last_commit_us = writer_.facts().commit_time_us;
    if (ahead_) {
      counters_.ahead = log_->Head(own_).complete;
      counters_.ahead_until = absl::FromUnixMicros(writer_.facts().commit_time_us);
    }
  }
  if (tagged_) {
    ASSAY_RETURN_IF_ERROR(echo_->Landed());
    changed = true;
  }
  changed |= left_out;
  passed_ = std::max(passed_, item.commit_lsn);
  // A transaction that left nothing in the log may come again after a crash: it leaves nothing again.
  if (!changed) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(state_->Write(kClockNote, hybrid_.now()));
  if (source_ != v1::TransactionHeader::LIVE) return absl::OkStatus();  // Not from the stream: it never comes by.
  captured_ = {item.commit_lsn, item.end_lsn, writer_.facts().commit_time_us, writer_.facts().xid, item.end_lsn};
  // From here on the position tells that what is before it was worked on, however often it comes again.
  const auto is_passed = [&](const auto& baseline) { return item.commit_lsn > baseline.second; };
  if (!baselines_.empty() && std::all_of(baselines_.begin(), baselines_.end(), is_passed)) {
    baselines_.clear();
    ASSAY_RETURN_IF_ERROR(state_->Write(kBaselinesNote, baselines_));
  }
  return state_->Write(kCapturedNote, captured_);
}

absl::Status Recorder::MovePosition(Lsn position) {
  captured_.position = position;
  return state_->Write(kCapturedNote, captured_);
}

}  // namespace assay
