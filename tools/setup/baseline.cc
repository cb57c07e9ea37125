#include "tools/setup/baseline.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "adapters/postgres/copy_out.h"
#include "log/annotate.h"

namespace assay {
namespace {

// What keeps CREATE_REPLICATION_SLOT waiting, for people.
std::string Writers(Connection& admin, int except) {
  absl::StatusOr<Result> writers = admin.Execute(
      "SELECT pg_catalog.string_agg('process ' || pid || coalesce(' (' || nullif(application_name, '') || ')', '') || "
      "', ' || state, '; ') AS writers "
      "FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL AND pid NOT IN (pg_catalog.pg_backend_pid(), "
      "$1::int)",
      {absl::StrCat(except)});
  if (!writers.ok() || writers->IsNull(0, "writers"))
    return "a transaction that is open, perhaps a prepared one (pg_prepared_xacts)";
  return writers->String(0, "writers");
}

std::string Unlimited(const SelectedTable& table) {
  // Inheritance children have keys of their own and are not published with their parent.
  return table.partitions.empty() ? "ONLY " : "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<SlotSnapshot>> SlotSnapshot::Create(const std::string& url, Connection& admin,
                                                                   absl::Duration wait) {
  auto slot = std::make_unique<SlotSnapshot>();
  ASSAY_ASSIGN_OR_RETURN(
      slot->connection_,
      Connection::Open(url, {.application_name = "assay init", .replication = true, .call_timeout = wait}));
  const int pid = slot->connection_->backend_pid();
  // The older spelling of (SNAPSHOT 'export'), which every version understands.
  absl::StatusOr<Result> made = slot->connection_->ExecuteScript(
      absl::StrCat("CREATE_REPLICATION_SLOT ", kSlot, " LOGICAL pgoutput EXPORT_SNAPSHOT"));
  if (absl::IsDeadlineExceeded(made.status())) {
    const std::string writers = Writers(admin, pid);
    // Closing our end would not stop it: it would go on waiting, and leave the slot behind.
    (void)admin.Execute("SELECT pg_catalog.pg_terminate_backend($1::int)", {absl::StrCat(pid)});
    return absl::AbortedError(absl::StrCat(
        "create the replication slot: the server waits for transactions that were open before and do not end (",
        writers, "); end them and run the command again"));
  }
  if (!made.ok()) {
    const absl::Status status = AnnotateSql(made.status(), "create the replication slot");
    return SqlstateOf(status) == "42710" ? absl::AlreadyExistsError(status.message()) : status;
  }
  ASSAY_ASSIGN_OR_RETURN(slot->consistent_point_, ParseLsn(made->Text(0, "consistent_point")));
  slot->snapshot_ = made->String(0, "snapshot_name");
  return slot;
}

absl::StatusOr<std::unique_ptr<Connection>> OpenReader(const std::string& admin_url) {
  return Connection::Open(admin_url, {.application_name = "assay baseline", .settings = {{"row_security", "off"}}});
}

absl::Status BeginAt(Connection& reader, const std::string& snapshot) {
  ASSAY_RETURN_IF_ERROR(reader.ExecuteScript("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").status());
  if (snapshot.empty()) return absl::OkStatus();
  return AnnotateSql(
      reader.ExecuteScript(absl::StrCat("SET TRANSACTION SNAPSHOT ", reader.QuoteLiteral(snapshot))).status(),
      "open the slot's snapshot");
}

absl::StatusOr<Lsn> PublishAt(Connection& admin, Connection& reader, const SelectedTable& table, absl::Time deadline) {
  const std::string name = Quoted(admin, table.name());
  // Writers are kept out from before the snapshot is taken until the publication has the table: nobody can commit in
  // between.
  for (;;) {
    const absl::Status locked =
        admin
            .ExecuteScript(absl::StrCat("BEGIN; SET LOCAL lock_timeout = ", absl::ToInt64Milliseconds(kLockWait),
                                        "; LOCK TABLE ", name, " IN SHARE ROW EXCLUSIVE MODE; ALTER PUBLICATION ",
                                        kPublication, " ADD TABLE ONLY ", name))
            .status();
    if (locked.ok()) break;
    ASSAY_RETURN_IF_ERROR(admin.ExecuteScript("ROLLBACK").status());
    if (!absl::IsAborted(locked) || SteadyNow() >= deadline)
      return AnnotateSql(locked, absl::StrCat("publish ", table.name().ToString()));
    absl::SleepFor(absl::Milliseconds(300));
  }
  const auto take_snapshot = [&]() -> absl::StatusOr<Lsn> {
    ASSAY_RETURN_IF_ERROR(BeginAt(reader, ""));
    ASSAY_ASSIGN_OR_RETURN(const Result at, reader.Execute("SELECT pg_catalog.pg_current_wal_insert_lsn() AS at"));
    return ParseLsn(at.Text(0, "at"));
  };
  const absl::StatusOr<Lsn> at = take_snapshot();
  if (!at.ok()) {
    (void)admin.ExecuteScript("ROLLBACK");
    return at;
  }
  ASSAY_RETURN_IF_ERROR(admin.ExecuteScript("COMMIT").status());
  return at;
}

absl::Status ReadRows(Connection& reader, const SelectedTable& table,
                      const std::function<absl::Status(absl::Span<const TupleValue>)>& visit) {
  const TableShape& shape = table.shape;
  const auto column = [&](uint32_t ordinal) { return reader.QuoteIdentifier(shape.columns[ordinal].name); };
  std::vector<std::string> columns, key;
  for (uint32_t i = 0; i < shape.columns.size(); ++i) columns.push_back(column(i));
  for (uint32_t ordinal : shape.key) key.push_back(column(ordinal));
  return AnnotateSql(CopyOut(reader,
                             absl::StrCat("SELECT ", absl::StrJoin(columns, ", "), " FROM ", Unlimited(table),
                                          Quoted(reader, shape.name), " ORDER BY ", absl::StrJoin(key, ", ")),
                             columns.size(), visit),
                     absl::StrCat("read ", shape.name.ToString()));
}

absl::Status WriteBaseline(Connection& reader, Lsn at, const std::vector<SelectedTable>& tables, Reconciler& reconciler,
                           const FoldIndex& fold, const BaselineOptions& options) {
  std::vector<Reconciler::Pass> passes = {Reconciler::Pass::kWrite};
  if (!fold.empty()) passes.insert(passes.begin(), Reconciler::Pass::kCompare);
  for (const Reconciler::Pass pass : passes) {
    uint64_t done = 0;
    ASSAY_RETURN_IF_ERROR(reconciler.BeginPass(pass, at, options.time_us));
    for (const SelectedTable& table : tables) {
      ASSAY_RETURN_IF_ERROR(reconciler.BeginTable(std::make_shared<TableShape>(table.shape)));
      ASSAY_RETURN_IF_ERROR(ReadRows(reader, table, [&](absl::Span<const TupleValue> tuple) {
        if (++done % 10'000 == 0 && options.progress)
          options.progress(pass == Reconciler::Pass::kCompare ? "compare rows" : "write rows", done);
        return reconciler.Row(tuple);
      }));
    }
    ASSAY_RETURN_IF_ERROR(reconciler.EndPass());
    if (reconciler.MustAsk()) break;
  }
  return absl::OkStatus();
}

}  // namespace assay
