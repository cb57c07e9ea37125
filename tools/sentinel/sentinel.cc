#include "tools/sentinel/sentinel.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/postgres/catalog.h"
#include "engine/own_chain.h"
#include "log/annotate.h"
#include "log/local_state/open_stores.h"

namespace assay {
namespace {

// So long a piece may take; the whole of a table may take hours.
constexpr absl::Duration kCallMax = absl::Minutes(2);
// Of what is done by itself, beside a shop that sells.
constexpr double kLeisure = 0.1;

// What may be otherwise the next time, without anybody doing anything.
bool Passes(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status) || absl::IsCancelled(status) ||
         absl::IsDeadlineExceeded(status);
}

class Round {
 public:
  Round(const SentinelOptions& options, const CheckRequest& request, const RoundHooks& hooks,
        std::map<std::string, TableShape>* compared)
      : options_(options), request_(request), hooks_(hooks), compared_(compared) {}

  CheckRound Run() {
    round_.status = Take();
    return std::move(round_);
  }

 private:
  absl::Status Take() {
    ASSAY_ASSIGN_OR_RETURN(file_, LogFile::Open(options_.log_path, {.read_only = true}));
    ASSAY_ASSIGN_OR_RETURN(stores_, OpenStores::Open(file_.get()));
    ASSAY_ASSIGN_OR_RETURN(own_, OwnOrigin(*stores_.state));
    ASSAY_ASSIGN_OR_RETURN(const std::vector<std::string> tables, Choose());
    if (tables.empty()) return absl::OkStatus();
    hooks_.begun(tables.size());
    absl::Status first;  // That kept a table from being compared.
    for (const std::string& table : tables) {
      const absl::Status status = Compare(table);
      if (status.ok()) continue;
      round_.not_compared.push_back(absl::StrCat(table, ": ", status.message()));
      // The next table would fare no better.
      if (absl::IsUnavailable(status) || absl::IsCancelled(status) || absl::IsDataLoss(status)) return status;
      // A table that takes no part is named by the survey.
      if (Passes(status) || (absl::IsFailedPrecondition(status) && !request_.asked)) continue;
      first.Update(Annotate(status, table));
    }
    return first;
  }

  absl::StatusOr<std::vector<std::string>> Choose() {
    ASSAY_ASSIGN_OR_RETURN(const std::set<std::string> enrolled, stores_.state->Read(kEnrolledTablesNote));
    if (request_.asked && !request_.tables.empty()) return request_.tables;
    const absl::Time night = LastNight(options_.time_of_day, options_.after, hooks_.now(), absl::LocalTimeZone());
    std::vector<std::pair<int64_t, std::string>> due;  // What was compared longest ago comes first.
    std::set<std::string> altered;
    if (!request_.asked) {
      ASSAY_ASSIGN_OR_RETURN(altered, Altered(enrolled));
    }
    for (const std::string& table : enrolled) {
      ASSAY_ASSIGN_OR_RETURN(const CheckedTable checked, stores_.state->Read(kCheckedNote, table));
      ASSAY_ASSIGN_OR_RETURN(const DeclaredShape declared, stores_.state->Read(kShapeNote, table));
      if (request_.asked || IsDue(checked, declared.sequence, night) || altered.contains(table))
        due.emplace_back(checked.ended_ms, table);
    }
    std::sort(due.begin(), due.end());
    std::vector<std::string> tables;
    for (auto& [_, table] : due) tables.push_back(std::move(table));
    return tables;
  }

  // The stream tells of ALTER TABLE with the next row, which may be long in coming.
  absl::StatusOr<std::set<std::string>> Altered(const std::set<std::string>& enrolled) {
    ASSAY_RETURN_IF_ERROR(Connect());
    std::vector<TableName> names;
    for (const std::string& table : enrolled) {
      ASSAY_ASSIGN_OR_RETURN(names.emplace_back(), TableName::Parse(table));
    }
    LocalCatalog catalog;
    ASSAY_RETURN_IF_ERROR(catalog.Load(*connection_, names, absl::ZeroDuration()));
    std::set<std::string> altered;
    for (const TableName& name : names) {
      const LocalTable& table = catalog.Find(name);
      ASSAY_ASSIGN_OR_RETURN(const DeclaredShape declared, stores_.state->Read(kShapeNote, name.ToString()));
      if (!table.refusal.empty() || declared.sequence.value == 0) continue;
      TableShape shape{name, {}, {}};
      for (const TableColumn& column : table.shape.columns) {
        if (!column.generated) shape.columns.push_back(column);
      }
      ASSAY_ASSIGN_OR_RETURN(const auto schema, stores_.names->Schema(own_, declared.sequence));
      const auto compared = compared_->find(name.ToString());
      const bool is_known = compared != compared_->end() && compared->second.columns == shape.columns;
      if (!is_known && IsAltered(schema->schema, shape)) altered.insert(name.ToString());
    }
    return altered;
  }

  absl::Status Connect() {
    if (connection_ != nullptr && connection_->usable()) return absl::OkStatus();
    ASSAY_ASSIGN_OR_RETURN(connection_, Connection::Open(options_.url, {.application_name = "assay sentinel",
                                                                        .call_timeout = kCallMax,
                                                                        .settings = {{"row_security", "off"}},
                                                                        .interrupt = options_.interrupt}));
    return absl::OkStatus();
  }

  absl::Status Compare(const std::string& table) {
    ASSAY_ASSIGN_OR_RETURN(const TableName name, TableName::Parse(table));
    ASSAY_RETURN_IF_ERROR(Connect());
    CheckHooks hooks = hooks_.check;
    hooks.share = request_.asked ? 1 : kLeisure;
    LiveFold fold(stores_.stores(), own_);
    TableCheck check(*connection_, fold, *file_, options_.state_dir, hooks);
    absl::StatusOr<CheckedTable> checked = check.Run(name);
    if (!checked.ok()) {
      connection_ = nullptr;  // It may be in the middle of something.
      return checked.status();
    }
    checked->ended_ms = absl::ToUnixMillis(hooks_.now());
    ++round_.compared;
    (*compared_)[table] = check.shape();
    hooks_.checked(table, *std::move(checked));
    return absl::OkStatus();
  }

  const SentinelOptions& options_;
  const CheckRequest& request_;
  const RoundHooks& hooks_;
  std::map<std::string, TableShape>* const compared_;
  std::unique_ptr<LogFile> file_;
  OpenStores stores_;
  OriginId own_;
  std::unique_ptr<Connection> connection_;
  CheckRound round_;
};

}  // namespace

CheckRound Sentinel::Run(const CheckRequest& request, const RoundHooks& hooks) {
  return Round(options_, request, hooks, &compared_).Run();
}

}  // namespace assay
