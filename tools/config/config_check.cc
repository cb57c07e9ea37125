#include "tools/config/config_check.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "tools/config/secret_files.h"

namespace assay {
namespace {

constexpr size_t kSocketPathMax = 107;  // sun_path, less its final NUL.

std::string Lookup(const Environment& environment, const char* name) {
  auto it = environment.find(name);
  return it == environment.end() ? "" : it->second;
}

void CheckBranch(const Config::Branch& branch, ConfigProblems* problems) {
  if (branch.name.empty())
    problems->Add("branch.name", "is missing: name = \"mumbai-1\"");
  else if (!IsBranchName(branch.name))
    problems->Add("branch.name", absl::StrCat("\"", branch.name, "\" will not do: ", kBranchNameRule));
  if (branch.stride < 1 || branch.stride > kStrideMax) {
    problems->Add("branch.stride", absl::StrCat("must be from 1 to ", kStrideMax, ", the same at every branch"));
  } else if (branch.number == 0 && problems->lines.count("branch.number") == 0 &&
             problems->origin.count("branch.number") == 0) {
    problems->Add("branch.number",
                  absl::StrCat("is missing: a number of this branch alone, from 1 to ", branch.stride));
  } else if (branch.number < 1 || branch.number > branch.stride) {
    problems->Add("branch.number",
                  absl::StrCat("is ", branch.number, " and must be from 1 to ", branch.stride, " (branch.stride)"));
  }
  if (branch.state_dir.empty() || branch.state_dir[0] != '/') {
    problems->Add("branch.state_dir", "must be an absolute path, like /var/lib/assay");
  }
}

// A password inside a URL makes the config file itself a secret, and a passfile is one always.
void CheckConnection(const std::string& key, const std::string& url, const Config& config, ConfigProblems* problems) {
  if (url.empty()) return;
  const absl::StatusOr<std::map<std::string, std::string>> parts = ParseConnection(url);
  if (!parts.ok()) return problems->Add(key, std::string(parts.status().message()));
  if (parts->count("password") != 0 && problems->IsFromFile(key)) {
    if (absl::Status status = CheckPrivate(config.path); !status.ok()) {
      problems->AddStatus(key, absl::PermissionDeniedError(
                                   absl::StrCat("contains a password and others can read this file: run chmod 600 ",
                                                config.path, ", or move the password to a password_file")));
    }
  }
  if (auto it = parts->find("passfile"); it != parts->end()) problems->AddStatus(key, CheckPrivate(it->second));
}

void AddPassword(const std::string& section, const std::string& file, std::string* url, ConfigProblems* problems) {
  if (file.empty()) return;
  const absl::StatusOr<std::string> password = ReadPasswordFile(file);
  if (!password.ok()) return problems->AddStatus(section + ".password_file", password.status());
  if (url->empty() || !ParseConnection(*url).ok()) return;  // Reported by itself.
  *url = WithPassword(*url, *password);
}

void CheckPatterns(const std::string& key, const std::vector<std::string>& patterns, ConfigProblems* problems) {
  for (const std::string& pattern : patterns) {
    if (!TableName::Parse(pattern).ok()) {
      problems->Add(key,
                    absl::StrCat("\"", pattern, "\" is not a table pattern: write \"schema.table\" or \"schema.*\""));
    }
  }
}

// A hub that was meant, and is not named in a way that is understood, is not the same as none.
void CheckDotEnv(const std::string& path, const std::map<std::string, std::string>& entries, ConfigProblems* problems) {
  for (const auto& [name, _] : entries) {
    if (absl::StartsWith(name, "ASSAY_")) {
      problems->AddPlain(
          absl::StrCat(path, ": ", name, " is not read from there: put it into the config, or into the environment"));
    } else if (absl::StartsWith(name, "SUPABASE_")) {
      problems->AddPlain(
          absl::StrCat(path, ": ", name,
                       " is not what Assay needs: write SUPABASE_DB_URL=postgresql://…, the connection string of the "
                       "project's database (in Supabase: Connect)"));
    }
  }
}

void CheckHub(const Environment& environment, Config* config, ConfigProblems* problems) {
  Config::Hub& hub = config->hub;
  if (hub.url.empty()) {
    hub.url = Lookup(environment, "SUPABASE_DB_URL");
    if (!hub.url.empty()) problems->origin["hub.url"] = "environment variable SUPABASE_DB_URL";
  }
  if (hub.url.empty()) {
    const size_t slash = config->path.rfind('/');
    const std::string dot_env = slash == std::string::npos ? ".env" : config->path.substr(0, slash) + "/.env";
    const absl::StatusOr<std::map<std::string, std::string>> entries = ReadDotEnv(dot_env);
    if (!entries.ok()) return problems->AddStatus("hub.url", entries.status());
    if (hub.url = Lookup(*entries, "SUPABASE_DB_URL"); !hub.url.empty()) {
      problems->origin["hub.url"] = dot_env + ": SUPABASE_DB_URL";
      problems->AddStatus("hub.url", CheckPrivate(dot_env));
    } else {
      CheckDotEnv(dot_env, *entries, problems);
    }
  }
  if (hub.url.empty()) {
    for (const char* key : {"hub.interval", "hub.realtime", "hub.password_file", "hub.allow_insecure"}) {
      if (problems->lines.count(key) != 0) {
        return problems->Add(
            key, "has no hub.url beside it: add url = \"postgresql://…\", or leave out [hub] to work locally");
      }
    }
    return;
  }
  CheckConnection("hub.url", hub.url, *config, problems);
  const absl::StatusOr<std::map<std::string, std::string>> parts = ParseConnection(hub.url);
  if (!parts.ok()) return;
  auto sslmode = parts->find("sslmode");  // The adapter fills in verify-full where none is given.
  if (!IsLocalConnection(*parts) && sslmode != parts->end() && sslmode->second != "verify-full" &&
      !hub.allow_insecure) {
    problems->Add("hub.url",
                  absl::StrCat("would reach the hub with sslmode=", sslmode->second,
                               ", which a stranger on the way can read or imitate: write sslmode=verify-full&"
                               "sslrootcert=FILE (the hub's CA certificate), or set hub.allow_insecure = true"));
  }
}

void CheckAdmin(Config* config, ConfigProblems* problems) {
  Config::Admin& admin = config->admin;
  if (admin.listen.empty()) admin.listen = absl::StrCat("unix:", config->branch.state_dir, "/assay.sock");
  const std::string given = admin.listen;
  absl::string_view listen = given;
  if (absl::ConsumePrefix(&listen, "unix:")) {
    absl::ConsumePrefix(&listen, "//");  // unix:///path is gRPC's other spelling.
    admin.listen = absl::StrCat("unix:", listen);
    if (listen.empty() || listen[0] != '/')
      problems->Add("admin.listen", "must name an absolute path: unix:/run/assay/assay.sock");
    else if (listen.size() > kSocketPathMax) {
      problems->Add("admin.listen",
                    absl::StrCat("names a socket path of ", listen.size(), " bytes; the system takes at most ",
                                 kSocketPathMax, ": choose a shorter directory"));
    }
    return;
  }
  if (!absl::StrContains(listen, ":")) {
    return problems->Add("admin.listen", "must be unix:/path/to/socket, or host:port with TLS client certificates");
  }
  const std::pair<const char*, const std::string*> files[] = {
      {"tls_cert", &admin.tls_cert}, {"tls_key", &admin.tls_key}, {"tls_client_ca", &admin.tls_client_ca}};
  for (const auto& [name, file] : files) {
    if (file->empty()) {
      problems->Add("admin.listen",
                    absl::StrCat("is a network address, which is served only with TLS client certificates: set admin.",
                                 name, ", or listen on unix:/run/assay/assay.sock"));
    } else if (access(file->c_str(), R_OK) != 0) {
      problems->Add(absl::StrCat("admin.", name), absl::StrCat("cannot read ", *file));
    }
  }
  if (!admin.tls_key.empty() && access(admin.tls_key.c_str(), R_OK) == 0) {
    problems->AddStatus("admin.tls_key", CheckPrivate(admin.tls_key));
  }
}

}  // namespace

bool IsBranchName(absl::string_view name) {
  return !name.empty() && name.size() <= 48 && absl::ascii_isalnum(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.'; });
}

void ConfigProblems::AddAt(int line, const std::string& key, const std::string& what) {
  messages_.push_back(absl::StrCat(path_, line > 0 ? absl::StrCat(":", line) : "", ": ", key,
                                   key.empty() || absl::StartsWith(what, ":") ? "" : " ", what));
}

void ConfigProblems::Add(const std::string& key, const std::string& what) {
  if (unreadable_.contains(key)) return;
  if (auto it = origin.find(key); it != origin.end()) {
    messages_.push_back(absl::StrCat(it->second, " (", key, ")", absl::StartsWith(what, ":") ? "" : " ", what));
  } else {
    auto line = lines.find(key);
    AddAt(line == lines.end() ? 0 : line->second, key, what);
  }
}

void ConfigProblems::AddStatus(const std::string& key, const absl::Status& status) {
  if (status.ok()) return;
  denied_ = denied_ || absl::IsPermissionDenied(status);
  Add(key, absl::StrCat(": ", status.message()));
}

absl::Status ConfigProblems::ToStatus() const {
  if (messages_.empty()) return absl::OkStatus();
  const std::string all = absl::StrJoin(messages_, "\n");
  return denied_ ? absl::PermissionDeniedError(all) : absl::InvalidArgumentError(all);
}

void CheckConfig(const Environment& environment, Config* config, ConfigProblems* problems) {
  CheckBranch(config->branch, problems);

  Config::Postgres& postgres = config->postgres;
  if (postgres.url.empty()) problems->Add("postgres.url", "is missing: url = \"postgresql:///erp\"");
  CheckConnection("postgres.url", postgres.url, *config, problems);
  CheckConnection("postgres.admin_url", postgres.admin_url, *config, problems);
  AddPassword("postgres", postgres.password_file, &postgres.url, problems);
  if (postgres.tables.empty())
    problems->Add("postgres.tables", "is missing: which tables to enrol, like tables = [\"public.*\"]");
  CheckPatterns("postgres.tables", postgres.tables, problems);
  CheckPatterns("postgres.exclude", postgres.exclude, problems);

  CheckHub(environment, config, problems);
  AddPassword("hub", config->hub.password_file, &config->hub.url, problems);
  if (const std::string passfile = Lookup(environment, "PGPASSFILE"); !passfile.empty()) {
    if (absl::Status status = CheckPrivate(passfile); absl::IsPermissionDenied(status)) {
      problems->origin["PGPASSFILE"] = "environment";
      problems->AddStatus("PGPASSFILE", status);
    }
  }
  CheckAdmin(config, problems);

  if (const auto time = ParseTimeOfDay(config->verify.at); time.ok())
    config->verify.time_of_day = *time;
  else
    problems->Add("verify.at", std::string(time.status().message()));

  const std::vector<std::string> levels = {"trace", "debug", "info", "warning", "error"};
  if (std::find(levels.begin(), levels.end(), config->log.level) == levels.end()) {
    problems->Add("log.level", absl::StrCat("must be one of ", absl::StrJoin(levels, ", ")));
  }
}

absl::StatusOr<std::string> HubUrlFromEnvironment(const Environment& environment) {
  for (const char* name : {"ASSAY_HUB_URL", "SUPABASE_DB_URL"}) {
    const std::string url = Lookup(environment, name);
    if (url.empty()) continue;
    const auto parts = ParseConnection(url);
    if (!parts.ok())
      return absl::InvalidArgumentError(absl::StrCat("environment variable ", name, ": ", parts.status().message()));
    return url;
  }
  return absl::NotFoundError("no hub to work on: set SUPABASE_DB_URL, or hub.url in a config file named with --config");
}

}  // namespace assay
