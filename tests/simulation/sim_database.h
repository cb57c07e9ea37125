// One PostgreSQL, small enough to read in one sitting: tables, row locks, transactions, and a WAL in commit order.
//
// It is the simulated body of Database, and with SimCapture (sim_capture.h) of CaptureSource; the contract suite in
// tests/contract holds it and the real one to the same page. What it keeps true of PostgreSQL: a commit record enters
// the WAL before its rows become visible and before its locks go; a row version has a new xmin with every write;
// constraints are checked row by row; a lost connection leaves a COMMIT in doubt, and it may still happen later. Of
// ALTER TABLE it has columns by number, names used again, types, keys and replica identities; tables made anew; list
// partitions, whose rows are deleted and inserted when they move. What it does not have: tables without a key,
// inheritance, partitions that are attached with rows, sequences, rules. simulated_against_real_test draws all of it.
//
//   SimDatabase database(&random, &clock);
//   database.CreateTable(shape, /*unique=*/{1});
//   SimTransaction sale(&database);
//   ASSAY_RETURN_IF_ERROR(sale.Insert(invoices, {"1", "250.00"}));
//   sale.Commit();
//
// Not thread-safe; nothing blocks: what would wait for a lock in PostgreSQL is refused as a lock timeout would be.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/clock.h"
#include "engine/database.h"
#include "tests/simulation/random.h"

namespace assay {

using SimValues = std::vector<ColumnText>;  // Parallel to the shape's columns.
using SimRowName = std::pair<TableName, RowKey>;

struct SimRow {
  SimValues values;
  uint32_t xmin = 0;
};

// BEFORE INSERT OR UPDATE, ENABLE ALWAYS: may change the row. False: it is skipped. Leaves the key alone.
using SimTrigger = std::function<bool(SimValues*)>;

struct SimTable {
  std::shared_ptr<const TableShape> shape;
  std::vector<uint32_t> unique;  // Columns that are UNIQUE, each by itself.
  bool key_is_newest = false;    // Its index was made after theirs, and is looked at after them.
  SimTrigger trigger;            // Null: none.
  bool writes_aside = false;     // See WriteAside.
  std::map<RowKey, SimRow> rows;
  uint32_t last_number = 0;  // Of a column, ever.
  uint32_t oid = 0;          // Another one when a table of that name is made anew.
  ReplicaIdentity identity = ReplicaIdentity::kFull;
  // PARTITION BY LIST of that column: the values that have a partition. Empty: it is not partitioned.
  uint32_t partition_column = 0;
  std::set<std::string> partitions;
  // What it has been, for whoever judges what became of a value: per column, by number, its first name, with a prime
  // where another one had that before; per first name without that, the names and types that it had; and its first key.
  std::map<uint32_t, std::string> first_names;
  std::map<std::string, std::set<std::string>> types;
  std::vector<std::string> first_key;
};

// One change or message as the WAL keeps it.
struct WalItem {
  CaptureItem::Kind kind = CaptureItem::Kind::kMessage;
  std::shared_ptr<const TableShape> relation;
  SimValues old_values;
  SimValues new_values;
  std::string prefix;
  std::string content;
  bool aside = false;  // Of a projection, and not from it: see WriteAside.
  uint32_t oid = 0;    // Of the relation.
  ReplicaIdentity identity = ReplicaIdentity::kFull;
};

struct WalTransaction {
  uint32_t xid = 0;
  Lsn commit_lsn;  // Where the commit record begins.
  Lsn end_lsn;     // Just past it.
  int64_t commit_time_us = 0;
  bool projected = false;  // Written by Project: what the simulation knows, whatever the tag says.
  uint32_t published = 0;  // How many times the publication had changed by then.
  std::vector<WalItem> items;
};

// What can go wrong with the next call to the Database; drawn by the simulation, used once.
enum class DatabaseFault : uint8_t {
  kNone,
  kUnavailable,       // Nothing happened.
  kReplyLost,         // It happened (a COMMIT too); the reply says UNAVAILABLE, or in doubt.
  kCommitNotReached,  // Project: in doubt, and the COMMIT never arrived.
  kCommitLater,       // Project: in doubt, and the server has not decided yet. See Settle.
  kGaveWay,           // Project, unless it is locked: somebody waited for it.
};

class SimDatabase : public Database {
 public:
  // `clock` gives the commit times; both must outlive this.
  SimDatabase(SeededRandom* random, Clock* clock) : random_(random), clock_(clock) {}

  // ---- The catalog ----
  // Columns are numbered as PostgreSQL does.
  void CreateTable(TableShape shape, std::vector<uint32_t> unique);
  // ALTER TABLE. False: somebody holds a lock on the table, which it would wait for.
  // `fill`: in the rows that are there.
  bool AddColumn(const TableName& name, TableColumn column, ColumnText fill = std::nullopt);
  bool DropColumn(const TableName& name, const std::string& column);
  bool RenameColumn(const TableName& name, const std::string& column, const std::string& to);
  // Its other forms, and DROP TABLE; CreateTable makes one anew. Capture is told nothing of what they do to rows.
  // ABORTED: as above. FAILED_PRECONDITION: a row that is there does not fit.
  absl::Status AlterType(const TableName& name, const std::string& column, const std::string& type);  // USING a cast.
  absl::Status SetKey(const TableName& name, const std::vector<std::string>& columns);
  absl::Status SetReplicaIdentity(const TableName& name, ReplicaIdentity identity);
  absl::Status DropTable(const TableName& name);
  void PartitionBy(const TableName& name, uint32_t column, std::set<std::string> values);
  void CreateTrigger(const TableName& name, SimTrigger trigger) { tables_.at(name).trigger = std::move(trigger); }
  // AFTER INSERT OR UPDATE, ENABLE ALWAYS: for each row of `name`, one into public.invoices, as an audit trigger has
  // it.
  void WriteAside(const TableName& name) { tables_.at(name).writes_aside = true; }
  // A row that the WAL says nothing of, as in a partition that is attached with its rows.
  void PutUnheard(const TableName& name, SimValues values);
  bool IsUnheard(const SimRowName& row) const { return unheard_.contains(row); }
  const SimTable* Find(const TableName& name) const;
  const SimTable* FindOid(uint32_t oid) const;
  const std::map<TableName, SimTable>& tables() const { return tables_; }
  const std::vector<WalTransaction>& wal() const { return wal_; }
  Lsn end_of_wal() const { return end_of_wal_; }
  uint32_t next_xid() const { return next_xid_; }
  uint64_t last_batch() const { return last_batch_; }
  // The WAL for people, a transaction a line.
  std::string ShowWal() const;

  // ---- Database ----
  absl::StatusOr<ReadReply> Read(const ReadRequest& request) override;
  ProjectReply Project(const ProjectRequest& request) override;
  void Abandon() override;
  absl::StatusOr<uint64_t> LastBatch() override;

  // A fault that no server has, planted so that the tests can show that they see it.
  enum class Plant : uint8_t {
    kNone,
    kNoCompare,  // Writes rows that moved since they were read.
    kNoTag,      // Leaves out the message that marks a projection.
    kTorn,       // Commits a projection in two halves.
    kNoKeep,     // Does not look at rows that are to be kept.
    kNoAnswer,   // Writes rows that come back otherwise than they were meant.
  };
  void set_plant(Plant plant) { plant_ = plant; }

  // ---- Faults ----
  void set_fault(DatabaseFault fault) { fault_ = fault; }
  // Runs once inside the next Read, after the rows were read and before the fence is emitted.
  void set_between_read_and_fence(std::function<void()> action) { between_read_and_fence_ = std::move(action); }
  // The client of the connection that Read and Project use is gone; the server does not know yet.
  void Disconnect();
  // The server notices what became of connections: a locking read without a client ends, an undecided COMMIT is decided
  // by chance.
  void Settle();
  bool IsSettled() const { return undecided_ == nullptr && orphans_.empty(); }
  // Open transactions and connections end; nothing committed is lost. SimCapture's slot may go back.
  void Crash();
  uint64_t crashes() const { return crashes_; }
  // Rows that PostgreSQL refused to take from a projection, ever.
  const std::set<SimRowName>& refused() const { return refused_; }
  // What PostgreSQL would say to this row, written by itself now; OK: it would take it.
  absl::Status WouldTake(const TableName& table, const SimValues& values) const;

 private:
  friend class SimTransaction;

  // A transaction that has not ended: its writes, over what is committed, and its locks.
  struct Open {
    uint32_t xid = 0;
    bool projected = false;
    bool recorded = false;  // Its commit record is in the WAL.
    uint64_t batch = 0;     // Of a projection; else 0.
    std::vector<WalItem> items;
    std::map<SimRowName, std::optional<SimValues>> written;  // nullopt: deleted.
    // Every row that it has ever written, also what it has written over since: whoever wants a unique value of it
    // waits.
    std::vector<std::pair<SimRowName, SimValues>> versions;
    std::set<SimRowName> locked;
    std::set<TableName> touched;  // Written to, or tried to: nobody can close them until this ends.
    std::set<TableName> closed;   // To everybody else's writes: SHARE ROW EXCLUSIVE.
  };
  // Why PostgreSQL would not do a statement. `sqlstate` 55P03: a lock is held by another; 00000: the row is not there
  // (or, for an insert, it is).
  struct Refusal {
    std::string sqlstate;
    std::string cause;
    bool IsLock() const { return sqlstate == "55P03"; }
    bool IsMoved() const { return sqlstate == "00000"; }
  };
  using Result = std::optional<Refusal>;  // nullopt: done.

  // Takes down what a table's columns are now.
  static void Remember(SimTable* table);
  // As ALTER TABLE has to wait for.
  bool IsInUse(const TableName& name) const;
  std::unique_ptr<Open> Begin();
  // The row as `open` sees it: committed, with its own writes over that.
  std::optional<SimValues> Current(const Open& open, const SimRowName& row) const;
  Result Lock(Open& open, const SimRowName& row);
  Result LockExisting(Open& open, const SimRowName& row, SimValues* values);
  bool OthersWrite(const Open& open, const SimRowName& row) const;
  // A change as the WAL keeps it.
  static WalItem ItemOf(const SimTable& table, CaptureItem::Kind kind, SimValues old_values, SimValues new_values);
  Result CheckTypes(const SimTable& table, const SimValues& values) const;
  // NULL, or a value that no partition is there for.
  static Result CheckPartition(const SimTable& table, const SimValues& values);
  Result CheckTexts(const SimTable& table, const SimValues& values) const;
  // What comes back is what was meant.
  Result CheckAnswer(const SimTable& table, const SimValues& values) const;
  Result CheckUniques(const Open& open, const SimTable& table, const RowKey& key, const SimValues& values) const;
  Result CheckUnique(const Open& open, const SimTable& table, const RowKey& key, uint32_t column,
                     const ColumnText& value) const;
  Result InsertRow(Open& open, const TableName& name, SimValues values);
  void InsertAside(Open& open);
  Result UpdateRow(Open& open, const TableName& name, const RowKey& key, SimValues values);
  Result DeleteRow(Open& open, const TableName& name, const RowKey& key);
  Result SetValues(const SimTable& table, const TableWrites& writes, const RowWrite& write, SimValues* values) const;
  Result ApplyWrite(Open& open, const TableWrites& table, const RowWrite& write, bool compare);
  struct Failure;
  // Applies what can be applied, in the order and with the second chances that the real adapter gives: a unique value
  // may be free once the other rows are written, or be exchanged between rows by taking them out and putting them back.
  std::vector<Failure> ApplyAll(Open& open, const ProjectRequest& request);
  void Exchange(Open& open, const ProjectRequest& request, std::vector<Failure>& failures);
  // What PostgreSQL's table locks come to: a statement that writes waits for who closed the table, and the other way
  // round.
  Result Touch(Open& open, const TableName& name);
  bool LockTable(Open& open, const TableName& name);
  // Writes the commit record: from here on it is committed, and capture may deliver it.
  void Record(Open& open);
  void RecordHalf(Open& open);
  // Makes a recorded transaction's rows visible and ends it.
  void Publish(Open& open);
  // Ends a transaction: its locks go, and what it wrote unless it was published.
  void End(Open& open);
  void EndAll(std::vector<std::unique_ptr<Open>>& opens);
  void Decide();
  void EmitMessage(absl::string_view prefix, absl::string_view content);
  DatabaseFault TakeFault() { return std::exchange(fault_, DatabaseFault::kNone); }

  SeededRandom* random_;
  Clock* clock_;
  std::map<TableName, SimTable> tables_;
  std::vector<WalTransaction> wal_;
  Lsn end_of_wal_{0x1000};
  uint32_t next_xid_ = 700;
  uint32_t next_oid_ = 16384;
  uint32_t published_ = 0;                // How many tables were put into the publication.
  std::map<uint32_t, Open*> open_;        // Every transaction that has not ended.
  std::map<SimRowName, uint32_t> locks_;  // Row to the transaction that holds it.
  std::unique_ptr<Open> locking_read_;
  std::unique_ptr<Open> undecided_;             // A projection whose COMMIT may or may not have arrived.
  std::vector<std::unique_ptr<Open>> orphans_;  // Locking reads whose client is gone.
  uint64_t last_batch_ = 0;
  int lock_timeouts_ = 0;  // Projections that gave up on a lock lately.
  absl::Time last_lock_timeout_ = absl::InfinitePast();
  uint64_t crashes_ = 0;
  uint64_t session_ = 1;
  DatabaseFault fault_ = DatabaseFault::kNone;
  Plant plant_ = Plant::kNone;
  std::function<void()> between_read_and_fence_;
  std::set<SimRowName> refused_;
  std::set<SimRowName> unheard_;
};

// PostgreSQL's complaint about a text of this type, as SQLSTATE and words; nullopt: it takes it.
std::optional<std::pair<std::string, std::string>> BadText(absl::string_view type, const std::string& text);
// The texts as PostgreSQL shows them once they are stored.
void Respell(const TableShape& shape, SimValues* values);
// The key texts of a row.
RowKey KeyOf(const TableShape& shape, const SimValues& values);

// A transaction of the app. A statement that fails changes nothing, but like in PostgreSQL the only way on is Rollback.
// ABORTED: a lock is held by another (try again later). FAILED_PRECONDITION: a constraint. NOT_FOUND: no such row or
// table. UNAVAILABLE: the server crashed under it. Rolled back when it goes out of scope.
class SimTransaction {
 public:
  explicit SimTransaction(SimDatabase* database);
  ~SimTransaction() { Rollback(); }
  SimTransaction(const SimTransaction&) = delete;
  SimTransaction& operator=(const SimTransaction&) = delete;

  absl::Status Insert(const TableName& table, SimValues values);
  // Sets columns by name; setting a key column moves the row.
  absl::Status Update(const TableName& table, const RowKey& key, const std::map<std::string, ColumnText>& sets);
  absl::Status Delete(const TableName& table, const RowKey& key);
  absl::Status Truncate(const TableName& table);
  // A change that comes in capture as one that makes no sense.
  absl::Status WriteUnreadable(const TableName& table);
  void Message(absl::string_view prefix, absl::string_view content);
  // As this transaction sees it.
  std::optional<SimValues> Get(const TableName& table, const RowKey& key) const;

  // Both halves at once.
  absl::Status Commit();
  // The commit record is in the WAL and can be captured; nobody sees the rows yet and the locks are still held.
  absl::Status CommitRecord();
  void BecomeVisible();
  void Rollback();

 private:
  absl::Status Check() const;
  absl::Status ToStatus(const SimDatabase::Result& result) const;

  SimDatabase* database_;
  uint64_t crashes_;                         // Of the server when this began.
  std::unique_ptr<SimDatabase::Open> open_;  // nullptr: ended.
};

}  // namespace assay
