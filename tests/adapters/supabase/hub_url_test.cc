// Who may be given the password, and that nobody is told it in an error.
#include "adapters/supabase/hub_url.h"

#include <cstdlib>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace assay {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(HubUrlTest, RemoteHubIsVerifiedUnlessSaidOtherwise) {
  auto url = HubUrl::Parse("postgresql://branch_1:pw@db.example.co:5432/postgres", false);
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->Value("sslmode"), "verify-full");
  EXPECT_TRUE(HubUrl::Parse("postgresql://u@db.example.co/postgres?sslmode=verify-full", false).ok());
  EXPECT_TRUE(HubUrl::Parse("postgresql://u@db.example.co/postgres?sslmode=require", true).ok());
}

TEST(HubUrlTest, WeakerModesAreRefusedWithWhatToWrite) {
  for (const std::string mode : {"disable", "allow", "prefer", "require", "verify-ca"}) {
    for (const std::string host : {"db.example.co", "10.0.0.7", "localhost,db.example.co", "[fe80::1]"}) {
      auto url = HubUrl::Parse("postgresql://u:pass-word@" + host + "/postgres?sslmode=" + mode, false);
      EXPECT_TRUE(absl::IsFailedPrecondition(url.status())) << host << " " << mode << " " << url.status();
      EXPECT_THAT(std::string(url.status().message()), HasSubstr("sslmode=verify-full&sslrootcert="));
      EXPECT_THAT(std::string(url.status().message()), HasSubstr("allow_insecure = true"));
    }
  }
  EXPECT_TRUE(
      absl::IsFailedPrecondition(HubUrl::Parse("host=localhost hostaddr=10.1.2.3 sslmode=require", false).status()));
}

TEST(HubUrlTest, LoopbackNeedsNoCertificate) {
  for (const std::string url :
       {"postgresql://u@localhost/db", "postgresql://u@127.0.0.1:5433/db", "postgresql://u@[::1]/db",
        "postgresql://u@/db?host=/tmp", "host=/var/run/postgresql user=u"}) {
    EXPECT_TRUE(HubUrl::Parse(url, false).ok()) << url;
    EXPECT_EQ(HubUrl::Parse(url, false)->Value("sslmode"), "") << url;
  }
}

TEST(HubUrlTest, HostFromTheEnvironmentCountsToo) {
  setenv("PGHOST", "db.example.co", 1);
  auto url = HubUrl::Parse("user=u dbname=d sslmode=prefer", false);
  unsetenv("PGHOST");
  EXPECT_TRUE(absl::IsFailedPrecondition(url.status())) << url.status();
}

TEST(HubUrlTest, MistypedPasswordNeverShows) {
  for (const std::string url :
       {"postgresql://u:s3cr@t@db.example.co/d", "postgresql://u:s3cr/t@db.example.co/d",
        "postgresql://u:s3cr%zzt@db.example.co/d", "postgresql://s3cr/?s3cr", "host=h password='s3cr", "s3cr", ""}) {
    auto parsed = HubUrl::Parse(url, false);
    EXPECT_TRUE(absl::IsInvalidArgument(parsed.status())) << url << ": " << parsed.status();
    EXPECT_THAT(std::string(parsed.status().message()), Not(HasSubstr("s3cr"))) << url;
  }
}

TEST(HubUrlTest, UrlForABranchReadsBackTheSame) {
  for (const std::string url :
       {"postgresql://admin:x@db.example.co:6000/the%20db?sslmode=verify-full&sslrootcert=/root/ca.crt",
        "postgresql://admin@/postgres?host=/tmp/a%20b&port=5433"}) {
    auto admin = HubUrl::Parse(url, false);
    ASSERT_TRUE(admin.ok()) << admin.status();
    auto branch = HubUrl::Parse(admin->UrlFor("branch_1.ref", "p@ss:w/rd?%"), false);
    ASSERT_TRUE(branch.ok()) << branch.status();
    EXPECT_EQ(branch->Value("user"), "branch_1.ref");
    EXPECT_EQ(branch->Value("password"), "p@ss:w/rd?%");
    EXPECT_EQ(branch->Value("sslrootcert"), "");
    for (const std::string keyword : {"host", "port", "dbname", "sslmode"}) {
      EXPECT_EQ(branch->Value(keyword), admin->Value(keyword)) << keyword;
    }
  }
}

TEST(HubUrlTest, PasswordThatSomebodyRepeatedIsTakenOut) {
  auto url = HubUrl::Parse("postgresql://u:hunter2@localhost/db", false);
  EXPECT_EQ(url->Redact("bad value hunter2 in packet"), "bad value *** in packet");
}

}  // namespace
}  // namespace assay
