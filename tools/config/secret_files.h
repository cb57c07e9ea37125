// Files and strings that hold passwords: read them only when nobody else can, and never let one into a message.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace assay {

// PERMISSION_DENIED, with the chmod to run, when group or others can read or write `path`; NOT_FOUND when it is not
// there.
absl::Status CheckPrivate(const std::string& path);
// The first line of a private file. INVALID_ARGUMENT when it is empty.
absl::StatusOr<std::string> ReadPasswordFile(const std::string& path);
// The KEY=value lines of a `.env`: comments, `export` and quotes understood. Empty when there is no such file.
absl::StatusOr<std::map<std::string, std::string>> ReadDotEnv(const std::string& path);

// The parts of a libpq connection string (URL or keywords). INVALID_ARGUMENT, without quoting any of it, when it is not
// one.
absl::StatusOr<std::map<std::string, std::string>> ParseConnection(const std::string& connection);
// The same connection string with this password.
std::string WithPassword(const std::string& connection, absl::string_view password);
// True when every host it names is this machine: a unix socket or a loopback address.
bool IsLocalConnection(const std::map<std::string, std::string>& parts);

}  // namespace assay
