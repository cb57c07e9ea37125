// Installing a hub and enrolling branches, as a role that is not superuser.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "adapters/supabase/hub_admin.h"
#include "adapters/supabase/supabase_hub.h"
#include "gmock/gmock.h"
#include "tests/supabase/supabase_server.h"

namespace assay::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class HubAdminTest : public testing::Test {
 protected:
  void SetUp() override {
    supabase_ = SharedSupabase();
    if (supabase_ == nullptr) GTEST_SKIP();
    ASSERT_TRUE(supabase_->ResetHub().ok());
    admin_ = HubAdmin::Create({.url = supabase_->AdminUrl()}).value();
  }
  void TearDown() override {
    if (supabase_ != nullptr) MustSql(supabase_->SuperUrl(), "DROP ROLE IF EXISTS assay_branch_7, assay_branch_8, weak");
  }

  // Schema, privileges and small tables, as pg_dump sees them.
  std::string Dump() {
    RunResult dump = RunProgram({absl::StrCat(*PostgresBinaries(), "/pg_dump"), "-d", supabase_->SuperUrl(), "--schema=assay_hub"});
    EXPECT_EQ(dump.exit_code, 0) << dump.output;
    return dump.standard_output;
  }

  SupabaseServer* supabase_ = nullptr;
  std::unique_ptr<HubAdmin> admin_;
};

TEST_F(HubAdminTest, InstallingTwiceChangesNothing) {
  ASSERT_TRUE(admin_->SetGrants("branch-3", {"public.products", "public.\"My \"\"odd\"\" table\""}).ok());
  const std::string roles = "SELECT string_agg(r.rolname || '<' || coalesce(m.roleid::regrole::text, ''), ' ' ORDER BY 1) "
                            "FROM pg_roles r LEFT JOIN pg_auth_members m ON m.member = r.oid";
  const std::string before = Dump(), roles_before = SqlValue(supabase_->SuperUrl(), roles);
  ASSERT_EQ(admin_->Install(), absl::OkStatus());
  // Each dump has a random word in \restrict since PostgreSQL 15.14.
  auto lines = [](const std::string& dump) {
    std::string kept;
    for (absl::string_view line : absl::StrSplit(dump, '\n')) {
      if (!absl::StrContains(line, "restrict ")) absl::StrAppend(&kept, line, "\n");
    }
    return kept;
  };
  EXPECT_EQ(lines(Dump()), lines(before));
  EXPECT_EQ(SqlValue(supabase_->SuperUrl(), roles), roles_before);
}

TEST_F(HubAdminTest, InstallingKeepsWhatIsThere) {
  ASSERT_TRUE(SupabaseHub::Create({.url = supabase_->BranchUrl(1)}).value()->Heartbeat({.number = 1, .origin = {{1}}, .state = "running"}).ok());
  ASSERT_EQ(admin_->Install(), absl::OkStatus());
  EXPECT_EQ(SupabaseHub::Create({.url = supabase_->BranchUrl(2)}).value()->Heartbeat({.number = 2, .origin = {{2}}})->branches[0].report.state, "running");
}

TEST_F(HubAdminTest, InstallByARoleThatMayNotSaysWhatItLacks) {
  MustSql(supabase_->SuperUrl(), "CREATE ROLE weak LOGIN PASSWORD 'weak-secret'");
  auto weak = HubAdmin::Create({.url = supabase_->server().TcpUrl("postgres", "weak", "weak-secret")}).value();
  absl::Status status = weak->Install();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("install as a role that may create roles"));
  EXPECT_TRUE(absl::IsPermissionDenied(weak->Enrol("x", 8, {"*"}).status()));
}

TEST_F(HubAdminTest, EnrolledBranchLogsInWithWhatItWasHanded) {
  auto login = admin_->Enrol("pune \"1\"", 7, {"public.products"});
  ASSERT_TRUE(login.ok()) << login.status();
  EXPECT_EQ(login->role, "assay_branch_7");
  EXPECT_THAT(login->url, HasSubstr(login->password));
  auto identity = SupabaseHub::Create({.url = login->url}).value()->WhoAmI();
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->branch_name, "pune \"1\"");
  EXPECT_EQ(identity->branch_number, 7u);
  auto branches = admin_->Branches();
  ASSERT_TRUE(branches.ok()) << branches.status();
  EXPECT_EQ(branches->size(), 4u);
  EXPECT_EQ(branches->back().name, "pune \"1\"");
  EXPECT_THAT(branches->back().tables, ElementsAre("public.products"));
  EXPECT_EQ(branches->back().last_seen, absl::InfinitePast());
  // Its password was never sent in clear.
  EXPECT_THAT(SqlValue(supabase_->SuperUrl(), "SELECT rolpassword FROM pg_authid WHERE rolname = 'assay_branch_7'"),
              HasSubstr("SCRAM-SHA-256$"));
  EXPECT_THAT(supabase_->server().Log(), Not(HasSubstr(login->password)));
}

TEST_F(HubAdminTest, NameOrNumberThatIsTakenIsRefusedWhole) {
  EXPECT_TRUE(absl::IsAlreadyExists(admin_->Enrol("branch-1", 8, {}).status()));
  absl::Status status = admin_->Enrol("other", 1, {}).status();
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("branch 1 is enrolled already, as \"branch-1\""));
  MustSql(supabase_->SuperUrl(), "CREATE ROLE assay_branch_8");
  status = admin_->Enrol("eight", 8, {}).status();
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("DROP ROLE assay_branch_8"));
  EXPECT_EQ(admin_->Branches()->size(), 3u) << "the registration went with the role";
}

TEST_F(HubAdminTest, RenewedPasswordReplacesTheOld) {
  auto login = admin_->Enrol("seven", 7, {"*"});
  ASSERT_TRUE(login.ok()) << login.status();
  auto renewed = admin_->RenewPassword("seven");
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_TRUE(absl::IsUnauthenticated(SupabaseHub::Create({.url = login->url}).value()->WhoAmI().status()));
  EXPECT_TRUE(SupabaseHub::Create({.url = renewed->url}).value()->WhoAmI().ok());
  EXPECT_TRUE(absl::IsNotFound(admin_->RenewPassword("nobody").status()));
}

TEST_F(HubAdminTest, GrantsAreReplacedAsAWhole) {
  ASSERT_TRUE(admin_->SetGrants("branch-3", {"public.sales", "public.lines"}).ok());
  EXPECT_THAT(admin_->Branches()->at(2).tables, ElementsAre("public.lines", "public.sales"));
  ASSERT_TRUE(admin_->SetGrants("branch-3", {}).ok());
  EXPECT_THAT(admin_->Branches()->at(2).tables, ElementsAre());
  EXPECT_TRUE(absl::IsNotFound(admin_->SetGrants("nobody", {"*"})));
  EXPECT_TRUE(absl::IsNotFound(admin_->SetActive("nobody", false)));
}

TEST_F(HubAdminTest, HubThatIsNotInstalledIsNamed) {
  ASSERT_TRUE(supabase_->server().CreateDatabase("empty").ok());
  auto hub = SupabaseHub::Create({.url = supabase_->server().TcpUrl("empty", "assay_branch_1", SupabaseServer::Password(1))}).value();
  absl::Status status = hub->Heads().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("run `assay hub install` once"));
}

TEST_F(HubAdminTest, RoleThatIsNoBranchIsNamed) {
  absl::Status status = SupabaseHub::Create({.url = supabase_->AdminUrl()}).value()->Heads().status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("assay hub enrol"));
}

TEST_F(HubAdminTest, HubOfAnotherVersionIsRefused) {
  MustSql(supabase_->SuperUrl(), "CREATE OR REPLACE FUNCTION assay_hub.whoami() RETURNS jsonb LANGUAGE sql "
                                 "RETURN '{\"version\": \"2\", \"number\": \"1\"}'::jsonb");
  absl::Status status = SupabaseHub::Create({.url = supabase_->BranchUrl(1)}).value()->Heads().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("version \"2\""));
}

}  // namespace
}  // namespace assay::test
