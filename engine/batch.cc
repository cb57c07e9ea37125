#include "engine/batch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"

namespace assay {
namespace {

// Bounds memory, and the length of one PostgreSQL transaction beside the shop's own, as the rows do. One transaction may exceed it alone.
constexpr size_t kBytesMax = 16 << 20;
// Of a batch, so that a long catch-up is seen to get on.
constexpr size_t kEventsMax = 500'000;
// A larger event's memory is given back rather than used again.
constexpr size_t kScratchBytesMax = 1 << 20;

absl::StatusOr<OriginId> OriginOf(const v1::Seen& seen) {
  absl::StatusOr<OriginId> origin = OriginId::FromBytes(seen.origin());
  if (!origin.ok()) return absl::DataLossError(absl::StrCat("an event says that it had seen ", origin.status().message()));
  return origin;
}

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
  index_.clear();
  rows_.clear();
  to_.clear();
  declared_.clear();
  schemas_.clear();
  schema_ = nullptr;
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
  if (Empty()) rows_max_ = rows_cap_;
  for (size_t folded = 0; folded < events_max;) {
    std::map<OriginId, Source>::iterator it;
    if (in_transaction_.has_value()) {
      it = sources_.find(*in_transaction_);
    } else {
      if (rows_.size() >= rows_max_ || event_count_ >= kEventsMax || bytes_ >= kBytesMax) return true;
      const size_t stopped = stopped_.size();
      ASSAY_ASSIGN_OR_RETURN(it, Earliest());
      if (stopped_.size() != stopped) continue;
      if (it == sources_.end()) return true;
      const OriginId next = it->first;
      const absl::StatusOr<bool> ready = Ready(next, it->second);
      if (absl::IsDataLoss(ready.status())) {
        Stop(next, ready.status());
        continue;
      }
      ASSAY_RETURN_IF_ERROR(ready.status());
      if (!*ready) {
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
    ASSAY_ASSIGN_OR_RETURN(const OriginId other, OriginOf(seen));
    if (other == own_ || other == origin || stopped_.contains(other) || given_up_.contains(other)) continue;
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
  ASSAY_RETURN_IF_ERROR(ResolveChange(stored.bytes, origin, *names_, &change_));
  for (const v1::Seen& seen : change_.event.transaction().seen()) {
    ASSAY_ASSIGN_OR_RETURN(const OriginId other, OriginOf(seen));
    ASSAY_RETURN_IF_ERROR(stages_->AddSeen(origin, stored.sequence, other, Sequence{seen.sequence()}));
  }
  if (change_.event.has_schema()) {
    ASSAY_ASSIGN_OR_RETURN(const auto schema, names_->Schema(origin, stored.sequence));
    declared_[{origin, schema->table}] = stored.sequence;
  }
  if (change_.event.has_row()) FoldRow(origin);
  if (stored.bytes.size() > kScratchBytesMax) change_ = {};
  return absl::OkStatus();
}

void Batch::FoldRow(const OriginId& origin) {
  key_.assign(change_.row().key().begin(), change_.row().key().end());
  const RowRef ref{change_.schema->table, HashKey(key_)};
  ClaimOf(change_, origin, &claim_);
  VersionsOf(claim_, &versions_);
  auto [known, is_new] = index_.try_emplace(ref, nullptr);
  if (is_new) known->second = &rows_[ref];
  PendingRow& row = *known->second;
  if (is_new) {
    for (const std::string& text : key_) bytes_ += text.size();
    row.key = key_;
    bytes_ += 200;
  } else {
    for (Meeting& meeting : FindMeetings(row.incoming, versions_, saw_)) meetings_.push_back({ref, std::move(meeting)});
  }
  Merge(versions_, &row.incoming);
  row.newest = std::max(row.newest, claim_.version);
  if (schema_ != change_.schema.get()) schemas_.insert(change_.schema), schema_ = change_.schema.get();
  v1::RowChange* changed = change_.event.mutable_row();
  for (int i = 0; i < changed->columns_size(); ++i) {
    if (claim_.kind == ChangeKind::kDelete) break;
    v1::ColumnChange* written = changed->mutable_columns(i);
    // Written, and too large for the event: its version counts, and there is no value to write here.
    const bool has_value = written->has_value() || written->is_null();
    const ColumnId column = change_.ColumnAt(i);
    auto at = std::lower_bound(row.values.begin(), row.values.end(), column,
                               [](const PendingRow::Value& value, ColumnId c) { return value.column < c; });
    if (!has_value) {
      if (at != row.values.end() && at->column == column && at->version < claim_.version) {
        bytes_ -= 64 + (at->text.has_value() ? at->text->size() : 0);
        row.values.erase(at);
      }
      continue;
    }
    if (at == row.values.end() || at->column != column) {
      at = row.values.insert(at, {column, {}, {}, nullptr});
      bytes_ += 64;
    } else if (at->version > claim_.version) {
      continue;
    }
    at->version = claim_.version;
    at->declared = &change_.schema->schema.columns(written->ordinal());
    bytes_ -= at->text.has_value() ? at->text->size() : 0;
    if (written->is_null()) {
      at->text.reset();
    } else if (at->text.has_value()) {
      at->text->swap(*written->mutable_value());  // The older one's memory serves the next event.
    } else {
      at->text = std::move(*written->mutable_value());
    }
    bytes_ += at->text.has_value() ? at->text->size() : 0;
  }
}

}  // namespace assay
