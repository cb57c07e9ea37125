#include "adapters/supabase/hub_url.h"

#include <libpq-fe.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace assay {
namespace {

bool IsLoopback(absl::string_view host) {
  return host.empty() || host[0] == '/' || host[0] == '@' || host == "localhost" || host == "::1" ||
         absl::StartsWith(host, "127.");
}

std::string PercentEncode(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(c) || absl::StrContains("-._~", absl::string_view(&c, 1))) {
      out.push_back(c);
    } else {
      absl::StrAppend(&out, "%", absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
    }
  }
  return out;
}

absl::Status NoUrl(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "the hub's url ", why,
      ": write postgresql://USER:PASSWORD@HOST:5432/DATABASE, with every character of the password that is "
      "not a letter or a digit as %XX (@ is %40, / is %2F, % is %25)"));
}

}  // namespace

absl::StatusOr<HubUrl> HubUrl::Parse(absl::string_view text, bool allow_insecure) {
  // libpq's own message would quote the part it cannot read, which may be of the password.
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(std::string(text).c_str(), nullptr), &PQconninfoFree);
  if (text.empty() || options == nullptr) return NoUrl("cannot be parsed");
  HubUrl url;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) url.values_[option->keyword] = option->val;
  }
  // A password with an unescaped @, / or ? ends up in these, and from there in messages.
  for (absl::string_view keyword : {"host", "hostaddr", "port", "dbname", "user"}) {
    const std::string value = url.Value(keyword);
    if (absl::StrContains(value, "@") && value[0] != '@') return NoUrl(absl::StrCat("has an @ in its ", keyword));
  }
  for (absl::string_view port : absl::StrSplit(url.Value("port"), ',')) {
    if (!std::all_of(port.begin(), port.end(), absl::ascii_isdigit)) return NoUrl("has a port that is no number");
  }
  if (!url.Value("service").empty()) return NoUrl("names a service, whose file could send the password elsewhere");
  for (const auto& [keyword, variable] : {std::pair{"host", "PGHOST"}, {"hostaddr", "PGHOSTADDR"}}) {
    if (const char* value = std::getenv(variable); value != nullptr && url.Value(keyword).empty())
      url.values_[keyword] = value;
  }

  const std::string hosts = url.Value(url.Value("hostaddr").empty() ? "host" : "hostaddr");
  const std::vector<std::string> list = absl::StrSplit(hosts, ',');
  if (allow_insecure || std::all_of(list.begin(), list.end(), IsLoopback)) return url;
  std::string& sslmode = url.values_["sslmode"];
  if (sslmode.empty()) sslmode = "verify-full";
  if (sslmode == "verify-full") return url;
  return absl::FailedPreconditionError(
      absl::StrCat("the hub at ", hosts, " would be reached with sslmode=", sslmode,
                   ", which does not prove that it is the hub: write "
                   "sslmode=verify-full&sslrootcert=/path/to/prod-ca-2021.crt in its url (Supabase's certificate is "
                   "under Project Settings > "
                   "Database > SSL Configuration), or allow_insecure = true under [hub] (for `assay hub`: "
                   "--allow-insecure) to trust "
                   "whoever answers"));
}

std::string HubUrl::Value(absl::string_view keyword) const {
  const auto found = values_.find(keyword);
  return found == values_.end() ? std::string() : found->second;
}

std::string HubUrl::Conninfo() const {
  std::string conninfo;
  for (const auto& [keyword, value] : values_) {
    absl::StrAppend(&conninfo, keyword, "='", absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"'", "\\'"}}), "' ");
  }
  return conninfo;
}

std::string HubUrl::UrlFor(absl::string_view user, absl::string_view password) const {
  const std::string host = Value("host"), port = Value("port"), sslmode = Value("sslmode"),
                    hostaddr = Value("hostaddr");
  const bool socket = host.empty() || host[0] == '/';  // Has no place in a URL but as a parameter.
  std::string url =
      absl::StrCat("postgresql://", PercentEncode(user), ":", PercentEncode(password), "@", socket ? "" : host,
                   socket || port.empty() ? "" : absl::StrCat(":", port), "/", PercentEncode(Value("dbname")));
  char separator = '?';
  const auto add = [&](absl::string_view keyword, absl::string_view value) {
    if (value.empty()) return;
    absl::StrAppend(&url, absl::string_view(&separator, 1), keyword, "=", PercentEncode(value));
    separator = '&';
  };
  if (socket) add("host", host), add("port", port);
  add("hostaddr", hostaddr);
  add("sslmode", sslmode);
  return url;
}

std::string HubUrl::Redact(absl::string_view text) const {
  const std::string password = Value("password");
  return password.empty() ? std::string(text) : absl::StrReplaceAll(text, {{password, "***"}});
}

}  // namespace assay
