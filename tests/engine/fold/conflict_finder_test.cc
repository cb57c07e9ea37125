// Goal: the list of conflicts is a function of the log.
// Method: three branches that edit one row and hear of each other now and then, by chance; their events come to the
// finder in orders in which no event comes before what it had seen, in batches cut anywhere; held against the slow
// twin.
#include "engine/fold/conflict_finder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "engine/fold/pending_row.h"
#include "tests/engine/fold/reference_conflicts.h"
#include "tests/support/hand_clock.h"
#include "tests/support/open_log.h"
#include "tests/support/origins.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using test::Origin;

constexpr int kBranches = 3;

class ConflictFinderTest : public ::testing::Test {
 protected:
  struct Edit {
    ReferenceEdit of;
    std::optional<std::string> value;  // nullopt: a delete.
    uint32_t epoch = 0;
  };
  using Pairs = std::set<std::pair<Version, Version>>;

  // A history of `count` edits, and each branch's chain of them.
  void Write(std::mt19937& random, int count) {
    OpenChains();
    std::map<OriginId, Sequence> seen[kBranches];
    uint64_t clock[kBranches] = {10, 10, 10};
    uint32_t epochs = 0, epoch[kBranches] = {};
    for (int i = 0; i < count; ++i) {
      const int by = static_cast<int>(random() % kBranches);
      if (random() % 2 == 0) {
        // It hears of another one, and of all that one had heard of.
        const int from = static_cast<int>(random() % kBranches);
        if (from != by) {
          seen[by][Origin(from)] = log_->log->Head(Origin(from)).last;
          for (const auto& [other, sequence] : seen[from]) {
            if (other != Origin(by)) seen[by][other] = std::max(seen[by][other], sequence);
          }
          clock[by] = std::max(clock[by], clock[from]);
        }
        epoch[by] = ++epochs;
      }
      if (epoch[by] == 0) epoch[by] = ++epochs;
      clock[by] += 1 + random() % 3;
      Edit edit;
      edit.epoch = epoch[by];
      if (random() % 5 != 0) edit.value = std::string(1, static_cast<char>('a' + random() % 3));
      edit.of = {{HlcStamp{clock[by]}, Origin(by), log_->log->Head(Origin(by)).last.Next()}, seen[by], edit.value};
      Append(edit);
      chains_[by].push_back(edit);
    }
  }

  // The branches' events as they may come to somebody, in batches; what is found.
  void Deliver(std::mt19937& random) {
    log_->file->Execute("DELETE FROM seen").IgnoreError();
    EXPECT_TRUE(log_->conflicts->Clear().ok());
    RowVersions row;
    size_t next[kBranches] = {};
    std::unique_ptr<PendingRow> pending;
    const auto land = [&] {
      if (pending == nullptr) return;
      for (const RowVersions& step : pending->steps()) {
        ASSERT_TRUE(finder_->Take(ref_, EncodeKey({"1"}), row, step).ok());
        Merge(step, &row);
      }
      pending.reset();
    };
    for (bool more = true; more;) {
      more = false;
      const int first = static_cast<int>(random() % kBranches);
      for (int i = 0; i < kBranches; ++i) {
        const int by = (first + i) % kBranches;
        if (next[by] == chains_[by].size()) continue;
        more = true;
        const Edit& edit = chains_[by][next[by]];
        bool ready = true;
        for (const auto& [other, sequence] : edit.of.seen) {
          // Event 1 opens the chain, and 2 declares the table.
          const int of = other.bytes[0];
          ready &= sequence.value < 3 || next[of] + 2 >= sequence.value;
        }
        if (!ready) continue;
        ++next[by];
        for (const auto& [other, sequence] : edit.of.seen)
          EXPECT_TRUE(log_->state->AddSeen(Origin(by), edit.of.version.sequence, other, sequence).ok());
        Fold(edit, &pending);
        if (random() % 3 == 0) land();
        break;
      }
    }
    land();
  }

  void Fold(const Edit& edit, std::unique_ptr<PendingRow>* pending) {
    std::vector<PendingRow::Write> writes;
    if (edit.value.has_value()) writes.push_back({column_, PendingRow::Kind::kText, *edit.value});
    if (*pending == nullptr) *pending = std::make_unique<PendingRow>(ref_, EncodeKey({"1"}), writes);
    (*pending)->Fold(edit.of.version, edit.value.has_value() ? ChangeKind::kUpdate : ChangeKind::kDelete, writes,
                     *schema_, edit.epoch);
  }

  Pairs Found(std::optional<ColumnId> column) {
    Pairs found;
    const std::vector<Conflict> listed = log_->conflicts->List(0, 1'000'000).value();
    for (const Conflict& conflict : listed) {
      if (conflict.column == column) {
        EXPECT_TRUE(found.insert({conflict.winner, conflict.loser}).second) << "listed twice";
      }
    }
    return found;
  }
  Pairs Expected(bool life) {
    std::vector<ReferenceEdit> edits;
    for (const std::vector<Edit>& chain : chains_) {
      for (const Edit& edit : chain) {
        if (!life && !edit.value.has_value()) continue;
        edits.push_back(edit.of);
        if (life) edits.back().content = edit.value.has_value() ? "edit" : "delete";
      }
    }
    return ReferenceConflicts(edits);
  }

  void OpenChains() {
    finder_.reset();
    log_.reset();
    directory_ = std::make_unique<test::TempDirectory>("conflicts");
    log_ = std::make_unique<test::OpenLog>(directory_->path() + "/log.db");
    ASSERT_TRUE(log_->file->Begin().ok());
    for (int by = 0; by < kBranches; ++by) {
      chains_[by].clear();
      v1::Event event = Next(by, 1);
      event.mutable_origin_opened();
      AppendEvent(event);
      event = Next(by, 2);
      event.mutable_schema()->set_schema_name("public");
      event.mutable_schema()->set_table_name("t");
      event.mutable_schema()->add_columns()->set_name("k");
      event.mutable_schema()->add_columns()->set_name("v");
      event.mutable_schema()->add_key(0);
      AppendEvent(event);
    }
    schema_ = log_->names->Schema(Origin(0), Sequence{2}).value();
    ref_ = {schema_->table, HashKey(RowKey{"1"})};
    column_ = schema_->columns[1];
    values_ = std::make_unique<FoldValues>(log_->log.get(), log_->names.get());
    finder_ = std::make_unique<ConflictFinder>(log_->stores(), values_.get(), &clock_);
  }
  v1::Event Next(int by, uint64_t stamp) {
    v1::Event event;
    event.set_origin(std::string(Origin(by).AsBytes()));
    event.set_sequence(log_->log->Head(Origin(by)).last.value + 1);
    event.set_stamp(stamp);
    event.set_transaction_first(event.sequence());
    event.set_ends_transaction(true);
    event.mutable_transaction();
    return event;
  }
  void AppendEvent(const v1::Event& event) {
    ASSERT_TRUE(log_->log->Append(event, event.has_row() ? "public.t" : "", event.SerializeAsString()).ok());
  }
  void Append(const Edit& edit) {
    v1::Event event = Next(edit.of.version.origin.bytes[0], edit.of.version.stamp.value);
    event.mutable_row()->set_operation(edit.value.has_value() ? v1::RowChange::UPDATE : v1::RowChange::DELETE);
    event.mutable_row()->set_schema(2);
    event.mutable_row()->add_key("1");
    if (edit.value.has_value()) {
      event.mutable_row()->add_columns()->set_ordinal(1);
      event.mutable_row()->mutable_columns(0)->set_value(*edit.value);
    }
    AppendEvent(event);
  }

  test::HandClock clock_;
  std::unique_ptr<test::TempDirectory> directory_;
  std::unique_ptr<test::OpenLog> log_;
  std::unique_ptr<FoldValues> values_;
  std::unique_ptr<ConflictFinder> finder_;
  std::shared_ptr<const ResolvedSchema> schema_;
  RowRef ref_;
  ColumnId column_;
  std::vector<Edit> chains_[kBranches];
};

TEST_F(ConflictFinderTest, TheSameEventsGiveTheSameListHoweverTheyCome) {
  size_t conflicts = 0;
  for (uint32_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    ASSERT_NO_FATAL_FAILURE(Write(random, 4 + static_cast<int>(seed % 12)));
    for (int order = 0; order < 4; ++order) {
      ASSERT_NO_FATAL_FAILURE(Deliver(random));
      ASSERT_EQ(Found(column_), Expected(/*life=*/false));
      ASSERT_EQ(Found(std::nullopt), Expected(/*life=*/true));
    }
    conflicts += Found(column_).size() + Found(std::nullopt).size();
  }
  EXPECT_GT(conflicts, 200u) << "or it shows nothing";
}

// Goal: a shop that is enrolled from a copy, or whose rows were compared, comes to the same list, and so does who
// merges what is merged already.
TEST_F(ConflictFinderTest, EventsThatComeOnceMoreChangeNothing) {
  for (uint32_t seed = 1000; seed < 1040; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    ASSERT_NO_FATAL_FAILURE(Write(random, 10));
    ASSERT_NO_FATAL_FAILURE(Deliver(random));
    ASSERT_EQ(Found(column_), Expected(false));
    RowVersions all;
    std::vector<const Edit*> edits;
    for (const std::vector<Edit>& chain : chains_) {
      for (const Edit& edit : chain) edits.push_back(&edit);
    }
    std::sort(edits.begin(), edits.end(), [](const Edit* a, const Edit* b) { return a->of.version < b->of.version; });
    const auto claim = [&](const Edit& edit) {
      return VersionsOf({edit.value.has_value() ? ChangeKind::kUpdate : ChangeKind::kDelete, edit.of.version,
                         edit.value.has_value() ? std::vector<ColumnId>{column_} : std::vector<ColumnId>{}});
    };
    for (const Edit* edit : edits) Merge(claim(*edit), &all);
    for (const bool taken_on : {true, false}) {
      SCOPED_TRACE(taken_on);
      RowVersions row = taken_on ? all : RowVersions{};
      for (const Edit* edit : edits) {
        ASSERT_TRUE(finder_->Take(ref_, EncodeKey({"1"}), row, claim(*edit)).ok());
        Merge(claim(*edit), &row);
      }
      ASSERT_EQ(Found(column_), Expected(false));
      ASSERT_EQ(Found(std::nullopt), Expected(true));
    }
  }
}

TEST_F(ConflictFinderTest, WhatNobodyEditedIsNoSideOfAConflict) {
  std::mt19937 random(1);
  ASSERT_NO_FATAL_FAILURE(Write(random, 0));
  const auto at = [](uint64_t stamp, int by) { return Version{HlcStamp{stamp}, Origin(by), Sequence{3}}; };
  RowVersions row =
      VersionsOf({ChangeKind::kInsert, at(StampThatCounts(v1::RowChange::FOUND, {50}).value, 0), {column_}});
  for (const Version& next : {at(60, 1), at(StampThatCounts(v1::RowChange::GIVEN_UP, {70}).value, 2)}) {
    const RowVersions change = VersionsOf({ChangeKind::kUpdate, next, {column_}});
    ASSERT_TRUE(finder_->Take(ref_, EncodeKey({"1"}), row, change).ok());
    Merge(change, &row);
  }
  EXPECT_EQ(log_->conflicts->count(), 0);
  EXPECT_FALSE(log_->conflicts->MayHave(ref_));
}

// Of a value that is not granted here, or was too large for its event, nobody can say that it is the same.
TEST_F(ConflictFinderTest, AValueThatIsNotToldIsListedAsAnother) {
  std::mt19937 random(1);
  ASSERT_NO_FATAL_FAILURE(Write(random, 0));
  RowVersions row;
  for (const int by : {0, 1}) {
    const Version untold{HlcStamp{50}, Origin(by), Sequence{100}};
    const RowVersions change = VersionsOf({ChangeKind::kUpdate, untold, {column_}});
    ASSERT_TRUE(finder_->Take(ref_, EncodeKey({"1"}), row, change).ok());
    Merge(change, &row);
  }
  const std::vector<Conflict> listed = log_->conflicts->List(0, 10).value();
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].column, column_);
}

}  // namespace
}  // namespace assay
