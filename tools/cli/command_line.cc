#include "tools/cli/command_line.h"

#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "engine/did_you_mean.h"
#include "tools/cli/text.h"

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
  // A verb that has others below it and may do without, as `assay parked`, is told a stranger, or lacks something else.
  const bool may_do_without = deepest->get_require_subcommand_min() == 0;
  if (known.empty() || (may_do_without && (strangers.empty() || strangers[0][0] == '-'))) {
    std::cerr << error.what() << ": see " << words << " --help\n";
  } else if (strangers.empty()) {
    std::cerr << words << " what? One of: " << absl::StrJoin(known, ", ") << "\n";
  } else {
    std::cerr << "\"" << Printable(strangers[0]) << "\" is no verb of " << words << DidYouMean(strangers[0], known)
              << "\n";
  }
  return kExitUsage;
}

CLI::App* AddWords(CLI::App& parent, const VerbWords& words) {
  CLI::App* added = parent.add_subcommand(words.name, words.what);
  added->footer(std::string("Example:\n  ") + words.example +
                "\n--config, --socket and --json go with it: see assay --help");
  return added;
}

}  // namespace

CommandLine::CommandLine()
    : app_(
          "Assay: replication of a shop's PostgreSQL over an immutable log.\n"
          "Exit codes: 0 done, 1 something is wrong as printed, 2 command or config, 3 no daemon answers.") {
  app_.footer(
      "Each verb has a --help of its own. Examples:\n  assay status --watch\n  assay --config assay.toml doctor "
      "--json");
  app_.name("assay");
  app_.require_subcommand(1);
  app_.fallthrough();  // --json and --config may come after the verb.
  app_.set_version_flag("--version", ASSAY_VERSION);
  app_.add_option("-c,--config", context_.config_path, "Config file of the branch")
      ->envname("ASSAY_CONFIG")
      ->capture_default_str();
  app_.add_option("--socket", context_.socket,
                  "The daemon's address, unix:/path or host:port, instead of the config's");
  app_.add_flag("--json", context_.json, "Print JSON, with the field names of proto/admin.proto");
}

CLI::App* CommandLine::AddVerb(const VerbWords& words, RunVerb run, CLI::App* family) {
  CLI::App* verb = AddWords(family == nullptr ? app_ : *family, words);
  // CLI11 calls a parent after the verb below it: `parked retry` is not `parked`.
  verb->callback([this, verb, run = std::move(run)] {
    if (verb->get_subcommands().empty()) asked_for_ = run;
  });
  return verb;
}

CLI::App* CommandLine::AddFamily(const VerbWords& words) {
  CLI::App* family = AddWords(app_, words);
  family->require_subcommand(1);
  return family;
}

int CommandLine::Run(int argc, char** argv) {
  try {
    if (argc == 1) throw CLI::CallForHelp();
    app_.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    return MissingVerb(app_, error);
  } catch (const CLI::ExtrasError& error) {
    return MissingVerb(app_, error);
  } catch (const CLI::ParseError& error) {
    return app_.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return asked_for_(context_);
}

}  // namespace assay
