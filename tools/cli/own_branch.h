// What the verbs that set up this machine's branch share: its config, with the administrator's connection that was
// named on the command line, and its hub.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "adapters/supabase/supabase_hub.h"
#include "tools/cli/cli.h"

namespace assay {

// The help of --admin-url.
inline constexpr char kAdminUrlHelp[] =
    "A superuser's connection to the branch's PostgreSQL; default: postgres.admin_url";

// The config, whose admin_url() is `admin_url` unless that is empty. INVALID_ARGUMENT: `admin_url` has a password in
// it. After an error the verb returns kExitUsage.
absl::StatusOr<Config> OwnConfig(const CliContext& context, const std::string& admin_url);

// The configured hub, as this branch logs in; null when none is configured.
absl::StatusOr<std::unique_ptr<SupabaseHub>> OwnHub(const Config& config);

}  // namespace assay
