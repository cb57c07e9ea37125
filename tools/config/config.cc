#include "tools/config/config.h"

#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/did_you_mean.h"
#include "log/annotate.h"
#include "tools/config/config_check.h"
#include "tools/config/secret_files.h"

extern char** environ;

namespace assay {
namespace {

struct Key {
  const char* section;
  const char* name;
  std::variant<std::string*, int64_t*, bool*, absl::Duration*, std::vector<std::string>*> target;
};

std::vector<Key> KeysOf(Config* c) {
  return {
      {"branch", "name", &c->branch.name},
      {"branch", "number", &c->branch.number},
      {"branch", "stride", &c->branch.stride},
      {"branch", "state_dir", &c->branch.state_dir},
      {"postgres", "url", &c->postgres.url},
      {"postgres", "admin_url", &c->postgres.admin_url},
      {"postgres", "password_file", &c->postgres.password_file},
      {"postgres", "tables", &c->postgres.tables},
      {"postgres", "exclude", &c->postgres.exclude},
      {"hub", "url", &c->hub.url},
      {"hub", "password_file", &c->hub.password_file},
      {"hub", "interval", &c->hub.interval},
      {"hub", "realtime", &c->hub.realtime},
      {"hub", "allow_insecure", &c->hub.allow_insecure},
      {"admin", "listen", &c->admin.listen},
      {"admin", "tls_cert", &c->admin.tls_cert},
      {"admin", "tls_key", &c->admin.tls_key},
      {"admin", "tls_client_ca", &c->admin.tls_client_ca},
      {"verify", "at", &c->verify.at},
      {"log", "level", &c->log.level},
  };
}

std::string FullName(const Key& key) { return absl::StrCat(key.section, ".", key.name); }
std::string VariableOf(const Key& key) {
  return absl::AsciiStrToUpper(absl::StrCat("ASSAY_", key.section, "_", key.name));
}

class Reader {
 public:
  Reader(Config* config, ConfigProblems* problems) : config_(config), problems_(problems), keys_(KeysOf(config)) {}

  void ReadTree(const toml::table& root) {
    for (const auto& [name, node] : root) {
      const std::string section(name.str());
      const int line = Line(name.source());
      if (section == "tables") {
        ReadPolicies(node, line);
      } else if (section == "sequences") {
        ReadSequences(node, line);
      } else if (!IsSection(section)) {
        problems_->AddAt(line, section, absl::StrCat("is no section", DidYouMean(section, Sections())));
      } else if (const toml::table* table = node.as_table(); table == nullptr) {
        problems_->AddAt(line, section, absl::StrCat("is a section: write [", section, "] and its keys below"));
      } else {
        for (const auto& [key_name, value] : *table)
          ReadKey(section, std::string(key_name.str()), value, Line(key_name.source()));
      }
    }
  }

  void ReadEnvironment(const Environment& environment) {
    for (const auto& [variable, value] : environment) {
      if (!absl::StartsWith(variable, "ASSAY_")) continue;
      const Key* found = nullptr;
      std::vector<std::string> known;
      for (const Key& key : keys_) {
        known.push_back(VariableOf(key));
        if (known.back() == variable) found = &key;
      }
      if (found != nullptr) {
        problems_->origin[FullName(*found)] = absl::StrCat("environment variable ", variable);
        SetFromText(*found, value);
        continue;
      }
      // Other ASSAY_ variables (ASSAY_CONFIG) are the tools' own; one that begins like a section is a slip.
      for (const std::string& section : Sections()) {
        if (absl::StartsWith(variable, absl::StrCat("ASSAY_", absl::AsciiStrToUpper(section), "_"))) {
          problems_->AddPlain(
              absl::StrCat("environment variable ", variable, " is no key", DidYouMean(variable, known)));
        }
      }
    }
  }

 private:
  static int Line(const toml::source_region& region) { return static_cast<int>(region.begin.line); }
  bool IsSection(absl::string_view name) const {
    for (const Key& key : keys_)
      if (name == key.section) return true;
    return false;
  }
  std::vector<std::string> Sections() const {
    std::vector<std::string> out;
    for (const Key& key : keys_)
      if (out.empty() || out.back() != key.section) out.push_back(key.section);
    out.push_back("tables");
    out.push_back("sequences");
    return out;
  }

  void ReadKey(const std::string& section, const std::string& name, const toml::node& value, int line) {
    std::vector<std::string> known;
    for (const Key& key : keys_) {
      if (section != key.section) continue;
      known.push_back(key.name);
      if (name != key.name) continue;
      problems_->lines[FullName(key)] = line;
      return std::visit([&](auto* target) { SetFromNode(FullName(key), value, target); }, key.target);
    }
    for (const Key& key : keys_) {
      if (name != key.name) continue;
      return problems_->AddAt(line, absl::StrCat(section, ".", name),
                              absl::StrCat("is no key: it belongs in [", key.section, "]"));
    }
    problems_->AddAt(line, absl::StrCat(section, ".", name), absl::StrCat("is no key", DidYouMean(name, known)));
  }

  void SetFromNode(const std::string& name, const toml::node& node, std::string* target) {
    if (const auto* text = node.as_string())
      *target = text->get();
    else
      problems_->AddUnreadable(name, "must be text: write it in double quotes");
  }
  void SetFromNode(const std::string& name, const toml::node& node, int64_t* target) {
    if (const auto* number = node.as_integer())
      *target = number->get();
    else
      problems_->AddUnreadable(name, "must be a whole number, without quotes");
  }
  void SetFromNode(const std::string& name, const toml::node& node, bool* target) {
    if (const auto* flag = node.as_boolean())
      *target = flag->get();
    else
      problems_->AddUnreadable(name, "must be true or false, without quotes");
  }
  void SetFromNode(const std::string& name, const toml::node& node, absl::Duration* target) {
    const auto* text = node.as_string();
    if (text == nullptr) return problems_->AddUnreadable(name, "must be a duration in quotes, like \"5m\" or \"90s\"");
    SetDuration(name, text->get(), target);
  }
  void SetFromNode(const std::string& name, const toml::node& node, std::vector<std::string>* target) {
    if (!ReadTexts(node, target)) problems_->AddUnreadable(name, "must be a list of texts, like [\"public.*\"]");
  }

  void SetDuration(const std::string& name, absl::string_view text, absl::Duration* target) {
    if (absl::StatusOr<absl::Duration> parsed = ParseInterval(text); parsed.ok())
      *target = *parsed;
    else
      problems_->AddUnreadable(name, std::string(parsed.status().message()));
  }

  void SetFromText(const Key& key, const std::string& text) {
    const std::string name = FullName(key);
    if (auto* s = std::get_if<std::string*>(&key.target)) {
      **s = text;
    } else if (auto* n = std::get_if<int64_t*>(&key.target)) {
      if (!absl::SimpleAtoi(text, *n)) problems_->AddUnreadable(name, "must be a whole number");
    } else if (auto* b = std::get_if<bool*>(&key.target)) {
      if (text != "true" && text != "false") return problems_->AddUnreadable(name, "must be true or false");
      **b = text == "true";
    } else if (auto* d = std::get_if<absl::Duration*>(&key.target)) {
      SetDuration(name, text, *d);
    } else {
      auto* list = std::get<std::vector<std::string>*>(key.target);
      list->clear();
      for (absl::string_view item : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
        list->emplace_back(absl::StripAsciiWhitespace(item));
      }
    }
  }

  static bool ReadTexts(const toml::node& node, std::vector<std::string>* out) {
    const toml::array* array = node.as_array();
    if (array == nullptr) return false;
    out->clear();
    for (const toml::node& item : *array) {
      if (!item.is_string()) return false;
      out->push_back(item.as_string()->get());
    }
    return true;
  }

  // [tables."public.products"] merge = "row" | groups = [["weight", "purity"]]
  void ReadPolicies(const toml::node& node, int section_line) {
    const toml::table* tables = node.as_table();
    if (tables == nullptr)
      return problems_->AddAt(section_line, "tables", "is a section: write [tables.\"schema.table\"]");
    for (const auto& [key, value] : *tables) {
      const std::string name = absl::StrCat("tables.\"", std::string(key.str()), "\"");
      const int line = Line(key.source());
      absl::StatusOr<TableName> table = TableName::Parse(std::string(key.str()));
      const toml::table* body = value.as_table();
      if (!table.ok() || body == nullptr) {
        problems_->AddAt(line, name, "write [tables.\"schema.table\"], the name in double quotes");
        continue;
      }
      config_->policies[*table] = ReadPolicy(name, *body);
    }
  }

  // [sequences] "public.invoice_no" = "own"
  void ReadSequences(const toml::node& node, int section_line) {
    const toml::table* sequences = node.as_table();
    if (sequences == nullptr)
      return problems_->AddAt(section_line, "sequences", "is a section: write [sequences] and its lines below");
    for (const auto& [key, value] : *sequences) {
      const std::string name = absl::StrCat("sequences.\"", std::string(key.str()), "\"");
      const absl::StatusOr<TableName> sequence = TableName::Parse(std::string(key.str()));
      const auto* choice = value.as_string();
      if (!sequence.ok()) {
        problems_->AddAt(Line(key.source()), name, "write \"schema.sequence\", in double quotes");
      } else if (choice != nullptr && choice->get() == "stride") {
        config_->sequences.stride.insert(*sequence);
      } else if (choice != nullptr && choice->get() == "own") {
        config_->sequences.own.insert(*sequence);
      } else {
        problems_->AddAt(Line(key.source()), name, "must be \"stride\" or \"own\"");
      }
    }
  }

  TablePolicy ReadPolicy(const std::string& name, const toml::table& body) {
    TablePolicy policy;
    for (const auto& [key, value] : body) {
      const int line = Line(key.source());
      const std::string word(key.str());
      if (word == "merge") {
        const auto* text = value.as_string();
        if (text != nullptr && (text->get() == "row" || text->get() == "column"))
          policy.whole_row = text->get() == "row";
        else
          problems_->AddAt(line, name + ".merge", "must be \"row\" or \"column\"");
      } else if (word == "groups") {
        const toml::array* groups = value.as_array();
        bool good = groups != nullptr;
        if (good) {
          for (const toml::node& group : *groups) good = ReadTexts(group, &policy.column_groups.emplace_back()) && good;
        }
        if (!good)
          problems_->AddAt(line, name + ".groups", "must be lists of column names, like [[\"weight\", \"purity\"]]");
      } else {
        problems_->AddAt(line, absl::StrCat(name, ".", word),
                         absl::StrCat("is no key", DidYouMean(word, {"merge", "groups"})));
      }
    }
    if (policy.whole_row && !policy.column_groups.empty()) {
      problems_->AddPlain(absl::StrCat(name, ": merge = \"row\" already moves all columns together: leave out groups"));
    }
    return policy;
  }

  Config* config_;
  ConfigProblems* problems_;
  std::vector<Key> keys_;
};

// toml++ quotes what it stumbled over; on a line that may hold a secret that would be the secret.
std::string SyntaxError(const toml::parse_error& error, const std::string& text) {
  const size_t line = error.source().begin.line;
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  const std::string broken = line >= 1 && line <= lines.size() ? absl::AsciiStrToLower(lines[line - 1]) : "";
  const bool may_hold_secret =
      absl::StrContains(broken, "url") || absl::StrContains(broken, "pass") || absl::StrContains(broken, "://");
  return may_hold_secret ? "not valid TOML: write the value in double quotes"
                         : absl::StrCat("not valid TOML: ", std::string(error.description()));
}

}  // namespace

Environment ProcessEnvironment() {
  Environment out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(*entry, absl::MaxSplits('=', 1));
    out.insert(parts);
  }
  return out;
}

std::map<TableName, std::vector<std::string>> Config::PolicyColumns() const {
  std::map<TableName, std::vector<std::string>> named;
  for (const auto& [table, policy] : policies) {
    std::vector<std::string>& columns = named[table];
    for (const std::vector<std::string>& group : policy.column_groups)
      columns.insert(columns.end(), group.begin(), group.end());
  }
  return named;
}

absl::StatusOr<std::string> HubPassword(const Config& started_with, const Environment& environment) {
  ASSAY_ASSIGN_OR_RETURN(const Config config, LoadConfig(started_with.path, environment));
  ASSAY_ASSIGN_OR_RETURN(auto now, ParseConnection(config.hub.url));
  ASSAY_ASSIGN_OR_RETURN(auto before, ParseConnection(started_with.hub.url));
  const std::string password = std::exchange(now["password"], "");
  before["password"].clear();
  // A new hub's password is nothing that the old one should see.
  if (now != before) return absl::FailedPreconditionError("the config names another hub now");
  if (password.empty()) return absl::NotFoundError("the config has no password of the hub");
  return password;
}

absl::StatusOr<absl::Duration> ParseInterval(absl::string_view text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration < absl::Milliseconds(300) || duration > absl::Hours(24 * 7)) {
    return absl::InvalidArgumentError("must be a duration between 300ms and 168h, like \"5m\", \"90s\" or \"1h30m\"");
  }
  return duration;
}

absl::StatusOr<std::optional<absl::Duration>> ParseTimeOfDay(absl::string_view text) {
  if (text == "never") return std::optional<absl::Duration>();
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  int hours = 0, minutes = 0;
  if (parts.size() == 2 && parts[0].size() == 2 && parts[1].size() == 2 && absl::SimpleAtoi(parts[0], &hours) &&
      absl::SimpleAtoi(parts[1], &minutes) && hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60) {
    return std::optional(absl::Hours(hours) + absl::Minutes(minutes));
  }
  return absl::InvalidArgumentError("must be a time of day like \"03:00\", or \"never\"");
}

EngineConfig Config::ToEngineConfig() const {
  EngineConfig out;
  out.branch_name = branch.name;
  out.branch_number = static_cast<uint32_t>(branch.number);
  out.has_hub = has_hub();
  out.hub_interval = hub.interval;
  out.policies = policies;
  return out;
}

absl::StatusOr<Config> LoadConfig(const std::string& path, const Environment& environment) {
  struct stat st;
  int error = stat(path.c_str(), &st) != 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
  if (error == 0 && access(path.c_str(), R_OK) != 0) error = errno;
  if (error == ENOENT) {
    return absl::NotFoundError(
        absl::StrCat("no config file ", path, ": name one with --config, or copy the example in the README"));
  }
  if (error != 0) {
    return absl::PermissionDeniedError(absl::StrCat("cannot read config file ", path, ": ", std::strerror(error)));
  }
  std::ifstream in(path);
  std::stringstream content;
  content << in.rdbuf();
  const std::string text = content.str();

  Config config;
  config.path = path;
  ConfigProblems problems(path);
  try {
    Reader reader(&config, &problems);
    reader.ReadTree(toml::parse(text, path));
    reader.ReadEnvironment(environment);
  } catch (const toml::parse_error& error) {
    problems.AddAt(static_cast<int>(error.source().begin.line), "", SyntaxError(error, text));
    return problems.ToStatus();
  }
  CheckConfig(environment, &config, &problems);
  ASSAY_RETURN_IF_ERROR(problems.ToStatus());
  return config;
}

}  // namespace assay
