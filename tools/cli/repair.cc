#include "tools/setup/repair.h"

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/cli/command_line.h"
#include "tools/cli/own_branch.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"
#include "tools/config/state_lock.h"
#include "tools/system.h"

namespace assay {
namespace {

constexpr size_t kShownMax = 40;  // Bytes of a value.

struct RepairVerbOptions {
  std::string admin_url;
  bool apply = false;
  bool replaces_other = false;
  bool without_hub = false;
};

void PrintRepairJson(const RepairReport& report) {
  google::protobuf::Struct object;
  auto& fields = *object.mutable_fields();
  fields["state"] = JsonText(std::string(RestoreStateName(report.state)));
  fields["cause"] = JsonText(report.cause);
  fields["applied"] = JsonFlag(report.applied);
  fields["old_origin"] = JsonText(report.old_origin.has_value() ? report.old_origin->Hex() : "");
  fields["new_origin"] = JsonText(report.applied && report.new_origin.has_value() ? report.new_origin->Hex() : "");
  fields["opens_new_origin"] = JsonFlag(report.new_origin.has_value());
  const RowRepairReport& rows = report.rows;
  for (const auto& [name, count] :
       {std::pair("rows", rows.rows), std::pair("equal", rows.equal), std::pair("inserted", rows.inserted),
        std::pair("updated", rows.updated), std::pair("deleted", rows.deleted), std::pair("stale", rows.stale),
        std::pair("absent", rows.absent)}) {
    fields[name] = JsonCount(static_cast<double>(count));
  }
  fields["lost"] = JsonTexts(report.lost);
  fields["notes"] = JsonTexts(report.notes);
  auto* differences = fields["differences"].mutable_list_value();
  for (const RowRepairReport::Difference& difference : rows.differences) {
    auto& row = *differences->add_values()->mutable_struct_value()->mutable_fields();
    row["table"] = JsonText(difference.table.ToString());
    row["key"] = JsonTexts(difference.key);
    row["column"] = JsonText(difference.column);
    if (difference.here.has_value()) row["here"] = JsonText(*difference.here);
    if (difference.fleet.has_value()) row["log"] = JsonText(*difference.fleet);
    row["verdict"] = JsonText(difference.verdict);
  }
  PrintJson(object);
}

void PrintDifferences(const std::vector<RowRepairReport::Difference>& differences) {
  if (differences.empty()) return;
  std::cout << "\n";
  TextTable table({{"TABLE", Fit::kMiddle},
                   {"KEY", Fit::kMiddle},
                   {"COLUMN", Fit::kEnd},
                   {"HERE", Fit::kEnd},
                   {"IN THE LOG", Fit::kEnd},
                   {"WHAT IS DONE"}});
  for (const RowRepairReport::Difference& row : differences) {
    const bool whole = row.column.empty();
    table.Add({row.table.ToString(), absl::StrJoin(row.key, ", "), whole ? "(the row)" : row.column,
               whole ? row.here.value_or("absent") : ShownValue(row.here, kShownMax),
               whole ? row.fleet.value_or("absent") : ShownValue(row.fleet, kShownMax), row.verdict});
  }
  std::cout << table.ToString();
  if (differences.size() == kDifferencesListed) std::cout << "…\n";
}

void PrintRepair(const RepairReport& report) {
  if (report.state == RestoreState::kNormal) {
    std::cout << "Database, log and hub belong together: there is nothing to repair, and nothing was changed.\n";
    return;
  }
  const bool done = report.applied;
  std::cout << "Found: " << RestoreStateName(report.state) << ". " << Printable(report.cause) << ".\n\n";
  const RowRepairReport& rows = report.rows;
  std::cout << Grouped(rows.rows) << " rows were compared with the log; " << Grouped(rows.equal)
            << " are as it has them.\n";
  const auto line = [&](uint64_t count, const char* text) {
    if (count > 0) std::cout << "  " << Grouped(count) << " " << text << "\n";
  };
  line(rows.inserted, "are only here: recorded now, and kept");
  line(rows.updated, "were changed here: recorded now, and kept");
  line(rows.deleted, "were deleted here: recorded now, and deleted everywhere");
  line(rows.stale, "show older values: assayd brings them up to date");
  line(rows.absent, "are in the log and not here: assayd writes them again");
  if (report.new_origin.has_value()) {
    std::cout << (done ? "A new chain was opened" : "A new chain would be opened")
              << (report.old_origin.has_value()
                      ? absl::StrCat(" that continues ", report.old_origin->Hex().substr(0, 8))
                      : "")
              << (done ? absl::StrCat(": ", report.new_origin->Hex()) : "") << ".\n";
  }
  PrintDifferences(rows.differences);
  std::cout << "\nLost:\n";
  for (const std::string& text : report.lost) std::cout << "  - " << text << "\n";
  if (report.lost.empty()) std::cout << "  Nothing.\n";
  for (const std::string& text : report.notes) std::cout << "Note: " << Printable(text) << "\n";
  std::cout << (done ? "\nDone. Start the daemon again.\n"
                     : "\nNothing was changed yet. To do this: assay repair --apply\n");
}

RepairOptions OptionsOf(const Config& config, const RepairVerbOptions& verb) {
  RepairOptions options;
  options.engine = config.ToEngineConfig();
  options.stride = config.branch.stride;
  options.url = config.postgres.url;
  options.admin_url = config.admin_url();
  options.tables = config.postgres.tables;
  options.exclude = config.postgres.exclude;
  options.sequences = {config.sequences.stride, config.sequences.own};
  options.state_dir = config.branch.state_dir;
  options.apply = verb.apply;
  options.replaces_other = verb.replaces_other;
  options.without_hub = verb.without_hub;
  return options;
}

int RepairVerb(const CliContext& context, const RepairVerbOptions& verb) {
  absl::StatusOr<Config> config = OwnConfig(context, verb.admin_url);
  if (!config.ok()) return CliFail(context, config.status(), kExitUsage);
  absl::StatusOr<std::unique_ptr<StateLock>> lock = StateLock::Take(config->lock_path());
  if (!lock.ok()) return CliFail(context, lock.status());
  std::unique_ptr<SupabaseHub> hub;
  if (config->has_hub() && !verb.without_hub) {
    absl::StatusOr<std::unique_ptr<SupabaseHub>> made =
        SupabaseHub::Create({.url = config->hub.url, .allow_insecure = config->hub.allow_insecure});
    if (!made.ok()) return CliFail(context, made.status());
    hub = *std::move(made);
  }
  RepairOptions options = OptionsOf(*config, verb);
  if (OnTerminal() && !context.json) {
    options.progress = [](absl::string_view stage, uint64_t done) {
      DrawProgress(absl::StrCat(stage, " ", Grouped(done)));
    };
  }
  SystemClock clock;
  SystemRandom random;
  absl::StatusOr<RepairReport> report = Repair(options, hub.get(), &clock, &random);
  if (options.progress) EndProgress();
  if (!report.ok()) return CliFail(context, report.status());
  if (context.json) {
    PrintRepairJson(*report);
  } else {
    PrintRepair(*report);
  }
  return report->state == RestoreState::kNormal || report->applied ? kExitOk : kExitProblem;
}

}  // namespace

void AddRepair(CommandLine& line) {
  auto options = std::make_shared<RepairVerbOptions>();
  CLI::App* verb =
      line.AddVerb({"repair", "After a restore, a lost log or a copied branch: what happened, and what would mend it",
                    "assay repair, and then assay repair --apply"},
                   [options](const CliContext& context) { return RepairVerb(context, *options); });
  verb->add_option("--admin-url", options->admin_url,
                   "A superuser, or the tables' owner; the default is postgres.admin_url");
  verb->add_flag("--apply", options->apply, "Do it; without, it only shows what it would do");
  verb->add_flag("--replaces-other", options->replaces_other,
                 "Of a copied branch: the other copy is stopped for good, and this one takes its place");
  verb->add_flag("--without-hub", options->without_hub, "Although the hub cannot be asked what the fleet has");
}

}  // namespace assay
