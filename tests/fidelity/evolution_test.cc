// The schema changes in the middle of the stream, at one branch before the other: nothing is lost, nothing else waits,
// what cannot be written yet is named, and the databases are the same, byte for byte, once both have changed.
//
// Each test has one fleet, and in it one table per direction: what shop A does first with the one, shop B does first
// with the other. All the while the app writes at both shops, to the tables that change (the columns that stay) and to
// one that does not.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "tests/fidelity/fidelity.h"
#include "tests/fleet/actor.h"

namespace assay::test {
namespace {

constexpr absl::Duration kSeconds = absl::Seconds(45);  // For what takes a few, on a machine that is busy.

// A table that changes at `first` before it does at `second`.
struct Direction {
  std::string table;
  Branch* first;
  Branch* second;
};

class EvolutionTest : public ::testing::Test {
 protected:
  // `columns` and `rows`, as SQL: of the tables that change. Rows with an id of 1000 and more belong to the stream of
  // writes. `writing`: the stream of writes, which names the tables as they are now.
  void Start(const std::string& columns, const std::string& rows, const std::string& more_schema = "",
             bool writing = true) {
    std::string schema = absl::StrCat(more_schema, ";CREATE TABLE flow (id uuid PRIMARY KEY, note text);");
    for (const char* table : {"first_at_a", "first_at_b"}) {
      absl::StrAppend(&schema, "CREATE TABLE ", table, " (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, ", columns,
                      ");");
    }
    auto fleet = Fleet::Create(2, {.schema = schema});
    if (MaySkipWithoutPostgres(fleet.status())) GTEST_SKIP() << fleet.status().message();
    ASSERT_TRUE(fleet.ok()) << fleet.status();
    fleet_ = *std::move(fleet);
    for (const Direction& to : Directions()) {
      App(*to.first, to, rows);
      App(*to.first, to, "INSERT INTO $t (id) SELECT n FROM generate_series(1001, 1004) n");
    }
    ASSERT_OK(fleet_->WaitConverged(kSeconds));
    for (int i = 0; writing && i < 2; ++i) {
      actors_.Start(fleet_->branch(i).Url(), [](SqlSession& session, std::mt19937_64& random) {
        absl::SleepFor(absl::Milliseconds(40));
        const char* table = random() % 2 == 0 ? "first_at_a" : "first_at_b";
        return session
            .Run(absl::StrCat("BEGIN; INSERT INTO flow VALUES (gen_random_uuid(), 'x'); UPDATE ", table,
                              " SET n = n + 1 WHERE id = ", 1001 + random() % 4, "; COMMIT"))
            .status();
      });
    }
  }

  void TearDown() override { actors_.Stop(); }

  Branch& a() { return fleet_->branch(0); }
  Branch& b() { return fleet_->branch(1); }
  std::vector<Direction> Directions() { return {{"first_at_a", &a(), &b()}, {"first_at_b", &b(), &a()}}; }

  // $t is the direction's table.
  static void App(Branch& branch, const Direction& to, const std::string& sql) {
    MustApp(branch, absl::StrReplaceAll(sql, {{"$t", to.table}}));
  }
  static std::string Value(Branch& branch, const Direction& to, const std::string& sql) {
    return SqlValue(branch.Url(), absl::StrReplaceAll(sql, {{"$t", to.table}}));
  }
  static bool Becomes(Branch& branch, const Direction& to, const std::string& sql, const std::string& value) {
    return Eventually(
        kSeconds, [&] { return Value(branch, to, sql) == value; }, absl::Milliseconds(50));
  }

  // The row is parked at `branch`, and a person is told why in words that have `cause` in them.
  static void ExpectParked(Branch& branch, const std::string& table, int id, const std::string& cause) {
    std::string told;
    EXPECT_TRUE(Eventually(
        kSeconds,
        [&] {
          const absl::StatusOr<google::protobuf::Struct> parked = branch.AssayJson({"parked"});
          if (!parked.ok()) return false;
          told.clear();
          for (const google::protobuf::Struct* row : JsonObjects(*parked, "rows")) {
            if (JsonText(*row, "table") != "public." + table || JsonText(*row, "key.0") != absl::StrCat(id)) continue;
            told = JsonText(*row, "cause");
          }
          return told.find(cause) != std::string::npos;
        },
        absl::Milliseconds(150)))
        << branch.name() << ", row " << id << " of " << table << ": " << told << "\n"
        << branch.Problems();
  }

  // Whatever waits, the other tables do not.
  void ExpectOthersFlow() {
    for (const Direction& to : Directions()) {
      const std::string note = absl::StrCat("marker ", ++markers_);
      MustSql(to.first->Url(), absl::StrCat("INSERT INTO flow VALUES (gen_random_uuid(), '", note, "')"));
      const absl::Time begin = absl::Now();
      EXPECT_TRUE(Becomes(*to.second, to, absl::StrCat("SELECT count(*) FROM flow WHERE note = '", note, "'"), "1"));
      EXPECT_LT(absl::Now() - begin, absl::Seconds(5)) << to.second->Problems();
    }
  }

  void StopWriting() {
    const Actors::Result result = actors_.Stop();
    EXPECT_EQ(result.other_errors, 0) << result.first_error;
    EXPECT_GT(result.done, 0);
  }

  // The app stops, and everything drains by itself: no row is written again, and nobody presses anything.
  void ExpectConverged() {
    StopWriting();
    ASSERT_OK(fleet_->WaitConverged(absl::Seconds(60)));
    for (Branch* branch : {&a(), &b()}) {
      EXPECT_TRUE(branch->DaemonRunning());
      EXPECT_EQ(branch->Problems(), "") << branch->name();
    }
  }

  std::unique_ptr<Fleet> fleet_;
  Actors actors_;
  int markers_ = 0;
};

TEST_F(EvolutionTest, AColumnAddedHereFirstFillsItselfWhereItIsAddedLater) {
  ASSERT_NO_FATAL_FAILURE(Start("v text", "INSERT INTO $t (id, v) SELECT n, 'v' || n FROM generate_series(1, 4) n"));
  const char kAdd[] = "ALTER TABLE $t ADD plain text, ADD usual text DEFAULT 'usual', ADD must int NOT NULL DEFAULT 7";
  for (const Direction& to : Directions()) {
    App(*to.first, to, kAdd);
    App(*to.first, to,
        "UPDATE $t SET plain = 'p', n = 1 WHERE id = 1; UPDATE $t SET usual = NULL WHERE id = 2; UPDATE $t SET must = 9 WHERE id = 3");
    App(*to.first, to,
        "INSERT INTO $t (id, v) VALUES (10, 'new'); INSERT INTO $t VALUES (11, 0, 'nothing', NULL, NULL, 0), (12, 0, NULL, 'x', 'y', -1)");
    App(*to.second, to,
        "INSERT INTO $t (id, v) VALUES (20, 'knows nothing of it'); UPDATE $t SET v = 'from there' WHERE id IN (1, 4)");
  }
  for (const Direction& to : Directions()) {
    ExpectParked(*to.second, to.table, 1, "no column plain");
    ExpectParked(*to.second, to.table, 3, "no column must");
    ExpectParked(*to.second, to.table, 12, "no column plain, usual, must");
    // What can be written of a row is: and a row of a branch that lacks the columns has their defaults.
    EXPECT_TRUE(Becomes(*to.second, to, "SELECT v FROM $t WHERE id = 11", "nothing"));
    EXPECT_TRUE(Becomes(*to.first, to, "SELECT v || must || usual FROM $t WHERE id = 20 AND plain IS NULL",
                        "knows nothing of it7usual"));
  }
  ExpectOthersFlow();
  for (const Direction& to : Directions()) App(*to.second, to, kAdd);
  ASSERT_NO_FATAL_FAILURE(ExpectConverged());
  for (const Direction& to : Directions()) {
    for (Branch* branch : {&a(), &b()}) {
      EXPECT_EQ(
          Value(
              *branch, to,
              "SELECT string_agg(concat_ws('|', id, v, coalesce(plain, '~'), coalesce(usual, '~'), must), ',' ORDER BY id) "
              "FROM $t WHERE id < 1000"),
          "1|from there|p|usual|7,2|v2|~|~|7,3|v3|~|usual|9,4|from there|~|usual|7,10|new|~|usual|7,11|nothing|~|~|0,12|x|y|-1,"
          "20|knows nothing of it|~|usual|7");
    }
  }
}

TEST_F(EvolutionTest, AColumnDroppedHereFirstIsWaitedForUntilItIsDroppedThereToo) {
  ASSERT_NO_FATAL_FAILURE(
      Start("x text, v text", "INSERT INTO $t (id, x, v) SELECT n, 'x' || n, 'v' || n FROM generate_series(1, 6) n"));
  for (const Direction& to : Directions()) {
    App(*to.first, to, "ALTER TABLE $t DROP x");
    App(*to.first, to,
        "UPDATE $t SET v = 'here' WHERE id = 1; INSERT INTO $t (id, v) VALUES (10, 'here'); "
        "DELETE FROM $t WHERE id IN (5, 6); INSERT INTO $t (id, v) VALUES (5, 'again')");
    App(*to.second, to,
        "UPDATE $t SET x = 'late', v = 'late' WHERE id = 2; UPDATE $t SET x = NULL WHERE id = 3; "
        "INSERT INTO $t (id, x, v) VALUES (20, 'late', 'there')");
  }
  for (const Direction& to : Directions()) {
    ExpectParked(*to.first, to.table, 2, "no column x");
    ExpectParked(*to.first, to.table, 20, "no column x");
    EXPECT_EQ(Value(*to.first, to, "SELECT v FROM $t WHERE id = 2"), "late") << "what fits is written";
    EXPECT_TRUE(Becomes(*to.second, to, "SELECT v FROM $t WHERE id = 10 AND x IS NULL", "here"));
  }
  ExpectOthersFlow();
  for (const Direction& to : Directions()) App(*to.second, to, "ALTER TABLE $t DROP x");
  // The app goes on writing the table: by that the others hear that nobody has the column any more.
  ASSERT_TRUE(Eventually(
      kSeconds, [&] { return a().Problems() + b().Problems() == ""; }, absl::Milliseconds(200)))
      << a().Problems() << b().Problems();
  // Another column that happens to have its name owes nothing to it.
  for (const Direction& to : Directions()) {
    App(*to.first, to,
        "ALTER TABLE $t ADD x int; UPDATE $t SET x = 1 WHERE id < 3; INSERT INTO $t (id, x) VALUES (30, 30)");
    ExpectParked(*to.second, to.table, 30, "no column x");
    App(*to.second, to, "ALTER TABLE $t ADD x int");
  }
  ASSERT_NO_FATAL_FAILURE(ExpectConverged());
  for (const Direction& to : Directions()) {
    EXPECT_EQ(Value(a(), to, "SELECT string_agg(concat_ws('|', id, x, v), ',' ORDER BY id) FROM $t WHERE id < 1000"),
              "1|1|here,2|1|late,3|v3,4|v4,5|again,10|here,20|there,30|30");
  }
}

TEST_F(EvolutionTest, AColumnRenamedHereFirstKeepsWhatIsWrittenUnderItsOldName) {
  ASSERT_NO_FATAL_FAILURE(Start(
      "old text, v text", "INSERT INTO $t (id, old, v) SELECT n, 'o' || n, 'v' || n FROM generate_series(1, 6) n"));
  for (const Direction& to : Directions()) {
    App(*to.first, to, "ALTER TABLE $t RENAME old TO new");
    App(*to.first, to,
        "UPDATE $t SET new = 'renamed' WHERE id IN (1, 3); INSERT INTO $t (id, new) VALUES (10, 'renamed')");
    ExpectParked(*to.second, to.table, 1, "no column new");
    // Under the old name, and later: in a row that nobody else wrote, in one that was written under the new name, in a
    // new one.
    App(*to.second, to,
        "UPDATE $t SET old = 'late' WHERE id IN (2, 3); INSERT INTO $t (id, old, v) VALUES (20, 'late', 'there'); "
        "UPDATE $t SET v = 'there' WHERE id = 1");
  }
  for (const Direction& to : Directions()) {
    EXPECT_TRUE(Becomes(*to.first, to, "SELECT string_agg(new, ',' ORDER BY id) FROM $t WHERE id IN (2, 3, 20)",
                        "late,late,late"))
        << Value(*to.first, to, "SELECT string_agg(new, ',' ORDER BY id) FROM $t WHERE id IN (2, 3, 20)")
        << to.first->Problems();
    EXPECT_EQ(Value(*to.second, to, "SELECT old FROM $t WHERE id = 1"), "o1")
        << "a column of the new name is not there yet";
  }
  ExpectOthersFlow();
  for (const Direction& to : Directions()) {
    App(*to.second, to, "ALTER TABLE $t RENAME old TO new");
    App(*to.second, to, "UPDATE $t SET new = 'both' WHERE id = 4");
    App(*to.first, to, "UPDATE $t SET new = 'both' WHERE id = 5");
  }
  ASSERT_NO_FATAL_FAILURE(ExpectConverged());
  for (const Direction& to : Directions()) {
    EXPECT_EQ(Value(a(), to, "SELECT string_agg(concat_ws('|', id, new, v), ',' ORDER BY id) FROM $t WHERE id < 1000"),
              "1|renamed|there,2|late|v2,3|late|v3,4|both|v4,5|both|v5,6|o6|v6,10|renamed,20|late|there");
  }
}

TEST_F(EvolutionTest, AColumnOfAnotherTypeTakesWhatIsNarrowerAndWaitsForTheRest) {
  ASSERT_NO_FATAL_FAILURE(Start(
      "grown int, worded int, counted text, longer varchar(10), finer numeric(12,2), state mood, moment timestamp(0)",
      "INSERT INTO $t (id, grown, worded, counted, longer, finer, state, moment) "
      "SELECT n, n, n, n, 'l' || n, n + 0.25, 'calm', '2024-05-01 10:00:00' FROM generate_series(1, 20) n",
      "CREATE TYPE mood AS ENUM ('calm', 'loud')"));
  const char kRetype[] =
      "ALTER TABLE $t ALTER grown TYPE bigint, ALTER worded TYPE text, ALTER counted TYPE numeric USING counted::numeric, "
      "ALTER longer TYPE varchar(40), ALTER finer TYPE numeric(14,4), ALTER moment TYPE timestamp(3)";
  for (const Direction& to : Directions()) App(*to.first, to, kRetype);
  // One type for both tables: at A first.
  MustApp(a(), "ALTER TYPE mood ADD VALUE 'glad' BEFORE 'loud'");
  for (const Direction& to : Directions()) {
    App(*to.first, to,
        "UPDATE $t SET grown = 3000000000 WHERE id = 1; UPDATE $t SET worded = '05' WHERE id = 2; UPDATE $t SET worded = 'many' WHERE id = 3;"
        "UPDATE $t SET longer = 'longer than ten' WHERE id = 4; UPDATE $t SET finer = 1.2345 WHERE id = 5;"
        "UPDATE $t SET moment = '2024-05-01 10:00:00.125' WHERE id = 6");
    // The other way round: a text that is no number there.
    App(*to.second, to, "UPDATE $t SET counted = 'a dozen' WHERE id = 7; UPDATE $t SET counted = '007' WHERE id = 8");
    // What fits both waits all the same where the type is narrower or another one: it may mean something else there.
    App(*to.first, to,
        "UPDATE $t SET grown = 42, worded = '42', counted = 42, longer = 'l', finer = 42.5, moment = '2024-05-02 00:00:00' WHERE id = 9");
    App(*to.second, to,
        "UPDATE $t SET grown = 43, worded = 43, counted = '43', longer = 'l', finer = 43.5, moment = '2024-05-03 00:00:00' WHERE id = 10");
  }
  MustApp(a(), "UPDATE first_at_a SET state = 'glad' WHERE id = 11");
  const char kAll[] =
      "SELECT concat_ws('|', grown, worded, counted, longer, round(finer, 1), moment) FROM $t WHERE id = ";
  for (const Direction& to : Directions()) {
    ExpectParked(*to.second, to.table, 1, "column grown was written as bigint and is integer here");
    ExpectParked(*to.second, to.table, 2, "worded was written as text and is integer");
    ExpectParked(*to.second, to.table, 3, "worded was written as text and is integer");
    ExpectParked(*to.second, to.table, 4, "longer was written as character varying(40) and is character varying(10)");
    ExpectParked(*to.second, to.table, 5, "finer was written as numeric(14,4) and is numeric(12,2)");
    ExpectParked(*to.second, to.table, 6, "moment was written as timestamp(3) without time zone");
    ExpectParked(*to.first, to.table, 7, "counted was written as text and is numeric");
    ExpectParked(*to.first, to.table, 8, "counted was written as text and is numeric");
    ExpectParked(*to.second, to.table, 9, "grown was written as bigint");
    ExpectParked(*to.first, to.table, 10, "worded was written as integer and is text");
    EXPECT_EQ(Value(*to.second, to, "SELECT finer FROM $t WHERE id = 5"), "5.25") << "not rounded in silence";
    EXPECT_EQ(Value(*to.second, to, absl::StrCat(kAll, 9)), "9|9|9|l9|9.3|2024-05-01 10:00:00");
    EXPECT_TRUE(Becomes(*to.first, to, absl::StrCat(kAll, 10), "43|10|10|l|10.3|2024-05-03 00:00:00"))
        << "what is wider here loses nothing";
  }
  ExpectParked(b(), "first_at_a", 11, "invalid input value for enum");
  ExpectOthersFlow();
  for (const Direction& to : Directions()) {
    // The text that no number is has to be mended by the person who changes the type: that is a write as any other.
    App(*to.second, to, "UPDATE $t SET counted = '12' WHERE id = 7; UPDATE $t SET counted = '7' WHERE id = 8");
    App(*to.second, to, kRetype);
    // That its writer has made numbers of those texts, too, is told with the next write of the table.
    App(*to.second, to, "UPDATE $t SET n = 1 WHERE id = 10");
  }
  MustApp(b(), "ALTER TYPE mood ADD VALUE 'glad' BEFORE 'loud'");
  ASSERT_NO_FATAL_FAILURE(ExpectConverged());
  for (const Direction& to : Directions()) {
    EXPECT_EQ(Value(b(), to,
                    "SELECT concat_ws('|', max(grown), min(worded), min(finer), max(longer) FILTER (WHERE id = 4), "
                    "max(counted) FILTER (WHERE id = 7), max(moment) FILTER (WHERE id = 6)) FROM $t WHERE id < 9"),
              "3000000000|05|1.2345|longer than ten|12|2024-05-01 10:00:00.125");
  }
  for (const Direction& to : Directions()) {
    EXPECT_EQ(Value(*to.second, to, absl::StrCat(kAll, 9)), "42|42|42|l|42.5|2024-05-02 00:00:00");
    EXPECT_EQ(Value(*to.first, to, absl::StrCat(kAll, 10)), "43|43|43|l|43.5|2024-05-03 00:00:00");
  }
  EXPECT_EQ(SqlValue(b().Url(), "SELECT state FROM first_at_a WHERE id = 11"), "glad");
}

TEST_F(EvolutionTest, ColumnsInAnotherOrderAreFoundByTheirNames) {
  ASSERT_NO_FATAL_FAILURE(
      Start("v text, w text", "INSERT INTO $t (id, v, w) SELECT n, 'v' || n, 'w' || n FROM generate_series(1, 4) n"));
  for (const Direction& to : Directions()) {
    App(*to.first, to, "ALTER TABLE $t ADD p text; ALTER TABLE $t ADD q text");
    App(*to.second, to, "ALTER TABLE $t ADD q text; ALTER TABLE $t ADD p text");
    // As a dump that was reloaded by hand: the column moves to the end, with its values.
    App(*to.second, to,
        "BEGIN; ALTER TABLE $t ADD moved text; UPDATE $t SET moved = v; ALTER TABLE $t DROP v; ALTER TABLE $t RENAME moved TO v; COMMIT");
    App(*to.first, to,
        "UPDATE $t SET p = 'p', q = 'q' WHERE id = 1; INSERT INTO $t (id, v, w, p, q) VALUES (10, 'v', 'w', 'p', 'q')");
    App(*to.second, to,
        "UPDATE $t SET p = 'P', v = 'V' WHERE id = 2; INSERT INTO $t (id, v, w, p, q) VALUES (20, 'v', 'w', 'p', 'q'); "
        "UPDATE $t SET id = 33 WHERE id = 3");
  }
  ExpectOthersFlow();
  for (const Direction& to : Directions()) {
    EXPECT_TRUE(Becomes(*to.second, to, "SELECT v || w || p || q FROM $t WHERE id = 10", "vwpq"));
    EXPECT_TRUE(Becomes(*to.first, to, "SELECT v || w || p || q FROM $t WHERE id = 20", "vwpq"));
    EXPECT_TRUE(Becomes(*to.first, to, "SELECT v || w || p FROM $t WHERE id = 2", "Vw2P"));
    EXPECT_TRUE(Becomes(*to.first, to, "SELECT v || w FROM $t WHERE id = 33", "v3w3"));
  }
  ASSERT_NO_FATAL_FAILURE(ExpectConverged());
}

TEST_F(EvolutionTest, ATableRenamedWhileTheShopsRestGoesOnUnderItsNewName) {
  ASSERT_NO_FATAL_FAILURE(Start("v text", "INSERT INTO $t (id, v) SELECT n, 'v' || n FROM generate_series(1, 6) n", "",
                                /*writing=*/false));
  for (const Direction& to : Directions()) {
    App(*to.first, to, "ALTER TABLE $t RENAME TO $t_renamed");
    App(*to.first, to,
        "UPDATE $t_renamed SET v = 'renamed' WHERE id = 1; DELETE FROM $t_renamed WHERE id = 2; INSERT INTO $t_renamed (id, v) VALUES (10, 'renamed')");
  }
  for (const Direction& to : Directions()) {
    ExpectParked(*to.second, to.table + "_renamed", 1, "there is no table");
    ExpectParked(*to.second, to.table + "_renamed", 10, "there is no table");
  }
  ExpectOthersFlow();
  for (const Direction& to : Directions()) App(*to.second, to, "ALTER TABLE $t RENAME TO $t_renamed");
  ASSERT_OK(fleet_->WaitConverged(absl::Seconds(60)));
  for (const Direction& to : Directions()) {
    App(*to.second, to, "UPDATE $t_renamed SET v = 'after' WHERE id = 3; DELETE FROM $t_renamed WHERE id = 4");
    App(*to.first, to, "UPDATE $t_renamed SET n = 5 WHERE id = 3; UPDATE $t_renamed SET id = 55 WHERE id = 5");
  }
  ASSERT_OK(fleet_->WaitConverged(kSeconds));
  for (const Direction& to : Directions()) {
    EXPECT_EQ(
        Value(b(), to, "SELECT string_agg(concat_ws('|', id, n, v), ',' ORDER BY id) FROM $t_renamed WHERE id < 1000"),
        "1|0|renamed,3|5|after,6|0|v6,10|0|renamed,55|0|v5");
  }
  EXPECT_EQ(a().Problems() + b().Problems(), "");
}

TEST_F(EvolutionTest, WhatIsWrittenUnderATablesOldNameWaitsByNameUntilItsColumnsAreWrittenAgain) {
  ASSERT_NO_FATAL_FAILURE(Start("v text", "INSERT INTO $t (id, v) SELECT n, 'v' || n FROM generate_series(1, 6) n", "",
                                /*writing=*/false));
  for (const Direction& to : Directions()) {
    App(*to.first, to, "ALTER TABLE $t RENAME TO $t_renamed");
    App(*to.second, to, "INSERT INTO $t (id, n, v) VALUES (20, 20, 'late'); UPDATE $t SET v = 'late' WHERE id = 2");
  }
  for (const Direction& to : Directions()) {
    ExpectParked(*to.first, to.table, 20, "there is no table");
    ExpectParked(*to.first, to.table, 2, "there is no table");
  }
  ExpectOthersFlow();
  for (const Direction& to : Directions()) {
    App(*to.second, to, "ALTER TABLE $t RENAME TO $t_renamed");
    // Nobody carries these over. The log knows the rows under the old name: an update brings what it changes to a row
    // that is here, and makes none.
    App(*to.second, to, "UPDATE $t_renamed SET n = n + 1, v = v || '!' WHERE id IN (2, 20)");
    EXPECT_TRUE(Becomes(*to.first, to, "SELECT concat_ws('|', id, n, v) FROM $t_renamed WHERE id = 2", "2|1|late!"))
        << to.first->Problems();
    ExpectParked(*to.first, to.table + "_renamed", 20, "the beginning of this row");
    App(*to.second, to,
        "DELETE FROM $t_renamed WHERE id = 20;"
        "INSERT INTO $t_renamed (id, n, v) VALUES (20, 21, 'late!')");
    EXPECT_TRUE(Becomes(*to.first, to,
                        "SELECT coalesce(string_agg(concat_ws('|', id, n, v), ''), '') FROM $t_renamed WHERE id = 20",
                        "20|21|late!"))
        << to.first->Problems();
  }
  EXPECT_OK(fleet_->Compare());
  for (const Direction& to : Directions()) ExpectParked(*to.first, to.table, 20, "there is no table");
}

TEST_F(EvolutionTest, ATableChangedInsideATransactionThatWritesBeforeAndAfter) {
  ASSERT_NO_FATAL_FAILURE(Start(
      "v text, w int, x text", "INSERT INTO $t (id, v, w, x) SELECT n, 'v' || n, n, 'x' FROM generate_series(1, 6) n"));
  const char kChange[] =
      "BEGIN; UPDATE $t SET v = 'before', x = 'before' WHERE id = $1; INSERT INTO $t (id, v, w) VALUES ($2, 'before', 1);"
      "ALTER TABLE $t ADD added text DEFAULT 'usual'; UPDATE $t SET added = 'between' WHERE id = $1;"
      "ALTER TABLE $t ALTER w TYPE text USING 'w' || w; UPDATE $t SET w = 'between' WHERE id = $2;"
      "ALTER TABLE $t DROP x; ALTER TABLE $t RENAME v TO vv; INSERT INTO $t (id, vv, w, added) VALUES ($3, 'after', 'after', 'after');"
      "UPDATE $t SET vv = 'after' WHERE id = $2; DELETE FROM $t WHERE id = $4; COMMIT";
  const auto change = [&](Branch& branch, const Direction& to, int id) {
    App(branch, to,
        absl::StrReplaceAll(kChange, {{"$1", absl::StrCat(id)},
                                      {"$2", absl::StrCat(id * 10)},
                                      {"$3", absl::StrCat(id * 10 + 1)},
                                      {"$4", absl::StrCat(id + 4)}}));
  };
  for (const Direction& to : Directions()) change(*to.first, to, 1);
  for (const Direction& to : Directions()) {
    ExpectParked(*to.second, to.table, 1, "no column added");
    ExpectParked(*to.second, to.table, 11, "column w was written as text and is integer here");
    EXPECT_EQ(Value(*to.second, to, "SELECT count(*) FROM $t WHERE id = 5"), "0")
        << "what fits of that transaction is there";
  }
  ExpectOthersFlow();
  for (const Direction& to : Directions()) change(*to.second, to, 2);
  ASSERT_NO_FATAL_FAILURE(ExpectConverged());
  for (const Direction& to : Directions()) {
    EXPECT_EQ(
        Value(b(), to, "SELECT string_agg(concat_ws('|', id, vv, w, added), ',' ORDER BY id) FROM $t WHERE id < 1000"),
        "1|before|w1|between,2|before|w2|between,3|v3|w3|usual,4|v4|w4|usual,10|after|between|usual,11|after|after|after,"
        "20|after|between|usual,21|after|after|after");
  }
}

}  // namespace
}  // namespace assay::test
