#include "tools/cli/init.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "log/annotate.h"
#include "tools/cli/command_line.h"
#include "tools/cli/own_branch.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"
#include "tools/config/state_lock.h"
#include "tools/setup/branch_key.h"
#include "tools/setup/enrolment.h"
#include "tools/system.h"

namespace assay {
namespace {

constexpr size_t kShownMax = 60;  // Bytes of a value.

// The folder with the log and the key: for its owner only.
absl::Status MakeStateDir(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("cannot create branch.state_dir ", path, ": ", std::strerror(errno),
                   "; create it and give it to this user: install -d -m 700 -o $(whoami) ", path));
}

absl::StatusOr<SigningKey> LoadOrMakeKey(const Config& config) {
  absl::StatusOr<SigningKey> key = LoadBranchKey(config.branch.state_dir);
  if (!absl::IsNotFound(key.status())) return key;
  ASSAY_ASSIGN_OR_RETURN(SigningKey made, SigningKey::Generate());
  ASSAY_RETURN_IF_ERROR(made.Save(config.key_path()));
  return made;
}

void PrintInitJson(const InitReport& report) {
  google::protobuf::Struct object;
  auto& fields = *object.mutable_fields();
  fields["origin"] = JsonText(report.origin.Hex());
  fields["waits_for_choice"] = JsonFlag(report.waits_for_choice);
  fields["pulled"] = JsonCount(static_cast<double>(report.pulled));
  fields["rows"] = JsonCount(static_cast<double>(report.rows.rows));
  fields["written"] = JsonCount(static_cast<double>(report.rows.written));
  fields["equal"] = JsonCount(static_cast<double>(report.rows.equal));
  fields["differing_rows"] = JsonCount(static_cast<double>(report.rows.differing_rows));
  auto* enrolled = fields["enrolled"].mutable_list_value();
  for (const TableName& table : report.enrolled) *enrolled->add_values() = JsonText(table.ToString());
  auto* added = fields["added"].mutable_list_value();
  for (const TableName& table : report.added) *added->add_values() = JsonText(table.ToString());
  auto* refused = fields["refused"].mutable_list_value();
  for (const RefusedTable& table : report.refused) {
    auto& row = *refused->add_values()->mutable_struct_value()->mutable_fields();
    row["table"] = JsonText(table.name.ToString());
    row["reason"] = JsonText(table.reason);
  }
  auto* missed = fields["missed"].mutable_list_value();
  for (const auto& [table, cause] : report.missed) {
    auto& row = *missed->add_values()->mutable_struct_value()->mutable_fields();
    row["table"] = JsonText(table);
    row["cause"] = JsonText(cause);
  }
  fields["sequences"] = JsonTexts(report.sequences.strided);
  fields["sequence_problems"] = JsonTexts(report.sequences.problems);
  fields["warnings"] = JsonTexts(report.warnings);
  auto* differences = fields["differences"].mutable_list_value();
  for (const RowDifference& difference : report.rows.differences) {
    auto& row = *differences->add_values()->mutable_struct_value()->mutable_fields();
    row["table"] = JsonText(difference.table.ToString());
    row["key"] = JsonTexts(difference.key);
    row["column"] = JsonText(difference.column);
    if (difference.here.has_value()) row["here"] = JsonText(*difference.here);
    if (difference.fleet.has_value()) row["fleet"] = JsonText(*difference.fleet);
  }
  PrintJson(object);
}

void PrintChoice(const InitReport& report, const std::string& config_path) {
  std::cout << Count(report.rows.differing_rows, "row") << (report.rows.differing_rows == 1 ? " differs" : " differ")
            << " from what the fleet has under the same key. No row was written.\n\n";
  TextTable table(
      {{"TABLE", Fit::kMiddle}, {"KEY", Fit::kMiddle}, {"COLUMN"}, {"HERE", Fit::kEnd}, {"FLEET", Fit::kEnd}});
  for (const RowDifference& row : report.rows.differences) {
    table.Add({row.table.ToString(), absl::StrJoin(row.key, ", "), row.column.empty() ? "(the row)" : row.column,
               row.column.empty() ? "exists" : ShownValue(row.here, kShownMax),
               row.column.empty() ? "deleted" : ShownValue(row.fleet, kShownMax)});
  }
  std::cout << table.ToString();
  if (report.rows.differing_rows > report.rows.differences.size()) std::cout << "…\n";
  std::cout << "\nChoose which side wins, and run one of:\n"
            << "  assay --config " << config_path
            << " init --differences here    what this database holds is written now, everywhere\n"
            << "  assay --config " << config_path
            << " init --differences fleet   what the fleet holds; what was here stays in the log\n";
}

void PrintMissed(const InitReport& report) {
  if (report.missed.empty()) return;
  std::cout << "\n";
  for (const auto& [table, cause] : report.missed)
    std::cout << "Changes of " << Printable(table) << " had been missed: " << Printable(cause) << ".\n";
  const RowRepairReport& rows = report.compared;
  std::cout << Grouped(rows.rows) << " rows were compared with the log: " << Grouped(rows.inserted + rows.updated)
            << " were new or changed here and are recorded, " << Grouped(rows.deleted) << " were deleted here, "
            << Grouped(rows.stale + rows.absent) << " come back from the log when assayd runs.";
}

// There are as many as tables, and one line would be lost among them.
void PrintStrided(const std::vector<std::string>& strided, bool all) {
  constexpr size_t kFew = 3;
  if (!all && strided.size() > kFew) {
    std::cout << Count(strided.size(), "sequence") << " step by the stride now (--all lists them).\n";
    return;
  }
  for (const std::string& text : strided) std::cout << "Sequence " << Printable(text) << "\n";
}

void PrintInit(const InitReport& report, const std::string& config_path, bool all) {
  for (const RefusedTable& table : report.refused) {
    std::cout << "Not enrolled: " << table.name.ToString() << " (" << table.reason << ")\n";
  }
  for (const std::string& text : report.warnings) std::cout << "Note: " << Printable(text) << "\n";
  if (report.waits_for_choice) return PrintChoice(report, config_path);
  PrintStrided(report.sequences.strided, all);
  std::cout << Count(report.enrolled.size(), "table") << " enrolled, " << report.added.size() << " of them now.";
  if (!report.added.empty()) {
    std::cout << " " << Count(report.rows.rows, "row") << " there: " << Grouped(report.rows.written)
              << " went into the log, " << Grouped(report.rows.equal) << " the fleet had already.";
  }
  PrintMissed(report);
  std::cout << "\n";
  for (const std::string& text : report.sequences.problems)
    std::cout << Painted(Paint::kYellow, " !") << " Look at this sequence: " << Printable(text) << "\n";
  std::cout << "\nNext: start the daemon, assayd --config " << config_path << "\n";
}

InitOptions OptionsOf(const Config& config, const SigningKey& key, const InitVerbOptions& verb) {
  InitOptions options;
  options.engine = config.ToEngineConfig();
  options.engine.signing_key = key;
  options.stride = config.branch.stride;
  options.url = config.postgres.url;
  options.admin_url = config.admin_url();
  options.tables = config.postgres.tables;
  options.exclude = config.postgres.exclude;
  options.sequences = {config.sequences.stride, config.sequences.own};
  options.log_path = config.log_path();
  options.without_hub = verb.without_hub;
  options.replaces_other = verb.replaces_other;
  options.only = verb.only;
  if (verb.differences == "here") options.differences = DifferenceChoice::kHere;
  if (verb.differences == "fleet") options.differences = DifferenceChoice::kFleet;
  return options;
}

}  // namespace

int InitVerb(const CliContext& context, const InitVerbOptions& verb) {
  absl::StatusOr<Config> config = OwnConfig(context, verb.admin_url);
  if (!config.ok()) return CliFail(context, config.status(), kExitUsage);
  if (absl::Status status = MakeStateDir(config->branch.state_dir); !status.ok()) return CliFail(context, status);
  absl::StatusOr<std::unique_ptr<StateLock>> lock = StateLock::Take(config->lock_path());
  if (!lock.ok()) return CliFail(context, lock.status());
  absl::StatusOr<SigningKey> key = LoadOrMakeKey(*config);
  if (!key.ok()) return CliFail(context, key.status());
  const absl::StatusOr<std::unique_ptr<SupabaseHub>> hub = OwnHub(*config);
  if (!hub.ok()) return CliFail(context, hub.status());
  InitOptions options = OptionsOf(*config, *key, verb);
  if (OnTerminal() && !context.json) {
    options.progress = [](absl::string_view stage, uint64_t done, uint64_t total) {
      DrawProgress(total > 0 ? absl::StrCat(stage, " ", Grouped(done), "/", Grouped(total))
                             : absl::StrCat(stage, " ", Grouped(done)));
    };
  }
  SystemClock clock;
  SystemRandom random;
  absl::StatusOr<InitReport> report = Init(options, hub->get(), &clock, &random);
  if (options.progress) EndProgress();
  if (!report.ok()) return CliFail(context, report.status());
  if (context.json) {
    PrintInitJson(*report);
  } else {
    PrintInit(*report, config->path, verb.all);
  }
  return report->waits_for_choice ? kExitProblem : kExitOk;
}

void AddInitOptions(CLI::App* verb, InitVerbOptions* options) {
  verb->add_option("--admin-url", options->admin_url, kAdminUrlHelp);
  verb->add_option("--differences", options->differences, "When rows here differ from the fleet's: which side wins")
      ->check(CLI::IsMember({"here", "fleet"}));
  verb->add_flag("--all", options->all, "List each sequence that was changed");
  verb->add_flag("--without-hub", options->without_hub, "Enrol although the hub cannot be asked what the fleet has");
}

void AddInit(CommandLine& line) {
  auto options = std::make_shared<InitVerbOptions>();
  CLI::App* verb = line.AddVerb({"init", "Enrol this database: tables, baseline, sequences; again changes nothing",
                                 "assay init --admin-url postgresql:///erp"},
                                [options](const CliContext& context) { return InitVerb(context, *options); });
  AddInitOptions(verb, options.get());
  verb->add_flag("--replaces-other", options->replaces_other,
                 "Another machine has worked as this branch, is stopped for good, and this one takes its place");
}

}  // namespace assay
