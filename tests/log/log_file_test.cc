#include "log/log_file.h"

#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/log/test_events.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

class LogFileTest : public ::testing::Test {
 protected:
  test::TempDirectory directory_{"logfile"};
  const std::string path_ = absl::StrCat(directory_.path(), "/log.db");

  absl::StatusOr<int64_t> Number(LogFile& file, const char* sql) {
    ASSAY_ASSIGN_OR_RETURN(Statement statement, file.Prepare(sql));
    ASSAY_ASSIGN_OR_RETURN(const bool row, statement.Step());
    return row ? statement.OnlyInt() : -1;
  }
  // Runs `sql` with nothing but SQLite.
  void Raw(const char* sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
  }
};

TEST_F(LogFileTest, NewFileSaysWhatItIsAndIsDurable) {
  ASSERT_OK_AND_ASSIGN(const auto file, LogFile::Open(path_, {}));
  EXPECT_EQ(*Number(*file, "PRAGMA application_id"), kLogApplicationId);
  EXPECT_EQ(*Number(*file, "PRAGMA user_version"), kLogFormatVersion);
  EXPECT_EQ(*Number(*file, "PRAGMA synchronous"), 2);  // FULL.
  EXPECT_EQ(*Number(*file, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
  EXPECT_GT(file->SizeOnDisk(), 4096);
}

TEST_F(LogFileTest, CommittedIsThereAndRolledBackIsNot) {
  ASSERT_OK_AND_ASSIGN(auto file, LogFile::Open(path_, {}));
  ASSERT_OK(file->Begin());
  ASSERT_OK(file->Execute("INSERT INTO value VALUES ('kept', x'01')"));
  ASSERT_OK(file->Commit());
  ASSERT_OK(file->Begin());
  ASSERT_OK(file->Execute("INSERT INTO value VALUES ('dropped', x'01')"));
  file->Rollback();
  EXPECT_EQ(*Number(*file, "SELECT count(*) FROM value"), 1);
  ASSERT_OK(file->Begin());
  ASSERT_OK(file->Execute("INSERT INTO value VALUES ('forgotten', x'01')"));
  file.reset();  // As a crash of the process would.
  ASSERT_OK_AND_ASSIGN(file, LogFile::Open(path_, {}));
  EXPECT_EQ(*Number(*file, "SELECT count(*) FROM value"), 1);
}

TEST_F(LogFileTest, ParticipantsLeanOnThoseBeforeThemAndMayGo) {
  ASSERT_OK_AND_ASSIGN(const auto file, LogFile::Open(path_, {}));
  std::string calls;
  std::vector<LogFile::Participation> participations;
  for (const char* name : {"1", "2", "gone"}) {
    participations.push_back(file->AddParticipant(
        [&calls, name] { return absl::StrAppend(&calls, "write", name, " "), absl::OkStatus(); },
        [&calls, name] { return absl::StrAppend(&calls, "reload", name, " "), absl::OkStatus(); }));
  }
  participations.pop_back();
  ASSERT_OK(file->Begin());
  ASSERT_OK(file->Commit());
  ASSERT_OK(file->Begin());
  file->Rollback();
  EXPECT_EQ(calls, "write2 write1 reload1 reload2 ");
}

TEST_F(LogFileTest, ParticipantThatCannotWriteUndoesTheTransaction) {
  ASSERT_OK_AND_ASSIGN(const auto file, LogFile::Open(path_, {}));
  const auto participation =
      file->AddParticipant([] { return absl::UnavailableError("cannot"); }, [] { return absl::OkStatus(); });
  ASSERT_OK(file->Begin());
  ASSERT_OK(file->Execute("INSERT INTO value VALUES ('x', x'01')"));
  EXPECT_TRUE(absl::IsUnavailable(file->Commit()));
  EXPECT_FALSE(file->InTransaction());
  EXPECT_EQ(*Number(*file, "SELECT count(*) FROM value"), 0);
}

TEST_F(LogFileTest, MemoryThatCouldNotBeReloadedStopsTheFile) {
  ASSERT_OK_AND_ASSIGN(const auto file, LogFile::Open(path_, {}));
  const auto participation =
      file->AddParticipant([] { return absl::OkStatus(); }, [] { return absl::UnavailableError("cannot"); });
  ASSERT_OK(file->Begin());
  file->Rollback();
  EXPECT_TRUE(absl::IsUnavailable(file->Begin()));
}

TEST_F(LogFileTest, NewerFormatIsRefusedNamingBoth) {
  { ASSERT_OK(LogFile::Open(path_, {}).status()); }
  Raw("PRAGMA user_version = 7");
  const absl::Status status = LogFile::Open(path_, {}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(status.message(), HasSubstr("format 7"));
  EXPECT_THAT(status.message(), HasSubstr("reads 1"));
}

// The number is set with the tables, in one transaction: without one, the file is damaged.
TEST_F(LogFileTest, LogWithoutAFormatIsDataLossAndLeftAlone) {
  { ASSERT_OK(LogFile::Open(path_, {}).status()); }
  Raw("PRAGMA user_version = 0");
  const std::string before = test::ReadFile(path_);
  for (const bool read_only : {true, false}) {
    const absl::Status status = LogFile::Open(path_, {.vfs = "", .read_only = read_only}).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(status.message(), HasSubstr("format 0"));
  }
  EXPECT_EQ(test::ReadFile(path_), before);
}

TEST_F(LogFileTest, AnothersDatabaseIsRefusedAndLeftAlone) {
  Raw("CREATE TABLE mine (x); PRAGMA application_id = 5");
  const std::string before = test::ReadFile(path_);
  EXPECT_TRUE(absl::IsFailedPrecondition(LogFile::Open(path_, {}).status()));
  EXPECT_EQ(test::ReadFile(path_), before);
}

TEST_F(LogFileTest, FileThatIsNoDatabaseIsRefused) {
  test::WriteFile(path_, std::string(10000, 'x'));
  const absl::Status status = LogFile::Open(path_, {}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr(path_));
}

TEST_F(LogFileTest, DamagedFileIsDataLoss) {
  { ASSERT_OK(LogFile::Open(path_, {}).status()); }
  std::string content = test::ReadFile(path_);
  std::fill(content.begin() + 100, content.begin() + 4096, '\x7f');  // The schema's page.
  test::WriteFile(path_, content);
  const absl::Status status = LogFile::Open(path_, {}).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

TEST_F(LogFileTest, MissingFolderIsNamed) {
  const absl::Status status = LogFile::Open(path_ + "/not/there.db", {}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("not/there.db"));
  EXPECT_TRUE(absl::IsNotFound(LogFile::Open(path_ + "x", {.read_only = true}).status()));
}

TEST_F(LogFileTest, SecondWriterIsRefusedWhileTheFirstWrites) {
  ASSERT_OK_AND_ASSIGN(const auto first, LogFile::Open(path_, {}));
  ASSERT_OK_AND_ASSIGN(const auto second, LogFile::Open(path_, {}));
  ASSERT_OK(second->Execute("PRAGMA busy_timeout = 0"));
  ASSERT_OK(first->Begin());
  EXPECT_TRUE(absl::IsFailedPrecondition(second->Begin()));
}

TEST_F(LogFileTest, ReaderSeesCommitsAndCannotWrite) {
  ASSERT_OK_AND_ASSIGN(const auto writer, LogFile::Open(path_, {}));
  ASSERT_OK_AND_ASSIGN(const auto reader, LogFile::Open(path_, {.read_only = true}));
  ASSERT_OK(writer->Begin());
  ASSERT_OK(writer->Execute("INSERT INTO value VALUES ('x', x'01')"));
  EXPECT_EQ(*Number(*reader, "SELECT count(*) FROM value"), 0);
  ASSERT_OK(writer->Commit());
  EXPECT_EQ(*Number(*reader, "SELECT count(*) FROM value"), 1);
  EXPECT_FALSE(reader->Execute("DELETE FROM value").ok());
}

TEST_F(LogFileTest, RowIsReadByTheNamesOfItsColumns) {
  ASSERT_OK_AND_ASSIGN(const auto file, LogFile::Open(path_, {}));
  ASSERT_OK(file->Execute("INSERT INTO value VALUES ('kept', x'01')"));
  ASSERT_OK_AND_ASSIGN(Statement statement,
                       file->Prepare("SELECT v.value, name, length(name) AS length, NULL AS missing FROM value v"));
  // SQLite prepares the statement anew, and its own names go with that.
  ASSERT_OK(file->Execute("CREATE TABLE another (x)"));
  ASSERT_OK_AND_ASSIGN(const bool row, statement.Step());
  ASSERT_TRUE(row);
  EXPECT_EQ(statement.Blob("name"), "kept");
  EXPECT_EQ(statement.Blob("value"), "\x01");
  EXPECT_EQ(statement.Int("length"), 4);
  EXPECT_TRUE(statement.IsNull("missing"));
  EXPECT_FALSE(statement.IsNull("name"));
  Statement moved = std::move(statement);
  EXPECT_EQ(moved.Blob("name"), "kept");
  Statement assigned;
  assigned = std::move(moved);
  EXPECT_EQ(assigned.Blob("name"), "kept");
}

TEST_F(LogFileTest, ColumnThatIsNotThereIsAMistakeOfOurs) {
  ASSERT_OK_AND_ASSIGN(const auto file, LogFile::Open(path_, {}));
  ASSERT_OK_AND_ASSIGN(Statement two, file->Prepare("SELECT 1 AS one, 2 AS two"));
  ASSERT_OK(two.Step().status());
  EXPECT_DEATH((void)two.Int("three"), "named \"three\"; it has: one two");
  EXPECT_DEATH((void)two.OnlyInt(), "CHECK failed");
}

TEST_F(LogFileTest, StatementMayOutliveItsFile) {
  ASSERT_OK_AND_ASSIGN(auto file, LogFile::Open(path_, {}));
  ASSERT_OK_AND_ASSIGN(Statement statement, file->Prepare("SELECT 1"));
  file.reset();
  ASSERT_OK_AND_ASSIGN(const bool row, statement.Step());
  EXPECT_TRUE(row);
}

}  // namespace
}  // namespace assay
