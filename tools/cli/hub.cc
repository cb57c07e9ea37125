#include "tools/cli/hub.h"

#include <unistd.h>

#include <iostream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "tools/cli/verbs.h"
#include "tools/config/config_check.h"

namespace assay {

absl::StatusOr<std::unique_ptr<HubAdmin>> OpenHubAdmin(const CliContext& context, const HubAccess& access) {
  HubOptions hub;
  hub.url = access.url;
  hub.allow_insecure = access.allow_insecure;
  ASSAY_RETURN_IF_ERROR(RefusePassword(hub.url, "--url", "SUPABASE_DB_URL"));
  if (hub.url.empty()) {
    absl::StatusOr<std::string> url = HubUrlFromEnvironment(ProcessEnvironment());
    if (!url.ok() && ::access(context.config_path.c_str(), R_OK) == 0) {
      absl::StatusOr<Config> config = CliConfig(context);
      if (!config.ok()) return config.status();
      if (config->has_hub()) url = config->hub.url, hub.allow_insecure |= config->hub.allow_insecure;
    }
    if (!url.ok()) return url.status();
    hub.url = *url;
  }
  return HubAdmin::Create(std::move(hub));
}

absl::StatusOr<std::vector<std::string>> ParseGrants(const std::vector<std::string>& tables) {
  std::vector<std::string> grants;
  for (const std::string& text : tables) {
    if (text == "*") {
      grants.push_back(text);
      continue;
    }
    if (absl::StrContains(text, "*")) {
      return absl::InvalidArgumentError(
          absl::StrCat("--tables ", text, ": name each table, schema.table, or * for all of them"));
    }
    ASSAY_ASSIGN_OR_RETURN(const TableName table, TableName::Parse(text));
    grants.push_back(table.ToString());
  }
  return grants;
}

int HubDone(const CliContext& context, const std::string& text) {
  if (context.json) {
    google::protobuf::Struct object;
    (*object.mutable_fields())["done"] = JsonText(text);
    PrintJson(object);
  } else {
    std::cout << text << "\n";
  }
  return kExitOk;
}

void AddHub(CommandLine& line) {
  auto access = std::make_shared<HubAccess>();
  CLI::App* hub = line.AddFamily({"hub", "Head office: install the hub, enrol branches",
                                  "SUPABASE_DB_URL=postgresql://postgres@… assay hub install"});
  hub->add_option("--url", access->url,
                  "The hub, as the head office's role; better in SUPABASE_DB_URL, with the password in ~/.pgpass");
  hub->add_flag("--allow-insecure", access->allow_insecure, "Accept a connection whose server is not verified");
  for (AddedHubVerb* add : {AddHubInstall, AddHubEnrol, AddHubGrant, AddHubPassword, AddHubActivate, AddHubRetire,
                            AddHubQuarantine, AddHubBranches}) {
    add(line, hub, access);
  }
}

}  // namespace assay
