#include "engine/batch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"

namespace assay {
namespace {

// Bounds memory, and the length of one PostgreSQL transaction beside the shop's own. One transaction may exceed them alone.
constexpr size_t kRowsMax = 5000;
constexpr size_t kBytesMax = 16 << 20;

}  // namespace

SawFunction SawFromStages(StageStore* stages) {
  return [stages](const Version& later, const Version& earlier) {
    absl::StatusOr<Sequence> seen = stages->Seen(later.origin, later.sequence, earlier.origin);
    return seen.ok() && *seen >= earlier.sequence;
  };
}

Sequence Batch::Reached(const OriginId& origin) const {
  auto it = to_.find(origin);
  return it != to_.end() ? it->second : stages_->Projected(origin);
}

uint64_t Batch::Pending() const {
  uint64_t pending = 0;
  for (const OriginId& origin : log_->Origins()) {
    if (origin == own_) continue;
    pending += log_->Head(origin).complete.value - std::min(log_->Head(origin).complete, stages_->Projected(origin)).value;
  }
  return pending;
}

void Batch::Clear() {
  sources_.clear();
  in_transaction_.reset();
  rows_.clear();
  to_.clear();
  schemas_.clear();
  meetings_.clear();
  stamp_ = {};
  event_count_ = bytes_ = 0;
}

void Batch::Stop(const OriginId& origin, absl::Status status) {
  // What was folded of the damaged transaction must not stay: begin the batch again without this chain.
  Clear();
  stopped_[origin] = Annotate(status, absl::StrCat("the chain of origin ", origin.Hex().substr(0, 8),
                                                   " stands still here"));
}

absl::Status Batch::Peek(const OriginId& origin, Source& source) {
  if (!source.reader.has_value()) source.reader = log_->Read(origin, Reached(origin).Next());
  if (source.next == nullptr) {
    ASSAY_ASSIGN_OR_RETURN(source.next, source.reader->Next());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::map<OriginId, Batch::Source>::iterator> Batch::Earliest() {
  auto earliest = sources_.end();
  for (const OriginId& origin : log_->Origins()) {
    if (origin == own_ || stopped_.contains(origin)) continue;
    auto it = sources_.try_emplace(origin).first;
    Source& source = it->second;
    if (source.waiting) continue;
    if (absl::Status status = Peek(origin, source); !status.ok()) {
      if (!absl::IsDataLoss(status)) return status;
      Stop(origin, status);
      return sources_.end();
    }
    if (source.next == nullptr) continue;
    if (earliest == sources_.end() || std::pair(source.next->stamp, origin) <
                                          std::pair(earliest->second.next->stamp, earliest->first)) {
      earliest = it;
    }
  }
  return earliest;
}

absl::StatusOr<bool> Batch::Gather(size_t events_max) {
  for (auto& [origin, source] : sources_) source.waiting = false;
  waiting_for_.clear();
  for (size_t folded = 0; folded < events_max;) {
    std::map<OriginId, Source>::iterator it;
    if (in_transaction_.has_value()) {
      it = sources_.find(*in_transaction_);
    } else {
      if (rows_.size() >= kRowsMax || bytes_ >= kBytesMax) return true;
      const size_t stopped = stopped_.size();
      ASSAY_ASSIGN_OR_RETURN(it, Earliest());
      if (stopped_.size() != stopped) continue;
      if (it == sources_.end()) return true;
      ASSAY_ASSIGN_OR_RETURN(const bool ready, Ready(it->first, it->second));
      if (!ready) {
        it->second.waiting = true;
        continue;
      }
    }
    const OriginId origin = it->first;
    const StoredEvent event = *it->second.next;
    if (absl::Status status = Fold(origin, event); !status.ok()) {
      if (!absl::IsDataLoss(status)) return status;
      Stop(origin, status);
      continue;
    }
    ++folded;
    to_[origin] = event.sequence;
    stamp_ = std::max(stamp_, event.stamp);
    in_transaction_ = event.ends_transaction ? std::nullopt : std::optional<OriginId>(origin);
    it->second.next = nullptr;
    if (!in_transaction_.has_value()) continue;
    ASSAY_RETURN_IF_ERROR(Peek(origin, it->second));
    if (it->second.next == nullptr) Stop(origin, absl::DataLossError("a transaction ends without its end mark"));
  }
  return false;
}

absl::Status Batch::Regather(const std::map<OriginId, Sequence>& to) {
  Clear();
  for (const auto& [origin, last] : to) {
    EventReader reader = log_->Read(origin, stages_->Projected(origin).Next());
    for (;;) {
      if (Reached(origin) >= last) break;
      ASSAY_ASSIGN_OR_RETURN(const StoredEvent* event, reader.Next());
      if (event == nullptr) {
        return absl::DataLossError(absl::StrCat("the log ends before ", EventName(origin, last),
                                                ", which a projection had reached; put the newest copy of the log file back"));
      }
      ASSAY_RETURN_IF_ERROR(Fold(origin, *event));
      to_[origin] = event->sequence;
      stamp_ = std::max(stamp_, event->stamp);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Batch::Ready(const OriginId& origin, Source& source) {
  if (source.next->masked) return true;
  v1::Event event;
  if (!event.ParseFromArray(source.next->bytes.data(), static_cast<int>(source.next->bytes.size()))) return true;
  for (const v1::Seen& seen : event.transaction().seen()) {
    ASSAY_ASSIGN_OR_RETURN(const OriginId other, OriginId::FromBytes(seen.origin()));
    if (other == own_ || other == origin || stopped_.contains(other)) continue;
    // Lower stamps come first, so what it had seen is in this batch already, if it is here at all.
    if (Reached(other).value < seen.sequence()) {
      waiting_for_[origin] = {other, Sequence{seen.sequence()}};
      return false;
    }
  }
  return true;
}

absl::Status Batch::Fold(const OriginId& origin, const StoredEvent& stored) {
  ++event_count_;
  if (stored.masked) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(ResolvedChange change, ResolveChange(stored.bytes, origin, *names_));
  for (const v1::Seen& seen : change.event.transaction().seen()) {
    ASSAY_ASSIGN_OR_RETURN(const OriginId other, OriginId::FromBytes(seen.origin()));
    ASSAY_RETURN_IF_ERROR(stages_->AddSeen(origin, stored.sequence, other, Sequence{seen.sequence()}));
  }
  return change.event.has_row() ? FoldRow(origin, std::move(change)) : absl::OkStatus();
}

absl::Status Batch::FoldRow(const OriginId& origin, ResolvedChange change) {
  RowKey key(change.row().key().begin(), change.row().key().end());
  const RowRef ref{change.schema->table, HashKey(key)};
  const RowClaim claim = ClaimOf(change, origin);
  const RowVersions versions = VersionsOf(claim);
  auto [it, is_new] = rows_.try_emplace(ref);
  PendingRow& row = it->second;
  if (is_new) {
    for (const std::string& text : key) bytes_ += text.size();
    row.key = std::move(key);
    bytes_ += 200;
  } else {
    for (Meeting& meeting : FindMeetings(row.incoming, versions, SawFromStages(stages_))) {
      meetings_.push_back({ref, std::move(meeting)});
    }
  }
  Merge(versions, &row.incoming);
  row.newest = std::max(row.newest, claim.version);
  schemas_.insert(change.schema);
  v1::RowChange* changed = change.event.mutable_row();
  for (int i = 0; i < changed->columns_size(); ++i) {
    if (claim.kind == ChangeKind::kDelete) break;
    v1::ColumnChange* written = changed->mutable_columns(i);
    // Written, and too large for the event: its version counts, and there is no value to write here.
    const bool has_value = written->has_value() || written->is_null();
    const ColumnId column = change.ColumnAt(i);
    auto at = std::lower_bound(row.values.begin(), row.values.end(), column,
                               [](const PendingRow::Value& value, ColumnId c) { return value.column < c; });
    if (!has_value) {
      if (at != row.values.end() && at->column == column && at->version < claim.version) {
        bytes_ -= 64 + (at->text.has_value() ? at->text->size() : 0);
        row.values.erase(at);
      }
      continue;
    }
    if (at == row.values.end() || at->column != column) {
      at = row.values.insert(at, {column, {}, {}, nullptr});
    } else if (at->version > claim.version) {
      continue;
    }
    at->version = claim.version;
    at->declared = &change.schema->schema.columns(written->ordinal());
    bytes_ -= at->text.has_value() ? at->text->size() : 0;
    at->text = written->is_null() ? ColumnText() : ColumnText(std::move(*written->mutable_value()));
    bytes_ += 64 + (at->text.has_value() ? at->text->size() : 0);
  }
  return absl::OkStatus();
}

}  // namespace assay
