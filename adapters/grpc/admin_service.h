// The Admin service of proto/admin.proto over an Operator and the log file.
//
// Every call may come from anyone who may connect (adapters/grpc/admin_server.h decides that) and with any content: bad
// requests get INVALID_ARGUMENT, and long answers end when the client goes, at its deadline, or when Stop is called.
// Thread-safe: gRPC calls it from many threads.
#pragma once

#include <atomic>

#include "absl/status/status.h"
#include "engine/operator.h"
#include "proto/admin.grpc.pb.h"

namespace assay {

class AdminService final : public admin::v1::Admin::Service {
 public:
  // `daemon` must outlive this.
  explicit AdminService(Operator* daemon) : daemon_(daemon) {}
  // Ends the streams under way within a quarter of a second.
  void Stop() { stopping_ = true; }

  template <typename T>
  using Writer = grpc::ServerWriter<T>;
  using Context = grpc::ServerContext;

  grpc::Status GetStatus(Context*, const admin::v1::GetStatusRequest*, admin::v1::Status*) override;
  grpc::Status WatchStatus(Context*, const admin::v1::WatchStatusRequest*, Writer<admin::v1::Status>*) override;
  grpc::Status SyncNow(Context*, const admin::v1::SyncNowRequest*, Writer<admin::v1::SyncProgress>*) override;
  grpc::Status Pause(Context*, const admin::v1::PauseRequest*, admin::v1::PauseReply*) override;
  grpc::Status Resume(Context*, const admin::v1::ResumeRequest*, admin::v1::ResumeReply*) override;
  grpc::Status SetInterval(Context*, const admin::v1::SetIntervalRequest*, admin::v1::SetIntervalReply*) override;
  grpc::Status ListBranches(Context*, const admin::v1::ListBranchesRequest*, admin::v1::ListBranchesReply*) override;
  grpc::Status ListParked(Context*, const admin::v1::ListParkedRequest*, admin::v1::ListParkedReply*) override;
  grpc::Status RetryParked(Context*, const admin::v1::RetryParkedRequest*, admin::v1::RetryParkedReply*) override;
  grpc::Status ForgetParked(Context*, const admin::v1::ForgetParkedRequest*, admin::v1::ForgetParkedReply*) override;
  grpc::Status ListConflicts(Context*, const admin::v1::ListConflictsRequest*, admin::v1::ListConflictsReply*) override;
  grpc::Status ListEvents(Context*, const admin::v1::ListEventsRequest*, Writer<admin::v1::LogEvent>*) override;
  grpc::Status GetEvent(Context*, const admin::v1::GetEventRequest*, admin::v1::LogEvent*) override;
  grpc::Status VerifyTables(Context*, const admin::v1::VerifyTablesRequest*,
                            Writer<admin::v1::VerifyTablesProgress>*) override;
  grpc::Status TailEvents(Context*, const admin::v1::TailEventsRequest*, Writer<admin::v1::LogEvent>*) override;

 private:
  bool Gone(const Context* context) const { return stopping_ || context->IsCancelled(); }
  // What a stream ends with that is Gone.
  grpc::Status Ended() const;

  Operator* daemon_;
  std::atomic<bool> stopping_{false};
};

// The two vocabularies have the same codes.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace assay
