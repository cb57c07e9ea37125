#include "engine/capture/event_writer.h"

#include <utility>

#include "log/annotate.h"
#include "log/bytes.h"

namespace assay {
namespace {

// A larger row's memory is given back rather than used again.
constexpr size_t kScratchBytesMax = 1 << 20;
// What is of no table everybody may read. Declarations are: whoever is granted a table later needs the one in force.
constexpr absl::string_view kOfNoTable = "";

}  // namespace

void EventWriter::Clear() {
  seen_written_.clear();
  seen_noted_.clear();
  holding_ = false;
}

void EventWriter::Begin(const TransactionFacts& facts) {
  facts_ = facts;
  attribution_.reset();
  stamped_ = holding_ = false;
  headed_.clear();
}

absl::Status EventWriter::Flush() { return holding_ ? AppendHeld(/*ends_transaction=*/false) : absl::OkStatus(); }

absl::StatusOr<bool> EventWriter::End() {
  if (!holding_) return false;
  ASSAY_RETURN_IF_ERROR(AppendHeld(/*ends_transaction=*/true));
  return true;
}

absl::StatusOr<Sequence> EventWriter::DeclareInChain(const TableShape& shape, const DeclaredTable& table) {
  ASSAY_ASSIGN_OR_RETURN(Sequence declared, tables_->InChain(table));
  if (declared.value != 0) return declared;
  ASSAY_RETURN_IF_ERROR(NextEvent(kOfNoTable));
  SetSchema(shape, table, event_.mutable_schema());
  declared = Sequence{event_.sequence()};
  ASSAY_RETURN_IF_ERROR(tables_->Declare(table, declared));
  return declared;
}

absl::StatusOr<v1::RowChange*> EventWriter::NextRow(const TableShape& shape, const DeclaredTable& table,
                                                    v1::RowChange::Operation operation, const RowKey& key) {
  ASSAY_RETURN_IF_ERROR(table.refusal);
  ASSAY_RETURN_IF_ERROR(CheckKeySize(key.size(), shape.key.size()));
  ASSAY_ASSIGN_OR_RETURN(const Sequence schema, DeclareInChain(shape, table));
  ASSAY_RETURN_IF_ERROR(NextEvent(table.name));
  has_row_ = true;
  row_.Clear();
  row_.set_operation(operation);
  row_.set_standing(facts_.standing);
  row_.set_schema(schema.value);
  for (const std::string& text : key) row_.add_key(text);
  return &row_;
}

absl::Status EventWriter::NextEvent(absl::string_view table) {
  const bool first = !stamped_;
  if (!stamped_) {
    const HlcStamp last = log_->Head(own_).complete_stamp;
    stamp_ = clock_->StampCommit(facts_.standing == v1::RowChange::EDIT ? facts_.stamp_time_us : 0);
    if (stamp_ <= last) return absl::ResourceExhaustedError("this log's chain has come to the end of all stamps");
    stamped_ = true;
    first_ = log_->Head(own_).last.Next();
  } else if (holding_) {
    ASSAY_RETURN_IF_ERROR(AppendHeld(/*ends_transaction=*/false));
  }
  event_.Clear();
  event_.set_origin(own_.bytes.data(), own_.bytes.size());
  event_.set_sequence(log_->Head(own_).last.value + 1);
  event_.set_stamp(stamp_.value);
  event_.set_transaction_first(first_.value);
  event_table_.assign(table.data(), table.size());
  row_bytes_ = 0;
  has_row_ = false;
  holding_ = true;
  return NeedsHeader() ? WriteHeader(first) : absl::OkStatus();
}

bool EventWriter::NeedsHeader() { return !headed_.contains(kOfNoTable) && headed_.insert(event_table_).second; }

absl::Status EventWriter::WriteHeader(bool first) {
  v1::TransactionHeader* header = event_.mutable_transaction();
  header->set_source(facts_.source);
  header->set_commit_time_us(facts_.commit_time_us);
  header->set_commit_lsn(facts_.commit_lsn.value);
  header->set_xid(facts_.xid);
  if (attribution_ != nullptr) *header->mutable_attribution() = *attribution_;
  const SeenVector& everybody = seen_written_[std::string(kOfNoTable)];
  SeenVector& readers = seen_written_[event_table_];
  for (const OriginId& origin : log_->Origins()) {
    const Sequence projected = state_->Projected(origin);
    if (origin == own_) continue;
    if (const auto told = everybody.find(origin); told != everybody.end() && told->second == projected) continue;
    if (Sequence& told = readers[origin]; told != projected) {
      v1::Seen* seen = header->add_seen();
      seen->set_origin(origin.bytes.data(), origin.bytes.size());
      seen->set_sequence(projected.value);
      told = projected;
    }
    if (Sequence& noted = seen_noted_[origin]; first && noted != projected) {
      ASSAY_RETURN_IF_ERROR(state_->AddSeen(own_, Sequence{event_.sequence()}, origin, projected));
      noted = projected;
    }
  }
  return absl::OkStatus();
}

absl::Status EventWriter::AppendHeld(bool ends_transaction) {
  event_.set_ends_transaction(ends_transaction);
  buffer_.clear();
  bool fits = event_.AppendToString(&buffer_);
  if (fits && has_row_) {
    // As if the row were a field of event_, which would give its memory back with each event.
    PutVarint(&buffer_, v1::Event::kRowFieldNumber << 3 | 2);
    PutVarint(&buffer_, row_.ByteSizeLong());
    fits = row_.AppendToString(&buffer_);
    if (buffer_.size() > kScratchBytesMax) row_ = {};
  }
  // row_bytes_max is far below.
  if (!fits) return absl::ResourceExhaustedError("a captured row is larger than 2 GB as an event");
  holding_ = false;
  ++events_;
  return log_->Append(event_, event_table_, buffer_);
}

bool EventWriter::TakesRoom(const TupleValue& value) {
  if (value.kind != TupleValue::Kind::kText) return true;
  if (row_bytes_ + value.text.size() > config_.row_bytes_max) return false;
  row_bytes_ += value.text.size();
  return true;
}

uint32_t EventWriter::ReplacedIndex(const Version& version) {
  if (version.IsNone()) return 0;
  v1::RowChange* row = &row_;
  const absl::string_view origin = version.origin == own_ ? absl::string_view() : version.origin.AsBytes();
  for (int i = 0; i < row->replaced_size(); ++i) {
    const v1::VersionRef& known = row->replaced(i);
    if (known.sequence() == version.sequence.value && known.origin() == origin) return i + 1;
  }
  v1::VersionRef* added = row->add_replaced();
  added->set_stamp(version.stamp.value);
  added->set_origin(origin.data(), origin.size());
  added->set_sequence(version.sequence.value);
  return row->replaced_size();
}

}  // namespace assay
