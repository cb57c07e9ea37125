#include "adapters/grpc/admin_service.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "adapters/grpc/status_proto.h"
#include "adapters/grpc/sync_follower.h"
#include "engine/audit/log_reader.h"
#include "engine/audit/proto_text.h"
#include "log/annotate.h"

namespace assay {
namespace {

namespace pb = admin::v1;

constexpr absl::Duration kNumbersFresh = absl::Seconds(5);        // Of the branches, as the hub told.
constexpr absl::Duration kAskAboutAllMax = absl::Seconds(3);      // How long whoever lists them waits for the hub.
constexpr absl::Duration kWakeAtLeast = absl::Milliseconds(200);  // How soon a stream notices that its client went.

absl::TimeZone ZoneFor(bool utc) { return utc ? absl::UTCTimeZone() : absl::LocalTimeZone(); }

// Runs `read` on a log opened for this call and answers with what it returns.
template <typename Reply, typename Read>
grpc::Status FromLog(const Operator& daemon, Reply* reply, Read read) {
  absl::StatusOr<std::unique_ptr<LogReader>> reader = LogReader::Open(daemon.log_path());
  if (!reader.ok()) return ToGrpc(Annotate(reader.status(), "read the log"));
  absl::StatusOr<Reply> answer = read(**reader);
  if (!answer.ok()) return ToGrpc(answer.status());
  *reply = *std::move(answer);
  return grpc::Status::OK;
}

absl::StatusOr<int64_t> CountParked(const Operator& daemon, const std::string& table,
                                    const std::vector<std::string>& key) {
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogReader> reader, LogReader::Open(daemon.log_path()));
  return reader->CountParked(table, key);
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  // gRPC percent-encodes messages into a header of limited size.
  return {static_cast<grpc::StatusCode>(status.code()), CleanText(status.message(), 2048)};
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

grpc::Status AdminService::Ended() const {
  // Whoever is told UNAVAILABLE tries again, and finds the daemon that comes after this one.
  return stopping_ ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the daemon was stopped")
                   : grpc::Status(grpc::StatusCode::CANCELLED, "the client went");
}

grpc::Status AdminService::GetStatus(Context*, const pb::GetStatusRequest* request, pb::Status* reply) {
  *reply = StatusToProto(daemon_->Status(), absl::Now(), ZoneFor(request->utc()));
  return grpc::Status::OK;
}

grpc::Status AdminService::WatchStatus(Context* context, const pb::WatchStatusRequest* request,
                                       Writer<pb::Status>* writer) {
  absl::Duration interval = FromProto(request->interval());
  if (interval < absl::Milliseconds(100)) interval = absl::Seconds(1);
  DaemonStatus status = daemon_->Status();
  while (!Gone(context)) {
    if (!writer->Write(StatusToProto(status, absl::Now(), ZoneFor(request->utc())))) break;
    const uint64_t seen = status.change;
    const absl::Time not_before = absl::Now() + interval;
    for (absl::Time now = absl::Now(); !Gone(context) && now < not_before; now = absl::Now()) {
      absl::SleepFor(std::min(not_before - now, kWakeAtLeast));
    }
    do status = daemon_->WaitForChange(seen, kWakeAtLeast);
    while (!Gone(context) && status.change == seen);
  }
  return Ended();
}

grpc::Status AdminService::SyncNow(Context* context, const pb::SyncNowRequest*, Writer<pb::SyncProgress>* writer) {
  DaemonStatus status = daemon_->Status();
  absl::StatusOr<SyncFollower> follower = SyncFollower::Begin(status, absl::Now());
  if (!follower.ok()) return ToGrpc(follower.status());
  if (absl::Status told = daemon_->SyncNow(); !told.ok()) return ToGrpc(told);
  std::optional<std::string> last;  // The first is sent also when nothing is to be done.
  while (!Gone(context)) {
    const absl::StatusOr<pb::SyncProgress> progress = follower->Look(status, absl::Now());
    if (!progress.ok()) return ToGrpc(progress.status());
    std::string bytes = progress->SerializeAsString();
    if (bytes != last && !writer->Write(*progress)) break;
    last = std::move(bytes);
    if (progress->done()) return grpc::Status::OK;
    status = daemon_->WaitForChange(status.change, kWakeAtLeast);
  }
  return Ended();
}

grpc::Status AdminService::Pause(Context*, const pb::PauseRequest*, pb::PauseReply*) {
  return ToGrpc(daemon_->Pause());
}
grpc::Status AdminService::Resume(Context*, const pb::ResumeRequest*, pb::ResumeReply*) {
  return ToGrpc(daemon_->Resume());
}

grpc::Status AdminService::SetInterval(Context*, const pb::SetIntervalRequest* request, pb::SetIntervalReply* reply) {
  const absl::Duration interval = FromProto(request->interval());
  if (interval < absl::Milliseconds(300) || interval > absl::Hours(24 * 7)) {
    return ToGrpc(absl::InvalidArgumentError("the interval must be between 300ms and 168h"));
  }
  *reply->mutable_interval() = ToProto(interval);
  return ToGrpc(daemon_->SetInterval(interval));
}

grpc::Status AdminService::ListBranches(Context* context, const pb::ListBranchesRequest* request,
                                        pb::ListBranchesReply* reply) {
  DaemonStatus status = daemon_->Status();
  const absl::Time known = status.engine.branches_whole_heard, begun = absl::Now();
  // Their numbers come only when somebody asks. Whoever asks all the time is shown what came a moment ago.
  const bool ask = !request->as_heard() && begun - known > kNumbersFresh && status.engine.has_hub &&
                   status.engine.hub_pull.status.ok();
  if (ask && daemon_->AskAboutAll().ok()) {
    while (!Gone(context) && status.engine.branches_whole_heard == known && absl::Now() - begun < kAskAboutAllMax)
      status = daemon_->WaitForChange(status.change, kWakeAtLeast);
  }
  *reply = BranchesToProto(status);
  return grpc::Status::OK;
}

grpc::Status AdminService::ListParked(Context*, const pb::ListParkedRequest* request, pb::ListParkedReply* reply) {
  return FromLog(*daemon_, reply, [&](LogReader& reader) { return reader.Parked(*request); });
}

grpc::Status AdminService::RetryParked(Context*, const pb::RetryParkedRequest* request, pb::RetryParkedReply* reply) {
  std::optional<TableName> table;
  if (!request->table().empty()) {
    absl::StatusOr<TableName> parsed = TableName::Parse(request->table());
    if (!parsed.ok()) return ToGrpc(parsed.status());
    table = *std::move(parsed);
  }
  const absl::StatusOr<int64_t> rows = CountParked(*daemon_, request->table(), {});
  if (!rows.ok()) return ToGrpc(rows.status());
  reply->set_rows(*rows);
  return ToGrpc(daemon_->RetryParked(std::move(table)));
}

grpc::Status AdminService::ForgetParked(Context*, const pb::ForgetParkedRequest* request,
                                        pb::ForgetParkedReply* reply) {
  const absl::StatusOr<TableName> table = TableName::Parse(request->table());
  if (!table.ok()) return ToGrpc(table.status());
  std::optional<std::vector<std::string>> key;
  if (request->key_size() > 0) key.emplace(request->key().begin(), request->key().end());
  const absl::StatusOr<int64_t> rows =
      CountParked(*daemon_, request->table(), key.value_or(std::vector<std::string>()));
  if (!rows.ok()) return ToGrpc(rows.status());
  reply->set_rows(*rows);
  if (reply->rows() == 0) {
    return ToGrpc(
        absl::NotFoundError(absl::StrCat("no ", key.has_value() ? "such row" : "row", " of ", table->ToString(),
                                         " is parked: `assay parked` lists those that are")));
  }
  return ToGrpc(daemon_->ForgetParked(*table, std::move(key)));
}

grpc::Status AdminService::ListConflicts(Context*, const pb::ListConflictsRequest* request,
                                         pb::ListConflictsReply* reply) {
  return FromLog(*daemon_, reply, [&](LogReader& reader) { return reader.Conflicts(*request); });
}

grpc::Status AdminService::VerifyTables(Context* context, const pb::VerifyTablesRequest* request,
                                        Writer<pb::VerifyTablesProgress>* writer) {
  std::vector<TableName> tables;
  for (const std::string& text : request->tables()) {
    absl::StatusOr<TableName> table = TableName::Parse(text);
    if (!table.ok()) return ToGrpc(table.status());
    tables.push_back(*std::move(table));
  }
  const absl::StatusOr<uint64_t> round = daemon_->CheckTables(tables);
  if (!round.ok()) return ToGrpc(round.status());
  std::string last;
  while (!Gone(context)) {
    const DaemonStatus status = daemon_->WaitForChange(0, absl::ZeroDuration());
    pb::VerifyTablesProgress progress;
    if (status.check.ended >= *round) {
      if (!status.check.status.ok() && status.check.not_compared.empty()) return ToGrpc(status.check.status);
      SetVerified(status, tables, &progress);
      progress.set_done(true);
      writer->Write(progress);
      return grpc::Status::OK;
    }
    progress.set_table(CleanText(status.check.table, 256));
    progress.set_rows(status.check.rows);
    progress.set_tables_done(static_cast<uint32_t>(status.check.tables_done));
    progress.set_tables_total(static_cast<uint32_t>(status.check.tables));
    std::string bytes = progress.SerializeAsString();
    if (bytes != last && !writer->Write(progress)) break;
    last = std::move(bytes);
    (void)daemon_->WaitForChange(status.change, kWakeAtLeast);
  }
  return Ended();
}

grpc::Status AdminService::ListEvents(Context* context, const pb::ListEventsRequest* request,
                                      Writer<pb::LogEvent>* writer) {
  absl::StatusOr<std::unique_ptr<LogReader>> reader = LogReader::Open(daemon_->log_path());
  if (!reader.ok()) return ToGrpc(Annotate(reader.status(), "read the log"));
  const absl::Status listed = (*reader)->List(
      *request, [&](const pb::LogEvent& event) { return writer->Write(event); }, [&] { return Gone(context); });
  return Gone(context) ? Ended() : ToGrpc(listed);  // Else a list that was cut would pass for whole.
}

grpc::Status AdminService::GetEvent(Context*, const pb::GetEventRequest* request, pb::LogEvent* reply) {
  return FromLog(*daemon_, reply, [&](LogReader& reader) { return reader.Get(*request); });
}

grpc::Status AdminService::TailEvents(Context* context, const pb::TailEventsRequest* request,
                                      Writer<pb::LogEvent>* writer) {
  DaemonStatus status = daemon_->Status();
  absl::StatusOr<std::unique_ptr<LogReader>> reader = LogReader::Open(daemon_->log_path());
  if (!reader.ok()) return ToGrpc(Annotate(reader.status(), "read the log"));
  if (auto origins = (*reader)->FindOrigins(request->origin()); !origins.ok()) return ToGrpc(origins.status());
  if (absl::Status known = (*reader)->CheckTable(request->table()); !known.ok()) return ToGrpc(known);
  std::map<OriginId, Sequence> ends = (*reader)->Ends();
  writer->SendInitialMetadata();  // Tells the client that the tail has begun: what is committed from now on will come.
  while (!Gone(context)) {
    const uint64_t seen = status.change;
    status = daemon_->WaitForChange(seen, kWakeAtLeast);
    if (status.change == seen) continue;
    absl::Status listed = (*reader)->Refresh();
    if (listed.ok()) {
      listed = (*reader)->ListAfter(
          ends, *request, [&](const pb::LogEvent& event) { return writer->Write(event); },
          [&] { return Gone(context); });
    }
    if (Gone(context)) break;
    if (!listed.ok()) return ToGrpc(listed);
    ends = (*reader)->Ends();
  }
  return Ended();
}

}  // namespace assay
