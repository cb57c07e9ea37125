// One branch of the simulated fleet: its PostgreSQL, its disk, its clock, its daemon (an Engine and a host), its line
// to the hub.
//
// The daemon's threads become actions that the simulation orders as it likes: capture brings something, the engine
// steps, a call is carried out, its reply comes in. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "log/log_file.h"
#include "tests/simulation/random.h"
#include "tests/simulation/sim_capture.h"
#include "tests/simulation/sim_database.h"
#include "tests/simulation/sim_hub.h"
#include "tests/simulation/workload.h"
#include "tests/support/crash_vfs.h"

namespace assay {

// The true time, which nobody but the hub knows.
class WorldClock : public Clock {
 public:
  absl::Time Now() override { return now_; }
  void Advance(absl::Duration duration) { now_ += duration; }
  void AdvanceTo(absl::Time time) { now_ = std::max(now_, time); }

 private:
  absl::Time now_ = absl::FromUnixSeconds(1'750'000'000);
};

// A branch's idea of it.
class BranchClock : public Clock {
 public:
  explicit BranchClock(WorldClock* world) : world_(world) {}
  absl::Time Now() override { return frozen_ ? frozen_at_ : world_->Now() + offset_; }
  absl::Time InWorld(absl::Time local) const { return local - offset_; }
  void SetOffset(absl::Duration offset) { offset_ = offset, frozen_ = false; }
  void Freeze() { frozen_at_ = Now(), frozen_ = true; }

 private:
  WorldClock* world_;
  absl::Duration offset_;
  bool frozen_ = false;
  absl::Time frozen_at_;
};

// Chances of faults, in percent of the occasions; drawn per seed.
struct FaultOptions {
  double database_call = 0;            // A Read, Project or LastBatch goes wrong in one of its ways.
  double read_before_log = 0;          // A read that may be made before the log is durable is made then.
  double power_before_log = 0;         // The power fails when the database has been asked and the log is not durable.
  double write_inside_read = 0;        // The app commits between a read and its fence.
  double commit_unseen = 0;            // An app's commit is in the WAL, and not to be seen yet, when rows are read.
  double write_before_projection = 0;  // The app commits between a plan and its projection.
  double come_and_go = 0;              // A row of another branch's comes and goes here before that, or at any time.
  double gives_way = 0;                // The app waits for a projection, which gives way.
  double small_portions = 20;          // Capture brings a few items at a time: it is far behind.
  double hub_call = 0;                 // Request or reply lost.
  double hub_duplicate = 0;            // A push is delivered once more, later.
};

class SimBranch {
 public:
  SimBranch(uint32_t number, const EngineConfig& config, const WorkloadOptions& workload, const FaultOptions& faults,
            bool late_column, int email_width, WorldClock* world, SimHub* hub, SeededRandom* random);

  // ---- The daemon ----
  // Opens the log (beginning its chain the first time) and the engine over it.
  absl::Status Start();
  bool IsRunning() const { return engine_ != nullptr; }
  // One round of the host's loop; an error is one the daemon would restart for. It may die of it.
  absl::Status Step();
  // Reads the stream once, or starts it. False: nothing came.
  bool Capture();
  bool HasCallToMake(Lane lane) const;
  bool HasReplyToGive(Lane lane) const;
  void MakeCall(Lane lane, bool faults);
  void GiveReply(Lane lane);
  // The app makes a row and takes it back, if chance has it so: one that is to be projected, or that another branch
  // has. Returns how often.
  int ComeAndGo();
  // The process dies; `power`: the machine with it.
  void Kill(bool power);
  // Delivers a push once more that was delayed on the way.
  void DeliverDuplicate();

  // Puts what `wrap` makes of it in the place of this branch's line to the hub.
  void WrapHub(const std::function<std::unique_ptr<Hub>(std::unique_ptr<Hub>)>& wrap) { hub_ = wrap(std::move(hub_)); }

  // Where a row comes from that another branch has just made, and that is not here.
  void set_news(std::function<std::optional<SimRowName>()> news) { news_ = std::move(news); }
  // By a projection's tag, until where capture had brought the changes when it was planned, at least.
  const std::map<std::string, Lsn>& known_when_planned() const { return known_when_planned_; }

  // A planted fault: what capture has brought is confirmed at once.
  void ConfirmEarly() { confirm_early_ = true; }

  // ---- Everything else ----
  void CrashDatabase();
  void set_partitioned(bool partitioned) { partitioned_ = partitioned; }
  bool partitioned() const { return partitioned_; }
  // No more faults: locks and connections in limbo end, the clock is right.
  void Heal();

  uint32_t number() const { return number_; }
  const std::string& name() const { return config_.branch_name; }
  Engine& engine() { return *engine_; }
  SimDatabase& database() { return database_; }
  const SimDatabase& database() const { return database_; }
  SimCapture& capture() { return capture_; }
  Workload& workload() { return workload_; }
  BranchClock& clock() { return clock_; }
  const OriginId& origin() const { return origin_; }
  LogFile* file() { return file_.get(); }
  LogFile::Options log_options() const { return {.vfs = vfs_.name()}; }
  test::CrashVfs& disk() { return vfs_; }
  // The most that the hub has ever acknowledged of this branch's chain.
  uint64_t acknowledged() const { return acknowledged_; }
  // Outcomes of database calls, by name.
  const std::map<std::string, uint64_t>& outcomes() const { return outcomes_; }

 private:
  struct Outstanding {
    Call call;
    bool made = false;
    std::optional<DatabaseReply> database_reply;
    std::optional<HubReply> hub_reply;
  };
  int64_t IntentsOpen();  // In the log.
  void NoteWhenPlanned(const Call& call);
  // A pull of what follows something that is still to be appended.
  bool AsksAhead(const Call& call) const;
  void MakeDatabaseCall(Outstanding& outstanding, bool faults);
  void MakeHubCall(Outstanding& outstanding, bool faults);
  std::deque<Outstanding>& lane(Lane lane) { return lanes_[static_cast<size_t>(lane)]; }
  const std::deque<Outstanding>& lane(Lane lane) const { return lanes_[static_cast<size_t>(lane)]; }

  const uint32_t number_;
  const EngineConfig config_;
  FaultOptions faults_;
  SeededRandom* random_;
  SeededRandom engine_random_;
  BranchClock clock_;
  SimDatabase database_;
  SimCapture capture_;
  Workload workload_;
  SimHub* server_;
  std::unique_ptr<Hub> hub_;
  bool partitioned_ = false;
  bool confirm_early_ = false;

  test::CrashVfs vfs_;
  std::unique_ptr<LogFile> file_;
  std::unique_ptr<Engine> engine_;
  OriginId origin_;
  std::function<std::optional<SimRowName>()> news_;
  std::map<std::string, Lsn> known_when_planned_;
  Lsn known_when_asked_;          // At the database's last call.
  Lsn echo_ends_;                 // Of the last call, where its echo ends in the WAL; the highest: it has none.
  bool echo_came_first_ = false;  // Before the last reply: the next projection may have been planned before that.
  std::array<std::deque<Outstanding>, 3> lanes_;
  std::vector<PushRequest> delayed_;
  uint64_t acknowledged_ = 0;
  std::map<std::string, uint64_t> outcomes_;
};

inline constexpr char kSimLogPath[] = "log.db";

}  // namespace assay
