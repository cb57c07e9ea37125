// Goal: the event log is a map from (origin, sequence) to bytes, whatever is done to it in whatever order.
// Method: random transactions, pulls in random pieces, repacking, rollbacks and reopenings on two logs, held against a
// std::map.
#include <map>
#include <random>

#include "tests/log/test_events.h"

namespace assay {
namespace {

struct Model {
  struct Chain {
    std::vector<std::string> events;                  // As ReadAll shows them.
    std::vector<Hash> roots = {MerkleTree().Root()};  // By size.
    MerkleTree tree;
    uint64_t complete = 0;

    void Append(const TestTransaction& transaction) {
      for (const std::string& each : Expected(transaction)) events.push_back(each);
      for (const v1::Event& event : transaction.events) {
        tree.Append(LeafHash(event.SerializeAsString()));
        roots.push_back(tree.Root());
      }
      complete = events.size();
    }
  };
  std::map<OriginId, Chain> chains;
};

class EventLogModelTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(EventLogModelTest, LogIsAMapFromNameToBytes) {
  SCOPED_TRACE(absl::StrCat("seed ", GetParam()));
  std::mt19937_64 random(GetParam());
  const auto below = [&](uint64_t n) { return random() % n; };
  TestLog writer(GetParam()), puller(GetParam() + 1000);
  Model model;
  const OriginId origins[] = {test::Origin(1), test::Origin(2)};

  const auto check = [&](TestLog& log, const OriginId& origin) {
    const ChainHead head = log.log->Head(origin);
    const Model::Chain& chain = model.chains[origin];
    ASSERT_LE(head.last.value, chain.events.size());
    if (&log == &writer) {
      ASSERT_EQ(head.last.value, chain.events.size());
      ASSERT_EQ(head.complete.value, chain.complete);
    }
    const uint64_t from = 1 + below(head.complete.value + 1);
    ASSERT_OK_AND_ASSIGN(const auto seen, ReadAll(*log.log, origin, from));
    ASSERT_EQ(seen,
              std::vector<std::string>(chain.events.begin() + from - 1, chain.events.begin() + head.complete.value));
    ASSERT_EQ(log.log->Root(origin), chain.roots[head.last.value]);
  };

  for (int step = 0; step < 120; ++step) {
    const OriginId& origin = origins[below(2)];
    switch (below(7)) {
      case 0:
      case 1: {  // A few transactions, some of them large; sometimes all taken back.
        const Model before = model;
        ASSERT_OK(writer.file->Begin());
        for (uint64_t n = below(5); n-- > 0;) {
          Model::Chain& chain = model.chains[origin];
          std::vector<std::string> tables;
          const uint64_t size = below(30) == 0 ? 4500 : 1 + below(6);
          while (tables.size() < size) tables.push_back(absl::StrCat("public.", below(3)));
          const TestTransaction transaction = writer.Next(origin, tables, std::string(below(200), 'v'));
          ASSERT_OK(AppendAll(*writer.log, transaction));
          chain.Append(transaction);
          if (below(3) == 0) check(writer, origin);
        }
        if (below(4) == 0) {
          writer.file->Rollback();
          model = before;
        } else {
          ASSERT_OK(writer.file->Commit());
        }
        break;
      }
      case 2:
        ASSERT_OK(writer.Reopen());
        break;
      case 3:
        ASSERT_OK(puller.Reopen());
        break;
      case 4:
      case 5: {  // Pull from anywhere at or before the head, some of what comes.
        const uint64_t held = puller.log->Head(origin).last.value;
        const uint64_t from = below(2) == 0 ? held + 1 : 1 + below(held + 1);
        ASSERT_OK_AND_ASSIGN(std::vector<Segment> segments,
                             writer.log->ReadSegments(origin, {from}, 1 + below(100000), below(2) == 0));
        if (!segments.empty() && below(2) == 0) segments.resize(1 + below(segments.size()));
        if (below(2) == 0) {
          for (Segment& segment : segments) segment.leaf_hashes.clear();
        }
        ASSERT_OK(puller.Pull(segments));
        break;
      }
      case 6: {
        TestLog& log = below(2) == 0 ? writer : puller;
        ASSERT_OK(log.file->Begin());
        ASSERT_OK(log.log->Repack(1 + below(20)));
        if (below(4) == 0) {
          log.file->Rollback();
        } else {
          ASSERT_OK(log.file->Commit());
        }
        break;
      }
    }
    for (const OriginId& each : origins) {
      check(writer, each);
      check(puller, each);
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, EventLogModelTest, ::testing::Range<uint64_t>(1, 13));

}  // namespace
}  // namespace assay
