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

// A larger row's memory is given back rather than used again.
constexpr size_t kScratchBytesMax = 1 << 20;

constexpr char kClock[] = "clock";

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

Recorder::Recorder(const EngineConfig& config, const OriginId& own, EventLog* log, TableNames* names,
                   RowVersionStore* rows, StageStore* stages, Clock* clock, ProjectionEcho* echo)
    : config_(config),
      own_(own),
      log_(log),
      names_(names),
      rows_(rows),
      stages_(stages),
      clock_(clock),
      echo_(echo),
      tables_(config, own, names, stages),
      withheld_(stages) {}

absl::Status Recorder::Load() {
  ASSAY_ASSIGN_OR_RETURN(const uint64_t clock, stages_->GetNumber(kClock, 0));
  // Never behind our own chain, even if the stored clock were.
  hybrid_ = HybridClock(std::max(HlcStamp{clock}, log_->Head(own_).complete_stamp));
  ASSAY_ASSIGN_OR_RETURN(captured_, LoadCapturedPosition(*stages_));
  passed_ = captured_.commit_lsn;
  ASSAY_RETURN_IF_ERROR(withheld_.Load());
  tables_.Clear();
  seen_written_.clear();
  fences_.clear();
  in_transaction_ = holding_ = false;
  return absl::OkStatus();
}

void Recorder::SetSource(v1::TransactionHeader::Source source, bool ancient) {
  source_ = source;
  ancient_ = ancient;
}

absl::Status Recorder::Record(const CaptureItem& item) {
  switch (item.kind) {
    case CaptureItem::Kind::kBegin:
      ASSAY_CHECK(!in_transaction_);
      in_transaction_ = true;
      // What was read at a snapshot, not from the stream, is all of one position.
      known_ = source_ == v1::TransactionHeader::LIVE && item.commit_lsn <= passed_;
      tagged_ = stamped_ = holding_ = false;
      commit_time_us_ = item.commit_time_us;
      commit_lsn_ = item.commit_lsn;
      xid_ = item.xid;
      attribution_.reset();
      return absl::OkStatus();
    case CaptureItem::Kind::kMessage:
      if (item.prefix == kFencePrefix) {
        fences_.emplace_back(item.content);
      } else if (known_) {
        break;
      } else if (item.prefix == kProjectionPrefix) {
        HlcStamp stamp;
        // A tag nobody meant opens an ordinary transaction, whoever wrote it.
        if (!tagged_ && !stamped_ && echo_->Claims(item.content, &stamp)) {
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
  ASSAY_ASSIGN_OR_RETURN(v1::RowChange * row, NextRow(shape, table, v1::RowChange::INSERT, key));
  const RowRef ref{table.table, HashKey(key)};
  ASSAY_ASSIGN_OR_RETURN(const RowVersions& held, Held(ref));
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
    if (TakesRoom(tuple[i]))
      SetNew(tuple[i], column);
    else
      withheld.push_back(i);
    touched.push_back(table.columns[i]);
  }
  row->set_row_replaced(ReplacedIndex(Newest(held)));
  ASSAY_RETURN_IF_ERROR(withheld_.Note(shape, key, row_, withheld, tuple));
  return MoveRow(ref, key, ChangeKind::kInsert, std::move(touched));
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
  ASSAY_ASSIGN_OR_RETURN(v1::RowChange * row, NextRow(shape, table, v1::RowChange::UPDATE, key));
  const RowRef ref{table.table, HashKey(key)};
  ASSAY_ASSIGN_OR_RETURN(const RowVersions& held, Held(ref));
  std::vector<ColumnId> touched;
  touched.reserve(shape.columns.size());
  std::vector<uint32_t> withheld;
  std::vector<TupleValue> values = item.new_tuple;
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    if (!written[i]) continue;
    v1::ColumnChange* column = row->add_columns();
    column->set_ordinal(i);
    if (values[i].kind == TupleValue::Kind::kUnchanged) values[i] = item.old_tuple[i];
    if (TakesRoom(values[i]))
      SetNew(values[i], column);
    else
      withheld.push_back(i);
    const Version* replaced = held.Find(table.columns[i]);
    if (replaced != nullptr) column->set_replaced(ReplacedIndex(*replaced));
    touched.push_back(table.columns[i]);
  }
  // What the values before leave no room for is missed by nobody but the auditor.
  for (v1::ColumnChange& column : *row->mutable_columns()) {
    const TupleValue& old_value = item.old_tuple[column.ordinal()];
    if (TakesRoom(old_value)) SetOld(old_value, &column);
  }
  row->set_row_replaced(ReplacedIndex(Newest(held)));
  ASSAY_RETURN_IF_ERROR(withheld_.Note(shape, key, row_, withheld, values));
  return MoveRow(ref, key, ChangeKind::kUpdate, std::move(touched));
}

absl::Status Recorder::Delete(const TableShape& shape, const DeclaredTable& table, absl::Span<const TupleValue> tuple,
                              const RowKey& key) {
  ASSAY_ASSIGN_OR_RETURN(v1::RowChange * row, NextRow(shape, table, v1::RowChange::DELETE, key));
  const RowRef ref{table.table, HashKey(key)};
  ASSAY_ASSIGN_OR_RETURN(const RowVersions& held, Held(ref));
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    if (table.is_key[i]) continue;
    v1::ColumnChange* column = row->add_columns();
    column->set_ordinal(i);
    if (TakesRoom(tuple[i])) SetOld(tuple[i], column);
    const Version* replaced = held.Find(table.columns[i]);
    if (replaced != nullptr) column->set_replaced(ReplacedIndex(*replaced));
  }
  row->set_row_replaced(ReplacedIndex(Newest(held)));
  ASSAY_RETURN_IF_ERROR(withheld_.Note(shape, key, row_, {}, tuple));
  return MoveRow(ref, key, ChangeKind::kDelete, {});
}

absl::Status Recorder::Truncate(const CaptureItem& item) {
  ASSAY_ASSIGN_OR_RETURN(const DeclaredTable* table, tables_.Describe(item.relation));
  // The rows that were there, in the order they were written, so that the look into the log for their last values runs
  // forward. A parked row is in the fold and not in PostgreSQL: the statement never saw it.
  std::vector<std::pair<Version, RowRef>> live;
  ASSAY_RETURN_IF_ERROR(
      rows_->ForEach(table->table, [&](const KeyHash& key, const RowVersions& versions) -> absl::Status {
        const RowRef ref{table->table, key};
        ASSAY_ASSIGN_OR_RETURN(const bool there, IsThere(ref, versions));
        if (there) live.push_back({versions.written, ref});
        return absl::OkStatus();
      }));
  std::sort(live.begin(), live.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.origin, a.first.sequence) < std::pair(b.first.origin, b.first.sequence);
  });
  if (!live.empty() && holding_) {
    // A row of this very transaction may be among them, and its event is looked up in the log. Deletes follow, so it is
    // not the last.
    ASSAY_RETURN_IF_ERROR(AppendHeld(/*ends_transaction=*/false));
    holding_ = false;
  }
  FoldValues values(log_, names_);
  for (const auto& [written, ref] : live) {
    ASSAY_ASSIGN_OR_RETURN(const ResolvedChange* change, values.Change(written));
    const RowKey key(change->row().key().begin(), change->row().key().end());
    ASSAY_ASSIGN_OR_RETURN(const RowVersions& held, Held(ref));
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
  if (attribution_ != nullptr) return absl::OkStatus();
  // Mostly the same as that of the transaction before.
  if (json == attribution_json_) {
    attribution_ = last_attribution_;
    return absl::OkStatus();
  }
  auto attribution = std::make_shared<v1::Attribution>();
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  // Anyone may emit such a message; one that is no attribution leaves the change unattributed, which shows.
  const google::protobuf::StringPiece text(json.data(), json.size());
  if (google::protobuf::util::JsonStringToMessage(text, attribution.get(), options).ok()) {
    attribution_ = last_attribution_ = std::move(attribution);
    attribution_json_ = std::string(json);
  }
  return absl::OkStatus();
}

absl::Status Recorder::Commit(const CaptureItem& item) {
  ASSAY_CHECK(in_transaction_);
  in_transaction_ = false;
  if (known_) return absl::OkStatus();
  bool changed = false;
  if (holding_) {
    ASSAY_RETURN_IF_ERROR(AppendHeld(/*ends_transaction=*/true));
    if (attribution_ == nullptr && source_ == v1::TransactionHeader::LIVE && !tagged_) {
      ++counters_.unattributed_transactions;
    }
    counters_.last_commit_us = commit_time_us_;
    changed = true;
  }
  if (tagged_) {
    ASSAY_RETURN_IF_ERROR(echo_->Landed());
    changed = true;
  }
  passed_ = std::max(passed_, item.commit_lsn);
  // A transaction that left nothing in the log may come again after a crash: it leaves nothing again.
  if (!changed) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(stages_->SetNumber(kClock, hybrid_.now().value));
  if (source_ != v1::TransactionHeader::LIVE) return absl::OkStatus();  // Not from the stream: it never comes by.
  captured_ = {item.commit_lsn, item.end_lsn, commit_time_us_, xid_, item.end_lsn};
  return StoreCapturedPosition(captured_, stages_);
}

absl::Status Recorder::MovePosition(Lsn position) {
  captured_.position = position;
  return StoreCapturedPosition(captured_, stages_);
}

absl::StatusOr<Sequence> Recorder::DeclareInChain(const TableShape& shape, const DeclaredTable& table) {
  ASSAY_ASSIGN_OR_RETURN(Sequence declared, tables_.InChain(table));
  if (declared.value != 0) return declared;
  ASSAY_RETURN_IF_ERROR(NextEvent(table.name));
  SetSchema(shape, table.fingerprint, event_.mutable_schema());
  declared = Sequence{event_.sequence()};
  ASSAY_RETURN_IF_ERROR(tables_.Declare(table, declared));
  return declared;
}

absl::StatusOr<v1::RowChange*> Recorder::NextRow(const TableShape& shape, const DeclaredTable& table,
                                                 v1::RowChange::Operation operation, const RowKey& key) {
  ASSAY_ASSIGN_OR_RETURN(const Sequence schema, DeclareInChain(shape, table));
  ASSAY_RETURN_IF_ERROR(NextEvent(table.name));
  has_row_ = true;
  row_.Clear();
  row_.set_operation(operation);
  row_.set_schema(schema.value);
  for (const std::string& text : key) row_.add_key(text);
  return &row_;
}

absl::Status Recorder::NextEvent(absl::string_view table) {
  const bool first = !stamped_;
  if (!stamped_) {
    stamp_ = ancient_ ? log_->Head(own_).complete_stamp.Next() : hybrid_.StampCommit(commit_time_us_);
    stamped_ = true;
    first_ = log_->Head(own_).last.Next();
  } else if (holding_) {
    ASSAY_RETURN_IF_ERROR(AppendHeld(/*ends_transaction=*/false));
  }
  event_.Clear();
  event_.set_origin(own_.bytes.data(), own_.bytes.size());
  event_.set_sequence(log_->Head(own_).last.value + 1);
  event_.set_stamp(stamp_.value);
  event_.set_transaction_first(first_.value);
  event_table_.assign(table.data(), table.size());
  row_bytes_ = 0;
  has_row_ = false;
  holding_ = true;
  if (!first) return absl::OkStatus();

  v1::TransactionHeader* header = event_.mutable_transaction();
  header->set_source(source_);
  header->set_commit_time_us(commit_time_us_);
  header->set_commit_lsn(commit_lsn_.value);
  header->set_xid(xid_);
  if (attribution_ != nullptr) *header->mutable_attribution() = *attribution_;
  for (const OriginId& origin : log_->Origins()) {
    const Sequence projected = stages_->Projected(origin);
    if (origin == own_ || seen_written_[origin] == projected) continue;
    v1::Seen* seen = header->add_seen();
    seen->set_origin(origin.bytes.data(), origin.bytes.size());
    seen->set_sequence(projected.value);
    seen_written_[origin] = projected;
    ASSAY_RETURN_IF_ERROR(stages_->AddSeen(own_, Sequence{event_.sequence()}, origin, projected));
  }
  return absl::OkStatus();
}

absl::Status Recorder::AppendHeld(bool ends_transaction) {
  event_.set_ends_transaction(ends_transaction);
  buffer_.clear();
  bool fits = event_.AppendToString(&buffer_);
  if (fits && has_row_) {
    // As if the row were a field of event_, which would give its memory back with each event.
    PutVarint(&buffer_, v1::Event::kRowFieldNumber << 3 | 2);
    PutVarint(&buffer_, row_.ByteSizeLong());
    fits = row_.AppendToString(&buffer_);
    if (buffer_.size() > kScratchBytesMax) row_ = {};
  }
  if (!fits)
    return absl::ResourceExhaustedError(
        "a captured row is larger than 2 GB as an event");  // row_bytes_max is far below.
  holding_ = false;
  ++counters_.events;
  return log_->Append(event_, event_table_, buffer_);
}

absl::StatusOr<bool> Recorder::IsThere(const RowRef& row, const RowVersions& fold) {
  ASSAY_ASSIGN_OR_RETURN(const std::optional<UnsettledRow> unsettled, stages_->Unsettled(row));
  if (!unsettled.has_value()) return fold.IsLive();
  return unsettled->held.has_value() && (!unsettled->held_known || unsettled->held->IsLive());
}

absl::StatusOr<std::reference_wrapper<const RowVersions>> Recorder::Held(const RowRef& row) {
  static const RowVersions kNone;
  if (stages_->UnsettledCount() > 0) {
    ASSAY_ASSIGN_OR_RETURN(const std::optional<UnsettledRow> unsettled, stages_->Unsettled(row));
    if (unsettled.has_value() && unsettled->held_known) {
      if (!unsettled->held.has_value()) return std::cref(kNone);
      held_ = *unsettled->held;
      return std::cref(held_);
    }
  }
  ASSAY_ASSIGN_OR_RETURN(const RowVersions* versions, rows_->Get(row));
  return std::cref(versions == nullptr ? kNone : *versions);
}

bool Recorder::TakesRoom(const TupleValue& value) {
  if (value.kind != TupleValue::Kind::kText) return true;
  if (row_bytes_ + value.text.size() > config_.row_bytes_max) return false;
  row_bytes_ += value.text.size();
  return true;
}

uint32_t Recorder::ReplacedIndex(const Version& version) {
  if (version.IsNone()) return 0;
  v1::RowChange* row = &row_;
  const absl::string_view origin = version.origin == own_ ? absl::string_view() : version.origin.AsBytes();
  for (int i = 0; i < row->replaced_size(); ++i) {
    const v1::VersionRef& known = row->replaced(i);
    if (known.sequence() == version.sequence.value && known.origin() == origin) return i + 1;
  }
  v1::VersionRef* added = row->add_replaced();
  added->set_stamp(version.stamp.value);
  added->set_origin(origin.data(), origin.size());
  added->set_sequence(version.sequence.value);
  return row->replaced_size();
}

absl::Status Recorder::MoveRow(const RowRef& ref, const RowKey& key, ChangeKind kind, std::vector<ColumnId> touched) {
  std::sort(touched.begin(), touched.end());
  const RowClaim claim{kind, VersionOf(event_, own_), std::move(touched)};
  // PostgreSQL's new row has the columns of its table; a row that was there before may have had more, from branches
  // that know more columns, and has them again.
  const auto drop_untouched = [&](RowVersions* versions) {
    versions->columns.EraseIf([&](const ColumnVersion& column) {
      return !std::binary_search(claim.columns.begin(), claim.columns.end(), column.column);
    });
  };
  RowVersions change = VersionsOf(claim);
  ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(ref));
  std::optional<UnsettledRow> unsettled;
  if (stages_->UnsettledCount() > 0) {
    ASSAY_ASSIGN_OR_RETURN(unsettled, stages_->Unsettled(ref));
  }
  if (stored == nullptr && !unsettled.has_value()) return rows_->Put(ref, std::move(change));
  RowVersions merged = stored == nullptr ? RowVersions{} : *stored;
  // The usual case: the clock is past everything this row has, so what PostgreSQL now holds is the fold.
  const bool newest = claim.version > Newest(merged);
  RowVersions before;  // Not of the usual case, which has no use for it.
  if (unsettled.has_value() || !newest || kind == ChangeKind::kInsert) before = merged;
  Merge(change, &merged);
  const bool whole = kind != ChangeKind::kInsert || merged.columns.size() == claim.columns.size();
  if (!unsettled.has_value() && newest && whole) return rows_->Put(ref, std::move(merged));
  ASSAY_RETURN_IF_ERROR(rows_->Put(ref, merged));

  UnsettledRow row = unsettled.value_or(UnsettledRow{});
  if (!unsettled.has_value()) {
    row.row = ref;
    row.key = EncodeKey(key);
    row.since_ms = absl::ToUnixMillis(clock_->Now());
    row.origin = own_;
    row.sequence = claim.version.sequence;
  }
  if (!newest) {
    // A remote version that needed no writing was adopted while this change was on its way, and beats it: PostgreSQL
    // shows a loser. What exactly it holds is read when the row is written again.
    row.held_known = false;
  }
  if (!row.held_known) {
    row.held.reset();
    if (kind != ChangeKind::kDelete) row.held = change;
  } else {
    RowVersions held = row.held.value_or(unsettled.has_value() ? RowVersions{} : before);
    const SawFunction saw = [](const Version&, const Version&) { return false; };
    RowVersions unseen = before;  // What the log had and this writer could not see.
    unseen.columns.EraseIf([&](const ColumnVersion& column) {
      const Version* seen = held.Find(column.column);
      return seen != nullptr && *seen == column.version;
    });
    if (unseen.deleted == held.deleted) unseen.deleted = {};
    if (unseen.written == held.written) unseen.written = {};
    for (const Meeting& meeting : FindMeetings(unseen, change, saw)) {
      Conflict conflict{0,
                        ref,
                        row.key,
                        meeting.column,
                        meeting.winner,
                        meeting.loser,
                        "newest write wins; the loser was in the log but could not be written here",
                        absl::ToUnixMillis(clock_->Now())};
      ASSAY_RETURN_IF_ERROR(stages_->AddConflict(conflict));
    }
    Merge(change, &held);
    if (kind == ChangeKind::kInsert) drop_untouched(&held);
    row.held = held;
    if (held == merged) return stages_->EraseUnsettled(ref);
  }
  row.retry_at_ms = 0;
  return stages_->PutUnsettled(row);
}

}  // namespace assay
