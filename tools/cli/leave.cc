#include <unistd.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "tools/cli/command_line.h"
#include "tools/cli/own_branch.h"
#include "tools/cli/verbs.h"
#include "tools/config/state_lock.h"
#include "tools/setup/enrolment.h"

namespace assay {
namespace {

struct LeaveVerbOptions {
  std::string admin_url;
  bool yes = false;
};

int LeaveVerb(const CliContext& context, const LeaveVerbOptions& verb) {
  absl::StatusOr<Config> config = OwnConfig(context, verb.admin_url);
  if (!config.ok()) return CliFail(context, config.status(), kExitUsage);
  if (!verb.yes) {
    if (!OnTerminal() || isatty(STDIN_FILENO) != 1) {
      return CliFail(
          context,
          absl::InvalidArgumentError("this takes the branch out of the fleet; add --yes when nobody can be asked"),
          kExitUsage);
    }
    std::cout << "Branch " << config->branch.name
              << " leaves the fleet: its changes are no longer recorded. The log file stays. Go on? [y/N] "
              << std::flush;
    std::string answer;
    std::getline(std::cin, answer);
    if (answer != "y" && answer != "yes") {
      std::cout << "Nothing was changed.\n";
      return kExitProblem;
    }
  }
  absl::StatusOr<std::unique_ptr<StateLock>> lock = StateLock::Take(config->lock_path());
  if (!lock.ok()) return CliFail(context, lock.status());
  LeaveOptions options;
  options.admin_url = config->admin_url();
  options.log_path = config->log_path();
  absl::StatusOr<LeaveReport> report = Leave(options);
  if (!report.ok()) return CliFail(context, report.status());
  if (context.json) {
    google::protobuf::Struct object;
    (*object.mutable_fields())["was_enrolled"] = JsonFlag(report->was_enrolled);
    auto* notes = (*object.mutable_fields())["notes"].mutable_list_value();
    for (const std::string& note : report->notes) *notes->add_values() = JsonText(note);
    PrintJson(object);
    return kExitOk;
  }
  for (const std::string& note : report->notes) std::cout << "Note: " << note << "\n";
  std::cout << (report->was_enrolled ? "The database is as it was before `assay init`. "
                                     : "The database was not enrolled. ")
            << "The log is kept: " << config->log_path() << "\n";
  return kExitOk;
}

}  // namespace

void AddLeave(CommandLine& line) {
  auto options = std::make_shared<LeaveVerbOptions>();
  CLI::App* verb = line.AddVerb(
      {"leave", "Take this database out of the fleet and put it back as it was; the log stays", "assay leave"},
      [options](const CliContext& context) { return LeaveVerb(context, *options); });
  verb->add_option("--admin-url", options->admin_url, kAdminUrlHelp);
  verb->add_flag("--yes", options->yes, "Do not ask");
}

}  // namespace assay
