#include "tools/config/secret_files.h"

#include <libpq-fe.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "log/annotate.h"

namespace assay {
namespace {

bool IsUrl(absl::string_view connection) {
  return absl::StartsWith(connection, "postgresql://") || absl::StartsWith(connection, "postgres://");
}

}  // namespace

absl::Status CheckPrivate(const std::string& path) {
  struct stat st;
  if (stat(path.c_str(), &st) != 0) {
    const absl::StatusCode code = errno == ENOENT ? absl::StatusCode::kNotFound : absl::StatusCode::kPermissionDenied;
    return absl::Status(code, absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  }
  if ((st.st_mode & 077) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrFormat(
      "%s holds a secret and its mode %04o lets others use it: run chmod 600 %s", path, st.st_mode & 07777, path));
}

absl::StatusOr<std::string> ReadPasswordFile(const std::string& path) {
  ASSAY_RETURN_IF_ERROR(CheckPrivate(path));
  std::ifstream in(path);
  if (!in) return absl::PermissionDeniedError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  std::string line;
  std::getline(in, line);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  if (line.empty())
    return absl::InvalidArgumentError(absl::StrCat(path, " is empty: write the password in its first line"));
  return line;
}

absl::StatusOr<std::map<std::string, std::string>> ReadDotEnv(const std::string& path) {
  std::map<std::string, std::string> out;
  struct stat st;
  if (stat(path.c_str(), &st) != 0) return out;
  std::ifstream in(path);
  if (!in) return absl::PermissionDeniedError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  std::string raw;
  for (int number = 1; std::getline(in, raw); ++number) {
    absl::string_view line = absl::StripAsciiWhitespace(raw);
    if (line.empty() || line[0] == '#') continue;
    absl::ConsumePrefix(&line, "export ");
    // Not a word of the line itself: it may be a secret.
    if (!absl::StrContains(line, "="))
      return absl::InvalidArgumentError(absl::StrCat(path, ":", number, " is no line of the kind NAME=value"));
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits('=', 1));
    absl::string_view value = absl::StripAsciiWhitespace(parts.second);
    if (value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0]) {
      value = value.substr(1, value.size() - 2);
    }
    out[std::string(absl::StripAsciiWhitespace(parts.first))] = std::string(value);
  }
  return out;
}

absl::StatusOr<std::map<std::string, std::string>> ParseConnection(const std::string& connection) {
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse(connection.c_str(), &error);
  // libpq's own message would quote the part it did not understand, which may be the password.
  if (error != nullptr) PQfreemem(error);
  if (options == nullptr) {
    return absl::InvalidArgumentError(
        "not a PostgreSQL connection: write postgresql://user@host:port/database?sslmode=…, and percent-encode odd "
        "characters");
  }
  std::map<std::string, std::string> parts;
  for (PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (option->val != nullptr) parts[option->keyword] = option->val;
  }
  PQconninfoFree(options);
  return parts;
}

std::string WithPassword(const std::string& connection, absl::string_view password) {
  if (!IsUrl(connection)) {
    return absl::StrCat(connection, " password='", absl::StrReplaceAll(password, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
  }
  std::string encoded;
  for (const unsigned char c : password) {
    absl::StrAppend(&encoded,
                    absl::ascii_isalnum(c) ? std::string(1, static_cast<char>(c)) : absl::StrFormat("%%%02X", c));
  }
  return absl::StrCat(connection, absl::StrContains(connection, "?") ? "&" : "?", "password=", encoded);
}

bool IsLocalConnection(const std::map<std::string, std::string>& parts) {
  if (parts.count("service") != 0) return false;  // It may lead anywhere.
  for (const char* key : {"host", "hostaddr"}) {
    auto it = parts.find(key);
    if (it == parts.end()) continue;
    for (absl::string_view host : absl::StrSplit(it->second, ',')) {
      const bool local =
          host.empty() || host[0] == '/' || host[0] == '@' || host == "localhost" || host == "::1" ||
          (absl::StartsWith(host, "127.") && host.find_first_not_of("0123456789.") == absl::string_view::npos);
      if (!local) return false;
    }
  }
  return true;
}

}  // namespace assay
