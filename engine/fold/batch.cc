#include "engine/fold/batch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/fold/unreadable_rows.h"
#include "log/annotate.h"
#include "log/check.h"

namespace assay {
namespace {

// Bounds memory, and the length of one PostgreSQL transaction beside the shop's own, as the rows do. One transaction
// may exceed it alone.
constexpr size_t kBytesMax = 16 << 20;
// Of a batch, so that a long catch-up is seen to get on: some seconds' worth. The more of them, the fewer rows are
// written.
constexpr size_t kEventsMax = 2'000'000;

absl::StatusOr<v1::TransactionHeader> HeaderOf(const RowEvent& event) {
  v1::TransactionHeader header;
  if (!header.ParseFromArray(event.header.data(), static_cast<int>(event.header.size()))) {
    return absl::DataLossError("its transaction's header is not a valid message");
  }
  return header;
}

absl::StatusOr<OriginId> OriginOf(const v1::Seen& seen) {
  absl::StatusOr<OriginId> origin = OriginId::FromBytes(seen.origin());
  if (!origin.ok())
    return absl::DataLossError(absl::StrCat("an event says that it had seen ", origin.status().message()));
  return origin;
}

}  // namespace

Sequence Batch::From(const OriginId& origin) const {
  const auto after = after_.find(origin);
  return std::max(after == after_.end() ? Sequence{} : after->second, state_->Projected(origin));
}

Sequence Batch::Reached(const OriginId& origin) const {
  const auto it = to_.find(origin);
  return it == to_.end() ? From(origin) : it->second;
}

std::map<OriginId, Sequence> Batch::End() const {
  std::map<OriginId, Sequence> end = to_;
  end.insert(after_.begin(), after_.end());
  return end;
}

bool Batch::Full() const {
  // Of rows that change, many events become one write if only enough of them are gathered. New ones are mostly written
  // once, and gain nothing by it.
  return rows().size() >= rows_max_ || rows_.new_rows() >= new_rows_cap_ || event_count_ >= kEventsMax ||
         rows_.bytes() >= kBytesMax;
}

uint64_t Batch::Pending() const {
  uint64_t pending = 0;
  for (const OriginId& origin : log_->Origins()) {
    if (origin == own_) continue;
    pending +=
        log_->Head(origin).complete.value - std::min(log_->Head(origin).complete, state_->Projected(origin)).value;
  }
  return pending;
}

void Batch::Clear(std::map<OriginId, Sequence> after) {
  Forget();
  after_ = std::move(after);
}

void Batch::Seal() {
  sealed_ = true;
  sources_.clear();
  rows_.Seal();
}

void Batch::Forget() {
  sealed_ = false;
  sources_.clear();
  in_transaction_.reset();
  rows_.Clear();
  to_.clear();
  declared_.clear();
  epochs_.clear();
  stamp_ = {};
  event_count_ = 0;
}

void Batch::Stop(const OriginId& origin, absl::Status status) {
  // What was folded of the damaged transaction must not stay: begin the batch again without this chain.
  Forget();
  stopped_[origin] =
      Annotate(status, absl::StrCat("the chain of origin ", origin.Hex().substr(0, 8), " stands still here"));
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
    if (earliest == sources_.end() ||
        std::pair(source.next->stamp, origin) < std::pair(earliest->second.next->stamp, earliest->first)) {
      earliest = it;
    }
  }
  return earliest;
}

absl::StatusOr<bool> Batch::Gather(size_t events_max) {
  ASSAY_CHECK(!sealed_);
  for (auto& [origin, source] : sources_) source.waiting = false;
  waiting_for_.clear();
  if (Empty()) rows_max_ = rows_cap_;
  for (size_t folded = 0; folded < events_max;) {
    std::map<OriginId, Source>::iterator it;
    if (in_transaction_.has_value()) {
      it = sources_.find(*in_transaction_);
    } else {
      if (Full()) return true;
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
  std::map<OriginId, Source> left;
  for (const auto& [origin, last] : to) {
    if (Reached(origin) < last) left.try_emplace(origin);
  }
  while (!left.empty()) {
    // In stamp order, as they were gathered: nobody comes before what he had seen.
    auto earliest = left.end();
    for (auto it = left.begin(); it != left.end(); ++it) {
      ASSAY_RETURN_IF_ERROR(Peek(it->first, it->second));
      if (it->second.next == nullptr) {
        return absl::DataLossError(
            absl::StrCat("the log ends before ", EventName(it->first, to.at(it->first)),
                         ", which a projection had reached; put the newest copy of the log file back"));
      }
      if (earliest == left.end() || it->second.next->stamp < earliest->second.next->stamp) earliest = it;
    }
    const OriginId origin = earliest->first;
    const StoredEvent event = *std::exchange(earliest->second.next, nullptr);
    ASSAY_RETURN_IF_ERROR(Fold(origin, event));
    to_[origin] = event.sequence;
    stamp_ = std::max(stamp_, event.stamp);
    if (event.sequence >= to.at(origin)) left.erase(earliest);
  }
  return absl::OkStatus();
}

absl::StatusOr<const StoredEvent*> Batch::FirstShown(const OriginId& origin, const Source& source,
                                                     std::optional<EventReader>* ahead) {
  const StoredEvent* event = source.next;
  if (event->masked) *ahead = log_->Read(origin, event->sequence.Next());
  while (event != nullptr && event->masked) {
    if (event->ends_transaction) return nullptr;
    ASSAY_ASSIGN_OR_RETURN(event, (*ahead)->Next());
  }
  return event;
}

absl::StatusOr<bool> Batch::Ready(const OriginId& origin, Source& source) {
  std::optional<EventReader> ahead;
  ASSAY_ASSIGN_OR_RETURN(const StoredEvent* first, FirstShown(origin, source, &ahead));
  if (first == nullptr) return true;
  const absl::StatusOr<const RowEvent*> event = reader_.Read(first->bytes);
  if (!event.ok()) return true;  // Folding it will say what is wrong.
  ASSAY_ASSIGN_OR_RETURN(const v1::TransactionHeader header, HeaderOf(**event));
  for (const v1::Seen& seen : header.seen()) {
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
  const auto named = [&](const absl::Status& status) { return Annotate(status, EventName(origin, stored.sequence)); };
  const absl::StatusOr<const RowEvent*> event = reader_.Read(stored.bytes);
  if (!event.ok()) return named(event.status());
  if (!(*event)->header.empty()) ASSAY_RETURN_IF_ERROR(named(TakeHeader(stored, **event)));
  if ((*event)->body == RowEvent::Body::kRow) {
    uint32_t& epoch = epochs_[stored.origin];
    if (epoch == 0) epoch = ++epochs_given_;
    const absl::Status folded = rows_.Fold(stored, **event, epoch);
    return named(absl::IsInvalidArgument(folded) ? NoteUnreadable(stored, folded, state_) : folded);
  }
  if ((*event)->body == RowEvent::Body::kSchema) {
    const auto schema = names_->Schema(origin, stored.sequence);
    if (absl::IsInvalidArgument(schema.status())) return absl::OkStatus();  // Its rows say so, if there are any.
    ASSAY_RETURN_IF_ERROR(schema.status());
    declared_[{origin, (*schema)->table}] = stored.sequence;
  }
  return absl::OkStatus();
}

absl::Status Batch::TakeHeader(const StoredEvent& stored, const RowEvent& event) {
  ASSAY_ASSIGN_OR_RETURN(const v1::TransactionHeader header, HeaderOf(event));
  if (header.seen_size() > 0) epochs_[stored.origin] = ++epochs_given_;
  for (const v1::Seen& seen : header.seen()) {
    ASSAY_ASSIGN_OR_RETURN(const OriginId other, OriginOf(seen));
    // Each table's header says what has changed since that table's last one: mostly it is known already.
    ASSAY_ASSIGN_OR_RETURN(const Sequence known, state_->Seen(stored.origin, stored.sequence, other));
    if (known.value == seen.sequence()) continue;
    ASSAY_RETURN_IF_ERROR(state_->AddSeen(stored.origin, stored.sequence, other, Sequence{seen.sequence()}));
  }
  return absl::OkStatus();
}

}  // namespace assay
