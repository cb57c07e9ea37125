// What was looked at, and what came of it: one line of code where each check is made.
//
//   Findings found(&checks);
//   found.Fail("wal_level", "it is replica; capture needs logical", "ALTER SYSTEM SET wal_level = 'logical'; …");
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace assay {

enum class CheckResult : uint8_t { kOk, kWarn, kFail };
absl::string_view CheckResultName(CheckResult result);  // "ok", "warn", "fail".

struct Check {
  std::string name;  // "wal_level"; stable, for programs.
  CheckResult result = CheckResult::kOk;
  std::string detail;  // What was found, for people.
  std::string remedy;  // A command, or what to change in the configuration; empty when ok.
};

class Findings {
 public:
  explicit Findings(std::vector<Check>* checks) : checks_(checks) {}
  void Ok(absl::string_view name, std::string detail) { Add(name, CheckResult::kOk, std::move(detail), ""); }
  void Warn(absl::string_view name, std::string detail, std::string remedy) {
    Add(name, CheckResult::kWarn, std::move(detail), std::move(remedy));
  }
  void Fail(absl::string_view name, std::string detail, std::string remedy) {
    Add(name, CheckResult::kFail, std::move(detail), std::move(remedy));
  }
  void Failed(absl::string_view name, const absl::Status& status, std::string remedy) {
    Fail(name, std::string(status.message()), std::move(remedy));
  }

  void Add(absl::string_view name, CheckResult result, std::string detail, std::string remedy) {
    checks_->push_back({std::string(name), result, std::move(detail), std::move(remedy)});
  }

 private:
  std::vector<Check>* checks_;
};

}  // namespace assay
