// The parts of LogReader that review what is stuck and what was decided: parked rows and conflicts.
#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/audit/log_reader.h"
#include "engine/audit/proto_text.h"
#include "engine/did_you_mean.h"
#include "log/annotate.h"
#include "log/local_state/conflicts.h"
#include "log/local_state/local_state.h"
#include "log/local_state/notes.h"
#include "log/local_state/unsettled_rows.h"
#include "log/table_names.h"

namespace assay {
namespace {

namespace pb = admin::v1;

constexpr size_t kListMax = 10'000;
constexpr size_t kTextMax = 1024;

absl::StatusOr<std::string> WantedTable(const std::string& text) {
  if (text.empty()) return std::string();
  ASSAY_ASSIGN_OR_RETURN(const TableName table, TableName::Parse(text));
  return table.ToString();
}

absl::StatusOr<std::optional<TableId>> WantedId(const std::string& text, TableNames& names) {
  if (text.empty()) return std::nullopt;
  ASSAY_ASSIGN_OR_RETURN(const TableName table, TableName::Parse(text));
  ASSAY_ASSIGN_OR_RETURN(const TableId id, names.IdOf(table));
  return id;
}

// A table that nobody has heard of is a slip, and not a table of which there is nothing. `enrolled`: here, though there
// may be no row of it yet.
absl::Status CheckKnown(const std::string& text, TableNames& names, const std::set<std::string>& enrolled) {
  if (text.empty()) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(const TableName wanted, TableName::Parse(text));
  if (enrolled.contains(wanted.ToString())) return absl::OkStatus();
  // The number that another name would get says how many there are.
  ASSAY_ASSIGN_OR_RETURN(const TableId end, names.IdOf({}));
  std::vector<std::string> known(enrolled.begin(), enrolled.end());
  for (TableId id; id < end; ++id.value) {
    if (names.NameOf(id) == wanted) return absl::OkStatus();
    known.push_back(names.NameOf(id).ToString());
  }
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  for (std::string& name : known) name = CleanText(name, kTextMax);
  return absl::InvalidArgumentError(absl::StrCat("the log has no table ", CleanText(wanted.ToString(), kTextMax),
                                                 known.empty() ? "" : DidYouMean(wanted.ToString(), known)));
}

void SetKey(absl::string_view encoded, google::protobuf::RepeatedPtrField<std::string>* out) {
  const absl::StatusOr<std::vector<std::string>> key = DecodeKey(encoded);
  if (!key.ok()) return;
  for (const std::string& part : *key) out->Add(CleanText(part, kTextMax));
}

}  // namespace

absl::Status LogReader::CheckTable(const std::string& table) {
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<TableNames> names, TableNames::Open(file_.get(), log_.get()));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LocalState> state, LocalState::Open(file_.get(), log_.get()));
  ASSAY_ASSIGN_OR_RETURN(const std::set<std::string> enrolled, state->Read(kEnrolledTablesNote));
  return CheckKnown(table, *names, enrolled);
}

absl::StatusOr<pb::ListParkedReply> LogReader::Parked(const pb::ListParkedRequest& request) {
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<TableNames> names, TableNames::Open(file_.get(), log_.get()));
  ASSAY_RETURN_IF_ERROR(CheckTable(request.table()));
  ASSAY_ASSIGN_OR_RETURN(const std::optional<TableId> wanted, WantedId(request.table(), *names));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<UnsettledRows> unsettled, UnsettledRows::Open(file_.get(), log_.get()));
  const size_t limit = std::min<size_t>(request.limit() == 0 ? 1000 : request.limit(), kListMax);
  const auto which = request.forgotten() ? UnsettledRows::Which::kForgotten : UnsettledRows::Which::kParked;
  ASSAY_ASSIGN_OR_RETURN(const std::vector<UnsettledRow> rows, unsettled->List(which, limit, wanted));
  pb::ListParkedReply out;
  out.set_total(unsettled->parked_count());
  out.set_forgotten(unsettled->forgotten_count());
  for (const UnsettledRow& row : rows) {
    pb::ParkedRow* to = out.add_rows();
    to->set_table(CleanText(names->NameOf(row.row.table).ToString(), kTextMax));
    SetKey(row.key, to->mutable_key());
    to->set_cause(CleanText(row.cause, kTextMax));
    to->set_sqlstate(CleanText(row.sqlstate, 5));
    to->set_origin(row.origin.Hex());
    to->set_branch(viewer_.BranchOf(row.origin));
    to->set_sequence(row.sequence.value);
    SetTime(absl::FromUnixMillis(row.since_ms), to, &pb::ParkedRow::mutable_since);
    if (row.forgotten_ms > 0) {
      SetTime(absl::FromUnixMillis(row.forgotten_ms), to, &pb::ParkedRow::mutable_forgotten);
    } else {
      SetTime(absl::FromUnixMillis(row.retry_at_ms), to, &pb::ParkedRow::mutable_next_try);
    }
    to->set_attempts(row.attempts);
  }
  return out;
}

absl::StatusOr<int64_t> LogReader::CountParked(const std::string& table, const std::vector<std::string>& key) {
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<TableNames> names, TableNames::Open(file_.get(), log_.get()));
  ASSAY_RETURN_IF_ERROR(CheckTable(table));
  ASSAY_ASSIGN_OR_RETURN(const std::optional<TableId> wanted, WantedId(table, *names));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<UnsettledRows> unsettled, UnsettledRows::Open(file_.get(), log_.get()));
  if (!wanted.has_value()) return unsettled->parked_count();
  ASSAY_ASSIGN_OR_RETURN(
      const std::vector<UnsettledRow> rows,
      unsettled->List(UnsettledRows::Which::kParked, static_cast<size_t>(unsettled->parked_count()), wanted));
  const std::string encoded = EncodeKey(key);
  return std::count_if(rows.begin(), rows.end(),
                       [&](const UnsettledRow& row) { return key.empty() || row.key == encoded; });
}

absl::StatusOr<pb::ConflictSide> LogReader::Side(const Version& version, const std::string& column) {
  pb::ConflictSide out;
  out.set_origin(version.origin.Hex());
  out.set_branch(viewer_.BranchOf(version.origin));
  out.set_sequence(version.sequence.value);
  *out.mutable_time() = ToProto(TimeOf(version.stamp));
  const absl::StatusOr<std::string> bytes = log_->ReadEvent(version.origin, version.sequence);
  if (absl::IsNotFound(bytes.status()) || absl::IsPermissionDenied(bytes.status())) return out;
  if (!bytes.ok()) return bytes.status();
  v1::Event event;
  if (!event.ParseFromString(*bytes) || !event.has_row()) return out;
  out.set_operation(v1::RowChange::Operation_Name(event.row().operation()));
  out.set_who(AuthorOf(viewer_.HeaderOf(version.origin, Sequence{event.transaction_first()}).get()));
  const auto schema = viewer_.SchemaOf(version.origin, Sequence{event.row().schema()});
  if (column.empty() || !schema.ok()) return out;
  for (const v1::ColumnChange& change : event.row().columns()) {
    if (change.ordinal() >= static_cast<uint32_t>((*schema)->columns_size())) continue;
    if ((*schema)->columns(change.ordinal()).name() != column) continue;
    if (change.has_value() || change.is_null())
      *out.mutable_value() = ViewValue(change.value(), change.is_null(), kTextMax);
  }
  return out;
}

absl::StatusOr<pb::ListConflictsReply> LogReader::Conflicts(const pb::ListConflictsRequest& request) {
  ASSAY_ASSIGN_OR_RETURN(const std::string wanted, WantedTable(request.table()));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<TableNames> names, TableNames::Open(file_.get(), log_.get()));
  ASSAY_RETURN_IF_ERROR(CheckTable(request.table()));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<assay::Conflicts> conflicts,
                         assay::Conflicts::Open(file_.get(), log_.get()));
  const int limit = static_cast<int>(std::min<uint32_t>(request.limit() == 0 ? 100 : request.limit(), 1000));
  pb::ListConflictsReply out;
  out.set_total(conflicts->count());
  int64_t before = request.before_id() > 0 ? request.before_id() : std::numeric_limits<int64_t>::max();
  while (out.conflicts_size() < limit) {
    ASSAY_ASSIGN_OR_RETURN(const std::vector<Conflict> found, conflicts->ListNewest(before, 500));
    if (found.empty()) break;
    before = found.back().id;
    for (auto it = found.begin(); it != found.end() && out.conflicts_size() < limit; ++it) {
      const std::string table = names->NameOf(it->row.table).ToString();
      if (!wanted.empty() && table != wanted) continue;
      pb::Conflict* to = out.add_conflicts();
      to->set_id(it->id);
      to->set_table(CleanText(table, kTextMax));
      SetKey(it->key, to->mutable_key());
      const std::string column = it->column ? names->ColumnNameOf(it->row.table, *it->column) : "";
      to->set_column(CleanText(column, kTextMax));
      ASSAY_ASSIGN_OR_RETURN(*to->mutable_winner(), Side(it->winner, column));
      ASSAY_ASSIGN_OR_RETURN(*to->mutable_loser(), Side(it->loser, column));
      to->set_rule(CleanText(it->rule, kTextMax));
      SetTime(absl::FromUnixMillis(it->found_ms), to, &pb::Conflict::mutable_found);
    }
  }
  return out;
}

}  // namespace assay
