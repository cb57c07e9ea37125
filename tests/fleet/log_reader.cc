#include "tests/fleet/log_reader.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/event_log.h"
#include "log/log_file.h"

namespace assay::test {
namespace {

struct OpenLog {
  std::unique_ptr<LogFile> file;
  std::unique_ptr<EventLog> events;
};

absl::StatusOr<OpenLog> Open(const std::string& state_directory) {
  OpenLog log;
  ASSAY_ASSIGN_OR_RETURN(log.file, LogFile::Open(state_directory + "/log.db", {.read_only = true}));
  ASSAY_ASSIGN_OR_RETURN(log.events, EventLog::Open(log.file.get()));
  return log;
}

LoggedRow MakeRow(const v1::Event& event, const StoredEvent& stored, const v1::TableSchema& schema) {
  const v1::RowChange& change = event.row();
  LoggedRow row{.version = {stored.stamp, stored.origin, stored.sequence},
                .transaction_first = event.transaction_first(),
                .table = absl::StrCat(schema.schema_name(), ".", schema.table_name()),
                .operation = change.operation(),
                .key = {change.key().begin(), change.key().end()}};
  for (const v1::ColumnChange& column : change.columns()) {
    const std::string& name = schema.columns(static_cast<int>(column.ordinal())).name();
    if (column.has_value()) row.written[name] = column.value();
    if (column.is_null()) row.written[name] = std::nullopt;
    if (column.has_old_value()) row.before[name] = column.old_value();
    if (column.old_is_null()) row.before[name] = std::nullopt;
  }
  return row;
}

absl::Status ReadChain(EventLog& log, const OriginId& origin, std::vector<LoggedRow>* rows) {
  std::map<uint64_t, v1::TableSchema> schemas;
  std::string branch;
  v1::TransactionHeader header;
  EventReader reader = log.Read(origin, Sequence{1});
  while (true) {
    ASSAY_ASSIGN_OR_RETURN(const StoredEvent* stored, reader.Next());
    if (stored == nullptr) return absl::OkStatus();
    if (stored->masked) continue;
    v1::Event event;
    if (!event.ParseFromArray(stored->bytes.data(), static_cast<int>(stored->bytes.size()))) {
      return absl::DataLossError(absl::StrCat(EventName(origin, stored->sequence), " is no Event"));
    }
    if (event.has_transaction()) header = event.transaction();
    if (event.has_origin_opened()) branch = event.origin_opened().branch_name();
    if (event.has_schema()) schemas[event.sequence()] = event.schema();
    if (!event.has_row()) continue;
    rows->push_back(MakeRow(event, *stored, schemas[event.row().schema()]));
    rows->back().branch = branch;
    rows->back().header = header;
  }
}

}  // namespace

absl::StatusOr<std::vector<LoggedRow>> ReadLog(const std::string& state_directory) {
  ASSAY_ASSIGN_OR_RETURN(OpenLog log, Open(state_directory));
  std::vector<LoggedRow> rows;
  for (const OriginId& origin : log.events->Origins()) ASSAY_RETURN_IF_ERROR(ReadChain(*log.events, origin, &rows));
  return rows;
}

absl::StatusOr<int64_t> CountEvents(const std::string& state_directory) {
  ASSAY_ASSIGN_OR_RETURN(OpenLog log, Open(state_directory));
  return log.events->EventCount();
}

}  // namespace assay::test
