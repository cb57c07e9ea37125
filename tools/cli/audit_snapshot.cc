#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "log/log_file.h"
#include "tools/cli/audit.h"
#include "tools/cli/text.h"

namespace assay {
namespace {

// For its owner alone: a log has what the tables have.
absl::Status MakeEmpty(const std::string& path) {
  const int file = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (file < 0 && errno == EEXIST) return absl::AlreadyExistsError(absl::StrCat(path, " is there: name another file"));
  if (file < 0) return absl::NotFoundError(absl::StrCat("cannot create ", path, ": ", std::strerror(errno)));
  close(file);
  return absl::OkStatus();
}

absl::Status Copy(const std::string& from, const std::string& to) {
  absl::StatusOr<std::unique_ptr<LogFile>> file = LogFile::Open(from, {.read_only = true});
  if (!file.ok()) return file.status();
  if (absl::Status made = MakeEmpty(to); !made.ok()) return made;
  absl::StatusOr<Statement> copy = (*file)->Prepare("VACUUM INTO ?1");
  absl::Status status = copy.ok() ? copy->BindText(1, to).Run() : copy.status();
  if (!status.ok()) unlink(to.c_str());
  return status;
}

int Snapshot(const CliContext& context, const std::string& from, const std::string& to) {
  const absl::StatusOr<std::string> path = AuditedLog(context, from);
  if (!path.ok()) return CliFail(context, path.status(), kExitUsage);
  if (absl::Status copied = Copy(*path, to); !copied.ok()) return CliFail(context, copied, kExitUsage);
  struct stat info = {};
  (void)stat(to.c_str(), &info);
  if (context.json) {
    google::protobuf::Struct object;
    (*object.mutable_fields())["file"] = JsonText(to);
    (*object.mutable_fields())["bytes"] = JsonCount(static_cast<double>(info.st_size));
    PrintJson(object);
  } else {
    std::cout
        << "The log as of one moment is in " << to << ", " << Bytes(info.st_size)
        << ". It has what the tables have: keep it as you keep them.\nTo verify it, anywhere: assay audit verify --log "
        << to << "\n";
  }
  return kExitOk;
}

}  // namespace

void AddAuditSnapshot(CommandLine& line, CLI::App* audit) {
  auto log = std::make_shared<std::string>(), file = std::make_shared<std::string>();
  CLI::App* verb = line.AddVerb(
      {"snapshot", "Copy this branch's log as of one moment, while it goes on",
       "assay audit snapshot /media/audit/log.db"},
      [log, file](const CliContext& context) { return Snapshot(context, *log, *file); }, audit);
  verb->add_option("file", *file, "The copy; it must not be there yet")->required();
  verb->add_option("--log", *log, "Of this log file; default: this branch's");
}

}  // namespace assay
