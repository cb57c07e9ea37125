#include "tools/setup/doctor.h"

#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "tools/cli/command_line.h"
#include "tools/cli/own_branch.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"
#include "tools/system.h"

namespace assay {
namespace {

struct DoctorVerbOptions {
  std::string admin_url;
  bool all = false;
};

void PrintChecksJson(const std::vector<Check>& checks, bool ok) {
  google::protobuf::Struct object;
  auto* list = (*object.mutable_fields())["checks"].mutable_list_value();
  for (const Check& check : checks) {
    auto& fields = *list->add_values()->mutable_struct_value()->mutable_fields();
    fields["name"] = JsonText(check.name);
    fields["result"] = JsonText(std::string(CheckResultName(check.result)));
    fields["detail"] = JsonText(check.detail);
    fields["remedy"] = JsonText(check.remedy);
  }
  (*object.mutable_fields())["ok"] = JsonFlag(ok);
  PrintJson(object);
}

void PrintChecks(const std::vector<Check>& checks, bool all) {
  const auto count = [&](CheckResult result) {
    return std::count_if(checks.begin(), checks.end(), [&](const Check& check) { return check.result == result; });
  };
  const auto ok = count(CheckResult::kOk);
  std::cout << TitleLine(absl::StrCat(checks.size(), " checks: ", count(CheckResult::kFail), " FAIL, ",
                                      count(CheckResult::kWarn), " warn, ", ok, " ok",
                                      all || ok == 0 ? "" : " (--all shows them)"));
  size_t width = 0;
  for (const Check& check : checks) {
    if (all || check.result != CheckResult::kOk) width = std::max(width, check.name.size());
  }
  for (const Check& check : checks) {
    if (!all && check.result == CheckResult::kOk) continue;
    const std::string mark = check.result == CheckResult::kOk     ? Painted(Paint::kGreen, "ok")
                             : check.result == CheckResult::kWarn ? Painted(Paint::kYellow, "warn")
                                                                  : Painted(Paint::kRed, "FAIL");
    const size_t indent = 6 + width + 2;
    std::cout << mark << std::string(6 - TextWidth(mark), ' ') << check.name
              << std::string(width - check.name.size() + 2, ' ') << Wrapped(Printable(check.detail), indent, indent)
              << "\n";
    if (!check.remedy.empty()) std::cout << "        do: " << Wrapped(Printable(check.remedy), 12, 12) << "\n";
  }
}

// What the daemon knows is wrong: it sees what nobody can see from outside, as that the branch is halted.
void AskDaemon(const CliContext& context, std::vector<Check>* checks) {
  Findings found(checks);
  const auto is_there = [&](absl::string_view name, absl::string_view detail) {
    return std::any_of(checks->begin(), checks->end(),
                       [&](const Check& check) { return check.name == name && check.detail == detail; });
  };
  const bool enrolled = !std::any_of(checks->begin(), checks->end(), [](const Check& check) {
    return check.name == "enrolment" && check.result != CheckResult::kOk;
  });
  const auto stub = CliConnect(context);
  if (!stub.ok()) {
    if (enrolled)
      found.Warn("daemon",
                 absl::StrCat("it does not run, and nothing is recorded until it does: ", stub.status().message()),
                 "systemctl start assayd");
    return;
  }
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  admin::v1::Status status;
  const grpc::Status answer = (*stub)->GetStatus(&call, {}, &status);
  if (!answer.ok()) return found.Fail("daemon", answer.error_message(), "systemctl restart assayd");
  for (const admin::v1::Problem& problem : status.problems()) {
    if (problem.severity() == admin::v1::Problem::NOTE || is_there(problem.kind(), problem.sentence())) continue;
    const bool bad = problem.severity() == admin::v1::Problem::BAD;
    found.Add(problem.kind(), bad ? CheckResult::kFail : CheckResult::kWarn, problem.sentence(), problem.remedy());
  }
  found.Ok("daemon", status.sentence().headline());
}

int DoctorVerb(const CliContext& context, const DoctorVerbOptions& verb) {
  absl::StatusOr<Config> config = OwnConfig(context, verb.admin_url);
  if (!config.ok()) return CliFail(context, config.status(), kExitUsage);
  DoctorOptions options;
  options.number = config->branch.number;
  options.stride = config->branch.stride;
  options.url = config->postgres.url;
  options.admin_url = config->admin_url();
  options.tables = config->postgres.tables;
  options.exclude = config->postgres.exclude;
  options.sequences = {config->sequences.stride, config->sequences.own};
  options.policies = config->PolicyColumns();
  options.state_dir = config->branch.state_dir;
  options.has_hub = config->has_hub();
  options.hub_url = config->hub.url;
  const absl::StatusOr<std::unique_ptr<SupabaseHub>> hub = OwnHub(*config);
  SystemClock clock;
  std::vector<Check> checks = Doctor(options, hub.ok() ? hub->get() : nullptr, hub.status(), &clock);
  AskDaemon(context, &checks);
  const bool ok =
      std::none_of(checks.begin(), checks.end(), [](const Check& check) { return check.result == CheckResult::kFail; });
  if (context.json) {
    PrintChecksJson(checks, ok);
  } else {
    PrintChecks(checks, verb.all);
  }
  return ok ? kExitOk : kExitProblem;
}

}  // namespace

void AddDoctor(CommandLine& line) {
  auto options = std::make_shared<DoctorVerbOptions>();
  CLI::App* verb =
      line.AddVerb({"doctor", "Check everything a branch needs, with the command that mends it", "assay doctor"},
                   [options](const CliContext& context) { return DoctorVerb(context, *options); });
  verb->add_option("--admin-url", options->admin_url, kAdminUrlHelp);
  verb->add_flag("--all", options->all, "Also what is as it should be");
}

}  // namespace assay
