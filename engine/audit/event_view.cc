#include "engine/audit/event_view.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/audit/proto_text.h"
#include "log/annotate.h"
#include "log/table_names.h"

namespace assay {
namespace {

namespace pb = admin::v1;

constexpr size_t kMessageBytesMax = 3 << 20;  // Below gRPC's 4 MiB, with room for the fields' own bytes.
constexpr size_t kNameBytesMax = 256;
constexpr size_t kFieldOverhead = 32;

// What is left to say in one message: every text takes from it.
class Budget {
 public:
  explicit Budget(size_t value_bytes_max) : value_bytes_max_(value_bytes_max) {}

  bool spent() const { return left_ == 0; }
  std::string Name(absl::string_view bytes) { return Take(CleanText(bytes, std::min(left_, kNameBytesMax))); }
  pb::Value Value(absl::string_view bytes, bool is_null) {
    pb::Value value = ViewValue(bytes, is_null, std::min(left_, value_bytes_max_));
    Take(value.text());
    return value;
  }

 private:
  std::string Take(std::string text) {
    left_ -= std::min(left_, text.size() + kFieldOverhead);
    return text;
  }
  size_t left_ = kMessageBytesMax;
  size_t value_bytes_max_;
};

std::string ColumnName(const v1::TableSchema* schema, uint32_t ordinal) {
  if (schema != nullptr && ordinal < static_cast<uint32_t>(schema->columns_size()))
    return schema->columns(ordinal).name();
  return absl::StrCat("#", ordinal);
}

void SetWho(const v1::Attribution& from, Budget& budget, pb::Who* to) {
  to->set_database_user(budget.Name(from.database_user()));
  to->set_application_user(budget.Name(from.application_user()));
  to->set_terminal(budget.Name(from.terminal()));
  to->set_reason(budget.Name(from.reason()));
  to->set_application_name(budget.Name(from.application_name()));
  to->set_client_address(budget.Name(from.client_address()));
}

template <typename Keys>
void AddKey(const Keys& key, const v1::TableSchema* schema, Budget& budget,
            google::protobuf::RepeatedPtrField<pb::Cell>* out) {
  for (int i = 0; i < key.size() && !budget.spent(); ++i) {
    pb::Cell* cell = out->Add();
    if (schema != nullptr && i < schema->key_size()) cell->set_column(budget.Name(ColumnName(schema, schema->key(i))));
    *cell->mutable_value() = budget.Value(key.Get(i), false);
  }
}

void AddColumns(const v1::RowChange& row, const v1::TableSchema* schema, Budget& budget, pb::LogEvent* out) {
  for (const v1::ColumnChange& change : row.columns()) {
    if (budget.spent()) {
      out->set_note(absl::StrCat(row.columns_size() - out->columns_size(), " more columns are not shown"));
      return;
    }
    pb::Change* to = out->add_columns();
    to->set_column(budget.Name(ColumnName(schema, change.ordinal())));
    if (change.has_old_value() || change.old_is_null()) {
      *to->mutable_old_value() = budget.Value(change.old_value(), change.old_is_null());
    }
    if (change.has_value() || change.is_null())
      *to->mutable_new_value() = budget.Value(change.value(), change.is_null());
  }
}

std::string DescribeSchema(const v1::TableSchema& schema, Budget& budget) {
  std::string text;
  for (const v1::TableSchema::Column& column : schema.columns()) {
    if (budget.spent()) break;
    absl::StrAppend(&text, text.empty() ? "" : ", ", budget.Name(column.name()), " ", budget.Name(column.type()),
                    column.not_null() ? " not null" : "");
  }
  return text;
}

std::string TableOf(const v1::TableSchema& schema, Budget& budget) {
  return TableName{budget.Name(schema.schema_name()), budget.Name(schema.table_name())}.ToString();
}

}  // namespace

pb::Value ViewValue(absl::string_view bytes, bool is_null, size_t bytes_max) {
  pb::Value value;
  value.set_is_null(is_null);
  if (is_null) return value;
  value.set_text(CleanText(bytes, bytes_max));
  if (bytes.size() > bytes_max) value.set_cut_from(bytes.size());
  return value;
}

std::string AuthorOf(const v1::TransactionHeader* header) {
  if (header == nullptr || !header->has_attribution()) return "";
  const v1::Attribution& who = header->attribution();
  return CleanText(who.application_user().empty() ? who.database_user() : who.application_user(), kNameBytesMax);
}

const std::string& EventViewer::BranchOf(const OriginId& origin) {
  std::string& branch = branches_[origin];
  if (branch.empty()) {  // Not known, or not yet: a tail outlives the moment at which the opening comes.
    if (absl::StatusOr<v1::OriginOpened> opened = log_->Opening(origin); opened.ok()) {
      branch = CleanText(opened->branch_name(), kNameBytesMax);
    }
  }
  return branch;
}

absl::StatusOr<std::shared_ptr<const v1::TableSchema>> EventViewer::SchemaOf(const OriginId& origin,
                                                                             Sequence sequence) {
  auto it = schemas_.find({origin, sequence});
  if (it != schemas_.end()) return it->second;
  ASSAY_ASSIGN_OR_RETURN(const std::string bytes, log_->ReadEvent(origin, sequence));
  v1::Event event;
  if (!event.ParseFromString(bytes) || !event.has_schema()) {
    return absl::DataLossError(absl::StrCat(EventName(origin, sequence), " is not the schema a row refers to"));
  }
  auto schema = std::make_shared<v1::TableSchema>(std::move(*event.mutable_schema()));
  schemas_[{origin, sequence}] = schema;
  return schema;
}

std::shared_ptr<const v1::TransactionHeader> EventViewer::HeaderOf(const OriginId& origin, Sequence transaction_first) {
  if (header_ != nullptr && header_of_ == std::make_pair(origin, transaction_first)) return header_;
  // Where the first event is masked, the first that is not has the header, too.
  EventReader reader = log_->Read(origin, transaction_first);
  absl::StatusOr<const StoredEvent*> stored = reader.Next();
  while (stored.ok() && *stored != nullptr && (*stored)->masked && !(*stored)->ends_transaction) stored = reader.Next();
  v1::Event event;
  if (!stored.ok() || *stored == nullptr || (*stored)->masked ||
      !event.ParseFromArray((*stored)->bytes.data(), static_cast<int>((*stored)->bytes.size())) ||
      !event.has_transaction()) {
    return nullptr;
  }
  header_of_ = {origin, transaction_first};
  header_ = std::make_shared<v1::TransactionHeader>(std::move(*event.mutable_transaction()));
  return header_;
}

pb::LogEvent EventViewer::ViewMasked(const OriginId& origin, Sequence sequence, HlcStamp stamp,
                                     absl::string_view table) {
  pb::LogEvent out;
  out.set_origin(origin.Hex());
  out.set_branch(BranchOf(origin));
  out.set_sequence(sequence.value);
  out.set_stamp(stamp.value);
  *out.mutable_time() = ToProto(TimeOf(stamp));
  out.set_operation("MASKED");
  out.set_table(CleanText(table, 2 * kNameBytesMax));
  return out;
}

absl::StatusOr<pb::LogEvent> EventViewer::View(const OriginId& origin, Sequence sequence, absl::string_view bytes,
                                               size_t value_bytes_max) {
  v1::Event event;
  if (!event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError(absl::StrCat("event ", EventName(origin, sequence), " cannot be read"));
  }
  Budget budget(value_bytes_max);
  pb::LogEvent out = ViewMasked(origin, sequence, HlcStamp{event.stamp()}, "");
  out.set_operation("");
  out.set_transaction_first(event.transaction_first());
  out.set_ends_transaction(event.ends_transaction());

  std::shared_ptr<const v1::TransactionHeader> header;
  if (event.has_transaction())
    header = std::make_shared<v1::TransactionHeader>(event.transaction());
  else
    header = HeaderOf(origin, Sequence{event.transaction_first()});
  if (header != nullptr) {
    out.set_source(v1::TransactionHeader::Source_Name(header->source()));
    if (header->commit_time_us() != 0)
      *out.mutable_commit_time() = ToProto(absl::FromUnixMicros(header->commit_time_us()));
    // What was found is stamped right behind the chain, and not by its time.
    if (event.row().standing() != v1::RowChange::EDIT && out.has_commit_time()) *out.mutable_time() = out.commit_time();
    if (header->commit_lsn() != 0) out.set_commit_lsn(Lsn{header->commit_lsn()}.ToString());
    out.set_xid(header->xid());
    if (header->has_attribution()) SetWho(header->attribution(), budget, out.mutable_who());
  }

  switch (event.body_case()) {
    case v1::Event::kRow: {
      const v1::RowChange& row = event.row();
      const auto schema_event = SchemaOf(origin, Sequence{row.schema()});
      const v1::TableSchema* schema = schema_event.ok() ? schema_event->get() : nullptr;
      out.set_operation(v1::RowChange::Operation_Name(row.operation()));
      if (schema != nullptr) out.set_table(TableOf(*schema, budget));
      AddKey(row.key(), schema, budget, out.mutable_key());
      AddKey(row.moved_from(), schema, budget, out.mutable_moved_from());
      AddColumns(row, schema, budget, &out);
      break;
    }
    case v1::Event::kSchema:
      out.set_operation("SCHEMA");
      out.set_table(TableOf(event.schema(), budget));
      out.set_note(DescribeSchema(event.schema(), budget));
      break;
    case v1::Event::kOriginOpened: {
      const v1::OriginOpened& opened = event.origin_opened();
      out.set_operation("OPENED");
      out.set_note(absl::StrCat("branch ", budget.Name(opened.branch_name()), ", number ", opened.branch_number(),
                                ", epoch ", opened.epoch()));
      break;
    }
    case v1::Event::BODY_NOT_SET:
      out.set_note("of a kind that this version does not know");
      break;
  }
  return out;
}

}  // namespace assay
