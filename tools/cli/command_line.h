// The words of a command line: the verbs add theirs, and the one that was asked for runs.
//
//   void AddConflicts(CommandLine& line) {
//     auto options = std::make_shared<ConflictsOptions>();
//     CLI::App* verb = line.AddVerb({"conflicts", "Changes that lost to …", "assay conflicts --table public.products"},
//                                   [options](const CliContext& context) { return Conflicts(context, *options); });
//     verb->add_option("--table", options->table, "Only this table, schema.table");
//   }
//
// CLI11 writes into a verb's options while it reads the words, so the function that runs keeps them alive.
#pragma once

#include <functional>
#include <string>

#include "CLI/CLI.hpp"
#include "tools/cli/cli.h"

namespace assay {

// A verb as its help shows it. `example` is a whole command.
struct VerbWords {
  const char* name;
  const char* what;
  const char* example;
};

class CommandLine {
 public:
  // Returns the exit code.
  using RunVerb = std::function<int(const CliContext&)>;

  CommandLine();
  CommandLine(const CommandLine&) = delete;  // CLI11 points into it.
  CommandLine& operator=(const CommandLine&) = delete;

  // A verb, of `family` when there is one. The result takes options and flags, and lives as long as this.
  CLI::App* AddVerb(const VerbWords& words, RunVerb run, CLI::App* family = nullptr);
  // A word that means nothing without a verb behind it, as `assay log` without `ls`.
  CLI::App* AddFamily(const VerbWords& words);

  // Reads the words and runs their verb. What cannot be read is told on stderr, and answered with kExitUsage.
  int Run(int argc, char** argv);

 private:
  CLI::App app_;
  CliContext context_;
  std::string colour_ = "auto", output_;
  RunVerb asked_for_;
};

}  // namespace assay
