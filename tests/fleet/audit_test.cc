// Goal: an auditor has a copy of a log that was taken while its branch was selling, and finds it good; and a log that
// somebody wrote to since, not. Method: real branches, and the program.
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/fleet/actor.h"
#include "tests/fleet/fleet.h"
#include "tests/support/temp_directory.h"

namespace assay::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSchema[] = "CREATE TABLE items (id int PRIMARY KEY, v text, price numeric(12,2))";

TEST(AuditTest, ACopyThatWasTakenWhileTheBranchWasSellingIsGoodAndOneThatWasWrittenToIsNot) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO items SELECT i, 'v', i FROM generate_series(1, 2000) i");
  MustSql(b.Url(), "INSERT INTO items SELECT i, 'v', i FROM generate_series(5001, 6000) i");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  const TempDirectory pocket("pocket");
  const std::string kept = pocket.path() + "/kept.txt";
  RunResult verified = a.Assay({"audit", "verify", "--save", kept});
  EXPECT_EQ(verified.exit_code, 0) << verified.output;
  EXPECT_THAT(verified.output, AllOf(HasSubstr("2 chains"), HasSubstr("(this log's branch)"),
                                     HasSubstr("every hash, root, mark and signature holds")));

  Actors actors;
  actors.Start(a.Url(), [](SqlSession& session, std::mt19937_64& random) {
    return session.Run(absl::StrCat("UPDATE items SET price = price + 1 WHERE id = ", 1 + random() % 2000)).status();
  });
  std::string copy;
  for (int i = 0; i < 3; ++i) {
    copy = absl::StrCat(pocket.path(), "/", i, ".db");
    const RunResult copied = a.Assay({"audit", "snapshot", copy});
    EXPECT_EQ(copied.exit_code, 0) << copied.output;
    verified = a.Assay({"audit", "verify", "--log", copy, "--checkpoints", kept});
    EXPECT_EQ(verified.exit_code, 0) << verified.output;
    EXPECT_THAT(verified.output, HasSubstr("agrees with 1 checkpoint that you brought"));
  }
  (void)actors.Stop();

  const std::string proof = pocket.path() + "/sale.tlog-proof";
  const RunResult proven = a.Assay({"audit", "prove", absl::StrCat(b.name(), "/3"), "--to", proof});
  EXPECT_EQ(proven.exit_code, 0) << proven.output;
  const auto report = a.AssayJson({"audit", "verify", "--log", copy});
  ASSERT_OK(report.status());
  std::string key;
  for (const google::protobuf::Struct* chain : JsonObjects(*report, "chains"))
    if (JsonText(*chain, "branch_name") == b.name()) key = JsonText(*chain, "key");
  const RunResult checked = a.Assay({"audit", "check", proof, "--key", key});
  EXPECT_EQ(checked.exit_code, 0) << checked.output;
  EXPECT_THAT(checked.output, AllOf(HasSubstr("It holds: event 3 of chain"), HasSubstr("INSERT of row [")));
  EXPECT_EQ(a.Assay({"audit", "check", proof, "--key", "none"}).exit_code, 2);

  // Whoever changes one price in the copy's events.
  std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t at = bytes.find("(\xb5\x2f\xfd");  // The first zstd frame: a part of a segment.
  ASSERT_NE(at, std::string::npos);
  file.clear();
  file.seekp(static_cast<std::streamoff>(at) + 20);
  file.put(static_cast<char>(bytes[at + 20] ^ 1));
  file.close();
  verified = a.Assay({"audit", "verify", "--log", copy});
  EXPECT_EQ(verified.exit_code, 1) << verified.output;
  EXPECT_THAT(verified.output, AllOf(HasSubstr("WRONG: events"), HasSubstr("1 chain is NOT what was written"),
                                     Not(HasSubstr("signature holds"))));
  EXPECT_EQ(a.Assay({"audit", "snapshot", copy}).exit_code, 2) << "nothing is written over";
  EXPECT_EQ(a.Assay({"audit", "verify", "--log", pocket.path() + "/none.db"}).exit_code, 2);
}

}  // namespace
}  // namespace assay::test
