#include "tests/fidelity/fidelity.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace assay::test {

void SetDatabase(Branch& branch, const std::map<std::string, std::string>& settings) {
  for (const auto& [name, value] : settings)
    MustSql(branch.AdminUrl(), absl::StrCat("ALTER DATABASE erp SET ", name, " = ", value));
}

void MustApp(Branch& branch, const std::string& sql) {
  MustSql(
      branch.Url(),
      absl::StrCat(
          "SET datestyle = 'ISO, YMD'; SET intervalstyle = postgres; SET array_nulls = on; SET xmloption = content; "
          "SET standard_conforming_strings = on; SET search_path = public; ",
          sql));
}

bool HasExtension(Branch& branch, const std::string& name) {
  return SqlValue(branch.Url(),
                  absl::StrCat("SELECT count(*) FROM pg_available_extensions WHERE name = '", name, "'")) == "1";
}

OtherLocales::OtherLocales(const std::vector<std::string>& names) : directory_("locale") {
  for (const std::string& name : names) {
    made_[name] =
        RunProgram({"localedef", "-i", name, "-f", "UTF-8", absl::StrCat(directory_.path(), "/", name, ".UTF-8")})
            .exit_code == 0;
    if (!made_[name])
      std::fprintf(stderr, "\n*** SKIPPED, NOT TESTED: lc_monetary %s (apt-get install locales) ***\n\n", name.c_str());
  }
  // Looked into before the system's own, which stay.
  setenv("LOCPATH", directory_.path().c_str(), 1);
}

OtherLocales::~OtherLocales() { unsetenv("LOCPATH"); }

std::string OtherLocales::Name(const std::string& name) const {
  return made_.at(name) ? absl::StrCat("'", name, ".UTF-8'") : "'C'";
}

}  // namespace assay::test
