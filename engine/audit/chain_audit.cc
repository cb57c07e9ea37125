#include "engine/audit/chain_audit.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/audit/event_proof.h"
#include "engine/audit/event_rules.h"
#include "engine/audit/proto_text.h"
#include "log/annotate.h"
#include "log/checkpoint.h"
#include "log/merkle_tree.h"
#include "log/segment.h"

namespace assay {
namespace {

using audit::v1::Finding;
using audit::v1::VerifyReport;

uint64_t Unsigned(int64_t number) { return static_cast<uint64_t>(number); }

std::string Hex(const Hash& hash) { return HexEncode(AsBytes(hash)); }

// A chain as its row in the file says that it is.
struct ChainRow {
  int64_t index = 0;
  OriginId origin;
  uint64_t last = 0, last_stamp = 0, complete = 0, complete_stamp = 0;
  std::string tree, checkpoint, checksum;

  std::string Checksum() const {
    std::string bytes(origin.AsBytes());
    for (const uint64_t number : {Unsigned(index), last, last_stamp, complete, complete_stamp}) {
      for (int shift = 0; shift < 64; shift += 8) bytes.push_back(static_cast<char>(number >> shift));
    }
    return std::string(AsBytes(Sha256(absl::StrCat(bytes, tree, checkpoint))).substr(0, 8));
  }
};

Finding Found(uint64_t first, uint64_t last, std::string what) {
  Finding finding;
  finding.set_first(first);
  finding.set_last(last);
  finding.set_what(std::move(what));
  return finding;
}
Finding Found(std::string what) { return Found(0, 0, std::move(what)); }

// Walks one chain from its first event, and keeps what the file's other words about it are compared with.
class ChainWalk {
 public:
  // `sizes`: of which the tree is wanted.
  ChainWalk(const OriginId& origin, std::set<uint64_t> sizes) : rules_(origin), sizes_(std::move(sizes)) {}

  // False: `finding` says what is wrong, and the walk ends there.
  bool Take(const Segment& segment, absl::string_view body, Finding* finding);

  const MerkleTree& tree() const { return tree_; }
  const MerkleTree* TreeAt(uint64_t size) const {
    const auto at = trees_.find(size);
    return at == trees_.end() ? nullptr : &at->second;
  }
  const EventRules& rules() const { return rules_; }
  const v1::OriginOpened& opening() const { return rules_.opening(); }
  uint64_t complete() const { return complete_; }
  HlcStamp complete_stamp() const { return complete_stamp_; }
  HlcStamp last_stamp() const { return last_stamp_; }
  uint64_t transactions() const { return transactions_; }
  const std::map<std::string, uint64_t>& masked() const { return masked_; }

 private:
  bool TakeEvent(const StoredEvent& event, Finding* finding);

  EventRules rules_;
  const std::set<uint64_t> sizes_;
  std::map<uint64_t, MerkleTree> trees_;
  MerkleTree tree_;
  uint64_t complete_ = 0, transactions_ = 0;
  HlcStamp last_stamp_, complete_stamp_;
  std::map<std::string, uint64_t> masked_;  // Events, by table.
};

bool ChainWalk::Take(const Segment& named, absl::string_view body, Finding* finding) {
  Segment segment = named;
  const uint64_t next = tree_.size() + 1, first = segment.first.value, last = segment.last.value;
  if (first != next) {
    *finding = first > next ? Found(next, first - 1, "they are missing")
                            : Found(first, std::min(last, tree_.size()), "they are there a second time");
    return false;
  }
  absl::Status status = DecodeSegmentBody(body, &segment);
  absl::StatusOr<DecodedSegment> decoded = status.ok() ? DecodedSegment::Decode(segment) : status;
  if (!decoded.ok()) {
    *finding = Found(first, last, std::string(decoded.status().message()));
    return false;
  }
  const Sequence begins = decoded->first_transaction_begins();
  if (begins.value != 0 && begins.value != complete_ + 1) {
    *finding = Found(first, first,
                     absl::StrCat("its transaction begins at event ", begins.value, " by its own word, and at ",
                                  complete_ + 1, " by those before it"));
    return false;
  }
  return std::all_of(decoded->events().begin(), decoded->events().end(),
                     [&](const StoredEvent& event) { return TakeEvent(event, finding); });
}

bool ChainWalk::TakeEvent(const StoredEvent& event, Finding* finding) {
  const bool begins = complete_ == tree_.size();
  if (begins ? event.stamp <= last_stamp_ : event.stamp != last_stamp_) {
    *finding = Found(event.sequence.value, event.sequence.value,
                     begins ? "its stamp does not rise above that of the transaction before"
                            : "its stamp is not that of its transaction");
    finding->set_table(std::string(event.table));
    return false;
  }
  if (!rules_.Take(event, finding)) return false;
  tree_.Append(event.leaf);
  if (sizes_.contains(tree_.size())) trees_[tree_.size()] = tree_;
  if (event.masked) ++masked_[std::string(event.table)];
  last_stamp_ = event.stamp;
  transactions_ += begins;
  if (event.ends_transaction) {
    complete_ = event.sequence.value;
    complete_stamp_ = event.stamp;
  }
  return true;
}

class Auditor {
 public:
  Auditor(LogFile* file, const std::vector<std::string>& kept, const AuditProgress& progress)
      : file_(file), kept_(kept), progress_(progress) {}

  absl::StatusOr<VerifyReport> Run() {
    ASSAY_RETURN_IF_ERROR(file_->Begin());  // All of it as of one moment.
    const absl::Cleanup end = [this] { file_->Rollback(); };
    ASSAY_RETURN_IF_ERROR(LoadChains());
    for (const std::string& text : kept_) {
      ASSAY_ASSIGN_OR_RETURN(Checkpoint claim, ParseCheckpoint(text));
      claims_[claim.origin].emplace_back(claim, text);
    }
    for (const ChainRow& row : rows_) ASSAY_RETURN_IF_ERROR(AuditChain(row));
    for (const auto& [origin, _] : claims_) {
      *report_.add_findings() = Found(
          absl::StrCat("a checkpoint that was kept is of chain ", origin.Hex(), ", and the file has no such chain"));
    }
    ASSAY_RETURN_IF_ERROR(CheckStray());
    Finish();
    return std::move(report_);
  }

 private:
  absl::Status LoadChains();
  absl::Status AuditChain(const ChainRow& row);
  // Reads the chain's segments; a finding ends it.
  absl::Status Walk(const ChainRow& row, ChainWalk* walk, audit::v1::Chain* chain);
  absl::StatusOr<std::map<uint64_t, std::string>> StoredTrees(int64_t index);
  // What the file says beside the events, now that these are known.
  void CompareHead(const ChainRow& row, const ChainWalk& walk, audit::v1::Chain* chain);
  absl::Status CompareMasked(const ChainRow& row, const ChainWalk& walk, audit::v1::Chain* chain);
  void CompareCheckpoint(const ChainRow& row, const ChainWalk& walk, audit::v1::Chain* chain);
  void CompareKept(const ChainWalk& walk, const Checkpoint& claim, const std::string& text, audit::v1::Chain* chain);
  absl::Status AddEvidence(const ChainRow& row, audit::v1::Chain* chain);
  absl::Status CheckStray();
  void Finish();

  LogFile* file_;
  const std::vector<std::string>& kept_;
  const AuditProgress& progress_;
  VerifyReport report_;
  std::vector<ChainRow> rows_;
  std::optional<OriginId> own_;
  std::map<OriginId, std::vector<std::pair<Checkpoint, std::string>>> claims_;  // Kept ones, of chains not walked yet.
  uint64_t events_ = 0, events_total_ = 0;
};

absl::Status Auditor::LoadChains() {
  ASSAY_ASSIGN_OR_RETURN(Statement own, file_->Prepare("SELECT value FROM value WHERE name = 'own_origin'"));
  ASSAY_ASSIGN_OR_RETURN(const bool has_own, own.Step());
  if (has_own) {
    const absl::StatusOr<OriginId> origin = OriginId::FromBytes(own.OnlyBlob());
    if (origin.ok()) own_ = *origin;
  }
  own.Reset();
  ASSAY_ASSIGN_OR_RETURN(Statement chains,
                         file_->Prepare("SELECT id, origin, last, last_stamp, complete, complete_stamp, tree, "
                                        "checkpoint, checksum FROM chain ORDER BY id"));
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool there, chains.Step());
    if (!there) return absl::OkStatus();
    const absl::StatusOr<OriginId> origin = OriginId::FromBytes(chains.Blob("origin"));
    if (!origin.ok()) {
      *report_.add_findings() = Found("there is a chain whose name is not 16 bytes");
      continue;
    }
    rows_.push_back({chains.Int("id"), *origin, Unsigned(chains.Int("last")), Unsigned(chains.Int("last_stamp")),
                     Unsigned(chains.Int("complete")), Unsigned(chains.Int("complete_stamp")),
                     std::string(chains.Blob("tree")), std::string(chains.Blob("checkpoint")),
                     std::string(chains.Blob("checksum"))});
    events_total_ += rows_.back().last;
  }
}

absl::StatusOr<std::map<uint64_t, std::string>> Auditor::StoredTrees(int64_t index) {
  std::map<uint64_t, std::string> trees;
  ASSAY_ASSIGN_OR_RETURN(Statement stored, file_->Prepare("SELECT size, tree FROM tree WHERE origin = ?1"));
  stored.BindInt(1, index);
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool there, stored.Step());
    if (!there) return trees;
    trees[Unsigned(stored.Int("size"))] = std::string(stored.Blob("tree"));
  }
}

absl::Status Auditor::AuditChain(const ChainRow& row) {
  const auto kept = claims_.find(row.origin);
  auto claims = kept == claims_.end() ? std::vector<std::pair<Checkpoint, std::string>>() : std::move(kept->second);
  if (kept != claims_.end()) claims_.erase(kept);
  ASSAY_ASSIGN_OR_RETURN(const auto trees, StoredTrees(row.index));
  if (row.last == 0 && claims.empty() && row.origin != own_) return absl::OkStatus();  // Only referred to.
  audit::v1::Chain* chain = report_.add_chains();
  chain->set_origin(row.origin.Hex());
  chain->set_own(own_ == row.origin);
  std::set<uint64_t> sizes;
  for (const auto& [size, _] : trees) sizes.insert(size);
  for (const auto& [claim, _] : claims) sizes.insert(claim.size);
  if (const absl::StatusOr<Checkpoint> claim = ParseCheckpoint(row.checkpoint); claim.ok()) sizes.insert(claim->size);
  ChainWalk walk(row.origin, std::move(sizes));
  ASSAY_RETURN_IF_ERROR(Walk(row, &walk, chain));
  chain->set_branch_name(walk.opening().branch_name());
  chain->set_branch_number(walk.opening().branch_number());
  if (walk.tree().size() > 0) chain->set_key(VerifierKey(row.origin, walk.opening().public_key()));
  chain->set_previous_origin(HexEncode(walk.opening().previous_origin()));
  chain->set_events(walk.tree().size());
  chain->set_transactions(walk.transactions());
  for (const auto& [_, events] : walk.masked()) chain->set_masked_events(chain->masked_events() + events);
  chain->set_root(Hex(walk.tree().Root()));
  if (walk.rules().first_commit_us() != 0) {
    *chain->mutable_first_time() = ToProto(absl::FromUnixMicros(walk.rules().first_commit_us()));
    *chain->mutable_last_time() = ToProto(absl::FromUnixMicros(walk.rules().last_commit_us()));
  }
  const bool whole = chain->findings().empty();
  if (whole) {
    CompareHead(row, walk, chain);
    ASSAY_RETURN_IF_ERROR(CompareMasked(row, walk, chain));
  }
  for (const auto& [size, tree] : trees) {
    const MerkleTree* recomputed = walk.TreeAt(size);
    if (recomputed == nullptr ? whole : recomputed->Encode() != tree)
      *chain->add_findings() = Found(absl::StrCat("the tree that is kept of ", size, " events is not theirs"));
  }
  CompareCheckpoint(row, walk, chain);
  for (const auto& [claim, text] : claims) CompareKept(walk, claim, text, chain);
  return AddEvidence(row, chain);
}

absl::Status Auditor::Walk(const ChainRow& row, ChainWalk* walk, audit::v1::Chain* chain) {
  ASSAY_ASSIGN_OR_RETURN(Statement segments,
                         file_->Prepare("SELECT first, last, ends, body FROM segment WHERE origin = "
                                        "?1 ORDER BY last"));
  segments.BindInt(1, row.index);
  for (;;) {
    const absl::StatusOr<bool> there = segments.Step();
    if (!there.ok()) {
      *chain->add_findings() =
          Found(walk->tree().size() + 1, row.last, absl::StrCat("they cannot be read: ", there.status().message()));
      return absl::OkStatus();
    }
    if (!*there) return absl::OkStatus();
    Segment segment;
    segment.origin = row.origin;
    segment.first = {Unsigned(segments.Int("first"))};
    segment.last = {Unsigned(segments.Int("last"))};
    segment.ends_transaction = segments.Int("ends") != 0;
    const uint64_t before = walk->tree().size();
    Finding finding;
    const bool good = walk->Take(segment, segments.Blob("body"), &finding);
    events_ += walk->tree().size() - before;
    if (!good) {
      *chain->add_findings() = std::move(finding);
      return absl::OkStatus();
    }
    if (!progress_(events_, events_total_)) return absl::CancelledError("stopped");
  }
}

void Auditor::CompareHead(const ChainRow& row, const ChainWalk& walk, audit::v1::Chain* chain) {
  const uint64_t events = walk.tree().size();
  if (row.last > events) {
    *chain->add_findings() =
        Found(events + 1, row.last, "they are missing: the chain's head has them, the file has not");
  } else if (row.last < events) {
    *chain->add_findings() = Found(row.last + 1, events, "the chain's head knows nothing of them");
  } else if (row.complete != walk.complete() || row.last_stamp != walk.last_stamp().value ||
             row.complete_stamp != walk.complete_stamp().value || row.tree != walk.tree().Encode()) {
    *chain->add_findings() = Found("the chain's head is not what its events come to");
  }
  if (row.checksum != row.Checksum()) *chain->add_findings() = Found("the chain's head fails its checksum");
}

absl::Status Auditor::CompareMasked(const ChainRow& row, const ChainWalk& walk, audit::v1::Chain* chain) {
  ASSAY_ASSIGN_OR_RETURN(Statement masked, file_->Prepare("SELECT table_name, events FROM masked WHERE origin = ?1"));
  masked.BindInt(1, row.index);
  std::map<std::string, uint64_t> kept;
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool there, masked.Step());
    if (!there) break;
    kept[std::string(masked.Blob("table_name"))] = Unsigned(masked.Int("events"));
  }
  if (kept != walk.masked()) *chain->add_findings() = Found("what is kept of its masked events is not what there is");
  return absl::OkStatus();
}

void Auditor::CompareCheckpoint(const ChainRow& row, const ChainWalk& walk, audit::v1::Chain* chain) {
  if (row.checkpoint.empty() || walk.tree().size() == 0) return;
  const absl::StatusOr<Checkpoint> claim = VerifyCheckpoint(row.checkpoint, walk.opening().public_key());
  if (!claim.ok()) {
    *chain->add_findings() =
        Found(absl::StrCat("its checkpoint is not signed by the chain's key: ", claim.status().message()));
    return;
  }
  const MerkleTree* tree = walk.TreeAt(claim->size);
  if (claim->size == 0 || claim->origin.Hex() != chain->origin()) {
    *chain->add_findings() = Found("its checkpoint is of another chain, or of nothing");
  } else if (tree != nullptr && tree->Root() != claim->root) {
    *chain->add_findings() =
        Found(1, claim->size, "the branch has signed another root of them: one of them, at least, is not what it was");
  } else if (tree != nullptr) {
    chain->set_signed_events(claim->size);
    chain->set_checkpoint(row.checkpoint);
  } else if (chain->own() && chain->findings().empty()) {
    *chain->add_findings() = Found(walk.tree().size() + 1, claim->size, "they are missing: the branch has signed them");
  }
}

void Auditor::CompareKept(const ChainWalk& walk, const Checkpoint& claim, const std::string& text,
                          audit::v1::Chain* chain) {
  if (walk.tree().size() == 0 && !chain->findings().empty()) return;  // There is nothing to compare with.
  if (absl::Status good = VerifyCheckpoint(text, walk.opening().public_key()).status(); !good.ok()) {
    *chain->add_findings() =
        Found(absl::StrCat("a checkpoint of ", claim.size,
                           " events that was kept is not signed by "
                           "the key that the chain has now: the key, or the checkpoint, is another"));
    return;
  }
  const MerkleTree* tree = walk.TreeAt(claim.size);
  if (tree != nullptr && tree->Root() == claim.root) {
    chain->set_kept_checkpoints(chain->kept_checkpoints() + 1);
  } else if (tree != nullptr) {
    *chain->add_findings() = Found(1, claim.size,
                                   "a checkpoint that was kept has another root of them: one of them, at "
                                   "least, is not what it was");
  } else if (!chain->findings().empty()) {
    return;  // The walk did not get so far.
  } else if (chain->own()) {
    *chain->add_findings() =
        Found(walk.tree().size() + 1, claim.size, "they are missing: a checkpoint that was kept has them");
  } else {
    report_.add_believed(absl::StrCat("A checkpoint that was kept covers ", claim.size, " events of ", chain->origin(),
                                      ", and this file has ", walk.tree().size(),
                                      " of them: it may not have had more."));
  }
}

absl::Status Auditor::AddEvidence(const ChainRow& row, audit::v1::Chain* chain) {
  ASSAY_ASSIGN_OR_RETURN(Statement evidence,
                         file_->Prepare("SELECT kind, sequence FROM evidence WHERE origin = ?1 ORDER BY sequence"));
  evidence.BindInt(1, row.index);
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool there, evidence.Step());
    if (!there) return absl::OkStatus();
    const uint64_t at = Unsigned(evidence.Int("sequence"));
    const bool fork = evidence.Blob("kind") == "fork";
    *chain->add_findings() = Found(fork ? at : 1, at,
                                   fork ? "the branch was offered another event under this name, and kept both"
                                        : "the branch was offered a signed root that contradicts these, and kept both");
  }
}

absl::Status Auditor::CheckStray() {
  ASSAY_ASSIGN_OR_RETURN(Statement stray,
                         file_->Prepare("SELECT count(*) FROM segment WHERE origin NOT IN (SELECT id FROM chain)"));
  ASSAY_RETURN_IF_ERROR(stray.Step().status());
  if (stray.OnlyInt() > 0) *report_.add_findings() = Found("there are events of a chain that has no head");
  return absl::OkStatus();
}

void Auditor::Finish() {
  std::stable_sort(report_.mutable_chains()->begin(), report_.mutable_chains()->end(),
                   [](const audit::v1::Chain& a, const audit::v1::Chain& b) {
                     return std::tuple(!a.own(), a.branch_number(), a.branch_name()) <
                            std::tuple(!b.own(), b.branch_number(), b.branch_name());
                   });
  std::vector<std::string> lines;
  uint64_t masked = 0, unsigned_events = 0;
  for (const audit::v1::Chain& chain : report_.chains()) {
    lines.push_back(absl::StrCat(chain.origin(), " ", chain.events(), " ", chain.root(), "\n"));
    masked += chain.masked_events();
    unsigned_events += chain.events() - chain.signed_events();
  }
  std::sort(lines.begin(), lines.end());
  report_.set_digest(Hex(Sha256(absl::StrJoin(lines, ""))));
  report_.add_believed("That each public key is its branch's: compare them with what the head office has.");
  if (unsigned_events > 0) {
    report_.add_believed(absl::StrCat("Events that no checkpoint in this file covers, ", unsigned_events,
                                      " of them: they follow each other, and nobody has signed them yet."));
  }
  if (masked > 0) {
    report_.add_believed(absl::StrCat("Events of tables that this branch may not see, ", masked,
                                      " of them: their hashes are the hub's word."));
  }
  report_.add_believed("What the file derives from the events, as row versions and conflicts: it was not recomputed.");
}

}  // namespace

absl::StatusOr<VerifyReport> AuditChains(LogFile* file, const std::vector<std::string>& kept,
                                         const AuditProgress& progress) {
  return Auditor(file, kept, progress).Run();
}

bool IsGood(const VerifyReport& report) {
  return report.findings().empty() && std::all_of(report.chains().begin(), report.chains().end(),
                                                  [](const auto& chain) { return chain.findings().empty(); });
}

absl::StatusOr<std::vector<std::string>> ReadCheckpoints(absl::string_view text) {
  constexpr absl::string_view kSignature = "— ";
  std::vector<std::string> notes;
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  std::vector<absl::string_view> note;
  for (size_t i = 0; i < lines.size(); ++i) {
    const absl::string_view line = lines[i];
    if (note.empty() && !OriginId::FromHex(line).ok()) continue;
    note.push_back(line);
    const bool ends =
        absl::StartsWith(line, kSignature) && (i + 1 == lines.size() || !absl::StartsWith(lines[i + 1], kSignature));
    if (!ends) continue;
    notes.push_back(absl::StrCat(absl::StrJoin(note, "\n"), "\n"));
    ASSAY_RETURN_IF_ERROR(ParseCheckpoint(notes.back()).status());
    note.clear();
  }
  if (!note.empty()) return absl::InvalidArgumentError("the last checkpoint has no signature line");
  if (notes.empty()) return absl::InvalidArgumentError("there is no checkpoint in it");
  return notes;
}

}  // namespace assay
