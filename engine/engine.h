// The engine: decides what to append, push, pull and project next. It is stepped, and owns no thread, clock or socket.
//
// A host feeds it inputs (captured changes, replies, commands) and carries out the calls it asks for, one per lane at a
// time, each lane on whatever thread it likes. Everything the engine knows that matters is in the log: drop it at any
// moment, build a new one over the same file, and it goes on.
//
//   ASSAY_ASSIGN_OR_RETURN(auto engine, Engine::Open(config, &file, &clock, &random));
//   for (;;) {
//     engine->OnCapture(batch); engine->OnHubReply(...); ...   // what has come in
//     ASSAY_RETURN_IF_ERROR(engine->Step());                   // durable on return
//     for (Call& call : engine->TakeCalls()) ...               // to be made, each answered by one On…Reply
//     capture.Confirm(engine->ConfirmedLsn());
//   }
//
// Not thread-safe. A non-OK Step means the log could not be written or read: throw the engine and its LogFile away, and
// open them again later; nothing acknowledged is lost by that.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/clock.h"
#include "engine/database.h"
#include "engine/hub.h"
#include "engine/status.h"
#include "log/checkpoint.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "log/row_versions.h"
#include "log/stage_store.h"

namespace assay {

// How concurrent writes of one row are told apart at the branch that writes. The choice is written into each event (as
// the set of columns it claims to write), so branches with different configurations still converge.
struct TablePolicy {
  bool whole_row = false;                               // Every update writes every column.
  std::vector<std::vector<std::string>> column_groups;  // Columns that move together.
};

struct EngineConfig {
  std::string branch_name;
  uint32_t branch_number = 0;
  bool has_hub = false;
  absl::Duration hub_interval = absl::Minutes(5);  // Between pulls when no hint comes.
  std::map<TableName, TablePolicy> policies;
  std::optional<SigningKey> signing_key;  // Signs checkpoints; absent only in tests.
  // Texts that one row event may hold, new values before old ones. Every event has to pass in one piece through a hub
  // and into other databases, whose own limit is 1 GB and whose memory is less. Lowered by tests.
  size_t row_bytes_max = size_t{256} << 20;
  // Rows at which a projection is as large as it gets (Batch::rows_max), or at half as many new ones. Lowered by tests.
  size_t batch_rows_max = 20'000;
  RowVersionStore::Limits row_versions;  // Lowered by tests.
  size_t repack_events = 1024;           // EventLog::Repack, so many at a time. Lowered by tests.
  // Test only: write without fence and without comparing, to prove that the tests see what the protocol prevents.
  bool naive_projection = false;
};

// ---- Calls the engine asks its host to make ----

struct DatabaseRead {
  ReadRequest request;
};
struct DatabaseProject {
  ProjectRequest request;
};
struct DatabaseAbandon {};
struct DatabaseLastBatch {};
using DatabaseCall = std::variant<DatabaseRead, DatabaseProject, DatabaseAbandon, DatabaseLastBatch>;

struct HubPush {
  PushRequest request;
};
struct HubPull {
  PullRequest request;
};
struct HubGetHeads {};
struct HubHeartbeat {
  BranchReport report;
};
struct HubOpenSession {
  SessionRequest request;
};
using HubCall = std::variant<HubPush, HubPull, HubGetHeads, HubHeartbeat, HubOpenSession>;

// Each lane has at most one call under way. Pushes go on while a long pull does.
enum class Lane : uint8_t { kDatabase, kHubPush, kHubPull };

struct Call {
  Lane lane;
  std::variant<DatabaseCall, HubCall> call;
};

// ---- Replies ----

using DatabaseReply =
    std::variant<absl::StatusOr<ReadReply>, ProjectReply, absl::StatusOr<uint64_t>>;  // Abandon: none.
using HubReply = std::variant<absl::StatusOr<PushReply>, absl::StatusOr<PullReply>, absl::StatusOr<HubHeads>,
                              absl::StatusOr<HeartbeatReply>, absl::StatusOr<SessionReply>>;

class Engine {
 public:
  // The log must have been opened for this branch (OpenBranchLog): FAILED_PRECONDITION otherwise.
  static absl::StatusOr<std::unique_ptr<Engine>> Open(const EngineConfig& config, LogFile* file, Clock* clock,
                                                      Random* random);
  ~Engine();

  // ---- Inputs: cheap; the work is done in Step ----

  // The capture stream began again: an unfinished transaction is forgotten (it comes again). Nothing is projected or
  // confirmed before `evidence`, and if need be the stream, have shown that this is the database the log belongs to.
  void OnCaptureStarted(DatabaseEvidence evidence);
  void OnCapture(CaptureBatch batch);
  // The stream ended with `status`, or could not start, and is started again at `next_try`; shown until then.
  // `evidence` of a start that failed.
  void OnCaptureStopped(const absl::Status& status, absl::Time next_try = absl::InfinitePast(),
                        DatabaseEvidence evidence = {});
  void OnDatabaseReply(DatabaseReply reply);
  // `lane` as in the call; `round_trip` for the clock offset.
  void OnHubReply(Lane lane, HubReply reply, absl::Duration round_trip);
  // Somebody pushed: pull soon.
  void OnHubHint();
  // `status` of the hint connection: OK while hints work.
  void OnHintsChanged(const absl::Status& status);

  void Pause();
  void Resume();
  void SyncNow();
  void SetInterval(absl::Duration interval);
  // Makes parked rows due at once; of one table, or all.
  void RetryParked(std::optional<TableName> table);

  // ---- Work ----

  // Does what can be done now, in slices of some milliseconds, and makes it durable. `begin`, if there is one, is
  // handed a call that may be made before that: a read without locks; or a projection, which the host gives a gate that
  // it opens when Step has returned OK.
  absl::Status Step(const std::function<void(Call)>& begin = nullptr);
  std::vector<Call> TakeCalls();
  // True: Step again at once, there is more to do without any input.
  bool HasWork() const;
  // When Step should run even if nothing comes in.
  absl::Time NextWake() const;
  // All captured changes that end at or before this are durable, and this is the database they belong to.
  Lsn ConfirmedLsn() const;
  // False: what the stream brings is of no use, because database and log do not belong together; hold no stream open,
  // which would keep the server from shutting down, and start it again now and then to see whether that was mended.
  bool WantsCapture() const;

  EngineStatus Status() const;

 private:
  struct Parts;
  explicit Engine(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// The chain that a new one continues, as far as it is known.
struct PreviousChain {
  OriginId origin;
  uint32_t epoch = 1;
  Sequence sequence;         // 0: nothing is held of it.
  std::optional<Hash> root;  // Over its first `sequence` events.
};

// Begins this branch's chain in a log without one: its event 1 (OriginOpened). ALREADY_EXISTS when the log has an
// origin of its own.
absl::StatusOr<OriginId> OpenBranchLog(const EngineConfig& config, LogFile* file, Clock* clock, Random* random,
                                       const std::optional<PreviousChain>& previous = std::nullopt);

// The origin that this log file writes. NOT_FOUND before OpenBranchLog.
absl::StatusOr<OriginId> OwnOrigin(StageStore& stages);

// FAILED_PRECONDITION when the log was begun for another name or number; the message goes on from "the log in …".
// NOT_FOUND before OpenBranchLog.
absl::Status CheckBranchLog(EventLog& log, StageStore& stages, absl::string_view name, uint64_t number);

}  // namespace assay
