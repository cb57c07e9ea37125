// What must be true of a config beyond the type of each key, and how its faults are told: every one, each with its
// place.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tools/config/config.h"

namespace assay {

class ConfigProblems {
 public:
  explicit ConfigProblems(std::string path) : path_(std::move(path)) {}

  // At the place where `key` ("hub.url") was set, or at the file when it is missing.
  void Add(const std::string& key, const std::string& what);
  void AddAt(int line, const std::string& key, const std::string& what);
  // The same for a value that could not be read at all: what else is said of that key would mislead.
  void AddUnreadable(const std::string& key, const std::string& what) {
    Add(key, what);
    unreadable_.insert(key);
  }
  void AddPlain(const std::string& message) { messages_.push_back(message); }
  // A secret that others can read: the whole becomes PERMISSION_DENIED.
  void AddStatus(const std::string& key, const absl::Status& status);
  absl::Status ToStatus() const;

  bool IsFromFile(const std::string& key) const { return lines.count(key) != 0 && origin.count(key) == 0; }

  std::map<std::string, int> lines;           // Key → line of the file.
  std::map<std::string, std::string> origin;  // Key → where else it came from.

 private:
  std::string path_;
  std::vector<std::string> messages_;
  std::set<std::string> unreadable_;
  bool denied_ = false;
};

// The most branches that a fleet may be strided for.
inline constexpr int64_t kStrideMax = 65536;
inline constexpr char kBranchNameRule[] = "it has 1 to 48 letters, digits, - _ or . and begins with a letter or digit";
bool IsBranchName(absl::string_view name);

// Checks what LoadConfig has read, fills in defaults that depend on other keys, and puts passwords into connections.
void CheckConfig(const Environment& environment, Config* config, ConfigProblems* problems);

}  // namespace assay
