#include "tools/cli/own_branch.h"

#include "log/annotate.h"

namespace assay {

absl::StatusOr<Config> OwnConfig(const CliContext& context, const std::string& admin_url) {
  ASSAY_ASSIGN_OR_RETURN(Config config, CliConfig(context));
  ASSAY_RETURN_IF_ERROR(RefusePassword(admin_url, "--admin-url", "postgres.admin_url in the config"));
  if (!admin_url.empty()) config.postgres.admin_url = admin_url;
  return config;
}

absl::StatusOr<std::unique_ptr<SupabaseHub>> OwnHub(const Config& config) {
  if (!config.has_hub()) return nullptr;
  return SupabaseHub::Create({.url = config.hub.url,
                              .allow_insecure = config.hub.allow_insecure,
                              .branch_name = config.branch.name,
                              .branch_number = static_cast<uint32_t>(config.branch.number)});
}

}  // namespace assay
