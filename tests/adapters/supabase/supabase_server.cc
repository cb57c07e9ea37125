#include "tests/adapters/supabase/supabase_server.h"

#include "absl/strings/str_cat.h"
#include "adapters/supabase/hub_admin.h"

namespace assay::test {
namespace {

constexpr char kRoles[] = R"(
  CREATE ROLE postgres NOSUPERUSER CREATEDB CREATEROLE LOGIN REPLICATION BYPASSRLS PASSWORD 'admin-secret';
  ALTER DATABASE postgres OWNER TO postgres;
  CREATE ROLE anon NOLOGIN INHERIT;
  CREATE ROLE authenticated NOLOGIN INHERIT;
  CREATE ROLE service_role NOLOGIN INHERIT BYPASSRLS;
  CREATE ROLE authenticator NOINHERIT LOGIN PASSWORD 'authenticator-secret';
  GRANT anon, authenticated, service_role TO authenticator;
  DO $$ BEGIN
    EXECUTE 'GRANT anon, authenticated, service_role TO postgres'
      || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH ADMIN OPTION' ELSE '' END;
  END $$;
  GRANT pg_monitor, pg_read_all_data, pg_signal_backend TO postgres;
  CREATE ROLE supabase_auth_admin NOINHERIT LOGIN;
  CREATE ROLE dashboard_user NOLOGIN;
  CREATE SCHEMA extensions;
  CREATE EXTENSION pgcrypto SCHEMA extensions;
  GRANT USAGE ON SCHEMA extensions TO postgres, anon, authenticated, service_role;
  CREATE SCHEMA auth;
  GRANT USAGE ON SCHEMA auth TO postgres, anon, authenticated, service_role;
  ALTER ROLE postgres SET search_path = "$user", public, extensions;
  ALTER ROLE anon SET statement_timeout = '3s';
  ALTER ROLE authenticated SET statement_timeout = '8s';
  ALTER ROLE authenticator SET statement_timeout = '8s';
  ALTER ROLE authenticator SET lock_timeout = '8s';
  ALTER DATABASE postgres SET statement_timeout = '2min';
  CREATE PUBLICATION supabase_realtime;
)";

constexpr char kOldDefaultPrivileges[] = R"(
  ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT ALL ON TABLES TO anon, authenticated, service_role;
  ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
  ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
  ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT USAGE ON SCHEMAS TO anon, authenticated, service_role;
)";

}  // namespace

absl::StatusOr<std::unique_ptr<SupabaseServer>> SupabaseServer::Create(const SupabaseOptions& options) {
  auto supabase = std::make_unique<SupabaseServer>();
  absl::StatusOr<std::unique_ptr<PostgresServer>> server = PostgresServer::Create(
      {.superuser = "supabase_admin", .tcp_authentication = "scram-sha-256", .settings = options.settings});
  if (!server.ok()) return server.status();
  supabase->server_ = *std::move(server);
  MustSql(supabase->SuperUrl(), kRoles);
  if (options.old_default_privileges) MustSql(supabase->SuperUrl(), kOldDefaultPrivileges);
  return supabase;
}

absl::Status SupabaseServer::ResetHub() {
  MustSql(SuperUrl(), "DROP SCHEMA IF EXISTS assay_hub CASCADE");
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = HubAdmin::Create({.url = AdminUrl()});
  if (!admin.ok()) return admin.status();
  if (absl::Status status = (*admin)->Install(); !status.ok()) return status;
  for (int number : {1, 2, 3}) {
    const std::string table = number == 3 ? "public.products" : "*", name = absl::StrCat("branch-", number);
    if (enrolled_) {  // The roles stay: a pooler may still have sessions of theirs.
      MustSql(AdminUrl(), absl::StrCat("SELECT assay_hub.register_branch('", name, "', ", number, ", '", Role(number),
                                       "', ARRAY['", table, "'])"));
      continue;
    }
    absl::StatusOr<BranchLogin> login = (*admin)->Enrol(name, static_cast<uint32_t>(number), {table});
    if (!login.ok()) return login.status();
    MustSql(SuperUrl(), absl::StrCat("ALTER ROLE ", Role(number), " PASSWORD '", Password(number), "'"));
  }
  enrolled_ = true;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PgBouncer>> SupabaseServer::Pooler(const std::string& mode, int pool_size) const {
  PgBouncerOptions options{.mode = mode, .pool_size = pool_size};
  for (int number : {1, 2, 3}) options.users[Role(number)] = Password(number);
  return PgBouncer::Create(*server_, options);
}

SupabaseServer* SharedSupabase() {
  static absl::StatusOr<std::unique_ptr<SupabaseServer>> supabase = SupabaseServer::Create();
  if (supabase.ok()) return supabase->get();
  if (!MaySkipWithoutPostgres(supabase.status())) ADD_FAILURE() << supabase.status();
  return nullptr;
}

}  // namespace assay::test
