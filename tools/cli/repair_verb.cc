#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/supabase/supabase_hub.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"
#include "tools/config/state_lock.h"
#include "tools/setup/repair.h"
#include "tools/system.h"

namespace assay {
namespace {

std::string Shown(const ColumnText& value) {
  if (!value.has_value()) return "NULL";
  constexpr size_t kShownMax = 40;
  return value->size() <= kShownMax ? *value : absl::StrCat(value->substr(0, kShownMax), "…");
}

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
  auto* lost = fields["lost"].mutable_list_value();
  for (const std::string& text : report.lost) *lost->add_values() = JsonText(text);
  auto* notes = fields["notes"].mutable_list_value();
  for (const std::string& text : report.notes) *notes->add_values() = JsonText(text);
  auto* differences = fields["differences"].mutable_list_value();
  for (const RowRepairReport::Difference& difference : rows.differences) {
    auto& row = *differences->add_values()->mutable_struct_value()->mutable_fields();
    row["table"] = JsonText(difference.table.ToString());
    auto* key = row["key"].mutable_list_value();
    for (const std::string& text : difference.key) *key->add_values() = JsonText(text);
    row["column"] = JsonText(difference.column);
    if (difference.here.has_value()) row["here"] = JsonText(*difference.here);
    if (difference.fleet.has_value()) row["log"] = JsonText(*difference.fleet);
    row["verdict"] = JsonText(difference.verdict);
  }
  PrintJson(object);
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
  if (!rows.differences.empty()) {
    std::cout << "\n";
    TextTable table({"TABLE", "KEY", "COLUMN", "HERE", "IN THE LOG", "WHAT IS DONE"});
    for (const RowRepairReport::Difference& row : rows.differences) {
      const bool whole = row.column.empty();
      table.Add({row.table.ToString(), absl::StrJoin(row.key, ", "), whole ? "(the row)" : row.column,
                 whole ? row.here.value_or("absent") : Shown(row.here),
                 whole ? row.fleet.value_or("absent") : Shown(row.fleet), row.verdict});
    }
    std::cout << table.ToString();
    if (rows.differences.size() == kDifferencesListed) std::cout << "…\n";
  }
  std::cout << "\nLost:\n";
  for (const std::string& text : report.lost) std::cout << "  - " << text << "\n";
  if (report.lost.empty()) std::cout << "  Nothing.\n";
  for (const std::string& text : report.notes) std::cout << "Note: " << text << "\n";
  std::cout << (done ? "\nDone. Start the daemon again.\n"
                     : "\nNothing was changed yet. To do this: assay repair --apply\n");
}

}  // namespace

int RepairVerb(const CliContext& context, const RepairVerbOptions& verb) {
  absl::StatusOr<Config> config = CliConfig(context);
  if (!config.ok()) return CliFail(context, config.status(), kExitUsage);
  if (absl::Status status = RefusePassword(verb.admin_url, "--admin-url", "postgres.admin_url in the config");
      !status.ok()) {
    return CliFail(context, status, kExitUsage);
  }
  absl::StatusOr<std::unique_ptr<StateLock>> lock = StateLock::Take(config->lock_path());
  if (!lock.ok()) return CliFail(context, lock.status());
  std::unique_ptr<SupabaseHub> hub;
  if (config->has_hub() && !verb.without_hub) {
    absl::StatusOr<std::unique_ptr<SupabaseHub>> made =
        SupabaseHub::Create({.url = config->hub.url, .allow_insecure = config->hub.allow_insecure});
    if (!made.ok()) return CliFail(context, made.status());
    hub = *std::move(made);
  }
  RepairOptions options;
  options.engine = config->ToEngineConfig();
  options.stride = config->branch.stride;
  options.url = config->postgres.url;
  options.admin_url = verb.admin_url.empty() ? config->admin_url() : verb.admin_url;
  options.tables = config->postgres.tables;
  options.exclude = config->postgres.exclude;
  options.state_dir = config->branch.state_dir;
  options.apply = verb.apply;
  options.replaces_other = verb.replaces_other;
  options.without_hub = verb.without_hub;
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

}  // namespace assay
