// The fast merge against the reference, in every case of up to four writes: two origins, two stamps (so that ties
// happen), inserts, updates of either column, deletes, in every order and every grouping.
#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/fold/merge.h"
#include "gtest/gtest.h"
#include "tests/engine/fold/reference_merge.h"
#include "tests/support/origins.h"

namespace assay {
namespace {

const std::array<std::string, 2> kColumns = {"a", "b"};

struct Write {
  RowClaim claim;
  ReferenceWrite reference;
};

using test::Origin;

// One of the 20 writes that can stand at `place` in a case: 2 origins, 2 stamps, 5 kinds of change.
constexpr int kChoices = 20;
Write MakeWrite(int choice, int place) {
  const Version version{HlcStamp{10 + static_cast<uint64_t>(choice % 2)}, Origin(choice / 2 % 2),
                        Sequence{1 + static_cast<uint64_t>(place)}};
  const int kind = choice / 4;  // 0: delete, 1: insert, 2: update a, 3: update b, 4: update both.
  Write write;
  write.claim = {kind == 0 ? ChangeKind::kDelete : kind == 1 ? ChangeKind::kInsert : ChangeKind::kUpdate, version, {}};
  write.reference = {version, kind == 0, {}};
  for (uint32_t column = 0; column < 2; ++column) {
    if (kind == 0 || kind == 3 - static_cast<int>(column)) continue;
    write.claim.columns.push_back({column});
    write.reference.values[kColumns[column]] = absl::StrCat("value of ", place);
  }
  return write;
}

// Calls `check` with every case of `count` writes.
template <typename Check>
void ForEveryCase(int count, Check check) {
  int total = 1;
  for (int i = 0; i < count; ++i) total *= kChoices;
  std::vector<Write> writes(count);
  for (int number = 0; number < total && !testing::Test::HasFailure(); ++number) {
    for (int i = 0, rest = number; i < count; ++i, rest /= kChoices) writes[i] = MakeWrite(rest % kChoices, i);
    SCOPED_TRACE(absl::StrCat("case ", number, " of ", count, " writes"));
    check(writes);
  }
}

RowVersions Fold(const std::vector<Write>& writes) {
  RowVersions row;
  for (const Write& write : writes) Merge(VersionsOf(write.claim), &row);
  return row;
}

// What the fast merge must hold, said by the slow one.
RowVersions Expected(const std::vector<Write>& writes) {
  std::vector<ReferenceWrite> references;
  for (const Write& write : writes) references.push_back(write.reference);
  const ReferenceRow row = ReferenceFold(references);
  RowVersions versions{row.written, row.deleted, {}};
  versions.whole = std::any_of(writes.begin(), writes.end(),
                               [](const Write& write) { return write.claim.kind == ChangeKind::kInsert; });
  for (uint32_t column = 0; column < 2; ++column) {
    if (auto it = row.versions.find(kColumns[column]); it != row.versions.end()) {
      versions.columns.Append(ColumnId{column}, it->second);
    }
  }
  EXPECT_EQ(row.IsLive(), versions.IsLive());
  return versions;
}

// Goal: no order of arrival gives another row than the set of writes does.
// Method: every permutation of every case of up to three writes, and of four in eight rotations and reversals.
TEST(MergeExhaustiveTest, EveryOrderGivesTheReferenceRow) {
  for (int count = 0; count <= 3; ++count) {
    ForEveryCase(count, [](const std::vector<Write>& writes) {
      const RowVersions expected = Expected(writes);
      std::vector<size_t> order(writes.size());
      for (size_t i = 0; i < order.size(); ++i) order[i] = i;
      do {
        std::vector<Write> arranged;
        for (size_t i : order) arranged.push_back(writes[i]);
        ASSERT_EQ(Fold(arranged), expected);
      } while (std::next_permutation(order.begin(), order.end()));
    });
  }
  ForEveryCase(4, [](std::vector<Write> writes) {
    const RowVersions expected = Expected(writes);
    for (int turn = 0; turn < 4; ++turn) {
      std::rotate(writes.begin(), writes.begin() + 1, writes.end());
      ASSERT_EQ(Fold(writes), expected);
      ASSERT_EQ(Fold({writes.rbegin(), writes.rend()}), expected);
    }
  });
}

// Goal: writes may be folded apart, batch by batch, and met again, overlapping or repeated.
// Method: every way to share out three writes to two folds, each write to the first, the second, or both.
TEST(MergeExhaustiveTest, FoldsOfPartsMergeToTheFoldOfTheWhole) {
  ForEveryCase(3, [](const std::vector<Write>& writes) {
    const RowVersions expected = Expected(writes);
    for (int share = 0; share < 27; ++share) {
      std::vector<Write> left, right;
      for (int i = 0, rest = share; i < 3; ++i, rest /= 3) {
        if (rest % 3 != 1) left.push_back(writes[i]);
        if (rest % 3 != 0) right.push_back(writes[i]);
      }
      RowVersions merged = Fold(left);
      Merge(Fold(right), &merged);
      ASSERT_EQ(merged, expected);
    }
  });
}

}  // namespace
}  // namespace assay
