#include "tests/adapters/postgres/branch_database.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace assay::test {
namespace {

int serial = 0;

std::string Tuple(const TableShape& shape, const std::vector<TupleValue>& values) {
  std::string line = "(";
  for (size_t i = 0; i < values.size(); ++i) {
    absl::StrAppend(&line, i == 0 ? "" : " ", shape.columns[i].name, "=");
    switch (values[i].kind) {
      case TupleValue::Kind::kNull:
        line += "NULL";
        break;
      case TupleValue::Kind::kUnchanged:
        line += "~";
        break;
      case TupleValue::Kind::kText:
        absl::StrAppend(&line, values[i].text.size() > 100 ? "…" : values[i].text);
        break;
    }
  }
  return line + ")";
}

}  // namespace

std::string SleepInCommit(const std::string& table) {
  return absl::StrCat(
      "CREATE TABLE naps (); GRANT INSERT ON naps TO assay_projector; "
      "CREATE FUNCTION put_off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN SET CONSTRAINTS ALL DEFERRED; "
      "INSERT INTO public.naps DEFAULT VALUES; RETURN NULL; END $$;"
      "CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_sleep(30); RETURN NULL; END $$;"
      "CREATE CONSTRAINT TRIGGER put_off AFTER INSERT OR UPDATE OR DELETE ON ",
      table,
      " DEFERRABLE INITIALLY DEFERRED "
      "FOR EACH ROW EXECUTE FUNCTION put_off(); ALTER TABLE ",
      table,
      " ENABLE ALWAYS TRIGGER put_off; "
      "CREATE CONSTRAINT TRIGGER nap AFTER INSERT ON naps DEFERRABLE INITIALLY DEFERRED "
      "FOR EACH ROW EXECUTE FUNCTION nap(); ALTER TABLE naps ENABLE ALWAYS TRIGGER nap");
}

std::string NoSleepInCommit(const std::string& table) {
  return absl::StrCat("DROP TRIGGER put_off ON ", table, "; DROP TABLE naps; DROP FUNCTION put_off(), nap()");
}

BranchDatabase::BranchDatabase(PostgresServer& server) : server_(server), slot_(absl::StrCat("assay_", ++serial)) {
  EXPECT_TRUE(server.CreateDatabase(slot_).ok());
  url_ = server.Url(slot_);
  MustSql(
      url_,
      "CREATE PUBLICATION assay WITH (publish_via_partition_root = true);"
      "DO $$ BEGIN CREATE ROLE assay_projector NOLOGIN; EXCEPTION WHEN duplicate_object THEN END $$;"
      "CREATE SCHEMA assay; CREATE TABLE assay.progress (only_row boolean PRIMARY KEY DEFAULT true, batch bigint NOT NULL);"
      "INSERT INTO assay.progress (batch) VALUES (0); GRANT USAGE ON SCHEMA assay, public TO assay_projector;"
      "GRANT SELECT, UPDATE ON assay.progress TO assay_projector");
  MustSql(url_, absl::StrCat("SELECT pg_create_logical_replication_slot('", slot_, "', 'pgoutput')"));
  capture_ = std::make_unique<PostgresCapture>(options());
}

BranchDatabase::~BranchDatabase() {
  capture_.reset();
  if (!server_.Running()) return;
  // The walsender needs a moment to see that its client is gone.
  for (int i = 0; i < 100; ++i) {
    if (test::Sql(url_, absl::StrCat(
                            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '",
                            slot_, "'"))
            .ok()) {
      return;
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
}

std::string BranchDatabase::EnrolSql(const std::string& table, const std::string& columns, const std::string& options) {
  return absl::StrCat("CREATE TABLE ", table, " (", columns, ") ", options, "; ALTER TABLE ", table,
                      " REPLICA IDENTITY FULL; ALTER PUBLICATION assay ADD TABLE ", table,
                      "; GRANT SELECT, INSERT, UPDATE, DELETE ON ", table, " TO assay_projector");
}

void BranchDatabase::Enrol(const std::string& table, const std::string& columns, const std::string& options) {
  Sql(EnrolSql(table, columns, options));
}

void BranchDatabase::Sql(const std::string& sql) { MustSql(url_, sql); }

void BranchDatabase::Start() {
  open_.clear();
  in_transaction_ = false;
  end_ = {};
  const absl::Time limit = absl::Now() + absl::Seconds(20);
  absl::Status status = capture_->Start();
  while (absl::IsUnavailable(status) && absl::Now() < limit) {  // The old walsender may still hold the slot.
    absl::SleepFor(absl::Milliseconds(50));
    status = capture_->Start();
  }
  EXPECT_TRUE(status.ok()) << status;
}

std::vector<std::string> BranchDatabase::Captured() {
  const std::string fence = absl::StrCat("fence ", ++serial);
  Sql(absl::StrCat("SELECT pg_logical_emit_message(true, 'assay.fence', '", fence, "')"));
  const absl::Time limit = absl::Now() + absl::Seconds(60);
  // The fence's own commit, too: what is confirmed then is a whole transaction.
  while ((seen_fence_ != fence || in_transaction_) && absl::Now() < limit) {
    absl::StatusOr<CaptureBatch> batch = capture_->Next(absl::Seconds(1));
    if (!batch.ok()) {
      ADD_FAILURE() << batch.status();
      break;
    }
    largest_batch_ = std::max(largest_batch_, batch->items.size());
    for (const CaptureItem& item : batch->items) Take(item);
  }
  EXPECT_EQ(seen_fence_, fence);
  return std::exchange(transactions_, {});
}

void BranchDatabase::Take(const CaptureItem& item) {
  const auto line = [&](absl::string_view text) { absl::StrAppend(&open_, open_.empty() ? "" : "; ", text); };
  if (item.relation != nullptr) shape_ = item.relation;
  const std::string table =
      item.relation == nullptr ? "" : item.relation->name.schema + "." + item.relation->name.table;
  EXPECT_EQ(in_transaction_, item.kind != CaptureItem::Kind::kBegin && item.kind != CaptureItem::Kind::kKeepalive);
  switch (item.kind) {
    case CaptureItem::Kind::kBegin:
      in_transaction_ = true;
      EXPECT_GT(item.xid, 0u);
      EXPECT_LT(absl::AbsDuration(absl::FromUnixMicros(item.commit_time_us) - absl::Now()), absl::Minutes(5));
      break;
    case CaptureItem::Kind::kInsert:
      line(absl::StrCat("insert ", table, " ", Tuple(*shape_, item.new_tuple)));
      break;
    case CaptureItem::Kind::kUpdate:
      line(absl::StrCat("update ", table, " ", Tuple(*shape_, item.old_tuple), " to ", Tuple(*shape_, item.new_tuple)));
      break;
    case CaptureItem::Kind::kDelete:
      line(absl::StrCat("delete ", table, " ", Tuple(*shape_, item.old_tuple)));
      break;
    case CaptureItem::Kind::kRelation:
      identities_[item.relation->name.ToString()] = item.identity;
      ++descriptions_;
      break;
    case CaptureItem::Kind::kUnreadable:
      line(absl::StrCat("unreadable ", table));
      break;
    case CaptureItem::Kind::kTruncate:
      line(absl::StrCat("truncate ", table));
      break;
    case CaptureItem::Kind::kMessage:
      if (item.prefix == kFencePrefix) {
        seen_fence_ = std::string(item.content);
      } else {
        line(absl::StrCat("message ", item.prefix, " ", item.content));
      }
      break;
    case CaptureItem::Kind::kCommit:
      in_transaction_ = false;
      EXPECT_GE(item.end_lsn, item.commit_lsn);
      EXPECT_GT(item.end_lsn, end_);
      end_ = item.end_lsn;
      if (!open_.empty()) transactions_.push_back(std::exchange(open_, ""));
      break;
    case CaptureItem::Kind::kKeepalive:
      end_ = std::max(end_, item.end_lsn);
      break;
  }
}

}  // namespace assay::test
