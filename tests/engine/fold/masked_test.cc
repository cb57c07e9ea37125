// Goal: what a branch is not granted takes nothing from what it is: neither a declaration, nor who did it, nor the
// causal order. Method: one branch records, another pulls it with one table masked, and folds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/audit/event_view.h"
#include "engine/fold/batch.h"
#include "tests/engine/recovery/recorded_branch.h"

namespace assay {
namespace {

using test::RecordedBranch;
using test::Row;
using ::testing::SizeIs;

class MaskedTest : public ::testing::Test {
 protected:
  static std::shared_ptr<TableShape> Customers() {
    std::shared_ptr<TableShape> shape = test::Products();
    shape->name = {"public", "customers"};
    return shape;
  }
  static CaptureItem Item(CaptureItem::Kind kind) {
    CaptureItem item;
    item.kind = kind;
    item.commit_time_us = test::kNowMs * 1000;
    return item;
  }
  void Begin(uint64_t lsn) {
    CaptureItem begin = Item(CaptureItem::Kind::kBegin);
    begin.commit_lsn = {lsn};
    ASSERT_TRUE(mumbai_.recorder->Record(begin).ok());
    CaptureItem who = Item(CaptureItem::Kind::kMessage);
    who.prefix = kAttributionPrefix;
    who.content = R"({"application_user": "asha"})";
    ASSERT_TRUE(mumbai_.recorder->Record(who).ok());
  }
  void Insert(const std::shared_ptr<TableShape>& shape, const Row& row) {
    CaptureItem item = Item(CaptureItem::Kind::kInsert);
    item.relation = shape;
    item.new_tuple = test::Tuple(row);
    ASSERT_TRUE(mumbai_.recorder->Record(item).ok());
  }
  void Commit(uint64_t lsn) {
    CaptureItem commit = Item(CaptureItem::Kind::kCommit);
    commit.commit_lsn = commit.end_lsn = {lsn};
    ASSERT_TRUE(mumbai_.recorder->Record(commit).ok());
  }
  // Brings mumbai's events to pune, those of `table` as leaf hashes.
  void Pull(absl::string_view masked_table) {
    auto segments =
        mumbai_.log->ReadSegments(mumbai_.own, pune_.log->Head(mumbai_.own).last.Next(), 1 << 20, true).value();
    for (Segment& segment : segments) {
      for (size_t i = 0; i < segment.parts.size(); ++i) {
        if (segment.parts[i].table == masked_table) {
          ASSERT_TRUE(MaskPart(&segment, i).ok());
        }
      }
      ASSERT_TRUE(pune_.log->AppendPulled(segment).ok());
    }
  }

  RecordedBranch mumbai_{1}, pune_{2};
  const std::shared_ptr<TableShape> products_ = test::Products(), customers_ = Customers();
  const OriginId pune_origin_ = pune_.own;
};

TEST_F(MaskedTest, ATableThatIsGrantedLaterCanBeReadFromThereOn) {
  Begin(1), Insert(customers_, {"1", "asha", "x"}), Commit(1);
  Pull("public.customers");
  Begin(2), Insert(customers_, {"2", "ravi", "x"}), Commit(2);
  Begin(3), Insert(products_, {"7", "ring", "x"}), Commit(3);
  Pull("none");
  Batch batch(pune_.own, pune_.log.get(), pune_.names.get(), pune_.state.get());
  ASSERT_TRUE(batch.Gather(100).value());
  EXPECT_TRUE(batch.stopped().empty()) << batch.stopped().begin()->second;
  EXPECT_THAT(batch.rows(), SizeIs(2));
  EXPECT_EQ(batch.to().at(mumbai_.own), mumbai_.log->Head(mumbai_.own).complete);
}

// A log may have a declaration among a table's own events: it is masked with them.
TEST_F(MaskedTest, ARowWhoseDeclarationIsMaskedIsAsGoodAsMaskedItself) {
  Begin(1), Insert(products_, {"1", "ring", "x"}), Commit(1);
  v1::Event event;
  event.set_origin(std::string(mumbai_.own.AsBytes()));
  event.set_stamp(mumbai_.log->Head(mumbai_.own).complete_stamp.value + 1);
  event.set_sequence(mumbai_.log->Head(mumbai_.own).last.value + 1);
  event.set_transaction_first(event.sequence());
  event.mutable_transaction();
  DeclaredTable declared;
  declared.former.resize(customers_->columns.size());
  declared.key = ColumnHistory::KeyOf(*customers_, declared.former);
  SetSchema(*customers_, declared, event.mutable_schema());
  ASSERT_TRUE(mumbai_.log->Append(event, "public.customers", event.SerializeAsString()).ok());
  event.clear_transaction();
  event.mutable_row()->set_schema(event.sequence());
  event.mutable_row()->add_key("1");
  event.set_sequence(event.sequence() + 1);
  event.set_ends_transaction(true);
  ASSERT_TRUE(mumbai_.log->Append(event, "public.other", event.SerializeAsString()).ok());
  Pull("public.customers");
  Batch batch(pune_.own, pune_.log.get(), pune_.names.get(), pune_.state.get());
  ASSERT_TRUE(batch.Gather(100).value());
  EXPECT_TRUE(batch.stopped().empty()) << batch.stopped().begin()->second;
  EXPECT_THAT(batch.rows(), SizeIs(1));
  test::HandClock clock;
  EXPECT_TRUE(FoldIndex::Build(pune_.file.get(), pune_.stores(), &clock, nullptr).ok());
}

TEST_F(MaskedTest, WhatNobodyIsDeniedMayNotBeWithheld) {
  Begin(1), Insert(products_, {"1", "ring", "x"}), Commit(1);
  auto segments = mumbai_.log->ReadSegments(mumbai_.own, Sequence{1}, 1 << 20, true).value();
  ASSERT_THAT(segments, SizeIs(1));
  for (size_t i = 0; i < segments[0].parts.size(); ++i) {
    if (segments[0].parts[i].table.empty()) {
      ASSERT_TRUE(MaskPart(&segments[0], i).ok());
    }
  }
  EXPECT_TRUE(absl::IsDataLoss(pune_.log->AppendPulled(segments[0])));
}

// Method: one transaction changes a masked table first, and another one then. It had seen an event of pune's.
TEST_F(MaskedTest, TheHeaderIsThereWhicheverPartsAreMasked) {
  Begin(1), Insert(customers_, {"1", "asha", "x"}), Insert(products_, {"1", "ring", "x"}), Commit(1);
  pune_.Insert({"5", "box", "x"});
  const Sequence news = pune_.log->Head(pune_.own).complete;
  mumbai_.PullFrom(pune_);
  ASSERT_TRUE(mumbai_.state->SetProjected(pune_.own, news).ok());
  const uint64_t before = mumbai_.log->Head(mumbai_.own).last.value;
  Begin(2), Insert(customers_, {"2", "ravi", "x"}), Insert(products_, {"2", "chain", "x"}), Commit(2);
  Begin(3), Insert(products_, {"3", "ring", "x"}), Commit(3);
  Pull("public.customers");

  Batch batch(pune_.own, pune_.log.get(), pune_.names.get(), pune_.state.get());
  ASSERT_TRUE(batch.Gather(100).value());
  EXPECT_THAT(batch.rows(), SizeIs(3));
  for (const uint64_t sequence : {before + 2, before + 3})
    EXPECT_EQ(pune_.state->Seen(mumbai_.own, Sequence{sequence}, pune_.own).value(), news);
  EventViewer viewer(pune_.log.get());
  const auto header = viewer.HeaderOf(mumbai_.own, Sequence{before + 1});
  ASSERT_NE(header, nullptr);
  EXPECT_EQ(AuthorOf(header.get()), "asha");
}

// Goal: which pairs are still listed does not depend on what a branch is granted.
TEST_F(MaskedTest, WhatIsWithheldMovesTheLogsOwnTime) {
  const int64_t old_ms = test::kNowMs - (kConflictDays + 10) * 24 * 3600 * 1000;
  const auto add = [&] {
    const Version winner{HlcStamp::FromMillis(test::kNowMs), pune_.own, {2}};
    const Version loser{HlcStamp::FromMillis(old_ms), mumbai_.own, {2}};
    ASSERT_TRUE(pune_.conflicts->Add({.row = pune_.Ref("1"), .winner = winner, .loser = loser}).ok());
  };
  mumbai_.Insert({"1", "ring", "x"}, old_ms);
  Pull("public.customers");
  add();
  EXPECT_EQ(pune_.conflicts->count(), 1);
  Begin(2), Insert(customers_, {"1", "asha", "x"}), Commit(2);
  Pull("public.customers");
  add();
  EXPECT_EQ(pune_.conflicts->count(), 1) << "it is older than ninety days by what is withheld";
}

TEST_F(MaskedTest, ATransactionWhoseFirstEventsAreMaskedWaitsForWhatItHadSeen) {
  RecordedBranch delhi(3);
  Begin(1), Insert(customers_, {"1", "asha", "x"}), Insert(products_, {"1", "ring", "x"}), Commit(1);
  delhi.Insert({"5", "box", "x"});
  mumbai_.PullFrom(delhi);
  ASSERT_TRUE(mumbai_.state->SetProjected(delhi.own, delhi.log->Head(delhi.own).complete).ok());
  Begin(2), Insert(customers_, {"2", "ravi", "x"}), Insert(products_, {"2", "chain", "x"}), Commit(2);
  Pull("public.customers");
  Batch batch(pune_.own, pune_.log.get(), pune_.names.get(), pune_.state.get());
  ASSERT_TRUE(batch.Gather(100).value());
  EXPECT_THAT(batch.rows(), SizeIs(1)) << "delhi's event is not here yet";
  EXPECT_TRUE(batch.waiting_for().contains(mumbai_.own));
  pune_.PullFrom(delhi);
  ASSERT_TRUE(batch.Gather(100).value());
  EXPECT_THAT(batch.rows(), SizeIs(3));
}

}  // namespace
}  // namespace assay
