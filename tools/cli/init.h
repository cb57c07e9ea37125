// What `assay init` and `assay tables add` share: one enrols all tables that the config means, the other one of them.
#pragma once

#include <optional>
#include <string>

#include "log/table_names.h"
#include "tools/cli/command_line.h"

namespace assay {

struct InitVerbOptions {
  std::string admin_url;
  std::string differences;  // "", "here" or "fleet".
  bool without_hub = false;
  bool all = false;
  bool replaces_other = false;
  std::optional<TableName> only;  // InitOptions::only.
};

// Gives `verb` the options of these but for `only`; they live as long as the verb.
void AddInitOptions(CLI::App* verb, InitVerbOptions* options);
// Returns the exit code.
int InitVerb(const CliContext& context, const InitVerbOptions& verb);

}  // namespace assay
