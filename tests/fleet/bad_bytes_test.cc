// Bytes that somebody or something has changed, in the log file or at the hub: named, harmless, and mended by putting
// back what was there.
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "log/merkle_tree.h"
#include "log/segment.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kSchema[] = "CREATE TABLE sales (id int PRIMARY KEY, item text)";

std::string SalesOf(Branch& branch) {
  return SqlValue(branch.AdminUrl(),
                  "SELECT count(*) || ' ' || md5(string_agg(s::text, ',' ORDER BY id)) FROM sales s");
}

// ---- The log file ----

// Goal: a log file with bad bytes is named with its cause and what to do, and nothing is done from it; with the good
// one, all goes on. Method: a branch whose daemon is stopped gets a spoiled copy for its log, while both shops sell.
class BadLogTest : public ::testing::Test {
 protected:
  void TryWith(const std::function<void(const std::string& path)>& spoil,
               const ::testing::Matcher<const std::string&>& cause) {
    ASSAY_START_FLEET(fleet, 2, {.schema = kSchema, .interval = "2s"});
    Branch &a = fleet->branch(0), &b = fleet->branch(1);
    for (int i = 0; i < 2; ++i) {
      MustSql(fleet->branch(i).Url(),
              absl::StrCat("INSERT INTO sales SELECT g, 'ring ' || md5(g::text) FROM generate_series(", 1 + 10000 * i,
                           ", ", 3000 + 10000 * i, ") g"));
    }
    ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
    ASSERT_EQ(a.StopDaemon(), 0);
    const std::string log = a.state_directory() + "/log.db", good = a.state_directory() + "/good.db";
    ASSERT_FALSE(std::filesystem::exists(log + "-wal")) << "what follows would spoil half of the log";
    std::filesystem::rename(log, good);
    std::filesystem::copy_file(good, log);
    chmod(log.c_str(), 0600);
    spoil(log);

    MustSql(a.Url(), "INSERT INTO sales VALUES (5001, 'sold at A meanwhile')");
    MustSql(b.Url(), "INSERT INTO sales VALUES (15001, 'sold at B meanwhile')");
    const std::string sales = SalesOf(a), hub = AtHub(*fleet, a);
    auto daemon = ChildProcess::Start({a.ProgramPath("assayd"), "--config", a.config_path()},
                                      {.output = a.state_directory() + "/bad.log"});
    ASSERT_OK(daemon.status());
    std::optional<int> code;
    std::string said;
    const auto says = [&] {
      code = (*daemon)->Wait(absl::ZeroDuration());
      said = absl::StrCat(ReadFile(a.state_directory() + "/bad.log"), "\n", a.Assay({"status"}).output);
      return code.has_value() || ::testing::Value(said, AllOf(HasSubstr(log), cause));
    };
    EXPECT_TRUE(Eventually(absl::Seconds(60), says, absl::Milliseconds(300)));
    EXPECT_THAT(said, AllOf(HasSubstr(log), cause));
    if (!code.has_value()) code = (*daemon)->Wait(absl::Seconds(5));  // It may go on, and try again now and then.
    EXPECT_NE(code.value_or(1), 0) << "an end that is no error is not tried again";
    EXPECT_LT(code.value_or(1), 128) << "a crash";
    MustSql(a.Url(), "INSERT INTO sales VALUES (5002, 'and another')");
    absl::SleepFor(absl::Seconds(3));
    EXPECT_EQ(SqlValue(a.AdminUrl(), "SELECT count(*) FROM sales WHERE id > 15000"), "0") << "written to PostgreSQL";
    EXPECT_EQ(AtHub(*fleet, a), hub) << "pushed to the hub";
    MustSql(a.Url(), "DELETE FROM sales WHERE id = 5002");
    EXPECT_EQ(SalesOf(a), sales);
    if (code.has_value()) daemon->reset();

    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(log + suffix);
    std::filesystem::rename(good, log);
    if (code.has_value()) {
      ASSERT_OK(a.StartDaemon());  // As systemd does, every few seconds.
    }
    EXPECT_TRUE(Eventually(
        absl::Seconds(120),
        [&] {
          return SqlValue(a.AdminUrl(), "SELECT count(*) FROM sales WHERE id = 15001") == "1" &&
                 SqlValue(b.AdminUrl(), "SELECT count(*) FROM sales WHERE id = 5001") == "1";
        },
        absl::Milliseconds(500)))
        << a.Problems() << b.Problems();
    ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  }

  static std::string AtHub(Fleet& fleet, Branch& branch) {
    return SqlValue(
        fleet.hub().Url("postgres"),
        absl::StrCat(
            "SELECT o.last || ' ' || count(*) FROM assay_hub.origin o JOIN assay_hub.branch b ON b.number = o.branch "
            "JOIN assay_hub.segment s USING (origin) WHERE b.name = '",
            branch.name(), "' GROUP BY o.origin"));
  }
  static void Put(const std::string& path, int64_t place, const std::string& bytes) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(place);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
};

TEST_F(BadLogTest, ATruncatedLogIsNamed) {
  TryWith([](const std::string& path) { std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2); },
          AllOf(HasSubstr("is damaged"), HasSubstr("move"), HasSubstr("assay repair")));
}

TEST_F(BadLogTest, FlippedBitsInEveryPageAreNamed) {
  TryWith(
      [](const std::string& path) {
        const int64_t size = static_cast<int64_t>(std::filesystem::file_size(path));
        const std::string bytes = ReadFile(path);
        for (int64_t page = 4096; page < size; page += 4096) {
          for (int64_t place : {page, page + 1000, page + 4000}) {
            Put(path, place, std::string(1, static_cast<char>(bytes[static_cast<size_t>(place)] ^ 0x10)));
          }
        }
      },
      AllOf(HasSubstr("is damaged"), HasSubstr("move"), HasSubstr("assay repair")));
}

TEST_F(BadLogTest, ALogOfANewerFormatIsNamed) {
  // SQLite's user_version, big-endian at byte 60.
  TryWith([](const std::string& path) { Put(path, 60, std::string("\0\0\0\x63", 4)); },
          AllOf(HasSubstr("log format 99"), HasSubstr("install a newer Assay")));
}

TEST_F(BadLogTest, AnEmptyFileIsNotTakenForALog) {
  TryWith([](const std::string& path) { std::filesystem::resize_file(path, 0); },
          AllOf(HasSubstr("is empty"), HasSubstr("put that log back"), HasSubstr("assay repair")));
}

TEST_F(BadLogTest, ATextFileIsNotTakenForALog) {
  TryWith([](const std::string& path) { WriteFile(path, std::string(20000, 'x') + "\nDear auditor, …\n", 0600); },
          AllOf(HasSubstr("not an Assay log"), HasSubstr("put the right file back")));
}

// ---- The hub ----

// Goal: what somebody with all rights changes at the hub reaches nobody's PostgreSQL; the chain is named, the others
// flow. Method: the hub's superuser turns the guards off and rewrites a segment that one branch has not pulled yet.
class BadHubTest : public ::testing::Test {
 protected:
  static Segment SegmentAt(const std::string& url, const std::string& origin_and_last) {
    const auto session = SqlSession::Connect(url);
    const auto rows = (*session)->Run(absl::StrCat(
        "SELECT encode(origin, 'hex'), first, last, ends_transaction, encode(layout, 'hex'), tables[i], event_counts[i], encode(payloads[i], 'hex') "
        "FROM assay_hub.segment, generate_subscripts(payloads, 1) AS i WHERE (origin, last) IN ",
        origin_and_last, " ORDER BY i"));
    EXPECT_OK(rows.status());
    Segment segment;
    for (const std::vector<std::string>& row : *rows) {
      segment.origin = *OriginId::FromBytes(absl::HexStringToBytes(row[0]));
      segment.first.value = std::stoull(row[1]);
      segment.last.value = std::stoull(row[2]);
      segment.ends_transaction = row[3] == "t";
      segment.layout = absl::HexStringToBytes(row[4]);
      segment.parts.push_back(
          {row[5], static_cast<uint32_t>(std::stoul(row[6])), false, absl::HexStringToBytes(row[7])});
    }
    return segment;
  }
  Branch& reader() { return fleet_->branch(0); }
  Branch& writer() { return fleet_->branch(1); }
  Branch& other() { return fleet_->branch(2); }

  // A sale of the writer's is at the hub and at the other branch; the reader's daemon is stopped and lacks it.
  void SellBehindTheReader() {
    ASSAY_START_FLEET(fleet, 3, {.schema = kSchema, .interval = "2s"});
    fleet_ = std::move(fleet);
    for (int i = 0; i < 3; ++i)
      MustSql(fleet_->branch(i).Url(), absl::StrCat("INSERT INTO sales VALUES (", i, ", 'first')"));
    ASSERT_OK(fleet_->WaitConverged(absl::Seconds(90)));
    ASSERT_EQ(reader().StopDaemon(), 0);
    MustSql(writer().Url(), "INSERT INTO sales VALUES (100, 'a gold ring')");
    ASSERT_TRUE(Eventually(absl::Seconds(45), [&] {
      return SqlValue(other().Url(), "SELECT count(*) FROM sales WHERE id = 100") == "1";
    }));
  }
  // `rewrite` changes the payloads of the segment with that sale.
  void Damage(const std::function<void(Segment*)>& rewrite) {
    const std::string newest =
        "(SELECT s.origin, max(s.last) FROM assay_hub.segment s JOIN assay_hub.origin o USING (origin) "
        "JOIN assay_hub.branch b ON b.number = o.branch WHERE b.name = '" +
        writer().name() + "' GROUP BY 1)";
    Segment segment = SegmentAt(fleet_->hub().Url("postgres"), newest);
    ASSERT_NO_FATAL_FAILURE(rewrite(&segment));
    std::vector<std::string> payloads;
    for (const SegmentPart& part : segment.parts)
      payloads.push_back(absl::StrCat("'\\x", absl::BytesToHexString(part.payload), "'::bytea"));
    MustSql(fleet_->hub().Url("postgres"),
            absl::StrCat(kGuardsOff,
                         "CREATE TABLE public.kept AS SELECT origin, last, payloads FROM assay_hub.segment;"
                         "UPDATE assay_hub.segment SET payloads = ARRAY[",
                         absl::StrJoin(payloads, ", "), "] WHERE (origin, last) IN ", newest));
    ASSERT_NE(SqlValue(fleet_->hub().Url("postgres"),
                       "SELECT count(*) FROM assay_hub.segment s JOIN public.kept k USING (origin, last) "
                       "WHERE s.payloads <> k.payloads"),
              "0");
  }
  // Puts back what Damage has changed: all converge by themselves.
  void Mend() {
    MustSql(fleet_->hub().Url("postgres"),
            absl::StrCat(kGuardsOff,
                         "UPDATE assay_hub.segment s SET payloads = k.payloads FROM public.kept k "
                         "WHERE s.origin = k.origin AND s.last = k.last"));
    reader().Assay({"sync", "now"});  // It would ask by itself, too, within minutes.
    EXPECT_OK(fleet_->WaitConverged(absl::Seconds(120)));
    EXPECT_EQ(SqlValue(reader().Url(), "SELECT item FROM sales WHERE id = 100"), "a gold ring");
    EXPECT_EQ(reader().Problems(), "");
  }
  void TryWith(const std::function<void(Segment*)>& rewrite, const ::testing::Matcher<const std::string&>& cause) {
    ASSERT_NO_FATAL_FAILURE(SellBehindTheReader());
    if (fleet_ == nullptr) return;
    ASSERT_NO_FATAL_FAILURE(Damage(rewrite));
    ASSERT_OK(reader().StartDaemon());
    MustSql(other().Url(), "INSERT INTO sales VALUES (200, 'from the other one')");
    MustSql(reader().Url(), "INSERT INTO sales VALUES (300, 'sold here')");
    EXPECT_TRUE(Eventually(absl::Seconds(45), [&] {
      return SqlValue(reader().Url(), "SELECT count(*) FROM sales WHERE id = 200") == "1";
    })) << reader().Problems();
    EXPECT_TRUE(Eventually(absl::Seconds(45), [&] {
      return SqlValue(other().Url(), "SELECT count(*) FROM sales WHERE id = 300") == "1";
    })) << reader().Problems();
    absl::SleepFor(absl::Seconds(3));
    EXPECT_EQ(SqlValue(reader().Url(), "SELECT count(*) FROM sales WHERE id = 100 OR item LIKE '%brass%'"), "0");
    EXPECT_THAT(reader().Problems(), AllOf(HasSubstr(writer().name()), HasSubstr("chain-garbled"), cause));
    EXPECT_THAT(reader().DaemonLog(), HasSubstr(writer().name()));
    EXPECT_TRUE(reader().DaemonRunning());
    Mend();
  }

  static constexpr char kGuardsOff[] =
      "SET session_replication_role = replica; ALTER TABLE assay_hub.segment DISABLE TRIGGER never_changes;";
  std::unique_ptr<Fleet> fleet_;
};

void ChangeAByte(Segment* segment) { segment->parts.back().payload.back() ^= 1; }

TEST_F(BadHubTest, AChangedByteReachesNobody) { TryWith(ChangeAByte, HasSubstr("asked for again by itself")); }

// Goal: one damaged chain at the hub keeps nobody from mending a branch.
// Method: the reader's log is lost, so that repair needs all that the hub has.
TEST_F(BadHubTest, RepairGoesOnWithoutAChangedByteAndNamesItsBranch) {
  ASSERT_NO_FATAL_FAILURE(SellBehindTheReader());
  if (fleet_ == nullptr) return;
  ASSERT_NO_FATAL_FAILURE(Damage(ChangeAByte));
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(reader().state_directory() + "/log.db" + end);
  const RunResult applied = reader().Assay({"repair", "--apply"}, absl::Minutes(2));
  EXPECT_EQ(applied.exit_code, 0) << applied.output;
  EXPECT_THAT(applied.output, AllOf(HasSubstr("Note: the hub does not give the changes of branch " + writer().name()),
                                    HasSubstr("as they must be")));
  ASSERT_OK(reader().StartDaemon());
  MustSql(other().Url(), "INSERT INTO sales VALUES (200, 'from the other one')");
  EXPECT_TRUE(Eventually(absl::Seconds(45), [&] {
    return SqlValue(reader().Url(), "SELECT count(*) FROM sales WHERE id = 200") == "1";
  })) << reader().Problems();
  EXPECT_EQ(SqlValue(reader().Url(), "SELECT count(*) FROM sales WHERE id = 100"), "0");
  Mend();
}

// Goal: one damaged chain at the hub has a way out for all: the head office sets the rest of it aside, its branch
// begins anew, and every shop has the same rows.
TEST_F(BadHubTest, ADamagedChainIsSetAsideAndItsBranchBeginsAnew) {
  ASSERT_NO_FATAL_FAILURE(SellBehindTheReader());
  if (fleet_ == nullptr) return;
  ASSERT_NO_FATAL_FAILURE(Damage(ChangeAByte));
  ASSERT_OK(reader().StartDaemon());
  const auto names = [](Branch& branch, const std::string& kind) {
    return Eventually(
        kPatience,
        [&] {
          (void)branch.Assay({"sync", "now"}, absl::Seconds(5));
          return branch.Problems().find(kind) != std::string::npos;
        },
        absl::Milliseconds(300));
  };
  ASSERT_TRUE(names(reader(), "chain-garbled")) << reader().Problems();
  EXPECT_THAT(reader().Problems(), HasSubstr("`assay hub quarantine " + writer().name() + "`"));
  // The hub is told with the next heartbeat.
  ASSERT_TRUE(Eventually(kPatience, [&] {
    (void)reader().Assay({"sync", "now"}, absl::Seconds(5));
    return SqlValue(fleet_->hub().Url("postgres"),
                    "SELECT count(*) FROM assay_hub.presence WHERE report -> 'refused' <> '{}'") == "1";
  }));
  const RunResult aside = fleet_->HubCommand({"quarantine", writer().name()});
  ASSERT_EQ(aside.exit_code, 0) << aside.output;
  ASSERT_TRUE(names(reader(), "chain-set-aside")) << reader().Problems();
  EXPECT_THAT(reader().Problems(), ::testing::Not(HasSubstr("chain-garbled")));
  ASSERT_TRUE(names(writer(), "own-chain-set-aside")) << writer().Problems();
  MustSql(writer().Url(),
          "INSERT INTO sales VALUES (101, 'sold while it was set aside'); DELETE FROM sales WHERE id = 0");

  ASSERT_EQ(writer().StopDaemon(), 0);
  const RunResult shown = writer().Assay({"repair"}, absl::Minutes(2));
  EXPECT_THAT(shown.output, AllOf(HasSubstr("own-chain-set-aside"), HasSubstr("assay repair --apply")));
  const RunResult applied = writer().Assay({"repair", "--apply"}, absl::Minutes(2));
  ASSERT_EQ(applied.exit_code, 0) << applied.output;
  ASSERT_OK(writer().StartDaemon());
  EXPECT_TRUE(Eventually(kPatience, [&] { return fleet_->Compare().ok(); })) << fleet_->Compare();
  EXPECT_EQ(SqlValue(reader().Url(), "SELECT string_agg(id::text, ',' ORDER BY id) FROM sales"), "1,2,100,101");
  for (int i = 0; i < 3; ++i) {
    (void)fleet_->branch(i).Assay({"sync", "now"}, absl::Seconds(5));
    EXPECT_TRUE(Eventually(kPatience, [&] { return fleet_->branch(i).Problems().empty(); }))
        << fleet_->branch(i).Problems();
  }
}

// As well-formed as before: it is only not what the branch has signed.
TEST_F(BadHubTest, ARewrittenSaleReachesNobody) {
  const auto rewrite = [](Segment* segment) {
    const absl::StatusOr<DecodedSegment> decoded = DecodedSegment::Decode(*segment);
    ASSERT_OK(decoded.status());
    SegmentBuilder builder(segment->origin);
    std::deque<std::string> events;
    for (StoredEvent event : decoded->events()) {
      events.push_back(absl::StrReplaceAll(event.bytes, {{"gold", "lead"}}));
      event.bytes = events.back();
      event.leaf = LeafHash(event.bytes);
      builder.Add(event);
    }
    const std::vector<SegmentPart> before =
        std::exchange(segment->parts, builder.Finish(/*with_leaf_hashes=*/false).parts);
    ASSERT_EQ(segment->parts.size(), before.size());
  };
  TryWith(rewrite, HasSubstr("signed another history"));
}

}  // namespace
}  // namespace assay::test
