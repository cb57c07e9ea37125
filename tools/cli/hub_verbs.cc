#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "adapters/supabase/hub_admin.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

namespace assay {
namespace {

absl::StatusOr<std::unique_ptr<HubAdmin>> OpenAdmin(const CliContext& context, const HubVerbOptions& options) {
  HubOptions hub;
  hub.url = options.url;
  hub.allow_insecure = options.allow_insecure;
  if (hub.url.empty()) {
    absl::StatusOr<std::string> url = HubUrlFromEnvironment(ProcessEnvironment());
    if (!url.ok() && access(context.config_path.c_str(), R_OK) == 0) {
      absl::StatusOr<Config> config = CliConfig(context);
      if (!config.ok()) return config.status();
      if (config->has_hub()) url = config->hub.url, hub.allow_insecure |= config->hub.allow_insecure;
    }
    if (!url.ok()) return url.status();
    hub.url = *url;
  }
  return HubAdmin::Create(std::move(hub));
}

// 0600 from the first moment on, and never over a file that is there.
absl::Status WritePassword(const std::string& path, const std::string& password) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    return absl::FailedPreconditionError(absl::StrCat("cannot create ", path, ": ", std::strerror(errno),
                                                      "; name a file that is not there yet, in a folder you may write"));
  }
  const std::string line = password + "\n";
  const bool written = write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && fsync(fd) == 0;
  close(fd);
  return written ? absl::OkStatus() : absl::ResourceExhaustedError(absl::StrCat("cannot write ", path));
}

int ShowLogin(const CliContext& context, const HubVerbOptions& options, const BranchLogin& login) {
  if (!options.password_file.empty()) {
    if (absl::Status status = WritePassword(options.password_file, login.password); !status.ok()) {
      return CliFail(context, absl::Status(status.code(), absl::StrCat(status.message(), ". The branch is enrolled; run `assay hub password ",
                                                                       options.name, "` for a new password")));
    }
  }
  if (context.json) {
    google::protobuf::Struct object;
    auto& fields = *object.mutable_fields();
    fields["name"] = JsonText(options.name);
    fields["role"] = JsonText(login.role);
    if (options.password_file.empty()) {
      fields["password"] = JsonText(login.password);
      fields["url"] = JsonText(login.url);
    } else {
      fields["password_file"] = JsonText(options.password_file);
    }
    PrintJson(object);
    return kExitOk;
  }
  if (options.password_file.empty()) {
    std::cout << "Branch " << options.name << " logs in as " << login.role << ". Hand this over on a safe way; it is shown only once:\n\n"
              << "  [hub]\n  url = \"" << login.url << "\"\n\n"
              << "(keep that config file private: chmod 600 assay.toml)\n";
  } else {
    std::cout << "Branch " << options.name << " logs in as " << login.role << "; its password is in " << options.password_file
              << ".\nIn the branch's config:\n\n  [hub]\n  url = \"postgresql://" << login.role
              << "@HOST:PORT/DATABASE\"\n  password_file = \"/etc/assay/hub.password\"\n";
  }
  return kExitOk;
}

int Done(const CliContext& context, const std::string& text) {
  if (context.json) {
    google::protobuf::Struct object;
    (*object.mutable_fields())["done"] = JsonText(text);
    PrintJson(object);
  } else {
    std::cout << text << "\n";
  }
  return kExitOk;
}

}  // namespace

int HubInstallVerb(const CliContext& context, const HubVerbOptions& options) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenAdmin(context, options);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  if (absl::Status status = (*admin)->Install(); !status.ok()) return CliFail(context, status, kExitProblem);
  return Done(context, "The hub is installed. Next, for each branch: assay hub enrol NAME --number N");
}

int HubEnrolVerb(const CliContext& context, const HubVerbOptions& options) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenAdmin(context, options);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  absl::StatusOr<BranchLogin> login = (*admin)->Enrol(options.name, options.number, options.tables);
  if (!login.ok()) return CliFail(context, login.status());
  return ShowLogin(context, options, *login);
}

int HubPasswordVerb(const CliContext& context, const HubVerbOptions& options) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenAdmin(context, options);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  absl::StatusOr<BranchLogin> login = (*admin)->RenewPassword(options.name);
  if (!login.ok()) return CliFail(context, login.status());
  return ShowLogin(context, options, *login);
}

int HubActiveVerb(const CliContext& context, const HubVerbOptions& options, bool active) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenAdmin(context, options);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  if (absl::Status status = (*admin)->SetActive(options.name, active); !status.ok()) return CliFail(context, status);
  return Done(context, absl::StrCat("Branch ", options.name, active ? " may push and pull again." : " can neither push nor pull from now on."));
}

int HubGrantVerb(const CliContext& context, const HubVerbOptions& options) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenAdmin(context, options);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  if (absl::Status status = (*admin)->SetGrants(options.name, options.tables); !status.ok()) return CliFail(context, status);
  return Done(context, absl::StrCat("Branch ", options.name, " may read: ", absl::StrJoin(options.tables, ", ")));
}

int HubBranchesVerb(const CliContext& context, const HubVerbOptions& options) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenAdmin(context, options);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  absl::StatusOr<std::vector<EnrolledBranch>> branches = (*admin)->Branches();
  if (!branches.ok()) return CliFail(context, branches.status());
  google::protobuf::Struct object;
  google::protobuf::ListValue* list = (*object.mutable_fields())["branches"].mutable_list_value();
  TextTable table({"NUMBER", "NAME", "LOGIN", "ACTIVE", "LAST SEEN", "MAY READ", "FORKS"});
  for (const EnrolledBranch& branch : *branches) {
    const bool seen = branch.last_seen > absl::InfinitePast();
    const std::string last_seen = seen ? absl::FormatTime(absl::RFC3339_sec, branch.last_seen, absl::UTCTimeZone()) : "";
    table.Add({absl::StrCat(branch.number), branch.name, branch.login_role, branch.active ? "yes" : "no",
               seen ? last_seen : "never", absl::StrJoin(branch.tables, ", "), absl::StrCat(branch.forks)});
    auto& fields = *list->add_values()->mutable_struct_value()->mutable_fields();
    fields["number"] = JsonCount(branch.number);
    fields["name"] = JsonText(branch.name);
    fields["login_role"] = JsonText(branch.login_role);
    fields["active"] = JsonFlag(branch.active);
    fields["last_seen"] = JsonText(last_seen);
    fields["forks"] = JsonCount(static_cast<double>(branch.forks));
    google::protobuf::ListValue* tables = fields["tables"].mutable_list_value();
    for (const std::string& name : branch.tables) *tables->add_values() = JsonText(name);
  }
  if (context.json) {
    PrintJson(object);
  } else {
    std::cout << (table.empty() ? "No branch is enrolled yet: assay hub enrol NAME --number N\n" : table.ToString());
  }
  return kExitOk;
}

}  // namespace assay
