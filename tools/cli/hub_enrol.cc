#include "absl/strings/str_cat.h"
#include "tools/cli/hub.h"
#include "tools/cli/hub_login.h"
#include "tools/config/config_check.h"

namespace assay {
namespace {

struct EnrolOptions {
  std::string name;
  uint32_t number = 0;
  std::vector<std::string> tables = {"*"};
  std::string password_file;  // Empty: the password is printed.
};

// As the branch's config will insist on: better here than when the branch is far away.
absl::Status CheckBranch(const EnrolOptions& options) {
  if (!IsBranchName(options.name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", options.name, "\" cannot be a branch's name: ", kBranchNameRule));
  }
  if (options.number < 1 || options.number > kStrideMax) {
    return absl::InvalidArgumentError(absl::StrCat("--number is ", options.number, " and must be from 1 to ",
                                                   kStrideMax,
                                                   "; at most branch.stride, which is 64 where a config says nothing"));
  }
  return absl::OkStatus();
}

int EnrolBranch(const CliContext& context, const HubAccess& access, const EnrolOptions& options) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenHubAdmin(context, access);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  if (absl::Status status = CheckBranch(options); !status.ok()) return CliFail(context, status, kExitUsage);
  absl::StatusOr<std::vector<std::string>> tables = ParseGrants(options.tables);
  if (!tables.ok()) return CliFail(context, tables.status(), kExitUsage);
  absl::StatusOr<PasswordFile> file = PasswordFile::Create(options.password_file);
  if (!file.ok()) return CliFail(context, file.status());
  absl::StatusOr<BranchLogin> login = (*admin)->Enrol(options.name, options.number, *tables);
  if (!login.ok()) return CliFail(context, login.status());
  return ShowLogin(context, options.name, *login, *std::move(file));
}

}  // namespace

void AddHubEnrol(CommandLine& line, CLI::App* hub, std::shared_ptr<const HubAccess> access) {
  auto options = std::make_shared<EnrolOptions>();
  CLI::App* verb = line.AddVerb(
      {"enrol", "Make a branch's login", "assay hub enrol mumbai-1 --number 1 --password-file mumbai-1.password"},
      [access, options](const CliContext& context) { return EnrolBranch(context, *access, *options); }, hub);
  verb->add_option("name", options->name, "The branch")->required();
  verb->add_option("-n,--number", options->number, "Its number: 1 … stride, unique in the fleet")->required();
  verb->add_option("--tables", options->tables, "Tables of other branches it may read, schema.table; default: all");
  verb->add_option("--password-file", options->password_file,
                   "Write the password there (mode 0600) instead of printing it");
}

}  // namespace assay
