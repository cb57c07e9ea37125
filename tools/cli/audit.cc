#include "tools/cli/audit.h"

#include <fstream>

#include "absl/strings/str_cat.h"
#include "tools/cli/verbs.h"

namespace assay {

absl::StatusOr<std::string> AuditedLog(const CliContext& context, const std::string& named) {
  if (!named.empty()) return named;
  const absl::StatusOr<Config> config = CliConfig(context);
  if (!config.ok()) return config.status();
  return config->log_path();
}

absl::Status WriteNewFile(const std::string& path, const std::string& text) {
  if (std::ifstream(path).good()) return absl::AlreadyExistsError(absl::StrCat(path, " is there: name another file"));
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return file.good() ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("cannot write ", path));
}

void AddAudit(CommandLine& line) {
  CLI::App* audit = line.AddFamily({"audit", "Copy and prove a log file, without a daemon, a database or a network",
                                    "assay audit verify --log /media/audit/log.db"});
  for (AddedAuditVerb* add : {AddAuditSnapshot, AddAuditVerify, AddAuditProve, AddAuditCheck}) add(line, audit);
}

}  // namespace assay
