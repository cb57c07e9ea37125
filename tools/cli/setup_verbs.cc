#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "adapters/supabase/supabase_hub.h"
#include "log/annotate.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"
#include "tools/config/state_lock.h"
#include "tools/setup/doctor.h"
#include "tools/setup/enrolment.h"
#include "tools/system.h"

namespace assay {
namespace {

// The folder with the log and the key: for its owner only.
absl::Status MakeStateDir(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("cannot create branch.state_dir ", path, ": ", std::strerror(errno),
                   "; create it and give it to this user: install -d -m 700 -o $(whoami) ", path));
}

absl::StatusOr<SigningKey> LoadOrMakeKey(const std::string& path) {
  absl::StatusOr<SigningKey> key = SigningKey::Load(path);
  if (!absl::IsNotFound(key.status())) return key;
  ASSAY_ASSIGN_OR_RETURN(SigningKey made, SigningKey::Generate());
  ASSAY_RETURN_IF_ERROR(made.Save(path));
  return made;
}

absl::StatusOr<std::unique_ptr<SupabaseHub>> MakeHub(const Config& config) {
  return SupabaseHub::Create({.url = config.hub.url,
                              .allow_insecure = config.hub.allow_insecure,
                              .branch_name = config.branch.name,
                              .branch_number = static_cast<uint32_t>(config.branch.number)});
}

std::string Shown(const ColumnText& value) {
  if (!value.has_value()) return "NULL";
  constexpr size_t kShownMax = 60;
  return value->size() <= kShownMax ? *value : absl::StrCat(value->substr(0, kShownMax), "…");
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
  const auto list = [&fields](const char* name) { return fields[name].mutable_list_value(); };
  auto* enrolled = list("enrolled");
  for (const TableName& table : report.enrolled) *enrolled->add_values() = JsonText(table.ToString());
  auto* added = list("added");
  for (const TableName& table : report.added) *added->add_values() = JsonText(table.ToString());
  auto* refused = list("refused");
  for (const RefusedTable& table : report.refused) {
    auto& row = *refused->add_values()->mutable_struct_value()->mutable_fields();
    row["table"] = JsonText(table.name.ToString());
    row["reason"] = JsonText(table.reason);
  }
  auto* strided = list("sequences");
  for (const std::string& text : report.sequences.strided) *strided->add_values() = JsonText(text);
  auto* problems = list("sequence_problems");
  for (const std::string& text : report.sequences.problems) *problems->add_values() = JsonText(text);
  auto* warnings = list("warnings");
  for (const std::string& text : report.warnings) *warnings->add_values() = JsonText(text);
  auto* differences = list("differences");
  for (const RowDifference& difference : report.rows.differences) {
    auto& row = *differences->add_values()->mutable_struct_value()->mutable_fields();
    row["table"] = JsonText(difference.table.ToString());
    auto* key = row["key"].mutable_list_value();
    for (const std::string& text : difference.key) *key->add_values() = JsonText(text);
    row["column"] = JsonText(difference.column);
    if (difference.here.has_value()) row["here"] = JsonText(*difference.here);
    if (difference.fleet.has_value()) row["fleet"] = JsonText(*difference.fleet);
  }
  PrintJson(object);
}

void PrintInit(const InitReport& report, const std::string& config_path) {
  for (const RefusedTable& table : report.refused) {
    std::cout << "Not enrolled: " << table.name.ToString() << " (" << table.reason << ")\n";
  }
  if (report.waits_for_choice) {
    std::cout << Count(report.rows.differing_rows, "row") << (report.rows.differing_rows == 1 ? " differs" : " differ")
              << " from what the fleet has under the same key. No row was written.\n\n";
    TextTable table({"TABLE", "KEY", "COLUMN", "HERE", "FLEET"});
    for (const RowDifference& row : report.rows.differences) {
      table.Add({row.table.ToString(), absl::StrJoin(row.key, ", "), row.column.empty() ? "(the row)" : row.column,
                 row.column.empty() ? "exists" : Shown(row.here), row.column.empty() ? "deleted" : Shown(row.fleet)});
    }
    std::cout << table.ToString();
    if (report.rows.differing_rows > report.rows.differences.size()) std::cout << "…\n";
    std::cout << "\nChoose which side wins, and run one of:\n"
              << "  assay --config " << config_path
              << " init --differences here    what this database holds is written now, everywhere\n"
              << "  assay --config " << config_path
              << " init --differences fleet   what the fleet holds; what was here stays in the log\n";
    return;
  }
  for (const std::string& text : report.sequences.strided) std::cout << "Sequence " << text << "\n";
  for (const std::string& text : report.sequences.problems) std::cout << "Look at this sequence: " << text << "\n";
  for (const std::string& text : report.warnings) std::cout << "Note: " << text << "\n";
  std::cout << Count(report.enrolled.size(), "table") << " enrolled, " << report.added.size() << " of them now.";
  if (!report.added.empty()) {
    std::cout << " " << Count(report.rows.rows, "row") << " there: " << Grouped(report.rows.written)
              << " went into the log, " << Grouped(report.rows.equal) << " the fleet had already.";
  }
  std::cout << "\nNext: start the daemon, assayd --config " << config_path << "\n";
}

}  // namespace

int InitVerb(const CliContext& context, const InitVerbOptions& verb) {
  absl::StatusOr<Config> config = CliConfig(context);
  if (!config.ok()) return CliFail(context, config.status(), kExitUsage);
  if (absl::Status status = RefusePassword(verb.admin_url, "--admin-url", "postgres.admin_url in the config");
      !status.ok()) {
    return CliFail(context, status, kExitUsage);
  }
  if (absl::Status status = MakeStateDir(config->branch.state_dir); !status.ok()) return CliFail(context, status);
  absl::StatusOr<std::unique_ptr<StateLock>> lock = StateLock::Take(config->lock_path());
  if (!lock.ok()) return CliFail(context, lock.status());
  absl::StatusOr<SigningKey> key = LoadOrMakeKey(config->key_path());
  if (!key.ok()) return CliFail(context, key.status());
  std::unique_ptr<SupabaseHub> hub;
  if (config->has_hub()) {
    absl::StatusOr<std::unique_ptr<SupabaseHub>> made = MakeHub(*config);
    if (!made.ok()) return CliFail(context, made.status());
    hub = *std::move(made);
  }
  InitOptions options;
  options.engine = config->ToEngineConfig();
  options.engine.signing_key = *key;
  options.stride = config->branch.stride;
  options.url = config->postgres.url;
  options.admin_url = verb.admin_url.empty() ? config->admin_url() : verb.admin_url;
  options.tables = config->postgres.tables;
  options.exclude = config->postgres.exclude;
  options.log_path = config->log_path();
  options.without_hub = verb.without_hub;
  if (verb.differences == "here") options.differences = DifferenceChoice::kHere;
  if (verb.differences == "fleet") options.differences = DifferenceChoice::kFleet;
  if (OnTerminal() && !context.json) {
    options.progress = [](absl::string_view stage, uint64_t done, uint64_t total) {
      DrawProgress(total > 0 ? absl::StrCat(stage, " ", Grouped(done), "/", Grouped(total))
                             : absl::StrCat(stage, " ", Grouped(done)));
    };
  }
  SystemClock clock;
  SystemRandom random;
  absl::StatusOr<InitReport> report = Init(options, hub.get(), &clock, &random);
  if (options.progress) EndProgress();
  if (!report.ok()) return CliFail(context, report.status());
  if (context.json) {
    PrintInitJson(*report);
  } else {
    PrintInit(*report, config->path);
  }
  return report->waits_for_choice ? kExitProblem : kExitOk;
}

int LeaveVerb(const CliContext& context, const LeaveVerbOptions& verb) {
  absl::StatusOr<Config> config = CliConfig(context);
  if (!config.ok()) return CliFail(context, config.status(), kExitUsage);
  if (absl::Status status = RefusePassword(verb.admin_url, "--admin-url", "postgres.admin_url in the config");
      !status.ok()) {
    return CliFail(context, status, kExitUsage);
  }
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
    if (answer != "y" && answer != "yes") return kExitProblem;
  }
  absl::StatusOr<std::unique_ptr<StateLock>> lock = StateLock::Take(config->lock_path());
  if (!lock.ok()) return CliFail(context, lock.status());
  LeaveOptions options;
  options.admin_url = verb.admin_url.empty() ? config->admin_url() : verb.admin_url;
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

int DoctorVerb(const CliContext& context, const std::string& admin_url) {
  absl::StatusOr<Config> config = CliConfig(context);
  if (!config.ok()) return CliFail(context, config.status(), kExitUsage);
  if (absl::Status status = RefusePassword(admin_url, "--admin-url", "postgres.admin_url in the config");
      !status.ok()) {
    return CliFail(context, status, kExitUsage);
  }
  DoctorOptions options;
  options.number = config->branch.number;
  options.stride = config->branch.stride;
  options.url = config->postgres.url;
  options.admin_url = admin_url.empty() ? config->admin_url() : admin_url;
  options.tables = config->postgres.tables;
  options.exclude = config->postgres.exclude;
  options.state_dir = config->branch.state_dir;
  options.has_hub = config->has_hub();
  options.hub_url = config->hub.url;
  std::unique_ptr<SupabaseHub> hub;
  absl::Status hub_error;
  if (config->has_hub()) {
    absl::StatusOr<std::unique_ptr<SupabaseHub>> made = MakeHub(*config);
    hub_error = made.status();
    if (made.ok()) hub = *std::move(made);
  }
  SystemClock clock;
  const std::vector<Check> checks = Doctor(options, hub.get(), hub_error, &clock);
  bool failed = false;
  size_t width = 0;
  for (const Check& check : checks) width = std::max(width, check.name.size());
  google::protobuf::Struct object;
  auto* list = (*object.mutable_fields())["checks"].mutable_list_value();
  for (const Check& check : checks) {
    failed |= check.result == CheckResult::kFail;
    auto& fields = *list->add_values()->mutable_struct_value()->mutable_fields();
    fields["name"] = JsonText(check.name);
    fields["result"] = JsonText(std::string(CheckResultName(check.result)));
    fields["detail"] = JsonText(check.detail);
    fields["remedy"] = JsonText(check.remedy);
    if (context.json) continue;
    std::string name = check.name;
    name.resize(width, ' ');
    std::cout << (check.result == CheckResult::kOk     ? "ok    "
                  : check.result == CheckResult::kWarn ? "warn  "
                                                       : "FAIL  ")
              << name << "  " << Printable(check.detail) << "\n";
    if (!check.remedy.empty()) std::cout << "        do: " << check.remedy << "\n";
  }
  (*object.mutable_fields())["ok"] = JsonFlag(!failed);
  if (context.json) PrintJson(object);
  return failed ? kExitProblem : kExitOk;
}

}  // namespace assay
