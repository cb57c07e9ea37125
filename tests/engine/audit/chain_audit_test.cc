// Goal: no manipulation of a log goes unnoticed by whoever has nothing but the file, and what it says is about the
// right events. Method: a real log of three branches, copied, and manipulated by somebody who knows its format and
// recomputes whatever can be recomputed without the keys.
#include "engine/audit/chain_audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "log/bytes.h"
#include "log/checkpoint.h"
#include "log/merkle_tree.h"
#include "log/segment.h"
#include "tests/engine/recovery/recorded_branch.h"

namespace assay {
namespace {

using test::RecordedBranch;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A chain as a copy of the log has it, in the hands of whoever rewrites it.
struct Chain {
  int64_t index = 0;
  OriginId origin;
  std::vector<Segment> segments;
  std::string checkpoint;
};

class Forger {
 public:
  explicit Forger(const std::string& path) : file_(LogFile::Open(path, {}).value()) {}

  void Do(const std::string& sql) { ASSERT_TRUE(file_->Execute(sql).ok()) << sql; }
  Chain Read(int64_t index) {
    Chain chain{index};
    Statement head = file_->Prepare("SELECT origin, checkpoint FROM chain WHERE id = ?1").value();
    head.BindInt(1, index);
    EXPECT_TRUE(head.Step().value());
    chain.origin = OriginId::FromBytes(head.Blob("origin")).value();
    chain.checkpoint = std::string(head.Blob("checkpoint"));
    head.Reset();
    Statement segments =
        file_->Prepare("SELECT first, last, ends, body FROM segment WHERE origin = ?1 ORDER BY last").value();
    segments.BindInt(1, index);
    while (segments.Step().value()) {
      Segment segment;
      segment.origin = chain.origin;
      segment.first = {static_cast<uint64_t>(segments.Int("first"))};
      segment.last = {static_cast<uint64_t>(segments.Int("last"))};
      segment.ends_transaction = segments.Int("ends") != 0;
      EXPECT_TRUE(DecodeSegmentBody(segments.Blob("body"), &segment).ok());
      chain.segments.push_back(std::move(segment));
    }
    return chain;
  }
  // The chain's events, each as `rewrite` leaves it.
  static void Rewrite(Chain* chain, const std::function<void(v1::Event*)>& rewrite) {
    std::vector<Segment> rewritten;
    for (const Segment& segment : chain->segments) {
      const DecodedSegment decoded = DecodedSegment::Decode(segment).value();
      std::vector<std::string> bytes;
      for (const StoredEvent& event : decoded.events()) {
        v1::Event parsed;
        ASSERT_TRUE(parsed.ParseFromArray(event.bytes.data(), static_cast<int>(event.bytes.size())));
        const std::string before = parsed.SerializeAsString();
        rewrite(&parsed);
        const std::string after = parsed.SerializeAsString();
        bytes.push_back(before == after ? std::string(event.bytes) : after);
      }
      SegmentBuilder builder(segment.origin);
      for (size_t i = 0; i < bytes.size(); ++i) {
        StoredEvent event = decoded.events()[i];
        event.bytes = bytes[i];
        event.leaf = LeafHash(bytes[i]);
        builder.Add(event);
      }
      while (!builder.empty()) rewritten.push_back(builder.Finish(false));
    }
    chain->segments = std::move(rewritten);
  }
  static void Cut(Chain* chain, uint64_t left) {
    SegmentBuilder builder(chain->origin);
    for (const Segment& segment : chain->segments) {
      const DecodedSegment decoded = DecodedSegment::Decode(segment).value();
      for (const StoredEvent& event : decoded.events()) {
        if (event.sequence.value <= left) builder.Add(event);
      }
    }
    chain->segments = {builder.Finish(false)};
  }
  static MerkleTree TreeOf(const Chain& chain) {
    MerkleTree tree;
    for (const Segment& segment : chain.segments) {
      const DecodedSegment decoded = DecodedSegment::Decode(segment).value();
      for (const StoredEvent& event : decoded.events()) tree.Append(event.leaf);
    }
    return tree;
  }
  // The chain, and everything that follows from it without a key.
  void Write(const Chain& chain) {
    Do(absl::StrCat("DELETE FROM segment WHERE origin = ", chain.index));
    uint64_t last = 0, stamp = 0;
    for (const Segment& segment : chain.segments) {
      Statement insert =
          file_->Prepare("INSERT INTO segment (origin, last, first, ends, body) VALUES (?1, ?2, ?3, ?4, ?5)").value();
      const std::string body = EncodeSegmentBody(segment);
      ASSERT_TRUE(insert.BindInt(1, chain.index)
                      .BindInt(2, static_cast<int64_t>(segment.last.value))
                      .BindInt(3, static_cast<int64_t>(segment.first.value))
                      .BindInt(4, segment.ends_transaction)
                      .BindBlob(5, body)
                      .Run()
                      .ok());
      last = segment.last.value;
      stamp = DecodedSegment::Decode(segment).value().events().back().stamp.value;
    }
    const std::string tree = TreeOf(chain).Encode();
    std::string sum(chain.origin.AsBytes());
    for (const uint64_t number : {static_cast<uint64_t>(chain.index), last, stamp, last, stamp})
      PutFixed64(&sum, number);
    const std::string checksum(AsBytes(Sha256(absl::StrCat(sum, tree, chain.checkpoint))).substr(0, 8));
    Statement head = file_
                         ->Prepare(
                             "UPDATE chain SET last = ?2, complete = ?2, last_stamp = ?3, complete_stamp = ?3, "
                             "tree = ?4, checkpoint = ?5, checksum = ?6 WHERE id = ?1")
                         .value();
    ASSERT_TRUE(head.BindInt(1, chain.index)
                    .BindInt(2, static_cast<int64_t>(last))
                    .BindInt(3, static_cast<int64_t>(stamp))
                    .BindBlob(4, tree)
                    .BindText(5, chain.checkpoint)
                    .BindBlob(6, checksum)
                    .Run()
                    .ok());
  }

 private:
  std::unique_ptr<LogFile> file_;
};

class ChainAuditTest : public ::testing::Test {
 protected:
  // Mumbai's log, with Pune's and Delhi's chains in it, all signed.
  void SetUp() override {
    for (int i = 0; i < 6; ++i) {
      for (RecordedBranch* branch : {&mumbai_, &pune_, &delhi_})
        branch->Insert({absl::StrCat(i), "ring", absl::StrCat("price ", i)});
    }
    mumbai_.Update({"3", "ring", "price 3"}, {"3", "ring", "2,500"});
    Sign(pune_);
    Sign(delhi_);
    mumbai_.PullFrom(pune_);
    mumbai_.PullFrom(delhi_);
    for (RecordedBranch* branch : {&pune_, &delhi_}) {
      ASSERT_TRUE(mumbai_.log->KeepCheckpoint(branch->own, *branch->log->NewestCheckpoint(branch->own)).ok());
    }
    Sign(mumbai_);
    ASSERT_TRUE(mumbai_.file->Commit().ok());
    ASSERT_TRUE(mumbai_.file->Execute(absl::StrCat("VACUUM INTO '", original_, "'")).ok());
    ASSERT_TRUE(mumbai_.file->Begin().ok());
    kept_ = *mumbai_.log->NewestCheckpoint(mumbai_.own);
    Copy();
  }
  static void Sign(RecordedBranch& branch) { ASSERT_TRUE(branch.log->SignCheckpoint(branch.own, branch.key).ok()); }
  void Copy() { std::filesystem::copy_file(original_, path_, std::filesystem::copy_options::overwrite_existing); }

  audit::v1::VerifyReport Audit(const std::vector<std::string>& kept = {}) {
    const std::unique_ptr<LogFile> file = LogFile::Open(path_, {.read_only = true}).value();
    const auto report = AuditChains(file.get(), kept, [](uint64_t, uint64_t) { return true; });
    EXPECT_TRUE(report.ok()) << report.status();
    return *report;
  }
  // "1-5 public.products [3]: what" of each finding, the own chain's first.
  static std::vector<std::string> Findings(const audit::v1::VerifyReport& report) {
    std::vector<std::string> texts;
    const auto add = [&texts](const audit::v1::Finding& finding) {
      texts.push_back(absl::StrCat(finding.first(), "-", finding.last(), " ", finding.table(), " [",
                                   absl::StrJoin(finding.key(), ","), "]: ", finding.what()));
    };
    for (const audit::v1::Chain& chain : report.chains()) {
      for (const audit::v1::Finding& finding : chain.findings()) add(finding);
    }
    for (const audit::v1::Finding& finding : report.findings()) add(finding);
    return texts;
  }

  RecordedBranch mumbai_{1}, pune_{2}, delhi_{3};
  test::TempDirectory folder_{"audit"};
  const std::string original_ = folder_.path() + "/original.db", path_ = folder_.path() + "/log.db";
  std::string kept_;  // Mumbai's checkpoint, in the auditor's pocket.
};

// The event of Mumbai's that sold ring 3 cheaper.
constexpr uint64_t kCheaper = 9;

void MakeDearer(v1::Event* event) {
  if (event->sequence() == kCheaper) event->mutable_row()->mutable_columns(0)->set_value("9,999");
}

TEST_F(ChainAuditTest, AnUntouchedLogIsGoodAndTheReportSaysWhatItIs) {
  const audit::v1::VerifyReport report = Audit({kept_});
  EXPECT_THAT(Findings(report), IsEmpty());
  ASSERT_TRUE(IsGood(report));
  ASSERT_THAT(report.chains(), SizeIs(3));
  const audit::v1::Chain& own = report.chains(0);
  EXPECT_TRUE(own.own());
  EXPECT_EQ(own.branch_name(), "branch-1");
  EXPECT_EQ(own.events(), kCheaper);
  EXPECT_EQ(own.signed_events(), own.events());
  EXPECT_EQ(own.kept_checkpoints(), 1u);
  EXPECT_EQ(own.root(), HexEncode(AsBytes(mumbai_.log->Root(mumbai_.own))));
  EXPECT_EQ(report.chains(1).branch_number(), 2u);
  EXPECT_THAT(report.digest(), SizeIs(64));
  EXPECT_EQ(report.digest(), Audit().digest());
}

TEST_F(ChainAuditTest, AnEventThatWasRewrittenWithAllThatFollowsFromItIsMetByTheSignature) {
  {
    Forger forger(path_);
    Chain chain = forger.Read(0);
    Forger::Rewrite(&chain, MakeDearer);
    forger.Write(chain);
  }
  EXPECT_THAT(Findings(Audit()), ElementsAre(HasSubstr("1-9  []: the branch has signed another root")));
}

TEST_F(ChainAuditTest, AChainThatWasSignedAnewWithAnotherKeyIsMetByWhatSomebodyKept) {
  {
    Forger forger(path_);
    Chain chain = forger.Read(0);
    const SigningKey key = SigningKey::Generate().value();
    Forger::Rewrite(&chain, MakeDearer);
    chain.checkpoint = SignCheckpoint({chain.origin, kCheaper, Forger::TreeOf(chain).Root()}, key);
    forger.Write(chain);
    EXPECT_THAT(Findings(Audit()), ElementsAre(HasSubstr("not signed by the chain's key"))) << "event 1 has it";
    Forger::Rewrite(&chain, [&key](v1::Event* event) {
      if (event->has_origin_opened()) event->mutable_origin_opened()->set_public_key(key.public_key());
    });
    chain.checkpoint = SignCheckpoint({chain.origin, kCheaper, Forger::TreeOf(chain).Root()}, key);
    forger.Write(chain);
  }
  EXPECT_TRUE(IsGood(Audit())) << "a whole chain of somebody's own making can only be met from outside";
  EXPECT_THAT(Findings(Audit({kept_})), ElementsAre(HasSubstr("is not signed by the key that the chain has now")));
}

TEST_F(ChainAuditTest, AnEndThatWasCutIsMetByTheCheckpointAndWithoutThatByWhatSomebodyKept) {
  Forger forger(path_);
  Chain chain = forger.Read(0);
  Forger::Cut(&chain, kCheaper - 1);
  forger.Write(chain);
  EXPECT_THAT(Findings(Audit()), ElementsAre(HasSubstr("9-9  []: they are missing: the branch has signed them")));
  chain.checkpoint.clear();
  forger.Write(chain);
  EXPECT_TRUE(IsGood(Audit()));
  EXPECT_THAT(Findings(Audit({kept_})),
              ElementsAre(HasSubstr("9-9  []: they are missing: a checkpoint that was kept")));
}

TEST_F(ChainAuditTest, AnEventThatBreaksAReadersRuleIsNamedWithTableAndKey) {
  const std::pair<std::function<void(v1::RowChange*)>, std::string> faults[] = {
      {[](v1::RowChange* row) { row->set_schema(1); }, "of a table that event 1 does not declare"},
      {[](v1::RowChange* row) { row->set_operation(v1::RowChange::OPERATION_UNSPECIFIED); }, "no insert, update"},
      {[](v1::RowChange* row) { row->add_key("more"); }, "its key has 2 columns of 1"},
      {[](v1::RowChange* row) { row->mutable_columns(0)->set_ordinal(3); }, "a column that its table has not"},
      {[](v1::RowChange* row) { row->set_row_replaced(7); }, "a version that it does not name"},
  };
  for (const auto& [fault, said] : faults) {
    Copy();
    {
      Forger forger(path_);
      Chain chain = forger.Read(0);
      Forger::Rewrite(&chain, [&fault = fault](v1::Event* event) {
        if (event->sequence() == kCheaper) fault(event->mutable_row());
      });
      forger.Write(chain);
    }
    const audit::v1::VerifyReport report = Audit();
    ASSERT_THAT(Findings(report), SizeIs(Gt(0u)));
    EXPECT_THAT(Findings(report)[0], HasSubstr("9-9 public.products [3"));
    EXPECT_THAT(Findings(report)[0], HasSubstr(said));
    EXPECT_EQ(report.chains(0).events(), 8u) << "as far as it goes";
  }
}

TEST_F(ChainAuditTest, DamageOfOneChainDoesNotHideTheOthers) {
  Forger(path_).Do("UPDATE segment SET body = zeroblob(length(body)) WHERE origin = 0 AND last > 1");
  const audit::v1::VerifyReport report = Audit();
  EXPECT_THAT(Findings(report), ElementsAre(HasSubstr("2-9  []: segment")));
  EXPECT_EQ(report.chains(1).events() + report.chains(2).events(), 16u);
}

TEST_F(ChainAuditTest, EvidenceOfAForkIsShown) {
  Forger(path_).Do("INSERT INTO evidence VALUES (1, 'fork', 4, x'01', x'02')");
  EXPECT_THAT(Findings(Audit()), ElementsAre(HasSubstr("4-4  []: the branch was offered another event")));
}

TEST_F(ChainAuditTest, ACheckpointOfAChainThatIsNotThereIsSaid) {
  const SigningKey key = SigningKey::Generate().value();
  OriginId other;
  other.bytes.fill(7);
  EXPECT_THAT(Findings(Audit({SignCheckpoint({other, 3, Hash{}}, key)})), ElementsAre(HasSubstr("no such chain")));
}

TEST_F(ChainAuditTest, WhoStopsItIsObeyed) {
  const std::unique_ptr<LogFile> file = LogFile::Open(path_, {.read_only = true}).value();
  EXPECT_TRUE(absl::IsCancelled(AuditChains(file.get(), {}, [](uint64_t, uint64_t) { return false; }).status()));
}

TEST(ReadCheckpointsTest, NotesAreTakenOutOfWhateverStandsBetweenThem) {
  const SigningKey key = SigningKey::Generate().value();
  OriginId origin;
  origin.bytes.fill(7);
  const std::string one = SignCheckpoint({origin, 3, Hash{}}, key), two = SignCheckpoint({origin, 4, Hash{}}, key);
  EXPECT_THAT(*ReadCheckpoints(absl::StrCat("kept by the auditor\n\n", one, "\n", two)), ElementsAre(one, two));
  EXPECT_THAT(*ReadCheckpoints(absl::StrCat(one, "— somebody else\n")), ElementsAre(one + "— somebody else\n"));
  EXPECT_TRUE(absl::IsInvalidArgument(ReadCheckpoints("").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ReadCheckpoints(one.substr(0, 60)).status()));
}

// ---- At random ----

class Manipulation {
 public:
  Manipulation(const std::string& path, uint64_t seed) : path_(path), random_(seed) {}

  // Its name.
  std::string Make() {
    static constexpr const char* kNames[] = {"flip a bit",       "drop a segment",      "swap two chains",
                                             "rewrite an event", "replace a key",       "cut the end",
                                             "move the head",    "change a checkpoint", "move a segment"};
    const size_t which = random_.Next() % std::size(kNames);
    Forger forger(path_);
    const int64_t index = static_cast<int64_t>(random_.Next() % 3);
    switch (which) {
      case 0:
        FlipABit(index);
        break;
      case 1:
        forger.Do(absl::StrCat("DELETE FROM segment WHERE origin = ", index));
        break;
      case 2:
        forger.Do(absl::StrCat("UPDATE segment SET origin = 9 WHERE origin = ", index,
                               "; UPDATE segment SET origin = ", index, " WHERE origin = ", (index + 1) % 3,
                               "; UPDATE segment SET origin = ", (index + 1) % 3, " WHERE origin = 9"));
        break;
      case 3:
        RewriteAnEvent(&forger, index);
        break;
      case 4:
        ReplaceAKey(&forger, index);
        break;
      case 5:
        CutTheEnd(&forger);
        break;
      case 6:
        forger.Do(absl::StrCat(
            "UPDATE chain SET ",
            Pick({"last = last + 1", "complete = complete - 1", "last_stamp = last_stamp + 1", "complete_stamp = 5",
                  "tree = zeroblob(length(tree))", "checksum = x'0102030405060708'"}),
            " WHERE id = ", index));
        break;
      case 7:
        ChangeACheckpoint(&forger, index);
        break;
      case 8:
        forger.Do(absl::StrCat("UPDATE segment SET first = first + 1, last = last + 1 WHERE origin = ", index));
        break;
    }
    return kNames[which];
  }

 private:
  std::string Pick(const std::vector<std::string>& of) { return of[random_.Next() % of.size()]; }
  void FlipABit(int64_t index) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
    sqlite3_stmt* select = nullptr;
    sqlite3_prepare_v2(db, "SELECT rowid FROM segment WHERE origin = ?1", -1, &select, nullptr);
    sqlite3_bind_int64(select, 1, index);
    ASSERT_EQ(sqlite3_step(select), SQLITE_ROW);
    const int64_t row = sqlite3_column_int64(select, 0);
    sqlite3_finalize(select);
    sqlite3_blob* blob = nullptr;
    ASSERT_EQ(sqlite3_blob_open(db, "main", "segment", "body", row, 1, &blob), SQLITE_OK);
    const int at = static_cast<int>(random_.Next() % static_cast<uint64_t>(sqlite3_blob_bytes(blob)));
    char byte = 0;
    sqlite3_blob_read(blob, &byte, 1, at);
    byte = static_cast<char>(byte ^ (1 << random_.Next() % 8));
    sqlite3_blob_write(blob, &byte, 1, at);
    sqlite3_blob_close(blob);
    sqlite3_close(db);
  }
  void RewriteAnEvent(Forger* forger, int64_t index) {
    Chain chain = forger->Read(index);
    const uint64_t event = 3 + random_.Next() % (chain.segments.back().last.value - 2);
    Forger::Rewrite(&chain, [&](v1::Event* each) {
      if (each->sequence() == event) each->mutable_row()->mutable_columns(0)->set_value(absl::StrCat(random_.Next()));
    });
    forger->Write(chain);
  }
  void ReplaceAKey(Forger* forger, int64_t index) {
    Chain chain = forger->Read(index);
    const SigningKey key = SigningKey::Generate().value();
    Forger::Rewrite(&chain, [&](v1::Event* event) {
      if (event->has_origin_opened()) event->mutable_origin_opened()->set_public_key(key.public_key());
    });
    forger->Write(chain);
  }
  void CutTheEnd(Forger* forger) {
    Chain chain = forger->Read(0);
    Forger::Cut(&chain, 3 + random_.Next() % (chain.segments.back().last.value - 3));
    forger->Write(chain);
  }
  void ChangeACheckpoint(Forger* forger, int64_t index) {
    Chain chain = forger->Read(index);
    chain.checkpoint[random_.Next() % chain.checkpoint.size()] ^= 1;
    forger->Write(chain);
  }

  const std::string path_;
  test::SeededRandom random_;
};

// ASSAY_MANIPULATIONS=10000 for a long look.
TEST_F(ChainAuditTest, EveryManipulationIsFound) {
  const char* asked = std::getenv("ASSAY_MANIPULATIONS");
  uint64_t count = 100;
  ASSERT_TRUE(asked == nullptr || absl::SimpleAtoi(asked, &count));
  std::map<std::string, int> made;
  for (uint64_t seed = 1; seed <= count; ++seed) {
    Copy();
    const std::string what = Manipulation(path_, seed * 0x9e3779b97f4a7c15).Make();
    ++made[what];
    ASSERT_FALSE(IsGood(Audit())) << what << ", seed " << seed;
  }
  for (const auto& [what, times] : made) std::cout << what << ": " << times << ", all found\n";
  EXPECT_THAT(made, SizeIs(9));
}

}  // namespace
}  // namespace assay
