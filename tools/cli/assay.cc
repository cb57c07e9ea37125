// `assay`: the command line of a branch and of the head office. Verbs are in tools/cli/; this reads the words.
#include <functional>
#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_join.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"
#include "tools/config/did_you_mean.h"

namespace assay {
namespace {

// CLI11 asks for a subcommand without a word on the one that it did not know.
int MissingVerb(const CLI::App& app, const CLI::Error& error) {
  const CLI::App* deepest = &app;
  std::string words = "assay";
  while (!deepest->get_subcommands().empty()) {
    deepest = deepest->get_subcommands().back();
    words += " " + deepest->get_name();
  }
  std::vector<std::string> known;
  for (const CLI::App* verb : deepest->get_subcommands([](const CLI::App*) { return true; })) {
    known.push_back(verb->get_name());
  }
  const std::vector<std::string> strangers = app.remaining(/*recurse=*/true);
  if (known.empty() || deepest->get_require_subcommand_min() == 0) {
    std::cerr << error.what() << ": see " << words << " --help\n";
  } else if (strangers.empty()) {
    std::cerr << words << " what? One of: " << absl::StrJoin(known, ", ") << "\n";
  } else {
    std::cerr << "\"" << Printable(strangers[0]) << "\" is no verb of " << words << DidYouMean(strangers[0], known)
              << "\n";
  }
  return kExitUsage;
}

int Run(int argc, char** argv) {
  CLI::App app{
      "Assay: replication of a shop's PostgreSQL over an immutable log.\n"
      "Exit codes: 0 done, 1 something is wrong as printed, 2 command or config, 3 no daemon answers."};
  app.footer(
      "Each verb has a --help of its own. Examples:\n  assay status --watch\n  assay --config assay.toml doctor "
      "--json");
  app.name("assay");
  app.require_subcommand(1);
  app.fallthrough();  // --json and --config may come after the verb.
  app.set_version_flag("--version", ASSAY_VERSION);
  CliContext context;
  app.add_option("-c,--config", context.config_path, "Config file of the branch")
      ->envname("ASSAY_CONFIG")
      ->capture_default_str();
  app.add_option("--socket", context.socket, "The daemon's address, unix:/path or host:port, instead of the config's");
  app.add_flag("--json", context.json, "Print JSON, with the field names of proto/admin.proto");

  std::function<int()> verb;
  const auto add = [](CLI::App& parent, const char* name, const char* what, const char* example) {
    CLI::App* sub = parent.add_subcommand(name, what);
    sub->footer(std::string("Example:\n  ") + example + "\n--config, --socket and --json go with it: see assay --help");
    return sub;
  };
  const auto run = [&verb](CLI::App* sub, std::function<int()> function) {
    // CLI11 calls a parent after the verb below it: `parked retry` is not `parked`.
    sub->callback([&verb, sub, function] {
      if (sub->get_subcommands().empty()) verb = function;
    });
    return sub;
  };

  StatusOptions status;
  CLI::App* sub =
      run(add(app, "status", "How this branch is: what is stuck, why, and what comes next", "assay status --watch"),
          [&] { return StatusVerb(context, status); });
  sub->add_flag("-w,--watch", status.watch, "Again whenever it changes, until Ctrl-C");

  CLI::App* sync = add(app, "sync", "Push and pull now, pause, resume, or how often", "assay sync now");
  sync->require_subcommand(1);
  run(add(*sync, "now", "Push and pull at once, and wait until it is done", "assay sync now"),
      [&] { return SyncNowVerb(context); });
  run(add(*sync, "pause", "No pushes and pulls until resume", "assay sync pause"),
      [&] { return SyncPauseVerb(context); });
  run(add(*sync, "resume", "Push and pull again", "assay sync resume"), [&] { return SyncResumeVerb(context); });
  std::string interval;
  sub = run(add(*sync, "interval", "How often to pull when no hint comes", "assay sync interval 5m"),
            [&] { return SyncIntervalVerb(context, interval); });
  sub->add_option("interval", interval, "300ms to 7 days: 30s, 5m, 1h30m")->required();

  run(add(app, "branches", "Who is online, and how far behind", "assay branches"),
      [&] { return BranchesVerb(context); });

  ParkedOptions parked;
  CLI::App* parked_verb = run(
      add(app, "parked", "Rows that could not be written here, and why", "assay parked retry --table public.products"),
      [&] { return ParkedListVerb(context, parked); });
  parked_verb->require_subcommand(0, 1);
  parked_verb->add_option("--table", parked.table, "Only this table, schema.table");
  parked_verb->add_option("--limit", parked.limit, "At most so many")->capture_default_str();
  sub = run(add(*parked_verb, "ls", "List them", "assay parked ls --table public.products"),
            [&] { return ParkedListVerb(context, parked); });
  sub = run(add(*parked_verb, "retry", "Try them again now", "assay parked retry"),
            [&] { return ParkedRetryVerb(context, parked); });
  sub = run(add(app, "conflicts", "Changes that lost to one that had not seen them",
                "assay conflicts --table public.products"),
            [&] { return ConflictsVerb(context, parked); });
  sub->add_option("--table", parked.table, "Only this table, schema.table");
  sub->add_option("--limit", parked.limit, "At most so many")->capture_default_str();

  LogOptions log;
  std::string event;
  CLI::App* log_verb =
      add(app, "log", "Read the log: who changed what, when", "assay log ls --table public.products --key 17");
  log_verb->require_subcommand(1);
  sub = run(add(*log_verb, "ls", "Events, newest first", "assay log ls --branch mumbai-1 --since 2026-11-23"),
            [&] { return LogListVerb(context, log); });
  sub->add_option("--table", log.table, "schema.table");
  sub->add_option("--key", log.key, "With --table: only this row; one value for each key column");
  sub->add_option("--branch,--origin", log.branch, "A branch's name, or the first digits of an origin");
  sub->add_option("--since", log.since, "2026-11-23, \"2026-11-23 14:30\" (local) or 2026-11-23T14:30:00Z");
  sub->add_option("--until", log.until, "As --since; not included");
  sub->add_option("--first", log.first, "With --branch: from this number on");
  sub->add_option("--last", log.last, "With --branch: up to this number");
  sub->add_option("--limit", log.limit, "At most so many; 0: all")->capture_default_str();
  sub->add_flag("--oldest-first", log.oldest_first, "In the order in which they happened");
  sub = run(add(*log_verb, "show", "One event, whole", "assay log show mumbai-1/17"),
            [&] { return LogShowVerb(context, event); });
  sub->add_option("event", event, "BRANCH/NUMBER or ORIGIN/NUMBER")->required();
  sub = run(add(*log_verb, "tail", "Events as they come in, until Ctrl-C", "assay log tail --table public.products"),
            [&] { return LogTailVerb(context, log); });
  sub->add_option("--table", log.table, "schema.table");
  sub->add_option("--branch,--origin", log.branch, "A branch's name, or the first digits of an origin");

  HubVerbOptions hub;
  CLI::App* hub_verb = add(app, "hub", "Head office: install the hub, enrol branches",
                           "SUPABASE_DB_URL=postgresql://postgres@… assay hub install");
  hub_verb->require_subcommand(1);
  hub_verb->add_option("--url", hub.url,
                       "The hub, as the head office's role; better in SUPABASE_DB_URL, with the password in ~/.pgpass");
  hub_verb->add_flag("--allow-insecure", hub.allow_insecure, "Accept a connection whose server is not verified");
  run(add(*hub_verb, "install", "Install or upgrade the hub's schema; again changes nothing", "assay hub install"),
      [&] { return HubInstallVerb(context, hub); });
  sub = run(add(*hub_verb, "enrol", "Make a branch's login",
                "assay hub enrol mumbai-1 --number 1 --password-file mumbai-1.password"),
            [&] { return HubEnrolVerb(context, hub); });
  sub->add_option("name", hub.name, "The branch")->required();
  sub->add_option("-n,--number", hub.number, "Its number: 1 … stride, unique in the fleet")->required();
  sub->add_option("--tables", hub.tables, "Tables of other branches it may read, schema.table; default: all");
  sub->add_option("--password-file", hub.password_file, "Write the password there (mode 0600) instead of printing it");
  sub = run(add(*hub_verb, "grant", "Which tables of others a branch may read, as a whole",
                "assay hub grant mumbai-1 --tables public.products"),
            [&] { return HubGrantVerb(context, hub); });
  sub->add_option("name", hub.name, "The branch")->required();
  sub->add_option("--tables", hub.tables, "schema.table, or * for all")->required();
  sub = run(add(*hub_verb, "password", "A new password for a branch", "assay hub password mumbai-1"),
            [&] { return HubPasswordVerb(context, hub); });
  sub->add_option("name", hub.name, "The branch")->required();
  sub->add_option("--password-file", hub.password_file, "Write the password there (mode 0600) instead of printing it");
  sub = run(
      add(*hub_verb, "deactivate", "From now on a branch can neither push nor pull", "assay hub deactivate mumbai-1"),
      [&] { return HubActiveVerb(context, hub, false); });
  sub->add_option("name", hub.name, "The branch")->required();
  sub = run(add(*hub_verb, "activate", "A deactivated branch may come back", "assay hub activate mumbai-1"),
            [&] { return HubActiveVerb(context, hub, true); });
  sub->add_option("name", hub.name, "The branch")->required();
  run(add(*hub_verb, "branches", "Every branch that was enrolled", "assay hub branches"),
      [&] { return HubBranchesVerb(context, hub); });

  std::string admin_url;
  sub = run(add(app, "doctor", "Check everything a branch needs, with the command that mends it", "assay doctor"),
            [&] { return DoctorVerb(context, admin_url); });
  sub->add_option("--admin-url", admin_url,
                  "A superuser's connection to the branch's PostgreSQL; default: postgres.admin_url");
  InitVerbOptions init;
  sub = run(add(app, "init", "Enrol this database: tables, baseline, sequences; again changes nothing",
                "assay init --admin-url postgresql:///erp"),
            [&] { return InitVerb(context, init); });
  sub->add_option("--admin-url", init.admin_url,
                  "A superuser's connection to the branch's PostgreSQL; default: postgres.admin_url");
  sub->add_option("--differences", init.differences, "When rows here differ from the fleet's: which side wins")
      ->check(CLI::IsMember({"here", "fleet"}));
  sub->add_flag("--without-hub", init.without_hub, "Enrol although the hub cannot be asked what the fleet has");
  RepairVerbOptions repair;
  sub = run(add(app, "repair", "After a restore, a lost log or a copied branch: what happened, and what would mend it",
                "assay repair, and then assay repair --apply"),
            [&] { return RepairVerb(context, repair); });
  sub->add_option("--admin-url", repair.admin_url,
                  "A superuser, or the tables' owner; the default is postgres.admin_url");
  sub->add_flag("--apply", repair.apply, "Do it; without, it only shows what it would do");
  sub->add_flag("--replaces-other", repair.replaces_other,
                "Of a copied branch: the other copy is stopped for good, and this one takes its place");
  sub->add_flag("--without-hub", repair.without_hub, "Although the hub cannot be asked what the fleet has");
  LeaveVerbOptions leave;
  sub = run(
      add(app, "leave", "Take this database out of the fleet and put it back as it was; the log stays", "assay leave"),
      [&] { return LeaveVerb(context, leave); });
  sub->add_option("--admin-url", leave.admin_url,
                  "A superuser's connection to the branch's PostgreSQL; default: postgres.admin_url");
  sub->add_flag("--yes", leave.yes, "Do not ask");

  try {
    if (argc == 1) throw CLI::CallForHelp();
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    return MissingVerb(app, error);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return verb();
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) { return assay::Run(argc, argv); }
