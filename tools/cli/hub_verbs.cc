#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "adapters/supabase/hub_admin.h"
#include "log/annotate.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"
#include "tools/config/config_check.h"

namespace assay {
namespace {

absl::StatusOr<std::unique_ptr<HubAdmin>> OpenAdmin(const CliContext& context, const HubVerbOptions& options) {
  HubOptions hub;
  hub.url = options.url;
  hub.allow_insecure = options.allow_insecure;
  ASSAY_RETURN_IF_ERROR(RefusePassword(hub.url, "--url", "SUPABASE_DB_URL"));
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

// Where the password goes: made before anything is asked of the hub, because a branch without its password has to be
// told a new one. 0600 from the first moment on, and never over a file that is there.
class PasswordFile {
 public:
  static absl::StatusOr<PasswordFile> Create(const std::string& path) {
    PasswordFile file;
    if (path.empty()) return file;
    file.fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file.fd_ < 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot create ", path, ": ", std::strerror(errno),
                       "; name a file that is not there yet, in a folder you may write. Nothing was changed"));
    }
    file.path_ = path;
    return file;
  }
  PasswordFile(PasswordFile&& other) : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  ~PasswordFile() {
    if (fd_ < 0) return;
    close(fd_);
    unlink(path_.c_str());  // Nothing came of it.
  }

  absl::Status Write(const std::string& password) {
    if (fd_ < 0) return absl::OkStatus();
    const std::string line = password + "\n";
    if (write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size()) || fsync(fd_) != 0) {
      return absl::ResourceExhaustedError(absl::StrCat("cannot write ", path_));
    }
    close(std::exchange(fd_, -1));
    return absl::OkStatus();
  }

 private:
  PasswordFile() = default;
  std::string path_;
  int fd_ = -1;
};

// As the branch's config will insist on: better here than when the branch is far away.
absl::Status CheckBranch(const HubVerbOptions& options) {
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

// "schema.table" as the log writes it, or "*" for all.
absl::StatusOr<std::vector<std::string>> Tables(const HubVerbOptions& options) {
  std::vector<std::string> tables;
  for (const std::string& text : options.tables) {
    if (text == "*") {
      tables.push_back(text);
      continue;
    }
    if (absl::StrContains(text, "*")) {
      return absl::InvalidArgumentError(
          absl::StrCat("--tables ", text, ": name each table, schema.table, or * for all of them"));
    }
    ASSAY_ASSIGN_OR_RETURN(const TableName table, TableName::Parse(text));
    tables.push_back(table.ToString());
  }
  return tables;
}

int ShowLogin(const CliContext& context, const HubVerbOptions& options, const BranchLogin& login, PasswordFile file) {
  if (absl::Status status = file.Write(login.password); !status.ok()) {
    return CliFail(context, absl::Status(status.code(), absl::StrCat(status.message(),
                                                                     ". The branch is enrolled; `assay hub password ",
                                                                     options.name, "` makes a new password")));
  }
  // The password goes another way than the rest.
  const bool in_file = !options.password_file.empty();
  const std::string url =
      in_file ? absl::StrReplaceAll(login.url, {{absl::StrCat(":", login.password, "@"), "@"}}) : login.url;
  if (context.json) {
    google::protobuf::Struct object;
    auto& fields = *object.mutable_fields();
    fields["name"] = JsonText(options.name);
    fields["role"] = JsonText(login.role);
    fields["url"] = JsonText(url);
    fields[in_file ? "password_file" : "password"] = JsonText(in_file ? options.password_file : login.password);
    PrintJson(object);
    return kExitOk;
  }
  std::cout << "Branch " << options.name << " logs in as " << login.role;
  if (in_file) {
    std::cout << "; its password is in " << options.password_file
              << ". Take that file to the branch; in its config:\n\n  [hub]\n  url = \"" << url
              << "\"\n  password_file = \"/etc/assay/hub.password\"\n";
  } else {
    std::cout << ". Hand this over on a safe way; it is shown only once:\n\n  [hub]\n  url = \"" << url
              << "\"\n\n(keep that config file private: chmod 600 /etc/assay/assay.toml)\n";
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
  if (absl::Status status = CheckBranch(options); !status.ok()) return CliFail(context, status, kExitUsage);
  absl::StatusOr<std::vector<std::string>> tables = Tables(options);
  if (!tables.ok()) return CliFail(context, tables.status(), kExitUsage);
  absl::StatusOr<PasswordFile> file = PasswordFile::Create(options.password_file);
  if (!file.ok()) return CliFail(context, file.status());
  absl::StatusOr<BranchLogin> login = (*admin)->Enrol(options.name, options.number, *tables);
  if (!login.ok()) return CliFail(context, login.status());
  return ShowLogin(context, options, *login, *std::move(file));
}

int HubPasswordVerb(const CliContext& context, const HubVerbOptions& options) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenAdmin(context, options);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  absl::StatusOr<PasswordFile> file = PasswordFile::Create(options.password_file);
  if (!file.ok()) return CliFail(context, file.status());
  absl::StatusOr<BranchLogin> login = (*admin)->RenewPassword(options.name);
  if (!login.ok()) return CliFail(context, login.status());
  return ShowLogin(context, options, *login, *std::move(file));
}

int HubActiveVerb(const CliContext& context, const HubVerbOptions& options, bool active) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenAdmin(context, options);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  if (absl::Status status = (*admin)->SetActive(options.name, active); !status.ok()) return CliFail(context, status);
  return Done(context, absl::StrCat("Branch ", options.name,
                                    active ? " may push and pull again." : " can neither push nor pull from now on."));
}

int HubGrantVerb(const CliContext& context, const HubVerbOptions& options) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenAdmin(context, options);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  absl::StatusOr<std::vector<std::string>> tables = Tables(options);
  if (!tables.ok()) return CliFail(context, tables.status(), kExitUsage);
  if (absl::Status status = (*admin)->SetGrants(options.name, *tables); !status.ok()) return CliFail(context, status);
  return Done(context, absl::StrCat("Branch ", options.name, " may read: ", absl::StrJoin(*tables, ", ")));
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
    const std::string last_seen =
        seen ? absl::FormatTime(absl::RFC3339_sec, branch.last_seen, absl::UTCTimeZone()) : "";
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
