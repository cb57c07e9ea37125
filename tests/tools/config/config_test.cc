#include "tools/config/config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/config/secret_files.h"

namespace assay {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kCanary[] = "hunter2canary";
constexpr char kGood[] = R"([branch]
name = "mumbai-1"
number = 3
state_dir = "/var/lib/assay"

[postgres]
url = "postgresql:///erp"
tables = ["public.*"]
)";

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    char pattern[] = "/tmp/assay-config-XXXXXX";
    directory_ = mkdtemp(pattern);
  }
  ~ConfigTest() override { EXPECT_EQ(std::system(absl::StrCat("rm -rf ", directory_).c_str()), 0); }

  std::string Write(const std::string& name, const std::string& content, mode_t mode = 0600) {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path) << content;
    chmod(path.c_str(), mode);
    return path;
  }
  absl::StatusOr<Config> Load(const std::string& content, const Environment& environment = {}, mode_t mode = 0600) {
    return LoadConfig(Write("assay.toml", content, mode), environment);
  }
  // The error, with the temporary directory called DIR.
  std::string ErrorOf(const std::string& content, const Environment& environment = {}) {
    absl::StatusOr<Config> config = Load(content, environment);
    EXPECT_FALSE(config.ok()) << content;
    return config.ok() ? "" : absl::StrReplaceAll(config.status().message(), {{directory_, "DIR"}});
  }

  std::string directory_;
};

TEST_F(ConfigTest, EveryKeyIsRead) {
  const std::string secret = Write("hub.password", "p'w d\n");
  absl::StatusOr<Config> config = Load(absl::StrCat(kGood, R"(exclude = ["public.session*"]
admin_url = "postgresql://postgres@/erp"
[hub]
url = "postgresql://b@localhost/hub"
password_file = ")",
                                                    secret, R"("
interval = "90s"
realtime = false
[admin]
listen = "unix:///run/a.sock"
[log]
level = "debug"
[tables."public.items"]
groups = [["weight", "purity"], ["a"]]
[tables.'public."Odd.Name"']
merge = "row"
)"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->branch.name, "mumbai-1");
  EXPECT_EQ(config->branch.number, 3);
  EXPECT_EQ(config->branch.stride, 64);
  EXPECT_EQ(config->postgres.exclude, std::vector<std::string>{"public.session*"});
  EXPECT_EQ(config->admin_url(), "postgresql://postgres@/erp");
  EXPECT_EQ(config->hub.url, "postgresql://b@localhost/hub?password=p%27w%20d");
  EXPECT_EQ(config->hub.interval, absl::Seconds(90));
  EXPECT_FALSE(config->hub.realtime);
  EXPECT_EQ(config->admin.listen, "unix:/run/a.sock");
  EXPECT_EQ(config->log.level, "debug");
  EXPECT_EQ((config->policies[TableName{"public", "items"}].column_groups[0]),
            (std::vector<std::string>{"weight", "purity"}));
  EXPECT_TRUE((config->policies[TableName{"public", "Odd.Name"}].whole_row));
  EXPECT_EQ(config->ToEngineConfig().branch_number, 3u);
}

TEST_F(ConfigTest, SequencesAreChosenByName) {
  const absl::StatusOr<Config> config =
      Load(absl::StrCat(kGood, "[sequences]\n\"public.party_no\" = \"stride\"\n\"public.invoice_no\" = \"own\"\n"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->sequences.stride, ::testing::ElementsAre(TableName{"public", "party_no"}));
  EXPECT_THAT(config->sequences.own, ::testing::ElementsAre(TableName{"public", "invoice_no"}));
}

TEST_F(ConfigTest, WithoutHubItIsLocalOnly) {
  absl::StatusOr<Config> config = Load(kGood);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->has_hub());
  EXPECT_EQ(config->admin.listen, "unix:/var/lib/assay/assay.sock");
}

TEST_F(ConfigTest, EnvironmentOverridesTheFile) {
  absl::StatusOr<Config> config = Load(kGood, {{"ASSAY_BRANCH_NUMBER", "7"},
                                               {"ASSAY_POSTGRES_TABLES", "a.b, c.*"},
                                               {"ASSAY_HUB_URL", "postgresql:///h"},
                                               {"ASSAY_HUB_INTERVAL", "1h"},
                                               {"ASSAY_HUB_REALTIME", "false"},
                                               {"ASSAY_CONFIG", "elsewhere"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->branch.number, 7);
  EXPECT_EQ(config->postgres.tables, (std::vector<std::string>{"a.b", "c.*"}));
  EXPECT_EQ(config->hub.interval, absl::Hours(1));
  EXPECT_FALSE(config->hub.realtime);
}

TEST_F(ConfigTest, HubComesFromDotEnvBesideTheFileUnlessOthersCanReadIt) {
  Write(".env", "# Supabase\nexport SUPABASE_DB_URL=\"postgresql://u:hunter2canary@localhost/p\"\n");
  absl::StatusOr<Config> config = Load(kGood);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->hub.url, "postgresql://u:hunter2canary@localhost/p");
  EXPECT_EQ(Load(kGood, {{"SUPABASE_DB_URL", "postgresql:///env"}})->hub.url, "postgresql:///env");

  chmod((directory_ + "/.env").c_str(), 0644);
  config = Load(kGood);
  EXPECT_EQ(config.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("run chmod 600"));
}

// Goal: a hub that was meant is not left out in silence.
TEST_F(ConfigTest, WhatDotEnvHasInsteadOfTheHubsAddressIsNamed) {
  const auto message = [&](const std::string& env) {
    Write(".env", env);
    return std::string(Load(kGood).status().message());
  };
  const std::string supabase = message("SUPABASE_URL=https://x.supabase.co\nSUPABASE_KEY=hunter2canary\n");
  EXPECT_THAT(supabase, AllOf(HasSubstr("SUPABASE_URL is not what Assay needs"), HasSubstr("SUPABASE_KEY"),
                              HasSubstr("SUPABASE_DB_URL=postgresql://"), Not(HasSubstr("hunter2canary"))));
  EXPECT_THAT(message("ASSAY_HUB_URL=postgresql:///h\n"), HasSubstr("ASSAY_HUB_URL is not read from there"));
  EXPECT_THAT(message("# ours\n\nhunter2canary\n"),
              AllOf(HasSubstr("/.env:3 is no line of the kind NAME=value"), Not(HasSubstr("hunter2canary"))));
  EXPECT_EQ(message("SMTP_HOST=mail\n"), "") << "somebody else's";
}

// Goal: a password that was changed is taken up without a restart, wherever it stands.
TEST_F(ConfigTest, TheHubsPasswordIsReadAnew) {
  Write(".env", "SUPABASE_DB_URL=postgresql://u:first@localhost/p\n");
  const absl::StatusOr<Config> started = Load(kGood);
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(HubPassword(*started, {}).value(), "first");
  Write(".env", "SUPABASE_DB_URL=postgresql://u:second@localhost/p\n");
  EXPECT_EQ(HubPassword(*started, {}).value(), "second");
  Write(".env", "SUPABASE_DB_URL=postgresql://u:third@localhost:1/p\n");
  EXPECT_TRUE(absl::IsFailedPrecondition(HubPassword(*started, {}).status())) << "another hub's";
  Write(".env", "SUPABASE_DB_URL=postgresql://u@localhost/p\n");
  EXPECT_TRUE(absl::IsNotFound(HubPassword(*started, {}).status())) << "~/.pgpass has it";
  Write(".env", "nonsense\n");
  EXPECT_FALSE(HubPassword(*started, {}).ok());
}

struct BadConfig {
  const char* replace;  // In kGood; empty: append.
  const char* with;
  const char* message;
};

class BadConfigTest : public ConfigTest, public ::testing::WithParamInterface<BadConfig> {};

TEST_P(BadConfigTest, SaysFileLineKeyAndRemedy) {
  const BadConfig& bad = GetParam();
  const std::string content =
      *bad.replace == '\0' ? absl::StrCat(kGood, bad.with) : absl::StrReplaceAll(kGood, {{bad.replace, bad.with}});
  const std::string error = ErrorOf(content);
  EXPECT_THAT(error, HasSubstr(bad.message));
  EXPECT_THAT(error, HasSubstr("DIR/assay.toml"));
  EXPECT_THAT(error, Not(HasSubstr(kCanary)));
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadConfigTest,
    ::testing::Values(
        BadConfig{"name =", "nmae =", "DIR/assay.toml:2: branch.nmae is no key; did you mean name?"},
        BadConfig{"name =", "nmae =", "DIR/assay.toml: branch.name is missing"},
        BadConfig{"number = 3", "number = \"3\"", "assay.toml:3: branch.number must be a whole number, without quotes"},
        BadConfig{"number = 3", "number = 65",
                  "assay.toml:3: branch.number is 65 and must be from 1 to 64 (branch.stride)"},
        BadConfig{"number = 3", "number = 0", "assay.toml:3: branch.number is 0 and must be"},
        BadConfig{"number = 3", "", "branch.number is missing"},
        BadConfig{"number = 3", "number = 3\nstride = 0", "assay.toml:4: branch.stride must be from 1"},
        BadConfig{"\"mumbai-1\"", "\"a b\"", "branch.name \"a b\" will not do: it has 1 to 48 letters"},
        BadConfig{"\"/var/lib/assay\"", "\"state\"", "branch.state_dir must be an absolute path"},
        BadConfig{"[branch]", "[brunch]", "assay.toml:1: brunch is no section; did you mean branch?"},
        BadConfig{"[\"public.*\"]", "\"public.*\"", "assay.toml:8: postgres.tables must be a list of texts"},
        BadConfig{"[\"public.*\"]", "[\"public\"]", "\"public\" is not a table pattern"},
        BadConfig{"tables = [\"public.*\"]", "", "postgres.tables is missing"},
        BadConfig{"url = \"postgresql:///erp\"", "", "postgres.url is missing"},
        BadConfig{"postgresql:///erp", "postgresql://u:hunter2canary@[/erp",
                  "postgres.url not a PostgreSQL connection"},
        BadConfig{"\"postgresql:///erp\"", "postgresql://u:hunter2canary@h/erp", "assay.toml:7: not valid TOML"},
        BadConfig{"number = 3", "number = ", "assay.toml:3: not valid TOML"},
        BadConfig{"", "interval = \"5m\"\n", "assay.toml:9: postgres.interval is no key: it belongs in [hub]"},
        BadConfig{"", "[sequences]\n\"public.no\" = \"strid\"\n",
                  "assay.toml:10: sequences.\"public.no\" must be \"stride\" or \"own\""},
        BadConfig{"", "[hub]\nurl = \"postgresql:///h\"\ninterval = \"5 minutes\"\n",
                  "assay.toml:11: hub.interval must be a duration"},
        BadConfig{"", "[hub]\nurl = \"postgresql:///h\"\ninterval = 5\n", "hub.interval must be a duration in quotes"},
        BadConfig{"", "[hub]\nurl = \"postgresql:///h\"\ninterval = \"0s\"\n",
                  "hub.interval must be a duration between"},
        BadConfig{"", "[hub]\nurl = \"postgresql:///h\"\nrealtime = \"yes\"\n", "hub.realtime must be true or false"},
        BadConfig{"", "[hub]\ninterval = \"5m\"\n", "hub.interval has no hub.url beside it"},
        BadConfig{"", "[hub]\nurl = \"postgresql://b:hunter2canary@db.example.com/x?sslmode=prefer\"\n",
                  "write sslmode=verify-full"},
        BadConfig{"", "[hub]\nurl = \"postgresql://b:hunter2canary@127.0.0.1,db.example.com/x?sslmode=require\"\n",
                  "sslmode=require"},
        BadConfig{"", "[hub]\nurl = \"postgresql:///h\"\npassword_file = \"/nonexistent/pw\"\n",
                  "cannot read /nonexistent/pw"},
        BadConfig{"", "[admin]\nlisten = \"0.0.0.0:7070\"\n",
                  "served only with TLS client certificates: set admin.tls_cert"},
        BadConfig{"", "[admin]\nlisten = \"unix:relative\"\n", "admin.listen must name an absolute path"},
        BadConfig{"", "[log]\nlevel = \"loud\"\n", "log.level must be one of"},
        BadConfig{"", "[verify]\nat = \"25:00\"\n", "verify.at must be a time of day like \"03:00\", or \"never\""},
        BadConfig{"", "[tables]\n\"items\" = 1\n", "write [tables.\"schema.table\"]"},
        BadConfig{"", "[tables.\"public.x\"]\nmerge = \"rows\"\n", "assay.toml:10: tables.\"public.x\".merge must be"},
        BadConfig{"", "[tables.\"public.x\"]\ngroup = 1\n", "is no key; did you mean groups?"},
        BadConfig{"", "[tables.\"public.x\"]\ngroups = [\"a\"]\n", "groups must be lists of column names"}));

TEST_F(ConfigTest, EverythingWrongIsToldAtOnce) {
  const std::string error = ErrorOf("[branch]\nnam = 1\nnumber = true\n");
  EXPECT_THAT(error, HasSubstr(":2: branch.nam is no key"));
  EXPECT_THAT(error, HasSubstr(":3: branch.number must be a whole number"));
  EXPECT_THAT(error, HasSubstr("postgres.url is missing"));
}

TEST_F(ConfigTest, BadEnvironmentNamesTheVariable) {
  EXPECT_THAT(ErrorOf(kGood, {{"ASSAY_BRANCH_NUMBER", "x"}}),
              HasSubstr("environment variable ASSAY_BRANCH_NUMBER (branch.number) must be"));
  EXPECT_THAT(ErrorOf(kGood, {{"ASSAY_HUB_INTERVALL", "5m"}}), HasSubstr("did you mean ASSAY_HUB_INTERVAL?"));
}

TEST_F(ConfigTest, MissingFileSaysHowToNameOne) {
  const absl::Status status = LoadConfig(directory_ + "/none.toml", {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--config"));
  EXPECT_EQ(LoadConfig(directory_, {}).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(ConfigTest, FileWithPasswordThatOthersCanReadIsRefused) {
  const std::string with_password =
      absl::StrReplaceAll(kGood, {{"postgresql:///erp", "postgresql://u:hunter2canary@/erp"}});
  EXPECT_TRUE(Load(with_password, {}, 0600).ok());
  const absl::Status status = Load(with_password, {}, 0640).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("run chmod 600"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr(kCanary)));
  EXPECT_TRUE(Load(kGood, {}, 0644).ok());
}

TEST_F(ConfigTest, PasswordFilesThatOthersCanReadAreRefused) {
  const std::string file = Write("pw", kCanary, 0640);
  const std::string hub = absl::StrCat(kGood, "[hub]\nurl = \"postgresql:///h\"\n");
  const absl::Status by_key = Load(absl::StrCat(hub, "password_file = \"", file, "\"\n")).status();
  EXPECT_THAT(std::string(by_key.message()), HasSubstr(absl::StrCat("run chmod 600 ", file)));
  const absl::Status by_url = Load(absl::StrReplaceAll(hub, {{"///h", absl::StrCat("///h?passfile=", file)}})).status();
  EXPECT_EQ(by_url.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Load(kGood, {{"PGPASSFILE", file}}).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST(ConnectionTest, AnyPasswordFitsIn) {
  EXPECT_EQ((*ParseConnection(WithPassword("host=h", "a'b\\c")))["password"], "a'b\\c");
  EXPECT_EQ((*ParseConnection(WithPassword("postgresql://h/d?sslmode=require", "&=%/")))["password"], "&=%/");
}

}  // namespace
}  // namespace assay
