// Appending: heads, trees and segments. What others wrote comes in through event_log_pull.cc; reading is in
// event_log_read.cc, checkpoints in event_log_checkpoint.cc, what is done with small segments in
// event_log_repack.cc, and what is granted later in event_log_unmask.cc.
#include "log/event_log.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/bytes.h"
#include "log/check.h"

namespace assay {
namespace {

// Between two trees kept in table `tree`.
constexpr uint64_t kTreeInterval = 8192;

constexpr char kSelectChains[] =
    "SELECT id, origin, last, last_stamp, complete, complete_stamp, tree, checkpoint, checksum FROM chain ORDER BY id";
constexpr char kUpsertChain[] =
    "INSERT INTO chain (id, origin, last, last_stamp, complete, complete_stamp, tree, checkpoint, checksum) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO UPDATE SET last = ?3, last_stamp = ?4, complete = "
    "?5, "
    "complete_stamp = ?6, tree = ?7, checkpoint = ?8, checksum = ?9";

int64_t Signed(uint64_t value) { return static_cast<int64_t>(value); }
uint64_t Unsigned(int64_t value) { return static_cast<uint64_t>(value); }

}  // namespace

absl::StatusOr<std::unique_ptr<EventLog>> EventLog::Open(LogFile* file) {
  std::unique_ptr<EventLog> log(new EventLog(file));
  ASSAY_ASSIGN_OR_RETURN(log->select_end_, file->Prepare("SELECT ends FROM segment WHERE origin = ?1 AND last = ?2"));
  ASSAY_ASSIGN_OR_RETURN(log->select_segment_, file->Prepare("SELECT first, last, ends, body FROM segment "
                                                             "WHERE origin = ?1 AND last >= ?2 ORDER BY last LIMIT 1"));
  if (!file->read_only()) {
    ASSAY_ASSIGN_OR_RETURN(
        log->insert_segment_,
        file->Prepare("INSERT INTO segment (origin, last, first, ends, body) VALUES (?1, ?2, ?3, ?4, ?5)"));
    ASSAY_ASSIGN_OR_RETURN(log->upsert_chain_, file->Prepare(kUpsertChain));
  }
  ASSAY_RETURN_IF_ERROR(log->Load());
  EventLog* raw = log.get();
  raw->participation_ = file->AddParticipant([raw] { return raw->BeforeCommit(); },
                                             [raw] {
                                               ++raw->generation_;
                                               raw->chains_.clear();
                                               raw->newest_ = nullptr;
                                               raw->origins_by_index_.clear();
                                               raw->cache_.Clear();
                                               raw->evidence_.clear();
                                               return raw->Load();
                                             });
  return log;
}

std::string EventLog::Chain::Checksum() const {
  std::string bytes(origin.AsBytes());
  for (const uint64_t number :
       {uint64_t{index.value}, head.last.value, last_stamp.value, head.complete.value, head.complete_stamp.value}) {
    PutFixed64(&bytes, number);
  }
  absl::StrAppend(&bytes, tree.Encode(), checkpoint);
  return std::string(AsBytes(Sha256(bytes)).substr(0, 8));
}

absl::Status EventLog::Load() {
  // One snapshot, while another process may be writing.
  const bool snapshot = file_->read_only() && !file_->InTransaction();
  if (snapshot) ASSAY_RETURN_IF_ERROR(file_->Begin());
  const auto load = [this]() -> absl::Status {
    ASSAY_ASSIGN_OR_RETURN(Statement chains, file_->Prepare(kSelectChains));
    for (;;) {
      ASSAY_ASSIGN_OR_RETURN(const bool row, chains.Step());
      if (!row) break;
      ASSAY_RETURN_IF_ERROR(LoadChain(chains));
    }
    ASSAY_RETURN_IF_ERROR(LoadMasked());
    ASSAY_RETURN_IF_ERROR(LoadRepacked());
    return CheckSegmentEnds();
  };
  absl::Status status = load();
  if (snapshot) status.Update(file_->Commit());
  return Annotate(status, "open the event log");
}

// A damaged page may take rows away without SQLite's notice: the heads and the segments must tell the same story.
absl::Status EventLog::CheckSegmentEnds() {
  ASSAY_ASSIGN_OR_RETURN(Statement newest,
                         file_->Prepare("SELECT coalesce(max(last), 0) FROM segment WHERE origin = ?1"));
  for (const auto& [origin, chain] : chains_) {
    newest.BindInt(1, chain.index.value);
    ASSAY_RETURN_IF_ERROR(newest.Step().status());
    const uint64_t last = Unsigned(newest.OnlyInt());
    newest.Reset();
    if (last != chain.head.last.value) {
      return absl::DataLossError(absl::StrCat("the head of chain ", origin.Hex(), " is at ", chain.head.last.value,
                                              " and its segments end at ", last));
    }
  }
  ASSAY_ASSIGN_OR_RETURN(Statement stray, file_->Prepare("SELECT max(origin) AS origin FROM segment"));
  ASSAY_RETURN_IF_ERROR(stray.Step().status());
  if (!stray.IsNull("origin") && !HasIndex(Unsigned(stray.Int("origin"))))
    return absl::DataLossError("there are segments of a chain without a head");
  return absl::OkStatus();
}

absl::Status EventLog::LoadChain(const Statement& row) {
  const absl::StatusOr<OriginId> id = OriginId::FromBytes(row.Blob("origin"));
  if (!id.ok()) return absl::DataLossError("an origin that is not 16 bytes");
  const OriginId origin = *id;
  Chain* chain = FindOrAdd(origin);
  if (chain->index.value != Unsigned(row.Int("id")))
    return absl::DataLossError("the log's origins are not numbered from 0");
  chain->head = {{Unsigned(row.Int("last"))}, {Unsigned(row.Int("complete"))}, {Unsigned(row.Int("complete_stamp"))}};
  chain->last_stamp = {Unsigned(row.Int("last_stamp"))};
  chain->stored = chain->head.last;
  ASSAY_ASSIGN_OR_RETURN(chain->tree, MerkleTree::Decode(row.Blob("tree")));
  if (chain->tree.size() != chain->head.last.value || chain->head.complete > chain->head.last) {
    return absl::DataLossError(absl::StrCat("the head of chain ", origin.Hex(), " does not fit its Merkle tree"));
  }
  chain->builder = SegmentBuilder(origin, chain->InTransaction());
  chain->checkpoint = std::string(row.Blob("checkpoint"));
  if (chain->Checksum() != row.Blob("checksum"))
    return absl::DataLossError(absl::StrCat("the head of chain ", origin.Hex(), " fails its checksum"));
  if (!chain->checkpoint.empty()) {
    ASSAY_ASSIGN_OR_RETURN(chain->claim, ParseCheckpoint(chain->checkpoint));
  }
  chain->dirty = false;
  return absl::OkStatus();
}

absl::Status EventLog::Refresh() { return file_->read_only() ? Load() : absl::OkStatus(); }

std::vector<OriginId> EventLog::Origins() const {
  std::vector<OriginId> origins;
  for (const auto& [origin, chain] : chains_) origins.push_back(origin);
  return origins;
}

const EventLog::Chain* EventLog::Find(const OriginId& origin) const {
  const auto found = chains_.find(origin);
  return found == chains_.end() ? nullptr : &found->second;
}

EventLog::Chain* EventLog::FindOrAdd(const OriginId& origin) {
  if (newest_ != nullptr && newest_->origin == origin) return newest_;
  auto found = chains_.find(origin);
  if (found == chains_.end()) {
    const OriginIndex index{static_cast<uint32_t>(origins_by_index_.size())};
    Chain chain{.origin = origin, .index = index, .builder = SegmentBuilder(origin), .dirty = true};
    found = chains_.emplace(origin, std::move(chain)).first;
    origins_by_index_.push_back(origin);
  }
  newest_ = &found->second;
  return newest_;
}

ChainHead EventLog::Head(const OriginId& origin) const {
  const Chain* chain = Find(origin);
  return chain == nullptr ? ChainHead{} : chain->head;
}

absl::StatusOr<OriginIndex> EventLog::IndexOf(const OriginId& origin) {
  // A reader's own numbers would collide with those the writer gives.
  if (file_->read_only() && Find(origin) == nullptr) {
    return absl::NotFoundError(absl::StrCat("origin ", origin.Hex(), " is not in this log"));
  }
  return FindOrAdd(origin)->index;
}

OriginId EventLog::OriginOf(OriginIndex index) const {
  ASSAY_CHECK(index.value < origins_by_index_.size());
  return origins_by_index_[index.value];
}

int64_t EventLog::EventCount() const {
  int64_t count = 0;
  for (const auto& [origin, chain] : chains_) count += Signed(chain.head.last.value);
  return count;
}

absl::Status EventLog::Append(const v1::Event& event, absl::string_view table, absl::string_view bytes) {
  ASSAY_CHECK(file_->InTransaction());
  absl::StatusOr<OriginId> origin = OriginId::FromBytes(event.origin());
  ASSAY_CHECK(origin.ok());
  Chain& chain = *FindOrAdd(*origin);
  const bool begins = !chain.InTransaction();
  ASSAY_CHECK(event.sequence() == chain.head.last.value + 1);
  ASSAY_CHECK(begins ? HlcStamp{event.stamp()} > chain.last_stamp : HlcStamp{event.stamp()} == chain.last_stamp);
  ASSAY_CHECK(event.transaction_first() == chain.head.complete.value + 1);
  StoredEvent stored;
  stored.origin = *origin;
  stored.sequence = {event.sequence()};
  stored.stamp = {event.stamp()};
  stored.ends_transaction = event.ends_transaction();
  stored.table = table;
  stored.bytes = bytes;
  stored.leaf = LeafHash(bytes);
  return Take(chain, stored);
}

absl::Status EventLog::Take(Chain& chain, const StoredEvent& event) {
  while (chain.builder.Full(event)) ASSAY_RETURN_IF_ERROR(Store(chain, chain.builder.Finish(false)));
  chain.builder.Add(event);
  return Advance(chain, event);
}

absl::Status EventLog::Advance(Chain& chain, const StoredEvent& event) {
  chain.head.last = event.sequence;
  chain.last_stamp = event.stamp;
  if (event.ends_transaction) {
    chain.head.complete = event.sequence;
    chain.head.complete_stamp = event.stamp;
  }
  chain.tree.Append(event.leaf);
  chain.dirty = true;
  if (event.masked) {
    auto& masked = chain.masked.try_emplace(std::string(event.table), Chain::Masked{event.sequence, {}}).first->second;
    masked.last = event.sequence;
    ++masked.events;
    chain.masked_dirty = true;
  }
  if (chain.tree.size() % kTreeInterval != 0) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(Statement insert, file_->Prepare("INSERT INTO tree (origin, size, tree) VALUES (?1, ?2, ?3)"));
  const std::string tree = chain.tree.Encode();
  return insert.BindInt(1, chain.index.value).BindInt(2, Signed(chain.tree.size())).BindBlob(3, tree).Run();
}

absl::Status EventLog::Store(Chain& chain, const Segment& segment) {
  ASSAY_CHECK(segment.first == chain.stored.Next());
  ASSAY_RETURN_IF_ERROR(InsertSegment(chain, segment));
  if (chain.repacked == chain.stored && !segment.IsSmall()) {
    chain.repacked = segment.last;
    repacked_changed_ = true;
  }
  chain.stored = segment.last;
  return absl::OkStatus();
}

absl::Status EventLog::InsertSegment(const Chain& chain, const Segment& segment) {
  const std::string body = EncodeSegmentBody(segment);
  return insert_segment_.BindInt(1, chain.index.value)
      .BindInt(2, Signed(segment.last.value))
      .BindInt(3, Signed(segment.first.value))
      .BindInt(4, segment.ends_transaction ? 1 : 0)
      .BindBlob(5, body)
      .Run();
}

absl::Status EventLog::Flush(Chain& chain, bool with_piece) {
  while (!chain.builder.empty() && (with_piece || chain.builder.HasWholeTransactions())) {
    ASSAY_RETURN_IF_ERROR(Store(chain, chain.builder.Finish(false)));
  }
  return absl::OkStatus();
}

absl::Status EventLog::BeforeCommit() {
  // By index, so that the numbers are dense from 0 in the file too.
  for (const OriginId& origin : origins_by_index_) {
    Chain& chain = chains_.at(origin);
    if (!chain.dirty) continue;
    ASSAY_RETURN_IF_ERROR(Flush(chain, /*with_piece=*/true));
    const std::string tree = chain.tree.Encode(), checksum = chain.Checksum();
    ASSAY_RETURN_IF_ERROR(upsert_chain_.BindInt(1, chain.index.value)
                              .BindBlob(2, origin.AsBytes())
                              .BindInt(3, Signed(chain.head.last.value))
                              .BindInt(4, Signed(chain.last_stamp.value))
                              .BindInt(5, Signed(chain.head.complete.value))
                              .BindInt(6, Signed(chain.head.complete_stamp.value))
                              .BindBlob(7, tree)
                              .BindText(8, chain.checkpoint)
                              .BindBlob(9, checksum)
                              .Run());
    chain.dirty = false;
    if (chain.masked_dirty) ASSAY_RETURN_IF_ERROR(StoreMasked(chain));
  }
  if (repacked_changed_) ASSAY_RETURN_IF_ERROR(StoreRepacked());
  return StoreEvidence();
}

}  // namespace assay
