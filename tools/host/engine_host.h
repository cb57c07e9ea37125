// Runs an engine: one thread steps it, others make its calls, and everyone may ask how it is.
//
//   capture ──▶ inbox ──▶ engine ──▶ calls ──▶ database · push · pull   (a thread each)
//   hints   ──▶   ▲                               │
//   survey  ──▶   │                               │
//   checks  ──▶   │                               │
//   commands ──▶  └──────────── replies ──────────┘
//
// When the engine fails (log disk full, damaged file) it is thrown away together with its log file and opened again
// later, with growing pauses; capture starts over at what is durable, and the status says why and when. Nothing
// acknowledged is lost by that.
//
//   EngineHost host(std::move(parts));
//   ASSAY_RETURN_IF_ERROR(host.Start());
//   ... host is an Operator ...
//   host.Stop(absl::Seconds(2));
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "engine/clock.h"
#include "engine/database.h"
#include "engine/engine.h"
#include "engine/link.h"
#include "engine/operator.h"
#include "engine/remotes/hub.h"
#include "tools/host/call_queue.h"
#include "tools/host/inbox.h"
#include "tools/host/log_place.h"
#include "tools/host/mutex.h"
#include "tools/host/progress_meter.h"
#include "tools/host/status_board.h"
#include "tools/sentinel/sentinel.h"

namespace assay {

struct HostParts {
  EngineConfig engine;
  std::string log_path;
  std::string log_vfs;  // Tests: a VFS that fails. Empty: SQLite's own.
  std::string version;
  std::unique_ptr<CaptureSource> capture;
  std::function<absl::Status()> capture_keep_alive;  // Called while the engine does not keep up; may be null.
  std::unique_ptr<Database> database;
  std::unique_ptr<Hub> push_hub, pull_hub;  // Null without a hub.
  std::unique_ptr<HubHints> hints;          // Null without realtime.
  // Looks at the catalog, beside the tables that the log has enrolled. On a thread of its own; may be null.
  std::function<absl::StatusOr<SurveyReport>(const std::set<std::string>& enrolled)> survey;
  // Compares tables with the log. On a thread of its own; may be null.
  std::function<CheckRound(const CheckRequest& request, const RoundHooks& hooks)> check;
  std::function<void()> interrupt;  // Ends every blocking call of the above; may be null.
  StatusBoard::Changed on_change = [](const DaemonStatus&, const DaemonStatus&) {};
};

// Why there is no engine: `link` is DaemonStatus::engine_link, and not OK.
Problem EngineDownProblem(const LinkStatus& link, const std::string& log_path);
// A damaged log file (DATA_LOSS) by name, and with what a person does about it; other statuses as they are.
absl::Status ExplainLogDamage(const absl::Status& status, const std::string& log_path);

class EngineHost : public Operator {
 public:
  explicit EngineHost(HostParts parts);
  ~EngineHost() override;

  void Start();
  // The engine ends after its current step, with everything durable; then the blocking calls. False: some thread is
  // still busy after `patience` (a name being resolved cannot be interrupted) and may be left behind by a process that
  // ends now.
  bool Stop(absl::Duration patience);

  DaemonStatus Status() override;
  DaemonStatus WaitForChange(uint64_t seen, absl::Duration wait) override { return board_.WaitForChange(seen, wait); }
  absl::Status SyncNow() override;
  absl::Status AskAboutAll() override;
  absl::Status Pause() override;
  absl::Status Resume() override;
  absl::Status SetInterval(absl::Duration interval) override;
  absl::Status RetryParked(std::optional<TableName> table) override;
  absl::StatusOr<uint64_t> CheckTables(std::vector<TableName> tables) override;
  absl::Status ForgetParked(TableName table, std::optional<std::vector<std::string>> key) override;
  std::string log_path() const override { return parts_.log_path; }

 private:
  void EngineLoop();
  absl::Status RunEngine();
  absl::Status KeepLog(const Engine& engine, LogFile& file, const LogPlace& place, uint64_t generation);
  void PublishStopped(const LinkStatus& link);
  // Makes what may be made before the log is durable meanwhile.
  absl::Status Step(Engine& engine, uint64_t generation);
  void Publish(const Engine& engine);
  void Make(Call call, uint64_t generation);
  void MakeDatabaseCall(const DatabaseCall& call, uint64_t generation);
  void MakeHubCall(Hub& hub, Lane lane, HubCall call, uint64_t generation);
  void CaptureLoop();
  absl::Status StreamCapture(uint64_t generation);
  // Lets more come together before the next look, unless an echo is due.
  void PauseCapture(absl::Duration pause, size_t items, uint64_t generation);
  void AwaitEcho();
  void HintLoop();
  void SurveyLoop();
  void WantSurvey();
  // Tells the other branches that a person has stopped this one, if the hub answers at once.
  void SayGoodbye(absl::Duration patience);
  void CheckLoop();
  // A round; `asked` is its number, if somebody has asked for it. False: not all that is due could be compared.
  bool Check(const CheckRequest& request, uint64_t asked, uint64_t generation);
  // False: not now, the daemon stops.
  bool SetChecking(bool checking);
  RoundHooks HooksOf(bool asked, uint64_t generation);
  // Sleeps; and unless somebody has asked for it, gives way to a branch that catches up. CANCELLED: to end.
  absl::Status PauseCheck(absl::Duration pause, bool asked, uint64_t generation);
  absl::Status AwaitFence(const std::string& nonce, uint64_t generation);
  void NoteFence(const std::string& nonce);
  // OK: database and log belong together, and the one is captured into the other.
  absl::Status MayCheck();
  // UNAVAILABLE, with the cause, when there is no engine to be told.
  absl::Status Tell(Inbox::Input command);
  // Waits for an engine; 0 when stopping.
  uint64_t AwaitEngine();
  // Sleeps until `until`, shorter when stopping or when another engine than `generation`'s is there.
  void Sleep(absl::Time until, uint64_t generation);
  void Spawn(std::function<void()> loop);

  HostParts parts_;
  StatusBoard board_;
  ProgressMeter push_meter_, pull_meter_, projection_meter_;  // The engine's thread's.
  Inbox inbox_;
  CallQueue database_calls_, push_calls_, pull_calls_;
  std::atomic<uint64_t> pictures_asked_{0};  // How many times the engine was asked for its status.
  uint64_t picture_wanted_ = 0;              // The last of those, if not shown yet. Of the engine's thread.
  enum class PauseWish : uint8_t { kNone, kPause, kResume };
  std::atomic<PauseWish> pause_wish_{
      PauseWish::kNone};  // What was said last here: for an engine that does not run yet.
  std::atomic<bool> capture_wanted_{true};
  std::atomic<int64_t> interval_us_{0};  // Set by a person; 0: as configured.

  Mutex mutex_;
  CondVar wake_;                       // Something of the below has changed.
  std::atomic<bool> stopping_{false};  // Set with mutex_ held, so that nobody who waits misses it; read without.
  std::atomic<bool> echo_due_{false};  // The fence of a read, or a projection itself, is to come by in capture.
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;                     // Of the engine that runs; 0: none.
  std::set<std::string> enrolled_tables_ ABSL_GUARDED_BY(mutex_);       // Of that engine.
  bool survey_wanted_ ABSL_GUARDED_BY(mutex_) = false;                  // Before its time.
  bool check_wanted_ ABSL_GUARDED_BY(mutex_) = false;                   // Before its time.
  std::deque<CheckRequest> checks_asked_ ABSL_GUARDED_BY(mutex_);       // By people, and not begun.
  uint64_t check_count_ ABSL_GUARDED_BY(mutex_) = 0;                    // How many were.
  uint64_t picture_shown_ ABSL_GUARDED_BY(mutex_) = 0;                  // Up to this number they are on the board.
  std::string passed_fence_ ABSL_GUARDED_BY(mutex_);                    // Engine::passed_fence.
  bool checking_ ABSL_GUARDED_BY(mutex_) = false;                       // The sentinel has the log open.
  std::optional<HubHeartbeat> last_heartbeat_ ABSL_GUARDED_BY(mutex_);  // That the hub has taken.
  bool engine_ended_ ABSL_GUARDED_BY(mutex_) = true;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;  // Threads not yet ended.
  std::vector<std::thread> threads_;         // Of the thread that owns this.
};

}  // namespace assay
