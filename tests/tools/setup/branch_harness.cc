#include "tests/tools/setup/branch_harness.h"

#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "adapters/postgres/capture.h"
#include "engine/fold/fold_values.h"
#include "engine/own_chain.h"
#include "log/annotate.h"
#include "tests/support/child_process.h"

namespace assay::test {
namespace {

// Every event of the own chain, whole.
std::vector<v1::Event> OwnEvents(const std::string& path, std::map<uint64_t, v1::TableSchema>* schemas) {
  std::vector<v1::Event> events;
  auto file = LogFile::Open(path, {.read_only = true});
  if (!file.ok()) return events;
  auto log = EventLog::Open(file->get()).value();
  auto state = LocalState::Open(file->get(), log.get()).value();
  const absl::StatusOr<OriginId> own = OwnOrigin(*state);
  if (!own.ok()) return events;
  EventReader reader = log->Read(*own, Sequence{1});
  while (const StoredEvent* stored = reader.Next().value()) {
    v1::Event event;
    event.ParseFromArray(stored->bytes.data(), static_cast<int>(stored->bytes.size()));
    if (event.has_schema()) (*schemas)[event.sequence()] = event.schema();
    events.push_back(std::move(event));
  }
  return events;
}

}  // namespace

absl::Time TestClock::Now() { return absl::Now(); }

uint64_t TestRandom::Next() {
  static std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

TestBranch::TestBranch(PostgresServer& server, const std::string& name, uint32_t number)
    : server_(server), database_("erp_" + name), url_(server.Url(database_)) {
  absl::Status made = server.CreateDatabase(database_);
  EXPECT_TRUE(made.ok()) << made;
  options.engine.branch_name = name;
  options.engine.branch_number = number;
  options.url = options.admin_url = url_;
  options.tables = {"public.*"};
  options.log_path = log_path();
  options.lock_wait = absl::Seconds(20);
  options.slot_wait = absl::Seconds(20);
}

TestBranch::~TestBranch() {
  (void)test::Sql(
      server_.Url(),
      absl::StrCat("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '", database_,
                   "' AND NOT active"));
}

void TestBranch::Restore(const std::string& dump) {
  const std::string path = absl::StrCat(directory_.path(), "/dump.sql");
  WriteFile(path, dump);
  RunResult result =
      RunProgram({PostgresBinaries().value() + "/psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", url_, "-f", path});
  EXPECT_EQ(result.exit_code, 0) << result.output;
}

std::string TestBranch::Dump(bool schema_only) {
  std::vector<std::string> arguments = {PostgresBinaries().value() + "/pg_dump", "-d", url_};
  if (schema_only) arguments.push_back("--schema-only");
  RunResult result = RunProgram(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.output;
  // Newer versions guard the file with a random word.
  std::vector<std::string> lines = absl::StrSplit(result.standard_output, '\n');
  std::erase_if(lines, [](const std::string& line) {
    return line.rfind("\\restrict", 0) == 0 || line.rfind("\\unrestrict", 0) == 0;
  });
  return absl::StrJoin(lines, "\n");
}

absl::Status TestBranch::CatchUp() {
  absl::StatusOr<Lsn> goal = ParseLsn(Value("SELECT pg_logical_emit_message(true, 'assay.fence', 'test')"));
  ASSAY_RETURN_IF_ERROR(goal.status());
  ASSAY_ASSIGN_OR_RETURN(auto file, LogFile::Open(log_path(), {}));
  ASSAY_ASSIGN_OR_RETURN(auto engine, Engine::Open(options.engine, file.get(), &clock_, &random_));
  PostgresCapture capture({.conninfo = url_});
  ASSAY_RETURN_IF_ERROR(capture.Start());
  engine->OnCaptureStarted(capture.Evidence());
  for (const absl::Time deadline = absl::Now() + absl::Seconds(30); absl::Now() < deadline;) {
    ASSAY_ASSIGN_OR_RETURN(CaptureBatch batch, capture.Next(absl::Milliseconds(100)));
    bool reached = false;
    for (const CaptureItem& item : batch.items)
      reached |= item.kind == CaptureItem::Kind::kCommit && item.end_lsn > *goal;
    engine->OnCapture(std::move(batch));
    if (reached && found.has_value()) engine->OnFound(*std::exchange(found, std::nullopt));
    do {
      ASSAY_RETURN_IF_ERROR(engine->Step());
    } while (engine->HasWork());
    (void)engine->TakeCalls();
    if (reached) return absl::OkStatus();
  }
  return absl::DeadlineExceededError("capture did not reach the fence");
}

std::vector<std::string> TestBranch::Changes() {
  std::map<uint64_t, v1::TableSchema> schemas;
  std::vector<std::string> changes;
  std::string source;
  for (const v1::Event& event : OwnEvents(log_path(), &schemas)) {
    if (event.has_transaction())
      source = absl::AsciiStrToLower(v1::TransactionHeader::Source_Name(event.transaction().source()));
    if (!event.has_row()) continue;
    const v1::RowChange& row = event.row();
    const v1::TableSchema& schema = schemas[row.schema()];
    std::string line =
        absl::StrCat(source, " ", absl::AsciiStrToLower(v1::RowChange::Operation_Name(row.operation())), " ",
                     schema.schema_name(), ".", schema.table_name(), " (", absl::StrJoin(row.key(), ","), ")");
    for (const v1::ColumnChange& column : row.columns()) {
      const std::string value = column.has_value() ? column.value() : column.is_null() ? "NULL" : "";
      if (row.operation() != v1::RowChange::DELETE)
        absl::StrAppend(&line, " ", schema.columns(column.ordinal()).name(), "=", value);
    }
    changes.push_back(std::move(line));
  }
  return changes;
}

std::vector<size_t> TestBranch::TransactionSizes() {
  std::map<uint64_t, v1::TableSchema> schemas;
  std::vector<size_t> sizes;
  for (const v1::Event& event : OwnEvents(log_path(), &schemas)) {
    if (event.has_transaction()) sizes.push_back(0);
    sizes.back() += event.has_row();
  }
  if (!sizes.empty()) sizes.erase(sizes.begin());  // The opening.
  return sizes;
}

std::vector<std::string> TestBranch::Attributions() {
  std::map<uint64_t, v1::TableSchema> schemas;
  std::vector<std::string> attributions;
  uint64_t transaction = 1;  // The opening's, which says nothing. Others say it once for each of their tables.
  for (const v1::Event& event : OwnEvents(log_path(), &schemas)) {
    if (!event.has_transaction() || event.transaction_first() == transaction) continue;
    transaction = event.transaction_first();
    attributions.push_back(event.transaction().has_attribution() ? event.transaction().attribution().ShortDebugString()
                                                                 : "");
  }
  return attributions;
}

void BranchTest::SetUpTestSuite() {
  absl::StatusOr<std::unique_ptr<PostgresServer>> server =
      PostgresServer::Create({.settings = {{"max_prepared_transactions", "5"}}});
  if (!MaySkipWithoutPostgres(server.status())) server_ = *std::move(server);
}

void BranchTest::SetUp() {
  if (server_ == nullptr) GTEST_SKIP() << "no PostgreSQL";
  static int count = 0;
  branch_ = std::make_unique<TestBranch>(*server_, absl::StrCat("b", ++count), 3);
}

void BranchTest::TearDown() {
  if (branch_ == nullptr) return;
  const absl::Status left = branch_->Leave().status();  // The role and the slot are the whole server's.
  EXPECT_TRUE(left.ok()) << left;
  branch_.reset();
}

InitReport BranchTest::MustInit() {
  absl::StatusOr<InitReport> report = branch_->Init();
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *std::move(report) : InitReport{};
}

absl::StatusOr<HubHeads> LogHub::Heads() {
  ASSAY_RETURN_IF_ERROR(error);
  HubHeads heads;
  heads.hub_time = absl::Now() + ahead;
  for (const std::string& path : log_paths_) {
    ASSAY_ASSIGN_OR_RETURN(auto file, LogFile::Open(path, {.read_only = true}));
    ASSAY_ASSIGN_OR_RETURN(auto log, EventLog::Open(file.get()));
    for (const OriginId& origin : log->Origins()) {
      HubHead& head = heads.heads[origin];
      head.last = std::max(head.last, log->Head(origin).last);
      head.complete = std::max(head.complete, log->Head(origin).complete);
    }
  }
  for (const auto& [origin, last] : pushed) {
    HubHead& head = heads.heads[origin];
    head.last = std::max(head.last, last);
  }
  return heads;
}

absl::StatusOr<PushReply> LogHub::Push(const PushRequest& request) {
  ASSAY_RETURN_IF_ERROR(error);
  ASSAY_RETURN_IF_ERROR(push_error);
  Sequence& last = pushed[request.origin];
  for (const Segment& segment : request.segments) last = std::max(last, segment.last);
  return PushReply{last};
}

absl::StatusOr<PullReply> LogHub::Pull(const PullRequest& request) {
  PullReply reply;
  ASSAY_ASSIGN_OR_RETURN(reply.heads, Heads());
  for (const std::string& path : log_paths_) {
    ASSAY_ASSIGN_OR_RETURN(auto file, LogFile::Open(path, {.read_only = true}));
    ASSAY_ASSIGN_OR_RETURN(auto log, EventLog::Open(file.get()));
    for (const OriginId& origin : log->Origins()) {
      const auto have = request.have.find(origin);
      const Sequence held = have == request.have.end() ? Sequence{0} : have->second;
      if (held >= log->Head(origin).complete) continue;
      ASSAY_ASSIGN_OR_RETURN(reply.segments,
                             log->ReadSegments(origin, held.Next(), request.bytes_max, /*complete_only=*/true));
      if (origin == garbled) {
        for (Segment& segment : reply.segments) segment.parts.back().payload.back() ^= 1;
      }
      reply.more = true;
      return reply;
    }
  }
  return reply;
}

}  // namespace assay::test
