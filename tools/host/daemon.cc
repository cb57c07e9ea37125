#include "tools/host/daemon.h"

#include <sys/stat.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/grpc/admin_server.h"
#include "adapters/libpq/connection.h"
#include "adapters/postgres/capture.h"
#include "adapters/postgres/projection.h"
#include "adapters/supabase/hub_hints.h"
#include "adapters/supabase/supabase_hub.h"
#include "engine/own_chain.h"
#include "log/annotate.h"
#include "tools/config/state_lock.h"
#include "tools/host/engine_host.h"
#include "tools/host/logging.h"
#include "tools/sentinel/sentinel.h"
#include "tools/setup/branch_key.h"
#include "tools/setup/enrolment.h"
#include "tools/setup/repair.h"
#include "tools/survey/survey.h"
#include "tools/system.h"
#include "tools/version.h"

namespace assay {
namespace {

constexpr absl::Duration kSurveyMax = absl::Seconds(30);

// That the log is there and is this branch's: a config copied from another shop must not go on with this one's chain.
absl::Status CheckLog(const Config& config) {
  struct stat st;
  const bool missing = stat(config.log_path().c_str(), &st) != 0;
  if (missing || st.st_size == 0) {
    const std::string what = missing ? absl::StrCat("there is no log in ", config.branch.state_dir)
                                     : absl::StrCat("the log ", config.log_path(), " is empty");
    // Going on with a new log would give the same changes other names.
    if (const std::optional<OriginId> enrolled = EnrolledOrigin(config.postgres.url); enrolled.has_value()) {
      return absl::FailedPreconditionError(
          absl::StrCat(what, ", and the database is enrolled with one (origin ", enrolled->Hex().substr(0, 8),
                       "): put that log back; if it is lost, ", missing ? "" : "move the empty file away and ",
                       "run assay repair --config ", config.path, ", which shows what it would do"));
    }
    return absl::FailedPreconditionError(absl::StrCat(what, ": run assay init --config ", config.path, " first"));
  }
  LogFile::Options options;
  options.read_only = true;
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogFile> file, LogFile::Open(config.log_path(), options));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<EventLog> log, EventLog::Open(file.get()));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LocalState> state, LocalState::Open(file.get(), log.get()));
  const absl::Status status =
      CheckBranchLog(*log, *state, config.branch.name, static_cast<uint64_t>(config.branch.number));
  if (absl::IsNotFound(status)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the log in ", config.branch.state_dir, " was not begun: run assay init --config ", config.path, " first"));
  }
  if (absl::IsFailedPrecondition(status)) {
    return absl::FailedPreconditionError(absl::StrCat("the log in ", config.branch.state_dir, " ", status.message()));
  }
  ASSAY_RETURN_IF_ERROR(status);
  // Between the two, rows may wait for a choice that a projection would take away.
  ASSAY_ASSIGN_OR_RETURN(const bool enrolled, IsEnrolmentFinished(*state));
  if (!enrolled) {
    return absl::FailedPreconditionError(
        absl::StrCat("the enrolment of the log in ", config.branch.state_dir,
                     " is not finished, or was ended by assay leave: run assay init --config ", config.path));
  }
  return absl::OkStatus();
}

absl::Status AddAdapters(const Config& config, HostParts* parts) {
  auto interrupt = std::make_shared<Interrupt>();
  parts->interrupt = [interrupt] { interrupt->Trigger(); };
  CaptureOptions capture_options;
  capture_options.conninfo = config.postgres.url;
  capture_options.interrupt = interrupt;
  auto capture = std::make_unique<PostgresCapture>(capture_options);
  parts->capture_keep_alive = [capture = capture.get()] { return capture->KeepAlive(); };
  parts->capture = std::move(capture);
  parts->database =
      std::make_unique<PostgresDatabase>(ProjectionOptions{.conninfo = config.postgres.url, .interrupt = interrupt});
  const SurveyOptions survey{.patterns = {config.postgres.tables, config.postgres.exclude},
                             .stride = config.branch.stride,
                             .number = config.branch.number,
                             .sequences = {config.sequences.stride, config.sequences.own},
                             .policies = config.PolicyColumns()};
  parts->survey = [survey, interrupt,
                   url = config.postgres.url](const std::set<std::string>& enrolled) -> absl::StatusOr<SurveyReport> {
    SurveyOptions options = survey;
    options.enrolled = enrolled;
    ASSAY_ASSIGN_OR_RETURN(
        const std::unique_ptr<Connection> connection,
        Connection::Open(url,
                         {.application_name = "assay survey", .call_timeout = kSurveyMax, .interrupt = interrupt}));
    return TakeSurvey(*connection, options);
  };
  parts->check = [sentinel =
                      std::make_shared<Sentinel>(SentinelOptions{.url = config.postgres.url,
                                                                 .log_path = config.log_path(),
                                                                 .state_dir = config.branch.state_dir,
                                                                 .time_of_day = config.verify.time_of_day,
                                                                 .after = absl::Minutes(config.branch.number % 20),
                                                                 .interrupt = interrupt})](
                     const CheckRequest& request, const RoundHooks& hooks) { return sentinel->Run(request, hooks); };
  if (!config.has_hub()) return absl::OkStatus();
  HubOptions hub{.url = config.hub.url,
                 .allow_insecure = config.hub.allow_insecure,
                 .interrupt = interrupt,
                 .branch_name = config.branch.name,
                 .branch_number = static_cast<uint32_t>(config.branch.number)};
  // Wherever it stands: in a file of its own, in .env, or in the config itself. (~/.pgpass libpq reads by itself.)
  hub.password = [config] { return HubPassword(config, ProcessEnvironment()); };
  hub.lane = "push";
  ASSAY_ASSIGN_OR_RETURN(parts->push_hub, SupabaseHub::Create(hub));
  hub.lane = "pull";
  ASSAY_ASSIGN_OR_RETURN(parts->pull_hub, SupabaseHub::Create(hub));
  if (config.hub.realtime) {
    hub.lane = "hints";
    ASSAY_ASSIGN_OR_RETURN(parts->hints, SupabaseHints::Create(hub, std::make_unique<SystemRandom>()));
  }
  return absl::OkStatus();
}

class RealDaemon final : public Daemon {
 public:
  absl::Status Start(const Config& config, bool naive_projection) {
    ASSAY_ASSIGN_OR_RETURN(lock_, StateLock::Take(config.lock_path()));
    ASSAY_RETURN_IF_ERROR(ExplainLogDamage(CheckLog(config), config.log_path()));
    HostParts parts;
    parts.engine = config.ToEngineConfig();
    parts.engine.naive_projection = naive_projection;
    ASSAY_ASSIGN_OR_RETURN(parts.engine.signing_key, LoadBranchKey(config.branch.state_dir));
    parts.log_path = config.log_path();
    parts.version = kVersion;
    ASSAY_RETURN_IF_ERROR(AddAdapters(config, &parts));
    parts.on_change = [this](const DaemonStatus& before, const DaemonStatus& after) {
      for (const LogLine& line : NewsBetween(before, after)) Log(line.level, line.text);
      if (before.engine_link.status.ok() != after.engine_link.status.ok() || before.change == 0) {
        server_->SetServing(after.engine_link.status.ok());
      }
    };
    host_ = std::make_unique<EngineHost>(std::move(parts));
    const Config::Admin& admin = config.admin;
    ASSAY_ASSIGN_OR_RETURN(
        server_, AdminServer::Start({admin.listen, admin.tls_cert, admin.tls_key, admin.tls_client_ca}, host_.get()));
    host_->Start();
    Log(LogLevel::kInfo,
        absl::StrCat("assayd ", kVersion, " for branch ", config.branch.name, " on ", server_->address(),
                     config.has_hub() ? "" : "; no hub is configured, everything stays local"));
    return absl::OkStatus();
  }

  ~RealDaemon() override {
    if (host_ != nullptr) host_->Stop(absl::InfiniteDuration());
    server_ = nullptr;  // Uses the host; and the host, until it has stopped, the server.
  }

  bool Stop(absl::Duration patience) override { return host_->Stop(patience); }

 private:
  std::unique_ptr<StateLock> lock_;
  std::unique_ptr<EngineHost> host_;
  std::unique_ptr<AdminServer> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Config& config, bool naive_projection) {
  auto daemon = std::make_unique<RealDaemon>();
  ASSAY_RETURN_IF_ERROR(daemon->Start(config, naive_projection));
  return daemon;
}

}  // namespace assay
