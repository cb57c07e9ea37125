// Every type's awkward values are the same elsewhere, byte for byte, however differently two databases are set up to
// print them.
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/fidelity/fidelity.h"
#include "tests/fidelity/type_values.h"

namespace assay::test {
namespace {

// Table v_N holds the values of type N, k_N has them for keys.
class Types {
 public:
  explicit Types(Branch& branch) {
    const int version = std::atoi(SqlValue(branch.Url(), "SHOW server_version_num").c_str());
    for (const TypeValues& type : AllTypes()) {
      if (version < type.server_version) continue;
      if (!type.extension.empty() && !HasExtension(branch, type.extension)) {
        std::fprintf(stderr, "\n*** SKIPPED, NOT TESTED: %s, this server has no extension %s ***\n\n",
                     type.type.c_str(), type.extension.c_str());
        continue;
      }
      types_.push_back(&type);
    }
  }

  std::string Schema() const {
    std::string sql = kUserTypes;
    std::set<std::string> extensions;
    for (size_t n = 0; n < types_.size(); ++n) {
      if (extensions.insert(types_[n]->extension).second && !types_[n]->extension.empty()) {
        sql = absl::StrCat("CREATE EXTENSION ", types_[n]->extension, ";", sql);
      }
      // Domains may refuse NULL, so each table has a second column that does not.
      absl::SubstituteAndAppend(&sql, "CREATE TABLE v_$0 (id int PRIMARY KEY, v $1);", n, types_[n]->type);
      if (types_[n]->key)
        absl::SubstituteAndAppend(&sql, "CREATE TABLE k_$0 (k $1 PRIMARY KEY, note text);", n, types_[n]->type);
    }
    return sql;
  }

  // `each`: a statement over v_$0 for one value of it, $1 its number, $2 the value, $3 the next.
  std::string ForValues(const std::string& each) const {
    return ForAll([&](size_t n, size_t i) { return absl::Substitute(each, n, i, Value(n, i), Value(n, i + 1)); },
                  false);
  }
  std::string ForKeys(const std::string& each) const {
    return ForAll([&](size_t n, size_t i) { return absl::Substitute(each, n, i, Value(n, i), Value(n, i + 1)); }, true);
  }
  std::string ForTables(const std::string& each, bool keys) const {
    return ForAll(
        [&](size_t n, size_t i) { return i == 0 ? absl::Substitute(each, n, "", Value(n, 0), Value(n, 1)) : ""; },
        keys);
  }

 private:
  std::string ForAll(const std::function<std::string(size_t, size_t)>& each, bool keys) const {
    std::string sql = "BEGIN;";
    for (size_t n = 0; n < types_.size(); ++n) {
      for (size_t i = 0; i < types_[n]->values.size() && (!keys || types_[n]->key); ++i) sql += each(n, i);
    }
    return sql + "COMMIT";
  }
  std::string Value(size_t n, size_t i) const {
    const std::string& value = types_[n]->values[i % types_[n]->values.size()];
    return absl::StartsWith(value, "=") ? value.substr(1)
                                        : absl::StrCat("$value$", value, "$value$::", types_[n]->type);
  }

  std::vector<const TypeValues*> types_;
};

TEST(TypesTest, EveryAwkwardValueArrivesByteForByteBetweenDatabasesOfOtherSettings) {
  const OtherLocales locales({"de_DE", "ja_JP"});
  ASSAY_START_FLEET_STOPPED(fleet, 2, {});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  Types types(a);
  for (Branch* branch : {&a, &b}) MustSql(branch->Url(), types.Schema());
  SetDatabase(a, {{"datestyle", "'SQL, DMY'"},
                  {"timezone", "'America/New_York'"},
                  {"intervalstyle", "sql_standard"},
                  {"bytea_output", "escape"},
                  {"extra_float_digits", "-15"},
                  {"standard_conforming_strings", "off"},
                  {"lc_monetary", locales.Name("de_DE")},
                  {"xmloption", "document"},
                  {"array_nulls", "off"},
                  {"quote_all_identifiers", "on"}});
  SetDatabase(b, {{"datestyle", "German"},
                  {"timezone", "'Asia/Kathmandu'"},
                  {"intervalstyle", "iso_8601"},
                  {"extra_float_digits", "0"},
                  {"lc_monetary", locales.Name("ja_JP")},
                  {"search_path", "pg_catalog"},
                  {"default_transaction_isolation", "serializable"}});
  const auto values = [&](const char* hundreds) {
    return types.ForValues(absl::Substitute("INSERT INTO v_$$0 VALUES ($0 + $$1, $$2);", hundreds));
  };
  const std::string update = types.ForValues("UPDATE v_$0 SET v = $3 WHERE id % 100 = $1;");
  const std::string keys = types.ForKeys("INSERT INTO k_$0 VALUES ($2, 'value $1') ON CONFLICT DO NOTHING;");
  MustApp(a, values("0"));  // Before it is enrolled: these go by the baseline.
  MustApp(a, types.ForKeys("INSERT INTO k_$0 SELECT $2, 'baseline' WHERE $1 % 2 = 0 ON CONFLICT DO NOTHING;"));
  for (Branch* branch : {&a, &b}) {
    ASSERT_OK(branch->Init());
    ASSERT_OK(branch->StartDaemon());
  }
  MustApp(a, values("100"));
  MustApp(a, keys);
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(60)));

  MustApp(b, update);
  MustApp(b, values("200"));
  MustApp(b, types.ForTables("UPDATE k_$0 SET note = note || ', seen at B';", true));
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(60)));

  MustApp(a, update);
  MustApp(a, types.ForTables("DELETE FROM v_$0 WHERE id < 100;", false));
  // A key that changes, to one that is gone in the same transaction.
  MustApp(a, types.ForTables("DELETE FROM k_$0 WHERE k = $2; UPDATE k_$0 SET k = $2 WHERE k = $3;", true));
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(60)));
  EXPECT_EQ(a.Problems() + b.Problems(), "");
}

}  // namespace
}  // namespace assay::test
