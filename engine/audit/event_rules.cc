#include "engine/audit/event_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "log/table_names.h"

namespace assay {
namespace {

constexpr size_t kOriginBytes = 16, kKeyBytes = 32;

}  // namespace

bool EventRules::Take(const StoredEvent& event, audit::v1::Finding* finding) {
  std::string wrong;
  v1::Event parsed;
  if (!event.masked) {
    wrong = parsed.ParseFromArray(event.bytes.data(), static_cast<int>(event.bytes.size()))
                ? CheckBody(event, parsed)
                : "it is no event of proto/event.proto";
  } else if (event.sequence.value == 1) {
    wrong = "the chain's opening is masked, which everybody may read";
  } else {
    headed_.insert(std::string(event.table));  // It may have the header of what is granted later.
  }
  if (event.ends_transaction) headed_.clear();
  if (wrong.empty()) return true;
  finding->set_first(event.sequence.value);
  finding->set_last(event.sequence.value);
  finding->set_table(std::string(event.table));
  for (const std::string& text : parsed.row().key()) finding->add_key(text);
  finding->set_what(std::move(wrong));
  return false;
}

std::string EventRules::CheckBody(const StoredEvent& event, const v1::Event& parsed) {
  if (std::string wrong = CheckHeader(event, parsed); !wrong.empty()) return wrong;
  const bool of_no_table = !parsed.has_row();
  if (of_no_table && !event.table.empty())
    return absl::StrCat("it is filed under table ", event.table, ", and of none");
  switch (parsed.body_case()) {
    case v1::Event::kOriginOpened:
      if (event.sequence.value != 1) return "it opens the chain a second time";
      if (parsed.origin_opened().public_key().size() != kKeyBytes) return "its public key is not 32 bytes";
      opening_ = parsed.origin_opened();
      return {};
    case v1::Event::kSchema:
      return Declare(event.sequence, parsed.schema());
    case v1::Event::kRow:
      return CheckRow(event, parsed.row());
    case v1::Event::BODY_NOT_SET:
      return event.sequence.value == 1 ? "the chain does not begin with its opening" : std::string();
  }
  return {};
}

std::string EventRules::CheckHeader(const StoredEvent& event, const v1::Event& parsed) {
  if (event.sequence.value == 1 && !parsed.has_origin_opened()) return "the chain does not begin with its opening";
  const std::string table(event.table);
  if (parsed.has_transaction()) headed_.insert(table);
  if (const int64_t commit_us = parsed.transaction().commit_time_us(); commit_us != 0) {
    if (first_commit_us_ == 0) first_commit_us_ = commit_us;
    last_commit_us_ = commit_us;
  }
  if (!headed_.contains("") && !headed_.contains(table))
    return "its transaction has no header that its readers could know";
  for (const v1::Seen& seen : parsed.transaction().seen()) {
    if (seen.origin().size() != kOriginBytes) return "it says to have seen a chain whose name is not 16 bytes";
    if (seen.origin() == origin_.AsBytes()) return "it says what it had seen of its own chain";
    uint64_t& before = seen_[seen.origin()];
    if (seen.sequence() < before)
      return absl::StrCat("it had seen event ", before, " of another chain, and says ", seen.sequence(), " now");
    before = seen.sequence();
  }
  return {};
}

std::string EventRules::Declare(Sequence sequence, const v1::TableSchema& schema) {
  if (schema.table_name().empty() || schema.columns_size() == 0) return "it declares a table without name or columns";
  if (schema.key_size() == 0) return "it declares a table without a key";
  const auto out_of_range = [&](uint32_t column) { return column >= static_cast<uint32_t>(schema.columns_size()); };
  if (std::any_of(schema.key().begin(), schema.key().end(), out_of_range))
    return "it declares a key of columns that the table has not";
  declared_[sequence.value] = {TableName{schema.schema_name(), schema.table_name()}.ToString(), schema.columns_size(),
                               schema.key_size()};
  return {};
}

std::string EventRules::CheckRow(const StoredEvent& event, const v1::RowChange& row) const {
  const auto declared = declared_.find(row.schema());
  if (declared == declared_.end())
    return absl::StrCat("it is of a table that event ", row.schema(), " does not declare");
  const auto& [table, columns, key] = declared->second;
  if (table != event.table) return absl::StrCat("it is filed under table ", event.table, ", and of ", table);
  if (row.operation() < v1::RowChange::INSERT || row.operation() > v1::RowChange::DELETE)
    return "it is no insert, update or delete";
  if (row.key_size() != key) return absl::StrCat("its key has ", row.key_size(), " columns of ", key);
  const auto refers = [&row](uint32_t replaced) { return replaced <= static_cast<uint32_t>(row.replaced_size()); };
  bool fits = refers(row.row_replaced());
  for (const v1::ColumnChange& column : row.columns()) {
    if (column.ordinal() >= static_cast<uint32_t>(columns)) return "it writes a column that its table has not";
    fits &= refers(column.replaced());
  }
  return fits ? std::string() : "it replaces a version that it does not name";
}

}  // namespace assay
