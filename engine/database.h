// The branch's own PostgreSQL as the engine sees it: a stream of committed changes out, rows read and written back in.
//
// Two bodies: libpq (adapters/postgres) and the simulated one (tests/simulation); one contract suite holds both to this
// page. Calls block; the engine never makes them itself but asks its host to (engine/engine.h), so no thread of the
// engine waits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/packed_row.h"
#include "log/check.h"
#include "log/table_names.h"
#include "log/types.h"

namespace assay {

// ---- Capture: what was committed, in commit order -------------------------------------------------------------------

struct TableColumn {
  std::string name;
  std::string type;  // format_type(), e.g. "numeric(12,2)".
  bool not_null = false;
  bool generated = false;  // Never sent, never written.
  // pg_attribute.attnum: what a column keeps when it is renamed, and nothing else ever takes. 0: not known, as of a
  // column that was dropped before its changes were captured.
  uint32_t number = 0;
  // As v1::TableSchema::Column::definition: what `type` is made of. Empty: of PostgreSQL's own types only.
  std::string definition{};
  bool operator==(const TableColumn&) const = default;
};

// A table as the catalog describes it. In capture, `columns` are those the stream sends, in its order.
struct TableShape {
  TableName name;
  std::vector<TableColumn> columns;
  // Indexes into `columns` of the primary key, in the order of the columns' names (OrderKey), whatever order it was
  // declared in: so two branches that declared it differently mean the same row by the same texts. In capture, the key
  // that the table has now: perhaps not the one that it had when a row was written, and empty if it has none any more.
  std::vector<uint32_t> key;
  void OrderKey() {
    std::sort(key.begin(), key.end(), [this](uint32_t a, uint32_t b) { return columns[a].name < columns[b].name; });
  }
  bool operator==(const TableShape&) const = default;
};

struct TupleValue {
  enum class Kind : uint8_t { kNull, kText, kUnchanged };  // kUnchanged: a TOAST value not touched, and not sent.
  Kind kind = Kind::kNull;
  absl::string_view text;  // Into the CaptureBatch's buffers.
};

// What an old tuple holds of its row.
enum class ReplicaIdentity : uint8_t { kFull, kDefault, kIndex, kNothing };

struct CaptureItem {
  enum class Kind : uint8_t {
    kBegin,     // commit_lsn, commit_time_us, xid.
    kInsert,    // relation, new_tuple.
    kUpdate,    // relation, old_tuple, new_tuple.
    kDelete,    // relation, old_tuple.
    kTruncate,  // relation; one item per table truncated.
    kMessage,   // prefix, content: pg_logical_emit_message inside the transaction, the prefix beginning with "assay.".
    kRelation,  // relation, identity: how the next rows of that table are written, or of its root if it is a partition.
    kUnreadable,  // relation: a row that came and makes no sense.
    kCommit,      // commit_lsn, end_lsn.
    kKeepalive,   // end_lsn: nothing of ours is before it that was not sent. Only outside a transaction.
  };
  Kind kind = Kind::kBegin;
  Lsn commit_lsn;
  Lsn end_lsn;
  int64_t commit_time_us = 0;  // Unix microseconds.
  uint32_t xid = 0;
  std::shared_ptr<const TableShape> relation;
  ReplicaIdentity identity = ReplicaIdentity::kFull;
  // Parallel to relation->columns. Whole, unless somebody took REPLICA IDENTITY FULL from the table: then what was not
  // sent is kUnchanged.
  std::vector<TupleValue> old_tuple;
  std::vector<TupleValue> new_tuple;
  absl::string_view prefix;
  absl::string_view content;
  // kKeepalive: the server waits for our position, perhaps to shut down: confirm at once. Such a one may bring nothing
  // new.
  bool wants_reply = false;
};

// A run of the stream; may begin and end inside a transaction. Owns what the items point into.
struct CaptureBatch {
  std::vector<std::unique_ptr<std::string>> buffers;
  std::vector<CaptureItem> items;

  void Append(CaptureBatch more) {
    if (items.empty()) return void(*this = std::move(more));
    std::move(more.buffers.begin(), more.buffers.end(), std::back_inserter(buffers));
    std::move(more.items.begin(), more.items.end(), std::back_inserter(items));
  }
};

// What a server shows of itself and of its slot when capture is started: by this a restore or a copy is recognised
// (engine/recovery/restore_check.h). Read before anything is streamed or confirmed.
struct DatabaseEvidence {
  bool known = false;  // False: this body cannot tell, or the server could not be asked.
  bool slot_there = false;
  bool slot_lost = false;  // It is there and has lost WAL that it still needed.
  Lsn slot_confirmed;
  Lsn flushed;         // Where the server's durable WAL ends.
  std::string server;  // System identifier and the database's OID.
  uint32_t timeline = 0;
  uint32_t next_xid = 0;  // Not yet given to any transaction.
  // assay.progress: the last projection that committed, and the log it belongs to. nullopt: not there.
  std::optional<uint64_t> batch;
  std::optional<OriginId> origin;
  // A projection was under way when `batch` was read: it may have been captured already, and `batch` be behind the log
  // only because its COMMIT cannot be seen yet.
  bool projecting = false;
};

class CaptureSource {
 public:
  virtual ~CaptureSource() = default;
  // (Re)starts at the position the server has confirmed; what was delivered before and not confirmed comes again, from
  // the beginning of its transaction. UNAVAILABLE: try again later. FAILED_PRECONDITION: a named state a person
  // resolves (slot lost, slot in use, publication gone, wal_level).
  virtual absl::Status Start() = 0;
  // What the last Start saw, also one that failed for want of a slot. From the thread that called Start.
  virtual DatabaseEvidence Evidence() const { return {}; }
  // Lets the stream go until the next Start: a server waits for it before it shuts down.
  virtual void Stop() {}
  // The next items, at most `wait` later; an empty batch when there are none. Any error ends the stream: Start again.
  virtual absl::StatusOr<CaptureBatch> Next(absl::Duration wait) = 0;
  // All before `lsn` is durable in the log. Never blocks; from any thread. Ignored while this stream has not delivered
  // `lsn`, because a server that was restored would skip ahead to it: say it again after each step.
  virtual void Confirm(Lsn lsn) = 0;
};

// Prefixes of the transactional messages that Assay understands in the stream.
inline constexpr absl::string_view kProjectionPrefix = "assay.projection";  // Content: the batch's tag.
inline constexpr absl::string_view kFencePrefix = "assay.fence";            // Content: the fence's nonce.
inline constexpr absl::string_view kSentinelFence = "sentinel/";  // How the nonces of the sentinel's fences begin.
inline constexpr absl::string_view kAttributionPrefix = "assay.attribution";  // Content: JSON, see sql/branch.sql.

// ---- Projection: rows read and written ------------------------------------------------------------------------------

using RowKey = std::vector<std::string>;  // Key texts, in the order of TableShape::key.

struct ReadRequest {
  struct Table {
    TableName name;
    std::vector<RowKey> keys;
  };
  std::vector<Table> tables;
  // Emitted as a transactional kFencePrefix message *after* the rows were read: when capture delivers it, every commit
  // the read saw has been delivered.
  std::string fence;
  // Lock the rows first (SELECT … FOR UPDATE in key order, and nobody can insert those that do not exist) and keep the
  // transaction open for Project or Abandon. The kProjectionPrefix message with `tag` opens that transaction. ABORTED
  // when a lock takes longer than the adapter's limit: go on without locks before asking for them again, since a
  // forgotten session may hold one for hours.
  bool lock = false;
  std::string tag;
};

struct ReadReply {
  struct Row {
    bool exists = false;
    uint32_t xmin = 0;               // Of the row version read; changes with every write.
    std::vector<ColumnText> values;  // Parallel to the shape's columns; generated ones nullopt. Empty unless `exists`.
  };
  struct Table {
    std::optional<TableShape> shape;  // nullopt: no such table here, or it is not enrolled.
    std::string refusal;              // Why not, for people, when there is no shape.
    std::vector<Row> rows;  // Parallel to the request's keys. A key that does not convert to the key's type: not there.
    std::string answers;    // Triggers and rules that run for projected rows, too, for people; empty: none.
  };
  std::vector<Table> tables;  // Parallel to the request's.
  // Every transaction with an xid older than this had ended when the fence was emitted, so that its commit comes by
  // before the fence. 0: not known.
  uint32_t ended_before = 0;
  uint64_t session =
      0;  // In which this was read: another number, and perhaps another server that gives the same xids anew.
};

struct RowWrite {
  enum class Operation : uint8_t {
    kInsert,
    kUpdate,
    kDelete,
    kKeep,  // Writes nothing: the row is to be what was read until the projection commits. Names no columns.
  };
  Operation operation = Operation::kInsert;
  // All but an insert: only while the row is the version that was read. (For an insert nothing stands guard but the key
  // itself: a row that came and went since the read goes unnoticed, and is found when the echo meets versions that were
  // not planned on.)
  uint32_t xmin = 0;
  PackedRow row;       // The key; and texts, of which TableWrites::Value picks those to be written.
  uint32_t order = 0;  // Index into TableWrites::orders.
};

// Writes to one table that name the same columns. Columns not named take no default on update, and NULL or the column's
// default on insert.
struct TableWrites {
  TableName name;
  std::vector<std::string> columns;  // Non-key columns.
  std::deque<RowWrite> rows;
  // Parallel to `columns`: the type that the values were written as, where that is another than the column has here;
  // else empty. Such a value is refused, with its row, unless the column holds all of it: 1.2345 in a numeric(12,2)
  // would be rounded in silence. May be left empty: no such column.
  std::vector<std::string> written_as;
  // What the table was taken to be when this was planned. Unless it is that still, nothing is written, and the outcome
  // is kMoved without rows: a key's texts would name other rows once the key is of other columns. Null: nobody can say.
  std::shared_ptr<const TableShape> planned_on;
  bool unread = false;  // Nothing was read for it.
  // Parallel to `columns`: which of a row's texts it takes. Rows are handed on as they were gathered, with all that
  // they have, and most have the same. Empty: all rows have just these columns, in their order.
  std::vector<std::vector<uint32_t>> orders;

  // What `row`, which is an insert or an update, writes to columns[column]; nullopt: NULL.
  std::optional<absl::string_view> Value(const RowWrite& row, size_t column) const {
    const size_t index = orders.empty() ? column : orders[row.order][column];
    const PackedRow::Kind kind = row.row.KindAt(index);
    ASSAY_CHECK(kind != PackedRow::Kind::kNone);
    if (kind == PackedRow::Kind::kNull) return std::nullopt;
    return row.row.TextAt(index);
  }
  // Bytes of all that `row` writes.
  size_t ByteSize(const RowWrite& row) const {
    size_t bytes = 0;
    if (row.operation == RowWrite::Operation::kDelete || row.operation == RowWrite::Operation::kKeep) return bytes;
    for (size_t i = 0; i < columns.size(); ++i) bytes += Value(row, i).value_or(absl::string_view()).size();
    return bytes;
  }
};

// Holds a projection's COMMIT back until its intent is durable in the log, so that PostgreSQL writes the rows while the
// log's disk is at work.
class CommitGate {
 public:
  virtual ~CommitGate() = default;
  // False: the log could not be written, and the projection must not happen. nullopt: not decided within `wait`.
  virtual std::optional<bool> Await(absl::Duration wait) = 0;
};

struct ProjectRequest {
  uint64_t batch = 0;               // Written to assay.progress in the same transaction.
  std::string tag;                  // Content of the kProjectionPrefix message that opens it.
  std::vector<TableWrites> writes;  // May be empty: then only the message and the progress.
  bool locked = false;              // Continue the transaction a locking read left open; xmin is not compared.
  // COMMIT waits for it, while nobody waits for the rows. Null: it waits for nothing.
  std::shared_ptr<CommitGate> gate;
};

struct ProjectReply {
  enum class Outcome : uint8_t {
    kCommitted,  // All of it, durably.
    kMoved,  // Nothing: `rows`, perhaps among others, are not the version that was read, or a table is not what it was
             // taken to be (no rows).
    kGaveWay,      // Nothing: somebody waited for what was locked by then.
    kRefused,      // Nothing: PostgreSQL will not take `rows`, each with its cause. Also rows that stay locked (55P03).
    kInDoubt,      // COMMIT was sent and no reply came: LastBatch before anything else.
    kUnavailable,  // Nothing, for a passing reason in `status` (connection, lock timeout, deadlock, disk full, a gate
                   // that stayed shut).
  };
  struct Row {
    uint32_t table = 0;    // Index into ProjectRequest::writes.
    uint32_t row = 0;      // Index into its rows.
    std::string sqlstate;  // kRefused only.
    std::string cause;     // kRefused only: PostgreSQL's message, without values it would quote from other rows.
  };
  Outcome outcome = Outcome::kCommitted;
  std::vector<Row> rows;
  absl::Status status;
  // kCommitted only: the xmin that all rows have which it wrote, and no other row has. 0: not known, or a trigger may
  // have had a hand in it.
  uint32_t xmin = 0;
  uint64_t session = 0;  // The ReadReply::session of the session that wrote.
};

class Database {
 public:
  virtual ~Database() = default;
  virtual absl::StatusOr<ReadReply> Read(const ReadRequest& request) = 0;
  // One PostgreSQL transaction: tag, rows (those to be kept, deletes, updates, inserts), progress. Rows that exchange a
  // unique value cannot be updated one after the other: such an update is seen in capture as the row's delete and,
  // later, its insert.
  virtual ProjectReply Project(const ProjectRequest& request) = 0;
  // Rolls back the transaction a locking read left open, as the next Read does, too; harmless when there is none.
  virtual void Abandon() = 0;
  // The newest batch that committed, once no earlier attempt can still commit. UNAVAILABLE: not known yet.
  virtual absl::StatusOr<uint64_t> LastBatch() = 0;
};

}  // namespace assay
