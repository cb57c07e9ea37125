#include "adapters/postgres/capture.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "adapters/libpq/array_text.h"
#include "adapters/libpq/lsn_text.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "engine/problem.h"
#include "log/annotate.h"

namespace assay {
namespace {

constexpr absl::Duration kStatusIntervalMax = absl::Seconds(10);
constexpr absl::Duration kOldStreamMax = absl::Seconds(2);
constexpr absl::Duration kVisibleMax = absl::Seconds(1);

// A batch's buffers grow from one to the next; a larger message gets one of its own: views into them must not move.
constexpr size_t kFirstBufferBytes = 4 << 10;
constexpr size_t kBufferBytesMax = 256 << 10;

// The numbers (pg_attribute.attnum) of the stream's columns, which come in their order. `known` has those of columns
// that the catalog has under the same name, 0 for the others; `last` is the highest number that the table has ever
// given. The catalog may be ahead: a column renamed since has the one number that is left for it between its
// neighbours, and where more than one is left it may as well have been dropped. A name that was dropped and made anew
// stands out by the order. 0 where it cannot be told.
std::vector<uint32_t> NumbersInOrder(std::vector<uint32_t> known, uint32_t last) {
  uint32_t lowest = last + 1;
  for (auto number = known.rbegin(); number != known.rend(); ++number) {
    if (*number == 0) continue;
    *number < lowest ? lowest = *number : *number = 0;
  }
  uint32_t before = 0;
  for (size_t i = 0; i < known.size(); ++i) {
    if (known[i] == 0) {
      size_t end = i;
      while (end < known.size() && known[end] == 0) ++end;
      const uint32_t after = end < known.size() ? known[end] : last + 1;
      const bool certain = after - before - 1 == end - i;
      for (; i < end; ++i) known[i] = certain ? ++before : 0;
      if (i == known.size()) break;
    }
    before = known[i];
  }
  return known;
}

}  // namespace

PostgresCapture::PostgresCapture(CaptureOptions options) : options_(std::move(options)) {}

PostgresCapture::~PostgresCapture() = default;

absl::Status PostgresCapture::Start() {
  End(absl::OkStatus()).IgnoreError();
  relations_.clear();
  in_transaction_ = false;
  reported_ = {};
  delivered_ = 0;
  confirmed_ = 0;  // Before the first delivery the server's own position stands.
  evidence_ = {};
  ASSAY_ASSIGN_OR_RETURN(catalog_, Connection::Open(options_.conninfo, {.application_name = "assay capture catalog",
                                                                        .interrupt = options_.interrupt}));
  absl::Status status = CheckServer();
  // The server needs a moment to see that our stream before this one has ended.
  for (const absl::Time limit = SteadyNow() + kOldStreamMax;
       absl::IsUnavailable(status) && slot_user_ != 0 && slot_user_ == old_stream_ && SteadyNow() < limit;) {
    absl::SleepFor(absl::Milliseconds(10));
    status = CheckServer();
  }
  if (!status.ok()) return End(status);
  absl::StatusOr<std::unique_ptr<Connection>> stream = Connection::Open(
      options_.conninfo, {.application_name = "assay capture", .replication = true, .interrupt = options_.interrupt});
  if (!stream.ok()) return End(stream.status());
  stream_ = *std::move(stream);
  // By the very connection that will stream, so that it is this server's evidence.
  if (absl::Status examined = Examine(); !examined.ok()) return End(examined);
  if (absl::Status slot = CheckSlot(); !slot.ok()) return End(slot);
  const std::string publication = stream_->QuoteIdentifier(options_.publication);
  // 0/0 is wherever the server has it confirmed. A position of ours could be ahead of the server (after a restore), and
  // then it would skip everything up to it in silence.
  const auto started =
      stream_->ExecuteScript(absl::StrCat("START_REPLICATION SLOT ", stream_->QuoteIdentifier(options_.slot),
                                          " LOGICAL 0/0 (proto_version '1', publication_names ", "'",
                                          absl::StrReplaceAll(publication, {{"'", "''"}}), "', messages 'true')"));
  if (!started.ok()) {
    return End(AnnotateSql(started.status(), absl::StrCat("start capture from slot \"", options_.slot, "\"")));
  }
  // What was read of the catalog was read of the same server, if that session lives on.
  if (!catalog_->StillOpen()) return End(absl::UnavailableError("the server was restarted while capture was starting"));
  next_status_ = SteadyNow() + status_interval_;
  return absl::OkStatus();
}

// What of the server and the log belongs together is judged by the engine.
absl::Status PostgresCapture::Examine() {
  const auto system = stream_->ExecuteScript("IDENTIFY_SYSTEM");
  if (!system.ok()) return AnnotateSql(system.status(), "ask which server this is");
  evidence_ = examined_;
  evidence_.server = absl::StrCat(system->Text(0, 0), "/", evidence_.server);
  evidence_.timeline = static_cast<uint32_t>(system->Int64(0, 1));
  const std::string flushed = system->String(0, 2);
  ASSAY_ASSIGN_OR_RETURN(evidence_.flushed, ParseLsn(flushed));
  evidence_.known = true;
  // Made by `assay init`, as a row to update; a database without it, or one that keeps it from us, shows nothing.
  const auto progress = catalog_->Execute("SELECT p.batch, pg_catalog.to_jsonb(p) ->> 'origin' FROM assay.progress p");
  if (!progress.ok() && !catalog_->usable()) return progress.status();
  if (progress.ok() && progress->rows() == 1) {
    evidence_.batch = static_cast<uint64_t>(progress->Int64(0, 0));
    const absl::StatusOr<OriginId> origin = OriginId::FromHex(progress->IsNull(0, 1) ? "" : progress->Text(0, 1));
    if (origin.ok()) evidence_.origin = *origin;
  }
  return absl::OkStatus();
}

// Finds the states that a person has to resolve, by name; START_REPLICATION itself would tell some of them in words
// that differ from one server version to the next, and others only at the first change.
absl::Status PostgresCapture::CheckServer() {
  if (catalog_->server_version() < 140000) {
    return absl::FailedPreconditionError(absl::StrCat("this PostgreSQL is ", catalog_->server_version() / 10000,
                                                      ", and capture needs 14 or newer: upgrade the server"));
  }
  ASSAY_ASSIGN_OR_RETURN(
      const Result facts,
      catalog_->Execute(
          "SELECT current_setting('wal_level'), (SELECT setting::int8 FROM pg_settings WHERE name = 'wal_sender_timeout'),"
          "  EXISTS (SELECT FROM pg_publication WHERE pubname = $1),"
          "  s.slot_name IS NOT NULL, coalesce(s.plugin, ''), coalesce(s.database, ''), current_database(),"
          "  coalesce(s.wal_status, ''), s.active_pid, coalesce(s.confirmed_flush_lsn, '0/0'),"
          "  (SELECT oid FROM pg_database WHERE datname = current_database()),"
          "  pg_snapshot_xmax(pg_current_snapshot())::text::numeric % 4294967296"
          " FROM (SELECT) one LEFT JOIN pg_replication_slots s ON s.slot_name = $2",
          {options_.publication, options_.slot}));
  const std::string slot = absl::StrCat("replication slot \"", options_.slot, "\"");
  examined_ = {};
  examined_.slot_there = facts.Bool(0, 3);
  publication_there_ = facts.Bool(0, 2);
  slot_plugin_ = facts.String(0, 4);
  slot_database_ = facts.String(0, 5);
  database_ = facts.String(0, 6);
  examined_.slot_lost = facts.Text(0, 7) == "lost";
  slot_user_ = static_cast<int>(facts.Int64(0, 8));
  ASSAY_ASSIGN_OR_RETURN(examined_.slot_confirmed, ParseLsn(facts.Text(0, 9)));
  examined_.server = facts.String(0, 10);
  examined_.next_xid = static_cast<uint32_t>(facts.Int64(0, 11));
  if (facts.Text(0, 0) != "logical") {
    const absl::Status status = absl::FailedPreconditionError(absl::StrCat(
        "wal_level is \"", facts.Text(0, 0), "\" and capture needs \"logical\": `assay doctor` shows the command"));
    return WithProblem(status, ProblemKind::kDatabaseSetting, facts.Text(0, 0));
  }
  if (slot_user_ != 0) {
    const absl::Status status =
        absl::UnavailableError(absl::StrCat(slot, " is in use by the server process ", facts.Text(0, 8),
                                            ": another daemon (stop it), or one that has just ended"));
    return WithProblem(status, ProblemKind::kCaptureStopped);
  }
  // The server gives up on us after wal_sender_timeout; 0 is never.
  const int64_t timeout_ms = facts.Int64(0, 1);
  status_interval_ = kStatusIntervalMax;
  if (timeout_ms > 0) status_interval_ = std::min(status_interval_, absl::Milliseconds(timeout_ms) / 4);
  return absl::OkStatus();
}

absl::Status PostgresCapture::CheckSlot() {
  const std::string slot = absl::StrCat("replication slot \"", options_.slot, "\"");
  if (!publication_there_) {
    const absl::Status status =
        absl::FailedPreconditionError(absl::StrCat("publication \"", options_.publication, "\" is not in database \"",
                                                   database_, "\": run `assay init`, or `assay doctor` if it was"));
    return WithProblem(status, ProblemKind::kPublicationGone);
  }
  if (!evidence_.slot_there) {
    return absl::FailedPreconditionError(
        absl::StrCat(slot, " is gone, so changes may have been missed: `assay repair` compares and makes a new one ",
                     "(`assay init` if this database was never enrolled)"));
  }
  if (slot_plugin_ != "pgoutput" || slot_database_ != database_) {
    return absl::FailedPreconditionError(absl::StrCat(slot, " is not ours (plugin \"", slot_plugin_, "\", database \"",
                                                      slot_database_, "\"): `assay doctor` tells more"));
  }
  if (evidence_.slot_lost) {
    return absl::FailedPreconditionError(absl::StrCat(
        slot, " has lost WAL it still needed (max_slot_wal_keep_size): changes were missed, run `assay repair`"));
  }
  return absl::OkStatus();
}

absl::StatusOr<CaptureBatch> PostgresCapture::Next(absl::Duration wait) {
  if (stream_ == nullptr) return absl::UnavailableError("capture has not been started");
  const absl::Time deadline = SteadyNow() + wait;
  CaptureBatch batch;
  batch_size_ = 0;
  for (bool consumed = false;;) {
    char* data = nullptr;
    const int size = PQgetCopyData(stream_->raw(), &data, /*async=*/1);
    if (size > 0) {
      const absl::Status status = Take({data, static_cast<size_t>(size)}, batch);
      PQfreemem(data);
      if (!status.ok()) return End(status);
      if (batch.items.size() >= options_.batch_items || batch_size_ >= options_.batch_bytes) return batch;
      consumed = false;
      continue;
    }
    if (size < 0) return StreamEnded();
    if (absl::Status status = KeepAlive(); !status.ok()) return status;
    // Nothing whole is buffered: look at what the socket holds, and once that is nothing new hand over what there is.
    if (!consumed) {
      if (PQconsumeInput(stream_->raw()) == 0) return End(stream_->LastWords());
      consumed = true;
      continue;
    }
    if (!batch.items.empty() || SteadyNow() >= deadline) return batch;
    const auto ready = stream_->Wait(std::min(deadline, next_status_), PQflush(stream_->raw()) > 0, &confirm_signal_);
    if (!ready.ok()) return End(ready.status());
    consumed = false;
  }
}

void PostgresCapture::Confirm(Lsn lsn) {
  if (lsn.value > delivered_.load(std::memory_order_acquire)) return;
  uint64_t known = confirmed_.load(std::memory_order_relaxed);
  while (known < lsn.value) {
    if (confirmed_.compare_exchange_weak(known, lsn.value, std::memory_order_release)) {
      confirm_signal_.Set();
      return;
    }
  }
}

absl::Status PostgresCapture::KeepAlive() {
  if (stream_ == nullptr) return absl::UnavailableError("capture has not been started");
  if (confirmed_.load(std::memory_order_acquire) == reported_.value && SteadyNow() < next_status_)
    return absl::OkStatus();
  return SendStatus();
}

absl::Status PostgresCapture::SendStatus() {
  confirm_signal_.Clear();
  const Lsn confirmed{confirmed_.load(std::memory_order_acquire)};
  const std::string status = StandbyStatus(confirmed, absl::ToUnixMicros(absl::Now()));
  const int put = PQputCopyData(stream_->raw(), status.data(), static_cast<int>(status.size()));
  if (put < 0 || PQflush(stream_->raw()) < 0) return End(stream_->ConnectionError());
  // put == 0: the socket is full, which cannot be for long; due again at the next call.
  if (put == 1) {
    reported_ = confirmed;
    next_status_ = SteadyNow() + status_interval_;
  }
  return absl::OkStatus();
}

absl::Status PostgresCapture::StreamEnded() {
  absl::Status status = absl::UnavailableError("the server ended the stream");
  while (PGresult* next = PQgetResult(stream_->raw())) {
    const Result result(next);
    if (PQresultStatus(next) == PGRES_FATAL_ERROR) status = StatusFromResult(next);
    if (PQresultStatus(next) == PGRES_COPY_IN) PQputCopyEnd(stream_->raw(), nullptr);
  }
  // PostgreSQL puts a change's values, before and after, as text into one buffer of at most 1 GB. The slot cannot get
  // past it.
  if (absl::StartsWith(SqlstateOf(status), "54") ||
      absl::StrContains(status.message(), "invalid memory alloc request size")) {
    status = absl::FailedPreconditionError(absl::StrCat(
        "a row was changed whose values, before and after together, are more than the 1 GB of text that PostgreSQL's logical "
        "decoding takes (",
        status.message(),
        "): that change and later ones cannot be captured. Make the value smaller, then "
        "enrol anew, which compares every row: `assay leave`, move log.db away, `assay init`"));
  }
  return End(AnnotateSql(status, "capture"));
}

absl::Status PostgresCapture::End(absl::Status status) {
  if (stream_ != nullptr) old_stream_ = stream_->backend_pid();
  stream_.reset();
  catalog_.reset();
  return status;
}

absl::string_view PostgresCapture::Keep(absl::string_view bytes, CaptureBatch& batch) {
  if (batch.buffers.empty() || batch.buffers.back()->capacity() - batch.buffers.back()->size() < bytes.size()) {
    const size_t usual = std::min(kFirstBufferBytes << std::min<size_t>(batch.buffers.size(), 16), kBufferBytesMax);
    batch.buffers.push_back(std::make_unique<std::string>());
    batch.buffers.back()->reserve(std::max(bytes.size(), usual));
  }
  std::string& buffer = *batch.buffers.back();
  const size_t at = buffer.size();
  buffer.append(bytes.data(), bytes.size());
  batch_size_ += bytes.size();
  return absl::string_view(buffer).substr(at);
}

absl::Status PostgresCapture::Take(absl::string_view message, CaptureBatch& batch) {
  ASSAY_ASSIGN_OR_RETURN(WalsenderMessage envelope, ParseWalsender(message));
  if (envelope.kind == WalsenderMessage::Kind::kKeepalive) {
    if (envelope.reply_requested) ASSAY_RETURN_IF_ERROR(SendStatus());
    if (in_transaction_ || (envelope.end_lsn.value <= delivered_ && !envelope.reply_requested)) return absl::OkStatus();
    delivered_ = std::max(delivered_.load(), envelope.end_lsn.value);
    batch.items.push_back(
        {.kind = CaptureItem::Kind::kKeepalive, .end_lsn = {delivered_}, .wants_reply = envelope.reply_requested});
    return absl::OkStatus();
  }
  // Most messages are rows, whose texts must outlive libpq's buffer.
  ASSAY_ASSIGN_OR_RETURN(pgoutput::Message parsed, ParsePgoutput(Keep(envelope.data, batch)));
  return TakeData(std::move(parsed), batch);
}

absl::StatusOr<const PostgresCapture::Relation*> PostgresCapture::RelationOf(uint32_t oid) const {
  const auto found = relations_.find(oid);
  if (found == relations_.end()) {
    return absl::DataLossError(absl::StrCat("the stream sent a row of relation ", oid, ", which it has not described"));
  }
  return &found->second;
}

// A table whose REPLICA IDENTITY was changed from FULL behind our back sends its key at most: what was not sent is
// unknown.
std::vector<TupleValue> PostgresCapture::WholeOld(const Relation& relation, std::vector<TupleValue> old_tuple,
                                                  bool whole, const std::vector<TupleValue>& new_tuple) const {
  if (whole) return old_tuple;
  const bool key_changed = !old_tuple.empty();
  std::vector<TupleValue> result(relation.shape->columns.size(), {TupleValue::Kind::kUnchanged, {}});
  const auto take = [&](size_t i) {
    const std::vector<TupleValue>& from = key_changed ? old_tuple : new_tuple;
    if (i < from.size()) result[i] = from[i];
  };
  for (size_t i = 0; i < relation.replica_key.size(); ++i) {
    if (key_changed && relation.replica_key[i]) take(i);
  }
  if (!key_changed) {
    for (uint32_t i : relation.shape->key) take(i);
  }
  return result;
}

absl::Status PostgresCapture::TakeData(pgoutput::Message message, CaptureBatch& batch) {
  CaptureItem item;
  const auto bind = [&](uint32_t oid) -> absl::StatusOr<const Relation*> {
    ASSAY_ASSIGN_OR_RETURN(const Relation* relation, RelationOf(oid));
    item.relation = relation->shape;
    return relation;
  };
  const auto fits = [&](const std::vector<TupleValue>& tuple) { return tuple.size() == item.relation->columns.size(); };
  const auto without_generated = [](const Relation& relation, std::vector<TupleValue> tuple) {
    if (tuple.size() != relation.left_out.size()) return tuple;  // Nothing is left out, or it fits nothing.
    size_t column = 0;
    std::erase_if(tuple, [&](const TupleValue&) { return relation.left_out[column++]; });
    return tuple;
  };
  const auto misfit = [&] {
    return absl::DataLossError(
        absl::StrCat("a row of ", item.relation->name.ToString(), " does not fit its description"));
  };
  if (auto* begin = std::get_if<pgoutput::Begin>(&message)) {
    in_transaction_ = true;
    item.kind = CaptureItem::Kind::kBegin;
    item.commit_lsn = begin->commit_lsn;
    item.commit_time_us = begin->commit_time_us;
    item.xid = xid_ = begin->xid;
  } else if (auto* commit = std::get_if<pgoutput::Commit>(&message)) {
    in_transaction_ = false;
    item.kind = CaptureItem::Kind::kCommit;
    item.commit_lsn = commit->commit_lsn;
    item.end_lsn = commit->end_lsn;
    delivered_ = std::max(delivered_.load(), commit->end_lsn.value);
  } else if (auto* relation = std::get_if<pgoutput::Relation>(&message)) {
    return TakeRelation(std::move(*relation));
  } else if (auto* insert = std::get_if<pgoutput::Insert>(&message)) {
    ASSAY_ASSIGN_OR_RETURN(const Relation* of, bind(insert->relation));
    item.kind = CaptureItem::Kind::kInsert;
    item.new_tuple = without_generated(*of, std::move(insert->new_tuple));
    if (!fits(item.new_tuple)) return misfit();
  } else if (auto* update = std::get_if<pgoutput::Update>(&message)) {
    ASSAY_ASSIGN_OR_RETURN(const Relation* of, bind(update->relation));
    item.kind = CaptureItem::Kind::kUpdate;
    item.new_tuple = without_generated(*of, std::move(update->new_tuple));
    item.old_tuple =
        WholeOld(*of, without_generated(*of, std::move(update->old_tuple)), update->old_is_whole, item.new_tuple);
    if (!fits(item.new_tuple) || !fits(item.old_tuple)) return misfit();
  } else if (auto* erase = std::get_if<pgoutput::Delete>(&message)) {
    ASSAY_ASSIGN_OR_RETURN(const Relation* of, bind(erase->relation));
    item.kind = CaptureItem::Kind::kDelete;
    item.old_tuple = WholeOld(*of, without_generated(*of, std::move(erase->old_tuple)), erase->old_is_whole, {});
    if (!fits(item.old_tuple)) return misfit();
  } else if (auto* truncate = std::get_if<pgoutput::Truncate>(&message)) {
    for (uint32_t oid : truncate->relations) {
      CaptureItem one{.kind = CaptureItem::Kind::kTruncate};
      ASSAY_ASSIGN_OR_RETURN(const Relation* of, RelationOf(oid));
      one.relation = of->shape;
      batch.items.push_back(std::move(one));
    }
    return absl::OkStatus();
  } else if (auto* text = std::get_if<pgoutput::LogicalMessage>(&message)) {
    // Other programs' messages, and those outside a transaction, which have no place in commit order.
    if (!text->transactional || !absl::StartsWith(text->prefix, "assay.")) return absl::OkStatus();
    item.kind = CaptureItem::Kind::kMessage;
    item.prefix = text->prefix;
    item.content = text->content;
  } else {
    return absl::OkStatus();
  }
  batch.items.push_back(std::move(item));
  return absl::OkStatus();
}

// Takes the generated columns out of the description. Empty: there are none, as always before PostgreSQL 18.
absl::StatusOr<std::vector<bool>> PostgresCapture::LeaveOutGenerated(pgoutput::Relation* relation) {
  if (catalog_->server_version() < 180000) return std::vector<bool>();
  const auto generated = catalog_->Execute(
      "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped AND attgenerated <> ''",
      {absl::StrCat(relation->oid)});
  if (!generated.ok()) return AnnotateSql(generated.status(), "read which columns are generated");
  if (generated->rows() == 0) return std::vector<bool>();
  std::vector<bool> left_out;
  for (const pgoutput::Relation::Column& column : relation->columns) {
    bool is_generated = false;
    for (int row = 0; row < generated->rows(); ++row) is_generated |= generated->Text(row, 0) == column.name;
    left_out.push_back(is_generated);
  }
  size_t index = 0;
  std::erase_if(relation->columns, [&](const auto&) { return left_out[index++]; });
  return left_out;
}

// A commit is decoded a moment before it can be seen. Until then the catalog is behind the stream, and a column that
// the transaction has made would have no number: wait for the transaction's lock on itself to go, which is the last
// that goes.
absl::Status PostgresCapture::AwaitVisible() {
  for (const absl::Time limit = SteadyNow() + kVisibleMax; SteadyNow() < limit; absl::SleepFor(absl::Milliseconds(2))) {
    const auto held = catalog_->Execute(
        "SELECT FROM pg_catalog.pg_locks WHERE locktype = 'transactionid' AND transactionid = $1::xid",
        {absl::StrCat(xid_)});
    if (!held.ok()) return AnnotateSql(held.status(), "see whether a transaction has ended");
    if (held->rows() == 0) break;
  }
  return absl::OkStatus();
}

// The stream names columns and types as they were when the rows were written; the catalog, which may be ahead by now,
// adds what the stream does not tell: the primary key and NOT NULL.
absl::Status PostgresCapture::TakeRelation(pgoutput::Relation relation) {
  ASSAY_RETURN_IF_ERROR(AwaitVisible());
  ASSAY_ASSIGN_OR_RETURN(std::vector<bool> left_out, LeaveOutGenerated(&relation));
  const TableName name{std::string(relation.schema), std::string(relation.table)};
  ArrayText types, modifiers;
  for (const auto& column : relation.columns) {
    types.Add(absl::StrCat(column.type_oid));
    modifiers.Add(absl::StrCat(column.type_modifier));
  }
  const auto formatted = catalog_->Execute(
      "SELECT pg_catalog.format_type(t, m) FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY u(t, m, n) ORDER BY n",
      {types.text(), modifiers.text()});
  if (!formatted.ok()) return AnnotateSql(formatted.status(), absl::StrCat("read the types of ", name.ToString()));
  const auto catalog = catalog_->Execute(
      "SELECT a.attname, a.attnotnull, k.position, a.attnum, (SELECT relnatts FROM pg_catalog.pg_class WHERE oid = a.attrelid)"
      " FROM pg_catalog.pg_attribute a LEFT JOIN ("
      "  SELECT u.attnum, u.position FROM pg_catalog.pg_index i,"
      "    unnest(i.indkey::int2[]) WITH ORDINALITY u(attnum, position)"
      "  WHERE i.indrelid = $1::oid AND i.indisprimary AND u.position <= i.indnkeyatts) k ON k.attnum = a.attnum"
      " WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum",
      {absl::StrCat(relation.oid)});
  if (!catalog.ok()) return AnnotateSql(catalog.status(), absl::StrCat("read the catalog of ", name.ToString()));

  TableShape shape{.name = name};
  Relation entry;
  std::map<int64_t, uint32_t> key;
  const auto in_stream = [&](absl::string_view column) {
    return std::any_of(relation.columns.begin(), relation.columns.end(),
                       [&](const auto& c) { return c.name == column; });
  };
  std::vector<uint32_t> numbers;
  const bool same_count = catalog->rows() == static_cast<int>(relation.columns.size());
  for (int i = 0; i < static_cast<int>(relation.columns.size()); ++i) {
    const pgoutput::Relation::Column& column = relation.columns[i];
    shape.columns.push_back({.name = std::string(column.name), .type = formatted->String(i, 0)});
    entry.replica_key.push_back(column.replica_key);
    int row = 0;
    while (row < catalog->rows() && catalog->Text(row, 0) != column.name) ++row;
    numbers.push_back(row == catalog->rows() ? 0 : static_cast<uint32_t>(catalog->Int64(row, 3)));
    // Renamed since? Then it stands in the same place under a name that the stream does not know.
    if (row == catalog->rows() && same_count && !in_stream(catalog->Text(i, 0))) row = i;
    if (row == catalog->rows()) continue;
    shape.columns.back().not_null = catalog->Bool(row, 1);
    if (!catalog->IsNull(row, 2)) key[catalog->Int64(row, 2)] = static_cast<uint32_t>(i);
  }
  std::shared_ptr<const TableShape>& known = relations_[relation.oid].shape;
  if (catalog->rows() > 0) numbers = NumbersInOrder(std::move(numbers), static_cast<uint32_t>(catalog->Int64(0, 4)));
  for (size_t i = 0; i < numbers.size(); ++i) {
    // Dropped since, but not when the stream named it last.
    for (size_t k = 0; numbers[i] == 0 && known != nullptr && k < known->columns.size(); ++k) {
      const TableColumn& before = known->columns[k];
      if (before.name == shape.columns[i].name && std::count(numbers.begin(), numbers.end(), before.number) == 0)
        numbers[i] = before.number;
    }
    shape.columns[i].number = numbers[i];
  }
  for (const auto& [position, column] : key) shape.key.push_back(column);
  // A table that was dropped since has no key in the catalog any more: the one known before still tells its rows apart.
  if (catalog->rows() == 0 && known != nullptr && known->columns.size() == shape.columns.size()) shape.key = known->key;
  if (known == nullptr || *known != shape) known = std::make_shared<const TableShape>(std::move(shape));
  relations_[relation.oid].replica_key = std::move(entry.replica_key);
  relations_[relation.oid].left_out = std::move(left_out);
  return absl::OkStatus();
}

}  // namespace assay
