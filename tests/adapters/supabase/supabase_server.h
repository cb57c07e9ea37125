// A PostgreSQL with Supabase's roles, and a hub on it: what the hub must be content with.
//
// The recipe is the floor: the bootstrap superuser is supabase_admin, `postgres` is not superuser and has BYPASSRLS,
// API roles exist, passwords are checked on loopback. What hosted Supabase adds (supautils) only allows more.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tests/support/pg_bouncer.h"
#include "tests/support/postgres_server.h"

namespace assay::test {

struct SupabaseOptions {
  // As projects had before 2026-05-30: whatever postgres creates is given to the API roles.
  bool old_default_privileges = false;
  std::map<std::string, std::string> settings;
};

class SupabaseServer {
 public:
  static absl::StatusOr<std::unique_ptr<SupabaseServer>> Create(const SupabaseOptions& options = {});

  // Installs a fresh hub, dropping what was there, with branches 1 and 2 (everything readable) and 3 (public.products
  // only).
  absl::Status ResetHub();

  PostgresServer& server() { return *server_; }
  std::string SuperUrl() const { return server_->Url(); }
  std::string AdminUrl() const { return server_->TcpUrl("postgres", "postgres", "admin-secret"); }
  std::string BranchUrl(int number) const { return server_->TcpUrl("postgres", Role(number), Password(number)); }
  static std::string Role(int number) { return "assay_branch_" + std::to_string(number); }
  static std::string Password(int number) { return "branch-secret-" + std::to_string(number); }
  // `mode` as PgBouncerOptions::mode; knows the branches' passwords.
  absl::StatusOr<std::unique_ptr<PgBouncer>> Pooler(const std::string& mode, int pool_size = 3) const;

 private:
  std::unique_ptr<PostgresServer> server_;
  bool enrolled_ = false;
};

// One for the whole test program, made when first asked for. nullptr: no PostgreSQL here, and skipping is allowed.
SupabaseServer* SharedSupabase();

}  // namespace assay::test
