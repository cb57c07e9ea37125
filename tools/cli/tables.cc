// `assay tables`: which tables take part here, one by one. Which ones are meant is the config's to say.
#include <iostream>

#include "absl/strings/str_cat.h"
#include "tools/cli/init.h"
#include "tools/cli/own_branch.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"
#include "tools/config/state_lock.h"
#include "tools/setup/table_removal.h"
#include "tools/system.h"

namespace assay {
namespace {

struct TablesOptions {
  std::string table;
  InitVerbOptions init;
};

int AddTable(const CliContext& context, const TablesOptions& options) {
  const absl::StatusOr<TableName> table = TableName::Parse(options.table);
  if (!table.ok()) return CliFail(context, table.status(), kExitUsage);
  InitVerbOptions init = options.init;
  init.only = *table;
  return InitVerb(context, init);
}

void PrintRemoved(const CliContext& context, const TableName& table, const RemoveTableReport& report) {
  if (context.json) {
    google::protobuf::Struct object;
    (*object.mutable_fields())["table"] = JsonText(table.ToString());
    (*object.mutable_fields())["was_there"] = JsonFlag(report.was_there);
    (*object.mutable_fields())["forgotten"] = JsonCount(static_cast<double>(report.forgotten));
    return PrintJson(object);
  }
  std::cout << table.ToString() << " takes part no more here. "
            << (report.was_there ? "Its rows stay as they are; " : "") << (report.was_there ? "its" : "Its")
            << " history stays in the log.";
  if (report.forgotten > 0)
    std::cout << " " << Count(report.forgotten, "row") << " of other branches will not be waited for.";
  std::cout << "\nNext: start the daemon. To take it in again: assay tables add " << table.ToString() << "\n";
}

int RemoveTableVerb(const CliContext& context, const TablesOptions& options) {
  const absl::StatusOr<TableName> table = TableName::Parse(options.table);
  if (!table.ok()) return CliFail(context, table.status(), kExitUsage);
  const absl::StatusOr<Config> config = OwnConfig(context, options.init.admin_url);
  if (!config.ok()) return CliFail(context, config.status(), kExitUsage);
  const absl::StatusOr<std::unique_ptr<StateLock>> lock = StateLock::Take(config->lock_path());
  if (!lock.ok()) return CliFail(context, lock.status());
  SystemClock clock;
  const absl::StatusOr<RemoveTableReport> report =
      RemoveTable({.table = *table,
                   .patterns = {config->postgres.tables, config->postgres.exclude},
                   .admin_url = config->admin_url(),
                   .log_path = config->log_path()},
                  &clock);
  if (absl::IsInvalidArgument(report.status())) return CliFail(context, report.status(), kExitUsage);
  if (!report.ok()) return CliFail(context, report.status());
  PrintRemoved(context, *table, *report);
  return kExitOk;
}

}  // namespace

void AddTables(CommandLine& line) {
  CLI::App* tables = line.AddFamily({"tables", "Take one table in or out; which ones are meant, postgres.tables says",
                                     "assay tables add public.rates"});
  auto options = std::make_shared<TablesOptions>();
  const auto name = [&](CLI::App* verb) {
    verb->add_option("table", options->table, "schema.table")->required();
    return verb;
  };
  AddInitOptions(name(line.AddVerb(
                     {"add", "Enrol a table that came later: compared with the fleet first, and published after",
                      "assay tables add public.rates --differences fleet"},
                     [options](const CliContext& context) { return AddTable(context, *options); }, tables)),
                 &options->init);
  name(line.AddVerb(
           {"remove", "Take a table out on purpose, once the config leaves it out; its history stays",
            "assay tables remove public.old_rates"},
           [options](const CliContext& context) { return RemoveTableVerb(context, *options); }, tables))
      ->add_option("--admin-url", options->init.admin_url, kAdminUrlHelp);
}

}  // namespace assay
