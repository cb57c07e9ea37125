// What the fidelity tests share beside the fleet: databases with settings of their own, and an app that is explicit.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/fleet/fleet.h"

namespace assay::test {

// ALTER DATABASE erp SET … for each; values as SQL writes them.
void SetDatabase(Branch& branch, const std::map<std::string, std::string>& settings);

// As the app, whose literals mean the same whatever its database is set to. Aborts when it fails.
void MustApp(Branch& branch, const std::string& sql);

bool HasExtension(Branch& branch, const std::string& name);

// Locales for servers started while this lives: Debian's `locales` carries their sources, and nothing compiles them.
class OtherLocales {
 public:
  explicit OtherLocales(const std::vector<std::string>& names);
  ~OtherLocales();
  // As SQL writes it; C where it could not be made, which is said on stderr.
  std::string Name(const std::string& name) const;

 private:
  TempDirectory directory_;
  std::map<std::string, bool> made_;
};

}  // namespace assay::test

// As ASSAY_START_FLEET, but nothing is initialized and no daemon runs.
#define ASSAY_START_FLEET_STOPPED(name, count, ...)                                                  \
  auto name##_or_status =                                                                            \
      ::assay::test::Fleet::Create(count, ::assay::test::FleetOptions __VA_ARGS__, /*start=*/false); \
  if (::assay::test::MaySkipWithoutPostgres(name##_or_status.status()))                              \
    GTEST_SKIP() << name##_or_status.status().message();                                             \
  ASSERT_TRUE(name##_or_status.ok()) << name##_or_status.status();                                   \
  std::unique_ptr<::assay::test::Fleet> name = *std::move(name##_or_status)
