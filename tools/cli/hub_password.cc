#include "tools/cli/hub.h"
#include "tools/cli/hub_login.h"

namespace assay {
namespace {

struct PasswordOptions {
  std::string name;
  std::string password_file;  // Empty: the password is printed.
};

int RenewPassword(const CliContext& context, const HubAccess& access, const PasswordOptions& options) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenHubAdmin(context, access);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  absl::StatusOr<PasswordFile> file = PasswordFile::Create(options.password_file);
  if (!file.ok()) return CliFail(context, file.status());
  absl::StatusOr<BranchLogin> login = (*admin)->RenewPassword(options.name);
  if (!login.ok()) return CliFail(context, login.status());
  return ShowLogin(context, options.name, *login, *std::move(file));
}

}  // namespace

void AddHubPassword(CommandLine& line, CLI::App* hub, std::shared_ptr<const HubAccess> access) {
  auto options = std::make_shared<PasswordOptions>();
  CLI::App* verb = line.AddVerb(
      {"password", "A new password for a branch", "assay hub password mumbai-1"},
      [access, options](const CliContext& context) { return RenewPassword(context, *access, *options); }, hub);
  verb->add_option("name", options->name, "The branch")->required();
  verb->add_option("--password-file", options->password_file,
                   "Write the password there (mode 0600) instead of printing it");
}

}  // namespace assay
