#include "tools/cli/command_line.h"

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/did_you_mean.h"
#include "tools/cli/terminal.h"
#include "tools/cli/text.h"

namespace assay {
namespace {

// The verb that the words came as far as, and those words.
std::pair<const CLI::App*, std::string> DeepestVerb(const CLI::App& app) {
  const CLI::App* deepest = &app;
  std::string words = "assay";
  while (!deepest->get_subcommands().empty()) {
    deepest = deepest->get_subcommands().back();
    words += " " + deepest->get_name();
  }
  return {deepest, words};
}

// "--table", "--config", …: what a verb takes, with what its parents take.
std::vector<std::string> OptionsOf(const CLI::App* verb) {
  std::vector<std::string> names;
  for (; verb != nullptr; verb = verb->get_parent()) {
    for (const CLI::Option* option : verb->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

// What is wrong with the words, in words of ours: CLI11 asks for a subcommand without a word on the one that it did not
// know, and knows no option that is nearly the one that was meant.
std::string WhatIsWrong(const CLI::App& app, const CLI::Error& error) {
  const auto [verb, words] = DeepestVerb(app);
  std::vector<std::string> known;
  for (const CLI::App* below : verb->get_subcommands([](const CLI::App*) { return true; })) {
    known.push_back(below->get_name());
  }
  const std::vector<std::string> strangers = app.remaining(/*recurse=*/true);
  const std::string first = strangers.empty() ? "" : strangers[0];
  if (absl::StartsWith(first, "-")) {
    const std::string option = first.substr(0, first.find('='));
    return absl::StrCat("\"", Printable(option), "\" is no option of ", words, DidYouMean(option, OptionsOf(verb)));
  }
  if (!known.empty() && !first.empty())
    return absl::StrCat("\"", Printable(first), "\" is no verb of ", words, DidYouMean(first, known));
  // One that has others below it and may do without, as `assay parked`, lacks something else.
  if (!known.empty() && verb->get_require_subcommand_min() > 0)
    return absl::StrCat(words, " what? One of: ", absl::StrJoin(known, ", "));
  if (!first.empty()) return absl::StrCat(words, " does not know what \"", Printable(first), "\" is to it");
  return Printable(error.what());
}

// Help that fits the terminal, or 80 characters.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override {
    return FoldedBeside(CLI::Formatter::make_option_desc(option));
  }
  std::string make_subcommand(const CLI::App* verb) const override {
    std::stringstream out;
    CLI::detail::format_help(out, verb->get_name(), FoldedBeside(verb->get_description()), get_column_width());
    return out.str();
  }
  std::string make_description(const CLI::App* app) const override {
    std::string text;
    for (absl::string_view line : absl::StrSplit(app->get_description(), '\n'))
      absl::StrAppend(&text, Folded(line, static_cast<size_t>(Screen().width), 0, 0), "\n");
    return text;
  }

 private:
  // CLI11 puts it behind the names, and each of its lines below that.
  std::string FoldedBeside(absl::string_view text) const {
    constexpr size_t kLineMin = 30;
    const size_t width = static_cast<size_t>(Screen().width), names = get_column_width();
    return Folded(text, std::max(kLineMin, width - std::min(width, names)), 0, 0);
  }
};

CLI::App* AddWords(CLI::App& parent, const VerbWords& words) {
  CLI::App* added = parent.add_subcommand(words.name, words.what);
  added->footer(std::string("Example:\n  ") + words.example +
                "\n--config, --socket, --json, --utc, --color and -o go with it: see assay --help");
  return added;
}

}  // namespace

CommandLine::CommandLine()
    : app_(absl::StrCat("Assay: replication of a shop's PostgreSQL over an immutable log.\n", kExitCodesHelp)) {
  app_.footer(
      "Each verb has a --help of its own. Examples:\n  assay status --watch\n  assay --config assay.toml doctor "
      "--json");
  app_.name("assay");
  app_.formatter(std::make_shared<HelpFormatter>());  // Of the verbs that come below it, too.
  app_.require_subcommand(1);
  app_.fallthrough();  // --json and --config may come after the verb.
  app_.set_version_flag("--version", ASSAY_VERSION);
  app_.add_option("-c,--config", context_.config_path, "Config file of the branch")
      ->envname("ASSAY_CONFIG")
      ->capture_default_str();
  app_.add_option("--socket", context_.socket,
                  "The daemon's address, unix:/path or host:port, instead of the config's");
  app_.add_flag("--json", context_.json, "Print JSON, with the field names of proto/admin.proto");
  app_.add_flag("--utc", context_.utc, "All times in UTC, and not in this machine's zone");
  app_.add_option("--color", colour_, "Colours; NO_COLOR turns them off, too")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->capture_default_str();
  app_.add_option("-o,--output", output_, "wide: all columns of a table, and nothing cut")
      ->check(CLI::IsMember({"wide"}));
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
  SetScreen(TerminalOfStdout("auto", /*utc=*/false, /*wide=*/false));  // For what is printed before the words are read.
  try {
    if (argc == 1) throw CLI::CallForHelp();
    app_.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // For help, or the version.
    app_.exit(asked);
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    // It may stand behind what could not be read.
    context_.json |= std::find(argv, argv + argc, absl::string_view("--json")) != argv + argc;
    return CliFail(context_, absl::InvalidArgumentError(WhatIsWrong(app_, error)), kExitUsage,
                   absl::StrCat(DeepestVerb(app_).second, " --help"));
  }
  SetScreen(TerminalOfStdout(context_.json ? "never" : colour_, context_.utc, output_ == "wide"));
  return asked_for_(context_);
}

}  // namespace assay
