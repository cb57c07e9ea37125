#include "adapters/postgres/capture.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "adapters/libpq/lsn_text.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "engine/problem.h"
#include "log/annotate.h"

namespace assay {
namespace {

constexpr absl::Duration kStatusIntervalMax = absl::Seconds(10);
constexpr absl::Duration kOldStreamMax = absl::Seconds(2);

// A batch's buffers grow from one to the next; a larger message gets one of its own: views into them must not move.
constexpr size_t kFirstBufferBytes = 4 << 10;
constexpr size_t kBufferBytesMax = 256 << 10;

// `tuple` without what is no column of the shape.
std::vector<TupleValue> WithoutGenerated(const StreamRelation& relation, std::vector<TupleValue> tuple) {
  if (tuple.size() != relation.left_out.size()) return tuple;  // Nothing is left out, or it fits nothing.
  size_t column = 0;
  std::erase_if(tuple, [&](const TupleValue&) { return relation.left_out[column++]; });
  return tuple;
}

// A table that is not REPLICA IDENTITY FULL sends the columns of its identity, which are never NULL, and nothing at all
// when an update left those alone: what was not sent is unknown. So is the identity of a partition whose rows come as
// its root's (StreamRelation::partial).
std::vector<TupleValue> WholeOld(const StreamRelation& relation, std::vector<TupleValue> old_tuple, bool whole,
                                 const std::vector<TupleValue>& new_tuple) {
  if (whole && !relation.partial) return old_tuple;
  std::vector<TupleValue> result(relation.shape->columns.size(), {TupleValue::Kind::kUnchanged, {}});
  const bool same_identity = old_tuple.empty() && relation.identity != ReplicaIdentity::kFull;
  for (size_t i = 0; i < result.size(); ++i) {
    if (i < old_tuple.size() && old_tuple[i].kind == TupleValue::Kind::kText) result[i] = old_tuple[i];
    if (same_identity && i < new_tuple.size() && relation.replica_key[i]) result[i] = new_tuple[i];
  }
  return result;
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
  ASSAY_RETURN_IF_ERROR(OpenCatalog());
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

absl::Status PostgresCapture::OpenCatalog() {
  ASSAY_ASSIGN_OR_RETURN(catalog_, Connection::Open(options_.conninfo, {.application_name = "assay capture catalog",
                                                                        .interrupt = options_.interrupt}));
  return absl::OkStatus();
}

absl::Status PostgresCapture::KeepCatalog() {
  if (catalog_->StillOpen()) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(OpenCatalog());
  const auto same =
      catalog_->Execute("SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND active_pid = $2",
                        {options_.slot, absl::StrCat(stream_->backend_pid())});
  if (!same.ok()) return AnnotateSql(same.status(), "ask whose stream this is");
  if (same->rows() != 1) return absl::UnavailableError("the catalog is asked of another server than the stream's");
  return absl::OkStatus();
}

// What of the server and the log belongs together is judged by the engine.
absl::Status PostgresCapture::Examine() {
  const auto system = stream_->ExecuteScript("IDENTIFY_SYSTEM");
  if (!system.ok()) return AnnotateSql(system.status(), "ask which server this is");
  evidence_ = examined_;
  evidence_.server = absl::StrCat(system->Text(0, "systemid"), "/", evidence_.server);
  evidence_.timeline = static_cast<uint32_t>(system->Int64(0, "timeline"));
  const std::string flushed = system->String(0, "xlogpos");
  ASSAY_ASSIGN_OR_RETURN(evidence_.flushed, ParseLsn(flushed));
  evidence_.known = true;
  // A projection is decoded, and lands in the log, a moment before its COMMIT can be seen; while a synchronous standby
  // stalls, that may be an hour. It holds its lock until then, so whoever finds no lock first sees all that have
  // landed.
  ASSAY_ASSIGN_OR_RETURN(
      const Result projecting,
      catalog_->Execute("SELECT EXISTS (SELECT FROM pg_catalog.pg_locks"
                        "  WHERE locktype = 'relation' AND relation = pg_catalog.to_regclass('assay.progress')"
                        "    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
                        "    AND mode = 'RowExclusiveLock' AND granted) AS projecting"));
  evidence_.projecting = projecting.Bool(0, "projecting");
  // Made by `assay init`, as a row to update; a database without it, or one that keeps it from us, shows nothing.
  const auto progress = catalog_->Execute("SELECT batch, origin FROM assay.progress");
  if (!progress.ok() && !catalog_->usable()) return progress.status();
  if (progress.ok() && progress->rows() == 1) {
    evidence_.batch = static_cast<uint64_t>(progress->Int64(0, "batch"));
    const absl::StatusOr<OriginId> origin =
        OriginId::FromHex(progress->IsNull(0, "origin") ? "" : progress->Text(0, "origin"));
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
          "SELECT current_setting('wal_level') AS wal_level,"
          "  (SELECT setting::int8 FROM pg_settings WHERE name = 'wal_sender_timeout') AS wal_sender_timeout,"
          "  EXISTS (SELECT FROM pg_publication WHERE pubname = $1) AS publication_there,"
          "  s.slot_name IS NOT NULL AS slot_there, coalesce(s.plugin, '') AS plugin,"
          "  coalesce(s.database, '') AS slot_database, current_database() AS database,"
          "  coalesce(s.wal_status, '') AS wal_status, s.active_pid,"
          "  coalesce(s.confirmed_flush_lsn, '0/0') AS confirmed_flush_lsn,"
          "  (SELECT oid FROM pg_database WHERE datname = current_database()) AS database_oid,"
          "  pg_snapshot_xmax(pg_current_snapshot())::text::numeric % 4294967296 AS next_xid"
          " FROM (SELECT) one LEFT JOIN pg_replication_slots s ON s.slot_name = $2",
          {options_.publication, options_.slot}));
  const std::string slot = absl::StrCat("replication slot \"", options_.slot, "\"");
  examined_ = {};
  examined_.slot_there = facts.Bool(0, "slot_there");
  publication_there_ = facts.Bool(0, "publication_there");
  slot_plugin_ = facts.String(0, "plugin");
  slot_database_ = facts.String(0, "slot_database");
  database_ = facts.String(0, "database");
  examined_.slot_lost = facts.Text(0, "wal_status") == "lost";
  slot_user_ = static_cast<int>(facts.Int64(0, "active_pid"));
  ASSAY_ASSIGN_OR_RETURN(examined_.slot_confirmed, ParseLsn(facts.Text(0, "confirmed_flush_lsn")));
  examined_.server = facts.String(0, "database_oid");
  examined_.next_xid = static_cast<uint32_t>(facts.Int64(0, "next_xid"));
  if (facts.Text(0, "wal_level") != "logical") {
    const absl::Status status = absl::FailedPreconditionError(
        absl::StrCat("wal_level is \"", facts.Text(0, "wal_level"),
                     "\" and capture needs \"logical\": `assay doctor` shows the command"));
    return WithProblem(status, ProblemKind::kDatabaseSetting, facts.Text(0, "wal_level"));
  }
  if (slot_user_ != 0) {
    const absl::Status status =
        absl::UnavailableError(absl::StrCat(slot, " is in use by the server process ", facts.Text(0, "active_pid"),
                                            ": another daemon (stop it), or one that has just ended"));
    return WithProblem(status, ProblemKind::kCaptureStopped);
  }
  // The server gives up on us after wal_sender_timeout; 0 is never.
  const int64_t timeout_ms = facts.Int64(0, "wal_sender_timeout");
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
  absl::StatusOr<pgoutput::Message> parsed = ParsePgoutput(Keep(envelope.data, batch));
  if (parsed.ok()) return TakeData(*std::move(parsed), batch);
  // A row of a known table is that table's trouble alone.
  const std::optional<uint32_t> relation = pgoutput::RelationOfRow(envelope.data);
  if (!relation.has_value() || !in_transaction_) return parsed.status();
  CaptureItem item{.kind = CaptureItem::Kind::kUnreadable};
  ASSAY_ASSIGN_OR_RETURN(const StreamRelation* of, RelationOf(*relation));
  item.relation = of->shape;
  batch.items.push_back(std::move(item));
  return absl::OkStatus();
}

absl::StatusOr<const StreamRelation*> PostgresCapture::RelationOf(uint32_t oid) const {
  const auto found = relations_.find(oid);
  if (found == relations_.end()) {
    return absl::DataLossError(absl::StrCat("the stream sent a row of relation ", oid, ", which it has not described"));
  }
  return &found->second;
}

absl::Status PostgresCapture::TakeRow(pgoutput::Message message, CaptureItem item, CaptureBatch& batch) {
  const auto bind = [&](uint32_t oid) -> absl::StatusOr<const StreamRelation*> {
    ASSAY_ASSIGN_OR_RETURN(const StreamRelation* relation, RelationOf(oid));
    item.relation = relation->shape;
    return relation;
  };
  if (auto* insert = std::get_if<pgoutput::Insert>(&message)) {
    ASSAY_ASSIGN_OR_RETURN(const StreamRelation* of, bind(insert->relation));
    item.kind = CaptureItem::Kind::kInsert;
    item.new_tuple = WithoutGenerated(*of, std::move(insert->new_tuple));
  } else if (auto* update = std::get_if<pgoutput::Update>(&message)) {
    ASSAY_ASSIGN_OR_RETURN(const StreamRelation* of, bind(update->relation));
    item.kind = CaptureItem::Kind::kUpdate;
    item.new_tuple = WithoutGenerated(*of, std::move(update->new_tuple));
    item.old_tuple =
        WholeOld(*of, WithoutGenerated(*of, std::move(update->old_tuple)), update->old_is_whole, item.new_tuple);
  } else if (auto* erase = std::get_if<pgoutput::Delete>(&message)) {
    ASSAY_ASSIGN_OR_RETURN(const StreamRelation* of, bind(erase->relation));
    item.kind = CaptureItem::Kind::kDelete;
    item.old_tuple = WholeOld(*of, WithoutGenerated(*of, std::move(erase->old_tuple)), erase->old_is_whole, {});
  }
  batch.items.push_back(std::move(item));
  return absl::OkStatus();
}

absl::Status PostgresCapture::TakeData(pgoutput::Message message, CaptureBatch& batch) {
  CaptureItem item;
  const bool begins = std::holds_alternative<pgoutput::Begin>(message);
  const auto* text = std::get_if<pgoutput::LogicalMessage>(&message);
  const bool anywhere = std::holds_alternative<pgoutput::Ignored>(message) || (text != nullptr && !text->transactional);
  if (begins == in_transaction_ && !anywhere)
    return absl::DataLossError("the stream's transactions do not begin and end in turn");
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
    return TakeRelation(std::move(*relation), batch);
  } else if (auto* truncate = std::get_if<pgoutput::Truncate>(&message)) {
    for (uint32_t oid : truncate->relations) {
      CaptureItem one{.kind = CaptureItem::Kind::kTruncate};
      ASSAY_ASSIGN_OR_RETURN(const StreamRelation* of, RelationOf(oid));
      one.relation = of->shape;
      batch.items.push_back(std::move(one));
    }
    return absl::OkStatus();
  } else if (text != nullptr) {
    // Other programs' messages, and those outside a transaction, which have no place in commit order.
    if (!text->transactional || !absl::StartsWith(text->prefix, "assay.")) return absl::OkStatus();
    item.kind = CaptureItem::Kind::kMessage;
    item.prefix = text->prefix;
    item.content = text->content;
  } else if (std::holds_alternative<pgoutput::Ignored>(message)) {
    return absl::OkStatus();
  } else {
    return TakeRow(std::move(message), std::move(item), batch);
  }
  batch.items.push_back(std::move(item));
  return absl::OkStatus();
}

absl::Status PostgresCapture::TakeRelation(pgoutput::Relation message, CaptureBatch& batch) {
  const uint32_t oid = message.oid;
  StreamRelation& known = relations_[oid];
  ASSAY_RETURN_IF_ERROR(KeepCatalog());
  ASSAY_ASSIGN_OR_RETURN(known, DescribeRelation(*catalog_, xid_, std::move(message), known.shape));
  std::set<uint32_t> partial;
  for (const auto& [_, relation] : relations_) partial.insert(relation.roots.begin(), relation.roots.end());
  for (auto& [described, relation] : relations_) relation.partial = partial.contains(described);
  CaptureItem item{.kind = CaptureItem::Kind::kRelation};
  item.relation = known.shape;
  item.identity = known.identity;
  batch.items.push_back(std::move(item));
  return absl::OkStatus();
}

}  // namespace assay
