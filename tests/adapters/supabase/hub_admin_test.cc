// Installing a hub and enrolling branches, as a role that is not superuser.
#include "adapters/supabase/hub_admin.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "adapters/supabase/supabase_hub.h"
#include "gmock/gmock.h"
#include "tests/adapters/supabase/supabase_server.h"
#include "tests/contract/test_chain.h"

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
    if (supabase_ != nullptr)
      MustSql(supabase_->SuperUrl(), "DROP ROLE IF EXISTS assay_branch_7, assay_branch_8, weak");
  }

  // All that an installation makes, with its privileges, and what is in its tables.
  std::string Everything() {
    return SqlValue(supabase_->SuperUrl(), R"(
      SELECT string_agg(thing, E'\n' ORDER BY thing) FROM (
        SELECT concat_ws(' ', 'schema', nspowner::regrole, nspacl) FROM pg_namespace WHERE nspname = 'assay_hub'
        UNION ALL SELECT concat_ws(' ', pg_get_functiondef(oid), proowner::regrole, proacl) FROM pg_proc
          WHERE pronamespace = 'assay_hub'::regnamespace
        UNION ALL SELECT concat_ws(' ', relname, relkind, relowner::regrole, relacl, relrowsecurity, relforcerowsecurity)
          FROM pg_class WHERE relnamespace = 'assay_hub'::regnamespace
        UNION ALL SELECT concat_ws(' ', attrelid::regclass, attname, attnum, atttypid::regtype, attnotnull, attstorage)
          FROM pg_attribute
          WHERE attnum > 0 AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'assay_hub'::regnamespace)
        UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
          WHERE connamespace = 'assay_hub'::regnamespace
        UNION ALL SELECT concat_ws(' ', pg_get_triggerdef(t.oid), tgenabled) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
          WHERE relnamespace = 'assay_hub'::regnamespace AND NOT tgisinternal
        UNION ALL SELECT to_jsonb(p)::text FROM pg_policies p WHERE schemaname = 'assay_hub'
        UNION ALL SELECT concat_ws(' ', 'migration', m) FROM assay_hub.migration m
        UNION ALL SELECT concat_ws(' ', 'branch', b) FROM assay_hub.branch b
        UNION ALL SELECT concat_ws(' ', 'grant', g) FROM assay_hub.read_grant g
        UNION ALL SELECT to_jsonb(r)::text FROM pg_roles r
        UNION ALL SELECT concat_ws(' ', 'member', roleid::regrole, member::regrole, grantor::regrole, admin_option)
          FROM pg_auth_members) AS everything (thing))");
  }

  SupabaseServer* supabase_ = nullptr;
  std::unique_ptr<HubAdmin> admin_;
};

TEST_F(HubAdminTest, InstallingTwiceChangesNothing) {
  ASSERT_TRUE(admin_->SetGrants("branch-3", {"public.products", "public.\"My \"\"odd\"\" table\""}).ok());
  const std::string before = Everything();
  ASSERT_EQ(admin_->Install(), absl::OkStatus());
  EXPECT_EQ(Everything(), before);
  EXPECT_THAT(before, HasSubstr("FUNCTION assay_hub.push("));
}

TEST_F(HubAdminTest, InstallingKeepsWhatIsThere) {
  ASSERT_TRUE(SupabaseHub::Create({.url = supabase_->BranchUrl(1)})
                  .value()
                  ->Heartbeat({.number = 1, .origin = {{1}}, .state = "running"}, absl::InfinitePast())
                  .ok());
  ASSERT_EQ(admin_->Install(), absl::OkStatus());
  EXPECT_EQ(SupabaseHub::Create({.url = supabase_->BranchUrl(2)})
                .value()
                ->Heartbeat({.number = 2, .origin = {{2}}}, absl::InfinitePast())
                ->branches[0]
                .report.state,
            "running");
}

// As an upgrade does in the middle of a day.
TEST_F(HubAdminTest, InstallingBesideTrafficDeadlocksWithNobody) {
  std::atomic<bool> done{false};
  std::vector<std::thread> traffic;
  for (uint8_t branch : {1, 2}) {
    traffic.emplace_back([&, branch] {
      TestChain chain(static_cast<uint8_t>(0xA0 + branch));
      auto hub = SupabaseHub::Create({.url = supabase_->BranchUrl(branch)}).value();
      for (uint64_t sold = 1; !done; ++sold) {
        chain.Transaction(1);
        EXPECT_EQ(hub->Push(chain.Push({chain.Cut(sold, sold)})).status(), absl::OkStatus());
        EXPECT_EQ(hub->Pull({}).status(), absl::OkStatus());
        EXPECT_EQ(hub->Heartbeat({.number = branch, .origin = chain.origin()}, absl::InfinitePast()).status(),
                  absl::OkStatus());
      }
    });
  }
  for (int i = 0; i < 4; ++i) EXPECT_EQ(admin_->Install(), absl::OkStatus());
  done = true;
  for (std::thread& thread : traffic) thread.join();
  EXPECT_THAT(supabase_->server().Log(), Not(HasSubstr("deadlock detected")));
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
  // Whatever the database says: the way of a large value over a slow line counts as a statement's time.
  EXPECT_EQ(*Sql(login->url,
                 "SELECT current_setting('statement_timeout'), current_setting('tcp_keepalives_idle'), "
                 "current_setting('tcp_user_timeout')"),
            (Rows{{"10min", "30", "60000"}}));
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

TEST_F(HubAdminTest, ALoginOfAnotherBranchIsRefusedBeforeAnythingIsSent) {
  auto login = admin_->Enrol("goa", 8, {"*"});
  ASSERT_TRUE(login.ok()) << login.status();
  const auto heads = [&](const std::string& name, uint32_t number) {
    return SupabaseHub::Create({.url = login->url, .branch_name = name, .branch_number = number})
        .value()
        ->Heads()
        .status();
  };
  EXPECT_TRUE(heads("goa", 8).ok());
  const absl::Status status = heads("goa", 9);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("branch goa (number 8), and the config says goa (number 9)"));
  EXPECT_TRUE(absl::IsFailedPrecondition(heads("pune", 8)));
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

// Goal: a slip of the hand is no grant.
TEST_F(HubAdminTest, AGrantOfATableThatNoBranchHasIsRefusedAndChangesNothing) {
  TestChain chain(0xA1);
  chain.Transaction(7);
  auto hub = SupabaseHub::Create({.url = supabase_->BranchUrl(1)}).value();
  ASSERT_TRUE(hub->Push(chain.Push(chain.ByTransaction())).ok());
  const std::vector<std::string> before = admin_->Branches()->at(2).tables;
  const absl::Status refused = admin_->SetGrants("branch-3", {"public.products", "public.prodcuts"});
  EXPECT_TRUE(absl::IsNotFound(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("no branch has sent a row of public.prodcuts"));
  EXPECT_THAT(admin_->Branches()->at(2).tables, testing::ElementsAreArray(before));
  EXPECT_TRUE(admin_->SetGrants("branch-3", {"public.salaries"}).ok());
  EXPECT_TRUE(admin_->SetGrants("branch-3", {"*"}).ok());
}

TEST_F(HubAdminTest, ARetiredBranchMayDoNothingAndEverybodyIsTold) {
  auto closed = SupabaseHub::Create({.url = supabase_->BranchUrl(2)}).value();
  auto other = SupabaseHub::Create({.url = supabase_->BranchUrl(1)}).value();
  const TestChain chain(0xA1), second(0xB2);
  ASSERT_TRUE(closed->Heartbeat({.number = 2, .origin = second.origin()}, absl::InfinitePast()).ok());
  ASSERT_TRUE(admin_->Retire("branch-2").ok());
  EXPECT_TRUE(absl::IsNotFound(admin_->Retire("nobody")));
  const absl::Status status = closed->Heads().status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("retired by the head office"));
  const auto told = other->Heartbeat({.number = 1, .origin = chain.origin()}, absl::InfinitePast());
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_TRUE(told->branches[1].retired);
  EXPECT_FALSE(told->branches[1].active);
  EXPECT_TRUE(admin_->Branches()->at(1).retired);
  ASSERT_TRUE(admin_->SetActive("branch-2", true).ok()) << "it is taken back";
  EXPECT_FALSE(admin_->Branches()->at(1).retired);
  EXPECT_TRUE(closed->Heads().ok());
}

class QuarantineTest : public HubAdminTest {
 protected:
  void SetUp() override {
    HubAdminTest::SetUp();
    if (supabase_ == nullptr) return;
    for (int i = 0; i < 3; ++i) chain_.Transaction(1);  // The first brings an event before it.
    writer_ = SupabaseHub::Create({.url = supabase_->BranchUrl(1)}).value();
    reader_ = SupabaseHub::Create({.url = supabase_->BranchUrl(2)}).value();
    ASSERT_TRUE(writer_->OpenSession({chain_.origin(), 0, {}, Nonce('a'), {4}})->opened());
    PushRequest push = chain_.Push(chain_.ByTransaction());
    push.session = Nonce('a');
    ASSERT_TRUE(writer_->Push(push).ok());
  }
  static std::string Nonce(char c) { return std::string(16, c); }
  // How far a branch that has nothing yet gets.
  uint64_t Given() {
    const absl::StatusOr<std::vector<Segment>> pulled = PullAll(*reader_, {});
    EXPECT_TRUE(pulled.ok()) << pulled.status();
    return pulled.ok() && !pulled->empty() ? pulled->back().last.value : 0;
  }

  TestChain chain_{0xA1};
  const TestChain other_{0xB2};
  std::unique_ptr<SupabaseHub> writer_, reader_;
};

TEST_F(QuarantineTest, NothingAfterTheLastEventThatAllCouldTakeIsGivenOrTaken) {
  ASSERT_TRUE(reader_
                  ->Heartbeat({.number = 2, .origin = other_.origin(), .refused = {{chain_.origin(), {2}}}},
                              absl::InfinitePast())
                  .ok());
  const auto chains = admin_->Quarantine("branch-1", std::nullopt);
  ASSERT_TRUE(chains.ok()) << chains.status();
  ASSERT_EQ(chains->size(), 1u);
  EXPECT_EQ(chains->at(0).origin, chain_.origin().Hex());
  EXPECT_EQ(chains->at(0).after, 2u) << "from where the other branch stands";
  EXPECT_EQ(Given(), 2u);
  const auto heads = writer_->Heads();
  ASSERT_TRUE(heads.ok());
  EXPECT_TRUE(heads->heads.at(chain_.origin()).set_aside);
  EXPECT_EQ(heads->heads.at(chain_.origin()).complete, Sequence{2});
  EXPECT_EQ(heads->heads.at(chain_.origin()).last, Sequence{4}) << "it stays, as evidence";
  const auto told = reader_->Heartbeat({.number = 2, .origin = other_.origin()}, absl::InfinitePast());
  ASSERT_EQ(told->set_aside->size(), 1u);
  EXPECT_EQ(told->set_aside->at(0).origin, chain_.origin());
  EXPECT_EQ(told->set_aside->at(0).after, Sequence{2});
  EXPECT_EQ(told->set_aside->at(0).branch, "branch-1");
  EXPECT_EQ(admin_->Branches()->at(0).set_aside, 2u);
  // Whoever writes it learns of it with whatever it does next.
  PushRequest push = chain_.Push({chain_.Cut(4, 4)});
  push.session = Nonce('a');
  EXPECT_TRUE(absl::IsAborted(writer_->Push(push).status()));
  EXPECT_TRUE(absl::IsAborted(
      writer_->Heartbeat({.number = 1, .origin = chain_.origin(), .session = Nonce('a')}, absl::InfinitePast())
          .status()));
  const SessionRequest again{chain_.origin(), 1, {Nonce('a')}, Nonce('b'), {4}, {4}, chain_.Cut(4, 4).leaf_hashes};
  const auto session = writer_->OpenSession(again);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(session->answer, SessionAnswer::kSetAside);
  // A chain that its branch opens anew is not meant.
  const SessionRequest anew{.origin = TestChain(0xC3).origin(), .session = Nonce('c'), .replaces = chain_.origin()};
  EXPECT_TRUE(writer_->OpenSession(anew)->opened());

  ASSERT_TRUE(admin_->LiftQuarantine("branch-1").ok());
  EXPECT_EQ(Given(), 4u);
  EXPECT_EQ(writer_->OpenSession(again)->answer, SessionAnswer::kReplaced) << "its branch goes on with the other one";
}

TEST_F(QuarantineTest, OfAChainThatNobodyRefusesNoMoreIsGiven) {
  const auto chains = admin_->Quarantine("branch-1", std::nullopt);
  ASSERT_TRUE(chains.ok()) << chains.status();
  EXPECT_EQ(chains->at(0).after, 4u);
  EXPECT_EQ(Given(), 4u);
  const absl::Status again = admin_->Quarantine("branch-1", std::nullopt).status();
  EXPECT_TRUE(absl::IsNotFound(again)) << again;
  EXPECT_THAT(std::string(again.message()), HasSubstr("--lift"));
  ASSERT_TRUE(admin_->LiftQuarantine("branch-1").ok());
  EXPECT_TRUE(absl::IsNotFound(admin_->LiftQuarantine("branch-1").status())) << "there is nothing to take back";
  EXPECT_EQ(admin_->Quarantine("branch-1", 1)->at(0).after, 1u);
  EXPECT_EQ(Given(), 1u);
  EXPECT_TRUE(absl::IsNotFound(admin_->Quarantine("nobody", std::nullopt).status()));
  EXPECT_TRUE(absl::IsNotFound(admin_->Quarantine("branch-2", std::nullopt).status())) << "it has sent nothing";
}

TEST_F(QuarantineTest, IsTheHeadOfficesAlone) {
  for (const char* call :
       {"SELECT assay_hub.quarantine('branch-1', NULL, false)", "SELECT assay_hub.retire('branch-1')",
        "INSERT INTO assay_hub.set_aside VALUES ('\\x00', 0)", "TABLE assay_hub.set_aside"}) {
    EXPECT_FALSE(Sql(supabase_->BranchUrl(2), call).ok()) << call;
  }
}

TEST_F(HubAdminTest, HubThatIsNotInstalledIsNamed) {
  ASSERT_TRUE(supabase_->server().CreateDatabase("empty").ok());
  auto hub =
      SupabaseHub::Create({.url = supabase_->server().TcpUrl("empty", "assay_branch_1", SupabaseServer::Password(1))})
          .value();
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
  MustSql(supabase_->SuperUrl(),
          "CREATE OR REPLACE FUNCTION assay_hub.whoami() RETURNS jsonb LANGUAGE sql "
          "RETURN '{\"version\": \"4\", \"number\": \"1\"}'::jsonb");
  absl::Status status = SupabaseHub::Create({.url = supabase_->BranchUrl(1)}).value()->Heads().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("version \"4\""));
}

}  // namespace
}  // namespace assay::test
