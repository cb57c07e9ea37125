// What must be so of a PostgreSQL before a branch can be made of it: for `assay doctor`, and for `assay init`, which
// refuses to begin otherwise.
#pragma once

#include <string>

#include "adapters/libpq/connection.h"
#include "tools/setup/findings.h"

namespace assay {

// The remedy where PostgreSQL refused a question of ours: its own log knows more.
inline constexpr char kLookCloser[] =
    "run assay doctor with postgres.admin_url set to a superuser, and look into PostgreSQL's log";

// Version, encoding, wal_level, room for a slot, what else must be so of a server; with the session of an
// administrator.
void CheckServer(Connection& admin, Findings& found);

// That the daemon's login can connect, also for replication, and may do what it must.
void CheckLogin(const std::string& url, Findings& found);

}  // namespace assay
