#include "tests/simulation/simulation.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/table_names.h"
#include "tests/simulation/history.h"

namespace assay {
namespace {

constexpr int kRoundsUntilQuiet = 4000;
constexpr uint64_t kFleetsOfOneThatMigrates = 6;
constexpr uint64_t kMigrationSeed = 0x6d69677261746573;

enum Action : size_t {
  kAppWrites,
  kEngineSteps,
  kCaptures,
  kDatabaseLane,
  kPushLane,
  kPullLane,
  kHint,
  kTimePasses,
  // Faults.
  kProcessDies,
  kPowerFails,
  kDatabaseCrashes,
  kStreamBreaks,
  kSlotIsSaved,
  kServerSettles,
  kPartition,
  kDuplicateArrives,
  kClockJumps,
  kHubIsBackedUp,
  kHubIsRestored,
  kCommands,
  kColumnIsAdded,
  kRunsOn,
  kMigrates,
  kActions,
};

constexpr const char* kActionNames[] = {
    "app writes",    "engine steps",   "captures",        "database lane",  "push lane",      "pull lane",
    "hint",          "time passes",    "process dies",    "power fails",    "database crash", "stream breaks",
    "slot is saved", "server settles", "partition",       "duplicate push", "clock jumps",    "hub backup",
    "hub restore",   "commands",       "column is added", "runs on",        "migrates"};

}  // namespace

struct Simulation::Swarm {
  uint32_t branches = 3;
  int actions = 0;
  std::vector<uint32_t> weights = std::vector<uint32_t>(kActions);
  std::vector<uint32_t> branch_weights;
  WorkloadOptions workload;
  FaultOptions faults;
  bool late_column = false;
  bool filled_column = false;  // The late one, in the rows that are there.
  bool narrow_email = false;
  double held_back = 0;
  bool answering_trigger = false;
  bool aside_trigger = false;
  bool unheard_rows = false;
  bool masked_table = false;
  bool granted_late = false;  // Masked until then: until the end, or while the shops sell.
  int granted_at = -1;        // Before this action.
  bool small_batches = false;
  bool wild_clocks = false;
  bool skewed_clocks = false;  // From the beginning, by some minutes each.
  size_t batch_rows_max = EngineConfig().batch_rows_max;
  RowVersionStore::Limits row_versions;
  size_t repack_events = EngineConfig().repack_events;

  explicit Swarm(SeededRandom& random) {
    if (random.Chance(10)) branches = 4;
    actions = static_cast<int>(random.Between(200, 800));
    weights = {20, 40, 25, 25, 30, 25, 3, 6};
    weights.resize(kActions, 0);
    // Each kind of fault is off in many seeds, so that the others are seen undisturbed.
    const auto sometimes = [&](double percent, uint32_t most) {
      return random.Chance(percent) ? static_cast<uint32_t>(1 + random.Below(most)) : 0;
    };
    weights[kAppWrites] = static_cast<uint32_t>(random.Between(5, 40));
    weights[kEngineSteps] = static_cast<uint32_t>(random.Between(15, 60));
    weights[kCaptures] = static_cast<uint32_t>(random.Between(8, 40));
    weights[kDatabaseLane] = static_cast<uint32_t>(random.Between(8, 40));
    weights[kProcessDies] = sometimes(50, 3);
    weights[kPowerFails] = sometimes(40, 2);
    weights[kDatabaseCrashes] = sometimes(40, 2);
    weights[kStreamBreaks] = sometimes(40, 3);
    weights[kSlotIsSaved] = 3;
    weights[kServerSettles] = 4;
    weights[kPartition] = sometimes(50, 4);
    weights[kDuplicateArrives] = sometimes(50, 4);
    weights[kClockJumps] = sometimes(35, 2);
    weights[kHubIsBackedUp] = weights[kHubIsRestored] = sometimes(25, 1);
    weights[kCommands] = sometimes(40, 2);
    weights[kRunsOn] = random.Chance(70) ? static_cast<uint32_t>(random.Between(5, 30)) : 0;
    for (uint32_t i = 0; i < branches; ++i) branch_weights.push_back(static_cast<uint32_t>(random.Between(1, 10)));

    workload.rows = static_cast<uint32_t>(random.Between(2, 12));
    workload.truncate = random.Chance(25) ? 1 : 0;
    workload.rename = random.Chance(60) ? 1 : 0;
    workload.erase = static_cast<uint32_t>(random.Between(0, 4));
    workload.sale = static_cast<uint32_t>(random.Between(0, 6));
    workload.open_percent = random.Chance(60) ? 40 : 0;
    workload.forged_tag_percent = random.Chance(20) ? 10 : 0;
    workload.equal_percent = random.Chance(50) ? static_cast<double>(random.Between(10, 60)) : 0;
    workload.undo = random.Chance(50) ? static_cast<uint32_t>(random.Between(2, 8)) : 0;
    workload.unreadable = random.Chance(15) ? 1 : 0;
    answering_trigger = random.Chance(20);
    aside_trigger = random.Chance(10);
    unheard_rows = random.Chance(15);
    workload.existing_percent = unheard_rows || random.Chance(20) ? 20 : 0;
    skewed_clocks = random.Chance(50);
    faults.database_call = random.Chance(50) ? static_cast<double>(random.Between(2, 30)) : 0;
    faults.write_inside_read = random.Chance(70) ? static_cast<double>(random.Between(20, 100)) : 0;
    faults.commit_unseen = random.Chance(40) ? static_cast<double>(random.Between(10, 90)) : 0;
    faults.write_before_projection = random.Chance(50) ? static_cast<double>(random.Between(10, 90)) : 0;
    faults.come_and_go = random.Chance(40) ? static_cast<double>(random.Between(10, 60)) : 0;
    if (random.Chance(20)) faults.small_portions = 100;
    faults.read_before_log = random.Chance(50) ? static_cast<double>(random.Between(10, 90)) : 0;
    faults.power_before_log =
        weights[kPowerFails] > 0 && random.Chance(30) ? static_cast<double>(random.Between(1, 10)) : 0;
    if (random.Chance(15)) {
      // Rows so hot that they keep moving: the projection has to lock them.
      workload.rows = 1;
      workload.sale = 0;
      faults.write_inside_read = 100;
      if (random.Chance(50)) workload.equal_percent = 70;
      skewed_clocks = random.Chance(50);
    }
    if (random.Chance(10)) {
      // What is done at one branch is undone before it comes to another, whose clock is behind, and which is just
      // writing the same row: nothing is to be written there, and nothing may be overlooked.
      workload.rows = static_cast<uint32_t>(random.Between(1, 3));
      workload.undo = workload.edit = 12;
      workload.sale = workload.insert = workload.erase = 1;
      weights[kAppWrites] = 40;
      weights[kRunsOn] = 20;
      faults.commit_unseen = 80;
      skewed_clocks = true;
    }
    if (random.Chance(10)) {
      // Rows that the others make and change are taken back here, while they come in small batches.
      workload.entry = 20;
      workload.existing_percent = 60;
      faults.come_and_go = 60;
      weights[kAppWrites] = weights[kCaptures] = 40;
      weights[kRunsOn] = 0;
      small_batches = true;
    }
    faults.gives_way = random.Chance(30) ? static_cast<double>(random.Between(10, 60)) : 0;
    faults.hub_call = random.Chance(50) ? static_cast<double>(random.Between(2, 30)) : 0;
    faults.hub_duplicate = random.Chance(40) ? 20 : 0;
    late_column = random.Chance(30);
    filled_column = random.Chance(50);
    weights[kColumnIsAdded] = late_column ? 1 : 0;
    held_back = random.Chance(30) ? static_cast<double>(random.Between(10, 70)) : 0;
    narrow_email = random.Chance(25);
    masked_table = random.Chance(30);
    wild_clocks = random.Chance(50);

    if (random.Chance(50)) {
      // Several projections on their way, as of rows that nobody here has heard of.
      batch_rows_max = random.Between(1, 6);
      workload.entry = static_cast<uint32_t>(random.Between(0, 20));
    }
    if (small_batches) batch_rows_max = random.Between(1, 3);
    if (random.Chance(50))
      row_versions = {.listed = static_cast<size_t>(random.Between(1, 30)),
                      .runs = static_cast<size_t>(random.Between(0, 4))};
    if (random.Chance(50)) repack_events = random.Between(2, 30);
  }
};

Simulation::Simulation(const SimulationOptions& options)
    : options_(options), random_(options.seed), migration_random_(options.seed ^ kMigrationSeed) {
  swarm_ = std::make_unique<Swarm>(random_);
  const bool drawn = migration_random_.Below(kFleetsOfOneThatMigrates) == 0;
  if (drawn || options.migrates) {
    migrations_ = std::make_unique<Migrations>(&migration_random_, swarm_->branches);
    swarm_->weights[kMigrates] = static_cast<uint32_t>(migration_random_.Between(1, 3));
    swarm_->workload.keeps_prices = migrations_->KeyMoves();
    if (options_.trace) std::fprintf(stderr, "migrations: %s\n", migrations_->ToString().c_str());
  }
  hub_ = std::make_unique<SimHub>(&random_, &clock_, /*recut=*/true);
  hub_->set_held_back(swarm_->held_back);
  for (uint32_t number = 1; number <= swarm_->branches; ++number) {
    EngineConfig config;
    config.branch_name = absl::StrCat("branch-", number);
    config.branch_number = number;
    config.has_hub = true;
    config.policies = ShopPolicies();
    config.naive_projection = options.naive_projection;
    config.batch_rows_max = swarm_->batch_rows_max;
    config.row_versions = swarm_->row_versions;
    config.repack_events = swarm_->repack_events;
    hub_->Enrol(number, config.branch_name);
    branches_.push_back(std::make_unique<SimBranch>(number, config, swarm_->workload, swarm_->faults,
                                                    /*late_column=*/!swarm_->late_column || number == 1,
                                                    swarm_->narrow_email && number == 2 ? 5 : 12, &clock_, hub_.get(),
                                                    &random_));
    if (migrations_ != nullptr) migrations_->CreateTables(number, &branches_.back()->database());
    branches_.back()->database().set_plant(options.plant);
    if (options.confirm_early) branches_.back()->ConfirmEarly();
    branches_.back()->set_news([this, number] { return NewElsewhere(number); });
    if (swarm_->skewed_clocks)
      branches_.back()->clock().SetOffset(absl::Seconds(random_.Between(0, 1200)) - absl::Minutes(10));
  }
  if (swarm_->aside_trigger) AddAsideTrigger(&branches_[1]->database());
  if (swarm_->unheard_rows) AddUnheardRows(&branches_[0]->database());
  if (swarm_->answering_trigger) AddAnsweringTrigger(&branches_[1]->database());
  if (swarm_->masked_table) hub_->Deny(swarm_->branches, kShopSecrets.ToString());
  swarm_->granted_late = swarm_->masked_table && options.seed % 2 == 0;
  if (swarm_->granted_late && random_.Chance(50)) swarm_->granted_at = static_cast<int>(random_.Below(swarm_->actions));
}

Simulation::~Simulation() = default;

std::optional<SimRowName> Simulation::NewElsewhere(uint32_t number) {
  constexpr size_t kLately = 8;
  const SimDatabase& here = branches_[number - 1]->database();
  std::vector<SimRowName> rows;
  for (auto& branch : branches_) {
    if (branch->number() == number) continue;
    const std::vector<WalTransaction>& wal = branch->database().wal();
    for (size_t i = wal.size() - std::min(wal.size(), kLately); i < wal.size(); ++i) {
      for (const WalItem& item : wal[i].items) {
        if (item.kind != CaptureItem::Kind::kInsert || wal[i].projected) continue;
        SimRowName row{item.relation->name, KeyOf(*item.relation, item.new_values)};
        if (!here.Find(row.first)->rows.contains(row.second)) rows.push_back(std::move(row));
      }
    }
  }
  if (rows.empty()) return std::nullopt;
  return rows[random_.Below(rows.size())];
}

void Simulation::Trace(const SimBranch* branch, absl::string_view what, uint64_t detail) {
  ++result_.counters[std::string(what)];
  uint64_t hash = result_.trace_hash;
  for (char c : what) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  for (uint64_t word : {static_cast<uint64_t>(branch == nullptr ? 0 : branch->number()), detail}) {
    hash = (hash ^ word) * 0x100000001b3;
    hash ^= hash >> 29;
  }
  result_.trace_hash = hash;
  if (options_.trace) {
    std::fprintf(stderr, "%s %s %s %llu\n", absl::FormatTime("%H:%M:%E3S", clock_.Now(), absl::UTCTimeZone()).c_str(),
                 branch == nullptr ? "-" : branch->name().c_str(), std::string(what).c_str(),
                 static_cast<unsigned long long>(detail));
  }
}

SimulationResult Simulation::Run() {
  result_.status = RunAll();
  if (options_.trace && !result_.status.ok()) {
    for (auto& branch : branches_)
      std::fprintf(stderr, "%s\n%s", branch->name().c_str(), branch->database().ShowWal().c_str());
  }
  return std::move(result_);
}

absl::Status Simulation::RunAll() {
  for (auto& branch : branches_) ASSAY_RETURN_IF_ERROR(Annotate(branch->Start(), "start"));
  ASSAY_RETURN_IF_ERROR(RunWithFaults());
  hub_->set_held_back(0);
  for (auto& branch : branches_) {
    branch->Heal();
    if (!branch->IsRunning()) ASSAY_RETURN_IF_ERROR(Annotate(branch->Start(), "start after the faults"));
    branch->engine().Resume();
  }
  if (swarm_->granted_late) hub_->Grant(swarm_->branches, kShopSecrets.ToString());
  ASSAY_RETURN_IF_ERROR(RunUntilQuiet());
  ASSAY_RETURN_IF_ERROR(FinishMigrations());
  // What was parked may be free to go now that everybody has everything, and no lock keeps the column out any more.
  for (auto& branch : branches_) {
    AddLateColumn(&branch->database(), swarm_->filled_column);
    if (migrations_ == nullptr) branch->engine().RetryParked(std::nullopt);  // Else it is tried by itself.
  }
  ASSAY_RETURN_IF_ERROR(RunUntilQuiet());

  const std::vector<uint64_t> before = EventCounts();
  for (int hour = 0; hour < 3; ++hour) {
    clock_.Advance(absl::Hours(1));
    ASSAY_RETURN_IF_ERROR(RunUntilQuiet());
  }
  if (EventCounts() != before) return Violation("no echo loop", "events are written although the app is silent");
  for (auto& branch : branches_) {
    const auto chain = hub_->chains().find(branch->origin());
    if (chain == hub_->chains().end() || chain->second.complete < branch->acknowledged()) {
      return Violation("acknowledged is kept", absl::StrCat("the hub lost events of ", branch->name()));
    }
  }
  return CheckHistory();
}

// ---- Safety ----

absl::Status Simulation::RunWithFaults() {
  for (int i = 0; i < swarm_->actions; ++i) {
    if (i == swarm_->granted_at) hub_->Grant(swarm_->branches, kShopSecrets.ToString());
    clock_.Advance(absl::Milliseconds(random_.Below(40)));
    ASSAY_RETURN_IF_ERROR(Annotate(Act(), absl::StrCat("action ", i)));
  }
  return absl::OkStatus();
}

absl::Status Simulation::Act() {
  const size_t action = random_.Weighted(swarm_->weights);
  if (action == kHubIsBackedUp) {
    Trace(nullptr, kActionNames[action]);
    hub_->Backup();
    return absl::OkStatus();
  }
  if (action == kHubIsRestored) {
    Trace(nullptr, kActionNames[action]);
    hub_->Restore();
    return absl::OkStatus();
  }
  SimBranch& branch = *branches_[random_.Weighted(swarm_->branch_weights)];
  if (!branch.IsRunning() && action != kAppWrites && action != kTimePasses) {
    // The supervisor starts it again, sooner or later.
    return random_.Chance(20) ? Restart(branch) : absl::OkStatus();
  }
  return ActOn(branch, action);
}

absl::Status Simulation::Restart(SimBranch& branch) {
  Trace(&branch, "restart");
  ASSAY_RETURN_IF_ERROR(Annotate(branch.Start(), absl::StrCat("start ", branch.name())));
  const EngineStatus status = branch.engine().Status();
  for (const OriginStatus& origin : status.origins) {
    if (origin.own && origin.head.value < branch.acknowledged()) {
      return Violation("acknowledged is kept", absl::StrCat(branch.name(), " forgot events that the hub has"));
    }
  }
  return absl::OkStatus();
}

absl::Status Simulation::StepEngine(SimBranch& branch) {
  absl::Status status = branch.Step();
  if (status.ok()) return status;
  return Annotate(status, absl::StrCat("unexpected: step ", branch.name()));
}

absl::Status Simulation::RunOn(SimBranch& branch) {
  for (uint64_t rounds = 1 + random_.Below(4); rounds > 0 && branch.IsRunning(); --rounds) {
    branch.Capture();
    ASSAY_RETURN_IF_ERROR(StepEngine(branch));
    for (Lane lane : {Lane::kDatabase, Lane::kHubPush, Lane::kHubPull}) {
      if (branch.HasCallToMake(lane)) branch.MakeCall(lane, /*faults=*/true);
      if (branch.HasReplyToGive(lane)) branch.GiveReply(lane);
    }
  }
  return absl::OkStatus();
}

absl::Status Simulation::ActOn(SimBranch& branch, size_t action) {
  uint64_t detail = 0;
  absl::Status status;
  constexpr Lane kLanes[] = {Lane::kDatabase, Lane::kHubPush, Lane::kHubPull};
  switch (action) {
    case kAppWrites:
      detail = static_cast<uint64_t>(branch.ComeAndGo());
      if (detail == 0) detail = static_cast<uint64_t>(branch.workload().Act());
      break;
    case kEngineSteps:
      status = StepEngine(branch);
      break;
    case kCaptures:
      detail = branch.Capture();
      break;
    case kDatabaseLane:
    case kPushLane:
    case kPullLane: {
      const Lane lane = kLanes[action - kDatabaseLane];
      if (branch.HasReplyToGive(lane)) {
        branch.GiveReply(lane);
        detail = 1;
      } else if (branch.HasCallToMake(lane)) {
        branch.MakeCall(lane, /*faults=*/true);
        detail = 2;
      }
      break;
    }
    case kHint:
      branch.engine().OnHubHint();
      break;
    case kTimePasses: {
      // To where somebody wants to go on, or a good while.
      if (branch.IsRunning() && random_.Chance(70)) {
        const absl::Time wake = branch.clock().InWorld(branch.engine().NextWake());
        clock_.AdvanceTo(std::min(wake, clock_.Now() + absl::Minutes(10)));
      } else {
        clock_.Advance(absl::Seconds(random_.Below(400)));
      }
      break;
    }
    case kProcessDies:
    case kPowerFails:
      branch.Kill(action == kPowerFails);
      break;
    case kDatabaseCrashes:
      branch.CrashDatabase();
      break;
    case kStreamBreaks:
      branch.capture().Disconnect();
      break;
    case kSlotIsSaved:
      branch.capture().SaveSlot();
      break;
    case kServerSettles:
      branch.database().Settle();
      break;
    case kPartition:
      branch.set_partitioned(!branch.partitioned());
      break;
    case kDuplicateArrives:
      branch.DeliverDuplicate();
      break;
    case kClockJumps: {
      const absl::Duration jumps[] = {absl::Seconds(3), -absl::Seconds(3),          absl::Hours(1),
                                      -absl::Hours(1),  absl::Hours(24 * 365 * 70), -absl::Hours(24 * 365 * 20)};
      detail = random_.Below(swarm_->wild_clocks ? 8 : 4);
      if (detail == 6) {
        branch.clock().Freeze();
      } else {
        branch.clock().SetOffset(detail == 7 ? absl::ZeroDuration() : jumps[detail]);
      }
      break;
    }
    case kCommands:
      switch (detail = random_.Below(4)) {
        case 0:
          branch.engine().Pause();
          break;
        case 1:
          branch.engine().Resume();
          break;
        case 2:
          branch.engine().SyncNow();
          break;
        default:
          branch.engine().RetryParked(std::nullopt);
      }
      break;
    case kRunsOn:
      status = RunOn(branch);
      break;
    case kMigrates:
      detail = migrations_->RunNext(branch.number(), &branch.database());
      break;
    default:
      detail = AddLateColumn(&branch.database(), swarm_->filled_column);
  }
  Trace(&branch, kActionNames[action], detail);
  return status;
}

// ---- Liveness ----

absl::Status Simulation::FinishMigrations() {
  if (migrations_ == nullptr) return absl::OkStatus();
  for (auto& branch : branches_) {
    while (migrations_->HasMore(branch->number())) {
      if (!migrations_->RunNext(branch->number(), &branch->database()))
        return Violation("liveness", absl::StrCat("at ", branch->name(), " a table stays locked"));
      Trace(branch.get(), kActionNames[kMigrates], 2);
    }
  }
  for (auto& branch : branches_) ASSAY_RETURN_IF_ERROR(branch->workload().MakePrice());
  return absl::OkStatus();
}

std::string Simulation::WhyNotQuiet() {
  for (auto& branch : branches_) {
    const EngineStatus status = branch->engine().Status();
    const auto because = [&](absl::string_view what) { return absl::StrCat(branch->name(), " ", what); };
    if (!branch->capture().AllSent()) return because("has not been sent all of its WAL");
    const std::vector<WalTransaction>& wal = branch->database().wal();
    if (!wal.empty() && branch->capture().confirmed() <= wal.back().commit_lsn)
      return because("has not confirmed all of its WAL");
    if (status.unsettled != status.parked) return because("has rows that are due");
    if (status.origins.size() != branches_.size()) return because("has not heard of everybody");
    for (const OriginStatus& origin : status.origins) {
      auto at_hub = hub_->chains().find(origin.origin);
      if (at_hub == hub_->chains().end() || at_hub->second.complete != origin.head.value)
        return because("and the hub differ");
      if (origin.complete != origin.head || origin.projected != origin.head)
        return because("has not projected everything");
    }
  }
  return "";
}

absl::Status Simulation::RunUntilQuiet() {
  for (int round = 0; round < kRoundsUntilQuiet; ++round) {
    bool busy = false;
    for (auto& branch : branches_) {
      while (branch->Capture()) busy = true;
      do {
        ASSAY_RETURN_IF_ERROR(StepEngine(*branch));
      } while (branch->engine().HasWork());
      for (Lane lane : {Lane::kDatabase, Lane::kHubPush, Lane::kHubPull}) {
        while (branch->HasCallToMake(lane) || branch->HasReplyToGive(lane)) {
          busy = true;
          if (branch->HasCallToMake(lane)) branch->MakeCall(lane, /*faults=*/false);
          if (branch->HasReplyToGive(lane)) branch->GiveReply(lane);
        }
      }
    }
    clock_.Advance(absl::Milliseconds(1));
    Trace(nullptr, "healthy round", busy);
    if (busy) continue;
    const std::string why = WhyNotQuiet();
    if (why.empty()) return absl::OkStatus();
    Trace(nullptr, why);
    absl::Time wake = absl::InfiniteFuture();
    for (auto& branch : branches_) wake = std::min(wake, branch->clock().InWorld(branch->engine().NextWake()));
    if (wake == absl::InfiniteFuture())
      return Violation("liveness", "nobody means to do anything, and not all is done");
    if (wake > clock_.Now() + absl::Hours(24)) return Violation("liveness", "the next try is more than a day away");
    clock_.AdvanceTo(wake);
  }
  std::string problems;
  for (auto& branch : branches_) {
    const EngineStatus status = branch->engine().Status();
    absl::StrAppend(&problems, "\n  ", branch->name(), " is ", status.state, ", unsettled ", status.unsettled,
                    ", parked ", status.parked);
    for (const OriginStatus& origin : status.origins) {
      absl::StrAppend(&problems, "; ", origin.branch_name, " held ", origin.head.value, " projected ",
                      origin.projected.value, " hub ", origin.hub_head.value);
    }
    for (const Problem& problem : status.problems) {
      absl::StrAppend(&problems, "\n    ", ProblemName(problem.kind), ": ", SentenceOf(problem), " ", problem.detail);
    }
  }
  return Violation("liveness", absl::StrCat(WhyNotQuiet(), problems));
}

std::vector<uint64_t> Simulation::EventCounts() {
  std::vector<uint64_t> counts;
  for (auto& branch : branches_) counts.push_back(branch->engine().Status().events_total);
  return counts;
}

// ---- The verdict ----

absl::Status Simulation::CheckHistory() {
  History history;
  for (auto& branch : branches_) {
    const std::string name = branch->name();
    branch->Kill(/*power=*/true);
    ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<LogFile> file, LogFile::Open(kSimLogPath, branch->log_options()));
    ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<EventLog> log, EventLog::Open(file.get()));
    ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<TableNames> names, TableNames::Open(file.get(), log.get()));
    ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<UnsettledRows> unsettled, UnsettledRows::Open(file.get(), log.get()));
    ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<Conflicts> conflicts, Conflicts::Open(file.get(), log.get()));
    ASSAY_ASSIGN_OR_RETURN(HistoricBranch read, History::Read(name, branch->origin(), &branch->database(), file.get(),
                                                              *log, *unsettled, *names, *conflicts));
    read.known_when_planned = branch->known_when_planned();
    read.policies = ShopPolicies();
    if (swarm_->masked_table && branch->number() == swarm_->branches) read.denied.insert(kShopSecrets.ToString());
    read.granted_late = swarm_->granted_late;
    history.Add(std::move(read));
  }
  ASSAY_RETURN_IF_ERROR(history.CheckOneHistory(*hub_));
  ASSAY_RETURN_IF_ERROR(history.CheckCapturedOnce());
  ASSAY_RETURN_IF_ERROR(history.CheckHeaders());
  ASSAY_RETURN_IF_ERROR(history.CheckProjections());
  ASSAY_RETURN_IF_ERROR(history.CheckRowsAreTheFold());
  ASSAY_RETURN_IF_ERROR(history.CheckEqualTables());
  ASSAY_RETURN_IF_ERROR(history.CheckConflicts());
  ASSAY_RETURN_IF_ERROR(history.CheckParked());
  Trace(nullptr, "history", history.Fingerprint());
  for (auto& branch : branches_) {
    for (const auto& [outcome, count] : branch->outcomes()) result_.counters[outcome] += count;
  }
  result_.counters["parked rows"] = history.parked_rows();
  result_.counters["events"] = history.events();
  result_.counters["projected rows"] = history.projected_rows();
  return absl::OkStatus();
}

}  // namespace assay
