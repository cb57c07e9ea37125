#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/audit/event_proof.h"
#include "engine/audit/log_reader.h"
#include "log/annotate.h"
#include "log/log_file.h"
#include "tools/cli/audit.h"

namespace assay {
namespace {

struct AuditProveOptions {
  std::string event, log, to;
};

absl::StatusOr<std::string> Prove(const std::string& path, const std::string& branch, Sequence sequence) {
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogReader> reader, LogReader::Open(path));
  ASSAY_ASSIGN_OR_RETURN(const std::vector<OriginId> origins, reader->FindOrigins(branch));
  if (origins.size() != 1)
    return absl::InvalidArgumentError(absl::StrCat("\"", branch,
                                                   "\" means several chains: `assay audit verify` lists "
                                                   "them; name one by its first digits"));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogFile> file, LogFile::Open(path, {.read_only = true}));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<EventLog> log, EventLog::Open(file.get()));
  return ProveEvent(log.get(), origins[0], sequence);
}

int Run(const CliContext& context, const AuditProveOptions& options) {
  const size_t slash = options.event.rfind('/');
  uint64_t sequence = 0;
  if (slash == std::string::npos || !absl::SimpleAtoi(options.event.substr(slash + 1), &sequence) || sequence == 0) {
    return CliFail(context,
                   absl::InvalidArgumentError("name an event as BRANCH/NUMBER or ORIGIN/NUMBER, e.g. mumbai-1/17"),
                   kExitUsage);
  }
  const absl::StatusOr<std::string> path = AuditedLog(context, options.log);
  if (!path.ok()) return CliFail(context, path.status(), kExitUsage);
  const absl::StatusOr<std::string> proof = Prove(*path, options.event.substr(0, slash), Sequence{sequence});
  if (!proof.ok()) return CliFail(context, proof.status(), kExitUsage);
  if (options.to.empty()) {
    std::cout << *proof << std::flush;
    return kExitOk;
  }
  if (absl::Status written = WriteNewFile(options.to, *proof); !written.ok())
    return CliFail(context, written, kExitUsage);
  if (!context.json) std::cout << "The proof is in " << options.to << ". Whoever has it reads the event.\n";
  return kExitOk;
}

}  // namespace

void AddAuditProve(CommandLine& line, CLI::App* audit) {
  auto options = std::make_shared<AuditProveOptions>();
  CLI::App* verb = line.AddVerb(
      {"prove", "Prove one event to somebody who has nothing but its branch's public key",
       "assay audit prove mumbai-1/17 --to sale.tlog-proof"},
      [options](const CliContext& context) { return Run(context, *options); }, audit);
  verb->add_option("event", options->event, "BRANCH/NUMBER or ORIGIN/NUMBER, as `assay log ls` names it")->required();
  verb->add_option("--to", options->to, "Write the proof there; default: print it");
  verb->add_option("--log", options->log, "Of this log file; default: this branch's");
}

}  // namespace assay
