#include "adapters/supabase/hub_admin.h"

#include <libpq-fe.h>
#include <openssl/rand.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "adapters/supabase/hub_error.h"
#include "adapters/supabase/json.h"
#include "log/annotate.h"
#include "log/check.h"
#include "sql/hub.sql.h"

namespace assay {
namespace {

constexpr absl::Duration kInstallMax = absl::Minutes(5);
constexpr absl::Duration kInstallPause = absl::Seconds(1);

// A lid on what a stolen branch machine could hold here; a daemon needs three connections. PostgreSQL counts the way of
// the bytes as a statement's time: ten minutes are for a megabyte or two over a slow line, and what is larger comes in
// pieces. Whoever is gone, or takes nothing more, is let go within two minutes.
constexpr char kConnectionLimit[] = "10";
constexpr std::pair<const char*, const char*> kLoginSettings[] = {
    {"statement_timeout", "10min"}, {"idle_in_transaction_session_timeout", "1min"},
    {"tcp_keepalives_idle", "30"},  {"tcp_keepalives_interval", "10"},
    {"tcp_keepalives_count", "3"},  {"tcp_user_timeout", "60s"},
};

std::string TextArray(const Connection& connection, const std::vector<std::string>& texts) {
  return absl::StrCat("ARRAY[",
                      absl::StrJoin(texts, ", ",
                                    [&](std::string* out, const std::string& text) {
                                      absl::StrAppend(out, connection.QuoteLiteral(text));
                                    }),
                      "]::text[]");
}

}  // namespace

absl::StatusOr<std::unique_ptr<HubAdmin>> HubAdmin::Create(HubOptions options) {
  ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<HubSession> session, HubSession::Create(std::move(options)));
  return std::unique_ptr<HubAdmin>(new HubAdmin(std::move(session)));
}

absl::Status HubAdmin::Install() {
  absl::Status status;
  for (const absl::Time limit = SteadyNow() + kInstallMax;;) {
    status = session_->Script(kHubSql);
    if (status.ok()) return status;
    session_->Disconnect();  // It may have stopped inside the script's transaction.
    // The script waits only for a moment for the calls that are under way, since all others queue up behind it.
    if (SqlstateOf(status) != "55P03" || SteadyNow() > limit) break;
    absl::SleepFor(kInstallPause);
  }
  if (absl::StartsWith(SqlstateOf(status), "42501")) {
    return absl::PermissionDeniedError(absl::StrCat(
        status.message(),
        ": install as a role that may create roles and schemas in this database (on Supabase, postgres), and that "
        "installed it before if the hub is there already"));
  }
  return AnnotateSql(status, "install");
}

absl::StatusOr<BranchLogin> HubAdmin::MakeLogin(const std::string& role, std::string* verifier) {
  std::string random(24, '\0');
  ASSAY_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), static_cast<int>(random.size())) == 1);
  BranchLogin login{.role = role, .password = absl::WebSafeBase64Escape(random)};
  // A verifier rather than the password, which servers log with a statement that is slow or fails.
  ASSAY_ASSIGN_OR_RETURN(Connection * connection, session_->Connected());
  const std::unique_ptr<char, decltype(&PQfreemem)> encrypted(
      PQencryptPasswordConn(connection->raw(), login.password.c_str(), role.c_str(), "scram-sha-256"), &PQfreemem);
  if (encrypted == nullptr) return HubError(connection->ConnectionError(), session_->url());
  *verifier = encrypted.get();
  // Supabase's shared pooler wants the project's reference behind the user's name: postgres.abcdefgh.
  ASSAY_ASSIGN_OR_RETURN(const std::string session_user, session_->Call("SELECT session_user::text", {}));
  absl::string_view user = PQuser(connection->raw());
  const bool tenant = absl::ConsumePrefix(&user, session_user) && absl::StartsWith(user, ".");
  login.url = session_->url().UrlFor(absl::StrCat(role, tenant ? user : ""), login.password);
  return login;
}

absl::StatusOr<BranchLogin> HubAdmin::Enrol(absl::string_view name, uint32_t number,
                                            const std::vector<std::string>& tables) {
  if (name.empty() || number == 0) return absl::InvalidArgumentError("a branch needs a name, and a number from 1");
  const std::string role = absl::StrCat("assay_branch_", number);
  std::string verifier;
  ASSAY_ASSIGN_OR_RETURN(BranchLogin login, MakeLogin(role, &verifier));
  ASSAY_ASSIGN_OR_RETURN(Connection * connection, session_->Connected());
  std::string script =
      absl::StrCat("SELECT assay_hub.register_branch(", connection->QuoteLiteral(name), ", ", number, ", '", role,
                   "', ", TextArray(*connection, tables), ");", "CREATE ROLE ", role, " LOGIN CONNECTION LIMIT ",
                   kConnectionLimit, " PASSWORD '", verifier, "' IN ROLE assay_branch;");
  for (const auto& [setting, value] : kLoginSettings) {
    absl::StrAppend(&script, "ALTER ROLE ", role, " SET ", setting, " = '", value, "';");
  }
  const absl::Status status = session_->Script(script);
  if (SqlstateOf(status) == "42710") {
    return absl::AlreadyExistsError(absl::StrCat("role ", role, " exists already and is not of this hub: DROP ROLE ",
                                                 role, ", or enrol the branch under another number"));
  }
  if (!status.ok()) return AnnotateSql(status, absl::StrCat("enrol ", name));
  return login;
}

absl::StatusOr<BranchLogin> HubAdmin::RenewPassword(absl::string_view name) {
  ASSAY_ASSIGN_OR_RETURN(const std::vector<EnrolledBranch> branches, Branches());
  for (const EnrolledBranch& branch : branches) {
    if (branch.name != name) continue;
    std::string verifier;
    ASSAY_ASSIGN_OR_RETURN(BranchLogin login, MakeLogin(branch.login_role, &verifier));
    ASSAY_ASSIGN_OR_RETURN(Connection * connection, session_->Connected());
    ASSAY_RETURN_IF_ERROR(session_->Script(
        absl::StrCat("ALTER ROLE ", connection->QuoteIdentifier(branch.login_role), " PASSWORD '", verifier, "'")));
    return login;
  }
  return absl::NotFoundError(absl::StrCat("hub: no branch is called \"", name, "\""));
}

absl::Status HubAdmin::SetActive(absl::string_view name, bool active) {
  ASSAY_ASSIGN_OR_RETURN(Connection * connection, session_->Connected());
  return session_->Script(absl::StrCat("SELECT assay_hub.set_active(", connection->QuoteLiteral(name), ", ",
                                       active ? "true" : "false", ")"));
}

absl::Status HubAdmin::Retire(absl::string_view name) {
  ASSAY_ASSIGN_OR_RETURN(Connection * connection, session_->Connected());
  return session_->Script(absl::StrCat("SELECT assay_hub.retire(", connection->QuoteLiteral(name), ")"));
}

absl::StatusOr<std::vector<HubAdmin::QuarantinedChain>> HubAdmin::Chains(absl::string_view name,
                                                                         const std::string& after, bool lift) {
  ASSAY_ASSIGN_OR_RETURN(Connection * connection, session_->Connected());
  // A second time it says that it was done.
  ASSAY_ASSIGN_OR_RETURN(const std::string text,
                         session_->Call(absl::StrCat("SELECT assay_hub.quarantine(", connection->QuoteLiteral(name),
                                                     ", ", after, ", ", lift ? "true" : "false", ")::text"),
                                        {}));
  ASSAY_ASSIGN_OR_RETURN(const JsonObject json, ParseJsonObject(text, "quarantine"));
  std::vector<QuarantinedChain> chains;
  if (const JsonValue* list = Field(json, "chains"); list != nullptr) {
    for (const JsonValue& chain : list->list_value().values()) {
      ASSAY_ASSIGN_OR_RETURN(const uint64_t last, NumberField(chain.struct_value(), "after"));
      chains.push_back({TextField(chain.struct_value(), "origin"), last});
    }
  }
  return chains;
}

absl::StatusOr<std::vector<HubAdmin::QuarantinedChain>> HubAdmin::Quarantine(absl::string_view name,
                                                                             std::optional<uint64_t> after) {
  return Chains(name, after.has_value() ? absl::StrCat(*after) : "NULL", /*lift=*/false);
}

absl::StatusOr<std::vector<HubAdmin::QuarantinedChain>> HubAdmin::LiftQuarantine(absl::string_view name) {
  return Chains(name, "NULL", /*lift=*/true);
}

absl::Status HubAdmin::SetGrants(absl::string_view name, const std::vector<std::string>& tables) {
  ASSAY_ASSIGN_OR_RETURN(Connection * connection, session_->Connected());
  return session_->Script(absl::StrCat("SELECT assay_hub.set_grants(", connection->QuoteLiteral(name), ", ",
                                       TextArray(*connection, tables), ")"));
}

absl::StatusOr<std::vector<EnrolledBranch>> HubAdmin::Branches() {
  ASSAY_ASSIGN_OR_RETURN(const std::string text, session_->Call("SELECT assay_hub.branches()::text", {}));
  ASSAY_ASSIGN_OR_RETURN(const JsonObject json, ParseJsonObject(text, "branches"));
  std::vector<EnrolledBranch> branches;
  const JsonValue* list = Field(json, "branches");
  if (list == nullptr) return absl::InvalidArgumentError("the hub's answer to branches has none");
  for (const JsonValue& value : list->list_value().values()) {
    const JsonObject& branch = value.struct_value();
    EnrolledBranch& enrolled = branches.emplace_back();
    enrolled.name = TextField(branch, "name");
    ASSAY_ASSIGN_OR_RETURN(const uint64_t number, NumberField(branch, "number"));
    enrolled.number = static_cast<uint32_t>(number);
    enrolled.login_role = TextField(branch, "login_role");
    enrolled.active = BoolField(branch, "active");
    enrolled.retired = BoolField(branch, "retired");
    if (const absl::StatusOr<uint64_t> after = NumberField(branch, "set_aside"); after.ok())
      enrolled.set_aside = *after;
    enrolled.enrolled = TimeField(branch, "created_at");
    enrolled.last_seen = TimeField(branch, "last_seen");
    ASSAY_ASSIGN_OR_RETURN(enrolled.forks, NumberField(branch, "forks"));
    if (const JsonValue* tables = Field(branch, "tables"); tables != nullptr) {
      for (const JsonValue& table : tables->list_value().values()) enrolled.tables.push_back(table.string_value());
    }
  }
  return branches;
}

}  // namespace assay
