#include <fstream>
#include <iostream>
#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "engine/audit/chain_audit.h"
#include "engine/audit/proto_text.h"
#include "log/annotate.h"
#include "log/log_file.h"
#include "tools/cli/audit.h"
#include "tools/cli/text.h"

namespace assay {
namespace {

using audit::v1::Chain;
using audit::v1::Finding;
using audit::v1::VerifyReport;

struct AuditVerifyOptions {
  std::string log, save;
  std::vector<std::string> checkpoints;
};

absl::StatusOr<std::vector<std::string>> ReadFiles(const std::vector<std::string>& paths) {
  std::vector<std::string> kept;
  for (const std::string& path : paths) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf())) return absl::NotFoundError(absl::StrCat("cannot read ", path));
    absl::StatusOr<std::vector<std::string>> notes = ReadCheckpoints(text.str());
    if (!notes.ok()) return Annotate(notes.status(), path);
    kept.insert(kept.end(), notes->begin(), notes->end());
  }
  return kept;
}

std::string Checkpoints(const VerifyReport& report) {
  std::string text;
  for (const Chain& chain : report.chains()) {
    if (!chain.checkpoint().empty()) absl::StrAppend(&text, chain.checkpoint(), "\n");
  }
  return text;
}

std::string FindingText(const Finding& finding) {
  std::string text = "  WRONG: ";
  if (finding.first() > 0) {
    absl::StrAppend(&text, finding.first() == finding.last()
                               ? absl::StrCat("event ", finding.first())
                               : absl::StrCat("events ", finding.first(), " to ", finding.last()));
    if (!finding.table().empty()) absl::StrAppend(&text, " of ", Printable(finding.table()));
    if (finding.key_size() > 0) absl::StrAppend(&text, ", row [", Printable(absl::StrJoin(finding.key(), ", ")), "]");
    text += ": ";
  }
  return absl::StrCat(text, Printable(finding.what()), "\n");
}

std::string ChainText(const Chain& chain) {
  std::string text =
      absl::StrCat(chain.branch_name().empty() ? "a chain without an opening" : Printable(chain.branch_name()),
                   chain.own() ? " (this log's branch)" : "", "  ", chain.origin(), "\n");
  absl::StrAppend(&text, "  ", Count(chain.events(), "event"), " in ", Count(chain.transactions(), "transaction"));
  if (chain.has_first_time()) {
    absl::StrAppend(&text, ", ", When(true, chain.first_time()), " to ", When(true, chain.last_time()));
  }
  absl::StrAppend(&text, "\n  root ", chain.root(), "\n");
  if (chain.signed_events() > 0 && chain.signed_events() == chain.events()) {
    text += "  signed, all of it";
  } else if (chain.signed_events() > 0) {
    absl::StrAppend(&text, "  signed up to event ", chain.signed_events());
  } else {
    text += "  NOT SIGNED by anything in this file";
  }
  if (chain.kept_checkpoints() > 0)
    absl::StrAppend(&text, "; agrees with ", Count(chain.kept_checkpoints(), "checkpoint"), " that you brought");
  absl::StrAppend(&text, "\n  key ", chain.key(), "\n");
  if (chain.masked_events() > 0)
    absl::StrAppend(&text, "  ", Count(chain.masked_events(), "event"), " of tables that this branch may not see\n");
  if (!chain.previous_origin().empty()) absl::StrAppend(&text, "  goes on from ", chain.previous_origin(), "\n");
  for (const Finding& finding : chain.findings()) text += FindingText(finding);
  return text;
}

std::string ReportText(const VerifyReport& report) {
  std::string text;
  uint64_t events = 0, wrong = 0;
  for (const Chain& chain : report.chains()) {
    absl::StrAppend(&text, ChainText(chain), "\n");
    events += chain.events();
    wrong += !chain.findings().empty();
  }
  for (const Finding& finding : report.findings()) text += FindingText(finding);
  absl::StrAppend(&text, Count(static_cast<uint64_t>(report.chains_size()), "chain"), ", ", Count(events, "event"),
                  ": ");
  if (IsGood(report)) {
    text += "every hash, root, mark and signature holds.\n";
  } else {
    absl::StrAppend(&text, wrong == 1 ? "1 chain is" : absl::StrCat(wrong, " chains are"),
                    " NOT what was written. Keep this file as it is, and a copy of it.\n");
  }
  absl::StrAppend(&text, "digest ", report.digest(), "\n\nBelieved, and not recomputed:\n");
  for (const std::string& believed : report.believed()) absl::StrAppend(&text, "  ", Printable(believed), "\n");
  return text;
}

int Verify(const CliContext& context, const AuditVerifyOptions& options) {
  const absl::StatusOr<std::string> path = AuditedLog(context, options.log);
  if (!path.ok()) return CliFail(context, path.status(), kExitUsage);
  const absl::StatusOr<std::vector<std::string>> kept = ReadFiles(options.checkpoints);
  if (!kept.ok()) return CliFail(context, kept.status(), kExitUsage);
  absl::StatusOr<std::unique_ptr<LogFile>> file = LogFile::Open(*path, {.read_only = true});
  if (!file.ok()) return CliFail(context, file.status(), kExitUsage);
  const bool draws = OnTerminal() && !context.json;
  absl::Time drawn;
  const auto progress = [&](uint64_t events, uint64_t of) {
    if (draws && absl::Now() > drawn + absl::Milliseconds(200)) {
      DrawProgress(absl::StrCat(Grouped(events), "/", Grouped(of), " events"));
      drawn = absl::Now();
    }
    return true;
  };
  absl::StatusOr<VerifyReport> report = AuditChains(file->get(), *kept, progress);
  if (draws) EndProgress();
  if (!report.ok()) return CliFail(context, report.status(), kExitUsage);
  report->set_file(*path);
  *report->mutable_verified_at() = ToProto(absl::Now());
  if (!options.save.empty()) {
    const absl::Status saved = WriteNewFile(options.save, Checkpoints(*report));
    if (!saved.ok()) return CliFail(context, saved, kExitUsage);
  }
  if (context.json)
    PrintJson(*report);
  else
    std::cout << ReportText(*report) << std::flush;
  return IsGood(*report) ? kExitOk : kExitProblem;
}

}  // namespace

void AddAuditVerify(CommandLine& line, CLI::App* audit) {
  auto options = std::make_shared<AuditVerifyOptions>();
  CLI::App* verb = line.AddVerb(
      {"verify", "Recompute every hash, root and signature of a log from its events",
       "assay audit verify --log copy.db --checkpoints kept.txt"},
      [options](const CliContext& context) { return Verify(context, *options); }, audit);
  verb->add_option("--log", options->log,
                   "A log file, also a copy that was taken while its branch was selling; default: this branch's. Exit "
                   "code 0 all of it holds, 1 something does not, 2 it could not be looked at");
  verb->add_option(
      "--checkpoints", options->checkpoints,
      "Checkpoints that you have from elsewhere: by them a log that was rewritten and signed anew is found");
  verb->add_option("--save", options->save, "Write the newest checkpoints of this log there, to be brought next time");
}

}  // namespace assay
