// What a branch that is hostile, broken or stolen can do at the hub: append to its own chain, and nothing else.
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/hub/frame.h"
#include "adapters/supabase/hub_admin.h"
#include "adapters/supabase/supabase_hub.h"
#include "gmock/gmock.h"
#include "tests/adapters/supabase/supabase_server.h"
#include "tests/contract/test_chain.h"

namespace assay::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const char* const kTables[] = {"migration",  "branch",   "origin",        "segment", "piece",
                               "read_grant", "presence", "fork_evidence", "session", "staged"};

class HubSecurityTest : public testing::Test {
 protected:
  void SetUp() override {
    supabase_ = SharedSupabase();
    if (supabase_ == nullptr) GTEST_SKIP();
    ASSERT_TRUE(supabase_->ResetHub().ok());
  }

  std::unique_ptr<SupabaseHub> Connect(int branch) {
    return SupabaseHub::Create({.url = supabase_->BranchUrl(branch)}).value();
  }
  std::unique_ptr<SqlSession> Session(const std::string& url) { return SqlSession::Connect(url).value(); }
  std::unique_ptr<SqlSession> Branch(int number) { return Session(supabase_->BranchUrl(number)); }
  std::string PushSql(const TestChain& chain) {
    return absl::StrCat("SELECT assay_hub.push('\\x",
                        absl::BytesToHexString(*EncodePush(chain.Push(chain.ByTransaction()))), "')");
  }
  // The SQLSTATE with which `sql` fails, or "" when it works.
  std::string Fails(SqlSession& session, const std::string& sql) { return SqlState(session.Run(sql).status()); }

  SupabaseServer* supabase_ = nullptr;
};

TEST_F(HubSecurityTest, TablesAreOutOfReach) {
  auto session = Branch(1);
  for (const std::string table : kTables) {
    const std::string name = absl::StrCat("assay_hub.", table);
    for (const std::string& sql :
         {"SELECT * FROM " + name, "INSERT INTO " + name + " DEFAULT VALUES", "DELETE FROM " + name, "TRUNCATE " + name,
          "DO $$ BEGIN LOCK " + name + "; END $$", "COPY " + name + " TO STDOUT", "DROP TABLE " + name,
          "ALTER TABLE " + name + " DISABLE ROW LEVEL SECURITY"}) {
      EXPECT_EQ(Fails(*session, sql), "42501") << sql;
    }
  }
  EXPECT_EQ(Fails(*session, "UPDATE assay_hub.segment SET first = 1"), "42501");
  EXPECT_EQ(Fails(*session, "CREATE TABLE assay_hub.mine (x int)"), "42501");
  EXPECT_EQ(Fails(*session, "CREATE FUNCTION assay_hub.u32(text) RETURNS int LANGUAGE sql RETURN 1"), "42501");
}

TEST_F(HubSecurityTest, NobodyBecomesAnotherRole) {
  auto session = Branch(1);
  for (const std::string role : {"assay_hub_owner", "assay_hub_admin", "postgres", "assay_branch_2", "service_role"}) {
    EXPECT_EQ(Fails(*session, "SET ROLE " + role), "42501") << role;
    EXPECT_EQ(Fails(*session, "SET SESSION AUTHORIZATION " + role), "42501") << role;
    EXPECT_EQ(Fails(*session, "GRANT " + role + " TO assay_branch_1"), "42501") << role;
  }
  EXPECT_EQ(Fails(*session, "ALTER ROLE assay_branch_1 BYPASSRLS"), "42501");
  // The group role is everybody's; the caller is still who logged in.
  ASSERT_EQ(Fails(*session, "SET ROLE assay_branch"), "");
  EXPECT_EQ((*session->Run("SELECT assay_hub.whoami() ->> 'name'"))[0][0], "branch-1");
}

TEST_F(HubSecurityTest, OnlyEightFunctionsAreABranchsToCall) {
  const std::string can =
      "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'assay_hub'::regnamespace AND "
      "has_function_privilege('$role', p.oid, 'EXECUTE') ORDER BY 1";
  auto names = [&](const std::string& role) {
    std::string sql = can;
    std::vector<std::string> list;
    const Rows rows = Sql(supabase_->SuperUrl(), sql.replace(sql.find("$role"), 5, role)).value();
    for (const auto& row : rows) list.push_back(row[0]);
    return list;
  };
  EXPECT_THAT(names("assay_branch_1"),
              ElementsAre("heads", "heartbeat", "open_session", "piece", "pull", "push", "stage", "whoami"));
  EXPECT_THAT(names("postgres"),
              ElementsAre("branches", "quarantine", "register_branch", "retire", "set_active", "set_grants"));
  for (const std::string role : {"anon", "authenticated", "service_role", "authenticator", "dashboard_user"}) {
    EXPECT_THAT(names(role), IsEmpty()) << role;
  }
}

TEST_F(HubSecurityTest, AnotherBranchsChainCannotBePushed) {
  TestChain chain(0xB2);
  ASSERT_TRUE(Connect(2)->Push(chain.Push(chain.ByTransaction())).ok());
  chain.Transaction(1);
  auto session = Branch(1);
  EXPECT_EQ(Fails(*session, PushSql(chain)), "42501");
  EXPECT_EQ(Connect(2)->Heads()->heads[chain.origin()].last.value, 1u);
}

TEST_F(HubSecurityTest, ChainThatWasOnlyAnnouncedIsTaken) {
  TestChain chain(0xB2);
  ASSERT_TRUE(Connect(2)->Heartbeat({.number = 2, .origin = chain.origin()}, absl::InfinitePast()).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(Connect(1)->Push(chain.Push(chain.ByTransaction())).status()));
  EXPECT_TRUE(Connect(2)->Push(chain.Push(chain.ByTransaction())).ok());
}

TEST_F(HubSecurityTest, ClaimsAreNotBelievedFromADirectLogin) {
  auto session = Branch(1);
  ASSERT_EQ(
      Fails(*session, "SET request.jwt.claims = '{\"sub\":\"assay_branch_2\",\"role\":\"service_role\",\"branch\":2}'"),
      "");
  ASSERT_EQ(Fails(*session, "SET request.jwt.claim.sub = 'assay_branch_2'"), "");
  ASSERT_EQ(Fails(*session, "SET role TO DEFAULT"), "");
  EXPECT_EQ((*session->Run("SELECT assay_hub.whoami() ->> 'number'"))[0][0], "1");
}

TEST_F(HubSecurityTest, ApiRolesHaveNoWayIn) {
  auto session = Session(supabase_->server().TcpUrl("postgres", "authenticator", "authenticator-secret"));
  for (const std::string role : {"anon", "authenticated", "service_role"}) {
    ASSERT_EQ(Fails(*session, "SET ROLE " + role), "");
    ASSERT_EQ(Fails(*session, "SET request.jwt.claims = '{\"sub\":\"assay_branch_1\"}'"), "");
    EXPECT_EQ(Fails(*session, "SELECT assay_hub.heads()"), "42501") << role;
    EXPECT_EQ(Fails(*session, "SELECT * FROM assay_hub.segment"), "42501") << role;
    ASSERT_EQ(Fails(*session, "RESET ROLE"), "");
  }
}

TEST_F(HubSecurityTest, TemporaryObjectsOfTheCallerAreNotBelieved) {
  TestChain chain(0xB2);
  ASSERT_TRUE(Connect(2)->Push(chain.Push(chain.ByTransaction())).ok());
  chain.Transaction(1);
  auto session = Branch(1);
  for (const std::string sql :
       {"CREATE TEMP TABLE branch AS SELECT 2 AS number, 'x' AS name, 'assay_branch_1'::name AS login_role, true AS "
        "active",
        "CREATE TEMP TABLE origin AS SELECT '\\xb2'::bytea AS origin, 1 AS branch, 0::bigint AS last",
        "CREATE FUNCTION pg_temp.octet_length(bytea) RETURNS int LANGUAGE sql AS 'SELECT 25'",
        "CREATE FUNCTION pg_temp.get_byte(bytea, int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "GRANT ALL ON TABLE pg_temp.branch, pg_temp.origin TO PUBLIC",
        "SET search_path = pg_temp, assay_hub, pg_catalog"}) {
    ASSERT_EQ(Fails(*session, sql), "") << sql;
  }
  EXPECT_EQ((*session->Run("SELECT assay_hub.whoami() ->> 'number'"))[0][0], "1");
  EXPECT_EQ(Fails(*session, PushSql(chain)), "42501");
}

// The functions' owner is held by policies, revoked rights and triggers: a fault in a function, or a grant made by
// mistake, does not yet rewrite history.
TEST_F(HubSecurityTest, EvenTheOwnerAppendsOnlyForTheCaller) {
  TestChain own(0xA1), other(0xB2);
  ASSERT_TRUE(Connect(1)->Push(own.Push(own.ByTransaction())).ok());
  ASSERT_TRUE(Connect(2)->Push(other.Push(other.ByTransaction())).ok());
  MustSql(supabase_->SuperUrl(), "GRANT assay_hub_owner TO assay_branch_1");
  auto session = Branch(1);
  ASSERT_EQ(Fails(*session, "SET ROLE assay_hub_owner"), "");
  const std::string segment =
      "INSERT INTO assay_hub.segment (origin, first, last, ends_transaction, bytes, layout, leaf_hashes, "
      "tables, event_counts, payloads) VALUES (decode(repeat('$o', 16), 'hex'), 2, 2, true, 1, '\\x0100', "
      "decode(repeat('00', 32), 'hex'), '{x}', '{1}', '{x}')";
  auto insert = [&](const std::string& origin) {
    return absl::StrCat(segment.substr(0, segment.find("$o")), origin, segment.substr(segment.find("$o") + 2));
  };
  EXPECT_EQ(Fails(*session, insert("b2")), "42501");
  EXPECT_EQ(Fails(*session, "BEGIN; " + insert("a1") + "; ROLLBACK"), "") << "the statement itself is sound";
  for (const std::string sql :
       {"UPDATE assay_hub.segment SET first = first WHERE true", "DELETE FROM assay_hub.segment WHERE true",
        "TRUNCATE assay_hub.segment", "DELETE FROM assay_hub.fork_evidence WHERE true",
        "DELETE FROM assay_hub.origin WHERE true", "DELETE FROM assay_hub.branch WHERE true",
        "UPDATE assay_hub.origin SET last = 0, complete = 0 WHERE origin = decode(repeat('a1', 16), 'hex')",
        "UPDATE assay_hub.origin SET branch = 2 WHERE origin = decode(repeat('a1', 16), 'hex')",
        "INSERT INTO assay_hub.origin (origin, branch) VALUES (decode(repeat('dd', 16), 'hex'), 2)",
        "INSERT INTO assay_hub.branch (number, name, login_role) VALUES (9, 'nine', 'nine')",
        "INSERT INTO assay_hub.read_grant VALUES (3, '*')", "INSERT INTO assay_hub.presence VALUES (2, '{}', now())"}) {
    EXPECT_EQ(Fails(*session, sql), "42501") << sql;
  }
  // Rows that a policy hides are simply not there to be changed.
  for (const std::string sql : {"UPDATE assay_hub.origin SET last = 99 WHERE branch = 2 RETURNING 1",
                                "UPDATE assay_hub.branch SET active = false WHERE true RETURNING 1",
                                "DELETE FROM assay_hub.read_grant WHERE true RETURNING 1"}) {
    auto rows = session->Run(sql);
    ASSERT_TRUE(rows.ok()) << rows.status();
    EXPECT_THAT(*rows, IsEmpty()) << sql;
  }
  MustSql(supabase_->SuperUrl(), "REVOKE assay_hub_owner FROM assay_branch_1");
}

TEST_F(HubSecurityTest, EventsStayEvenForASuperuserWithTriggersOff) {
  TestChain chain(0xA1);
  ASSERT_TRUE(Connect(1)->Push(chain.Push(chain.ByTransaction())).ok());
  auto session = Session(supabase_->SuperUrl());
  ASSERT_EQ(Fails(*session, "SET session_replication_role = replica"), "");
  EXPECT_EQ(Fails(*session, "UPDATE assay_hub.segment SET first = first"), "42501");
  EXPECT_EQ(Fails(*session, "DELETE FROM assay_hub.segment"), "42501");
  EXPECT_EQ(Fails(*session, "TRUNCATE assay_hub.segment CASCADE"), "42501");
  EXPECT_EQ(Fails(*session, "DELETE FROM assay_hub.origin"), "42501");
}

TEST_F(HubSecurityTest, ForkIsKeptAsEvidenceOnce) {
  TestChain chain(0xA1);
  chain.Transaction(4);
  auto hub = Connect(1);
  ASSERT_TRUE(hub->Push(chain.Push(chain.ByTransaction(), chain.Checkpoint(5))).ok());
  TestChain fork = chain;
  fork.Tamper({3});
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(absl::IsDataLoss(hub->Push(fork.Push(fork.ByTransaction())).status()));
  auto rows = Sql(supabase_->AdminUrl(),
                  "SELECT encode(origin, 'hex'), sequence, encode(held, 'hex'), encode(pushed, 'hex'), held_checkpoint "
                  "IS NOT NULL, "
                  "octet_length(segment) > 100, login_role FROM assay_hub.fork_evidence");
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_THAT(*rows, ElementsAre(ElementsAre(chain.origin().Hex(), "3", HexEncode(AsBytes(chain.leaf(3))),
                                             HexEncode(AsBytes(fork.leaf(3))), "t", "t", "assay_branch_1")));
  EXPECT_EQ(HubAdmin::Create({.url = supabase_->AdminUrl()}).value()->Branches()->at(0).forks, 1u);
}

TEST_F(HubSecurityTest, DeactivatedBranchIsShutOutAtOnce) {
  TestChain chain(0xA1);
  auto hub = Connect(1);
  ASSERT_TRUE(hub->Push(chain.Push(chain.ByTransaction())).ok());
  auto admin = HubAdmin::Create({.url = supabase_->AdminUrl()}).value();
  ASSERT_TRUE(admin->SetActive("branch-1", false).ok());
  chain.Transaction(1);
  for (const absl::Status& status :
       {hub->Push(chain.Push({chain.Cut(2, 2)})).status(), hub->Pull({}).status(), hub->Heads().status(),
        hub->Heartbeat({.number = 1}, absl::InfinitePast()).status(), hub->WhoAmI().status()}) {
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("branch branch-1 was deactivated by the head office"));
  }
  auto reply = Connect(2)->Heartbeat({.number = 2}, absl::InfinitePast());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_FALSE(reply->branches[0].active);
  ASSERT_TRUE(admin->SetActive("branch-1", true).ok());
  EXPECT_TRUE(hub->Push(chain.Push({chain.Cut(2, 2)})).ok());
}

TEST_F(HubSecurityTest, BranchCannotSpeakForAnother) {
  absl::Status status = Connect(1)->Heartbeat({.name = "branch-2", .number = 2}, absl::InfinitePast()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("branch 1 \"branch-1\""), HasSubstr("branch 2 \"branch-2\"")));
}

// Whatever bytes a branch pushes, the hub stays whole, and goes on giving the others what it has.
TEST_F(HubSecurityTest, MalformedPushesHarmNobody) {
  std::mt19937 random(7);
  auto session = Branch(1);
  TestChain chain(0xA1);
  chain.Transaction(6);
  const std::string frame = *EncodePush(chain.Push({chain.Cut(1, 1), chain.Cut(2, 7)}, chain.Checkpoint(7)));
  auto push = [&](const std::string& bytes) {
    return session->Run("SELECT assay_hub.push(decode($1, 'hex'))", {absl::BytesToHexString(bytes)}).status();
  };
  for (size_t size = 0; size < frame.size(); size += 1 + random() % 7) {
    const std::string sqlstate = SqlState(push(frame.substr(0, size)));
    EXPECT_TRUE(sqlstate == "ZA002" || absl::StartsWith(sqlstate, "22")) << size << ": " << sqlstate;
  }
  int accepted = 0;
  for (int i = 0; i < 300; ++i) {
    std::string bytes = frame;
    bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
    for (size_t at = 1; at < 17; ++at) bytes[at] = static_cast<char>(random());  // A chain of its own, mostly.
    for (size_t at = 0; (at = bytes.find(chain.origin().AsBytes().data(), at, 16)) != std::string::npos; at += 16) {
      bytes.replace(at, 16, bytes, 1, 16);
    }
    const std::string sqlstate = SqlState(push(bytes));
    EXPECT_TRUE(sqlstate.empty() || sqlstate == "ZA001" || sqlstate == "ZA002" || absl::StartsWith(sqlstate, "22"))
        << sqlstate;
    accepted += sqlstate.empty();
  }
  auto segments = PullAll(*Connect(3), {});
  ASSERT_TRUE(segments.ok()) << segments.status();
  EXPECT_GE(segments->size(), static_cast<size_t>(accepted));
  ASSERT_TRUE(push(frame).ok());
}

TEST_F(HubSecurityTest, MalformedPullsAreRefused) {
  auto session = Branch(1);
  for (const std::string hex :
       {"", "02", "0100000000000000000000000000", "0200000000000000ff00000001", "02ffffffffffffffffffffffff"}) {
    const std::string sqlstate = SqlState(session->Run("SELECT assay_hub.pull(decode($1, 'hex'))", {hex}).status());
    EXPECT_TRUE(sqlstate == "ZA002" || absl::StartsWith(sqlstate, "22")) << hex << ": " << sqlstate;
  }
}

// What the file promises of itself: see its first lines.
TEST_F(HubSecurityTest, EveryFunctionPinsItsNames) {
  auto rows = Sql(supabase_->SuperUrl(),
                  "SELECT proname FROM pg_proc WHERE pronamespace = 'assay_hub'::regnamespace AND prosqlbody IS NULL "
                  "AND NOT coalesce(proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false)");
  EXPECT_THAT(*rows, IsEmpty());
  rows = Sql(supabase_->SuperUrl(),
             "SELECT proname FROM pg_proc p JOIN pg_roles r ON r.oid = proowner WHERE pronamespace = "
             "'assay_hub'::regnamespace "
             "AND (rolsuper OR rolbypassrls OR rolcanlogin)");
  EXPECT_THAT(*rows, IsEmpty());
  rows = Sql(supabase_->SuperUrl(),
             "SELECT relname FROM pg_class WHERE relnamespace = 'assay_hub'::regnamespace AND relkind = 'r' "
             "AND NOT (relrowsecurity AND relforcerowsecurity)");
  EXPECT_THAT(*rows, IsEmpty());
  // safeupdate, which Supabase loads, refuses an UPDATE or DELETE without WHERE.
  rows = Sql(supabase_->SuperUrl(),
             "SELECT proname, statement FROM pg_proc, regexp_split_to_table(prosrc, ';') AS statement "
             "WHERE pronamespace = 'assay_hub'::regnamespace AND statement ~ '\\m(UPDATE|DELETE FROM) +assay_hub' AND "
             "statement !~ 'WHERE'");
  EXPECT_THAT(*rows, IsEmpty());
}

TEST_F(HubSecurityTest, InstallerIsLeftWithoutTheOwnersRights) {
  auto session = Session(supabase_->AdminUrl());
  EXPECT_EQ(Fails(*session, "SET ROLE assay_hub_owner"), "42501");
  EXPECT_EQ(Fails(*session, "INSERT INTO assay_hub.branch (number, name, login_role) VALUES (9, 'nine', 'nine')"),
            "42501");
}

// Projects from before 2026-05-30 give the API roles all that postgres creates.
TEST(HubOnAnOldProjectTest, DefaultPrivilegesOpenNothing) {
  auto supabase = SupabaseServer::Create({.old_default_privileges = true});
  if (MaySkipWithoutPostgres(supabase.status())) GTEST_SKIP();
  ASSERT_TRUE(supabase.ok()) << supabase.status();
  ASSERT_TRUE((*supabase)->ResetHub().ok());
  auto rows = Sql((*supabase)->SuperUrl(), R"(
    SELECT role, object FROM unnest(ARRAY['anon', 'authenticated', 'service_role', 'authenticator', 'dashboard_user']) AS role,
    LATERAL (SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'assay_hub'::regnamespace
               AND has_function_privilege(role, oid, 'EXECUTE')
             UNION ALL SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'assay_hub'::regnamespace AND relkind = 'r'
               AND has_table_privilege(role, oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
             UNION ALL SELECT nspname FROM pg_namespace WHERE nspname = 'assay_hub'
               AND has_schema_privilege(role, oid, 'USAGE, CREATE')) AS can (object))");
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_THAT(*rows, IsEmpty());
}

}  // namespace
}  // namespace assay::test
