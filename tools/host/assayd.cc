// assayd: the daemon of one branch. See README for the config, and `assay` for what it can be asked.
//
// Exit codes: 0 stopped as asked, 1 could not run, 2 usage or config. SIGTERM and SIGINT stop it.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "tools/config/config.h"
#include "tools/host/daemon.h"
#include "tools/host/logging.h"
#include "tools/version.h"

// How the allocator is set up (jemalloc(3), TUNING): what a large transaction took goes back to the machine a second
// after it was freed, on a thread of its own; two arenas, since two threads do nearly all the work.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,narenas:2";
}

namespace {

// tests/fleet builds a second program with this set, whose stale overwrites its tests must see. Never in assayd itself.
#ifdef ASSAY_NAIVE_PROJECTION
constexpr bool kNaiveProjection = true;
#else
constexpr bool kNaiveProjection = false;
#endif

constexpr char kHelp[] =
    "The daemon of one branch: captures what its PostgreSQL commits, and keeps it together with the other branches.\n"
    "Example: assayd --config /etc/assay/assay.toml";

int Fail(int code, absl::string_view message) {
  std::fprintf(stderr, "assayd: %.*s\n", static_cast<int>(message.size()), message.data());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(kHelp, "assayd");
  app.set_version_flag("--version", assay::kVersion);
  std::string path = "/etc/assay/assay.toml";
  bool check = false;
  app.add_option("-c,--config", path, "The TOML file of this branch")->envname("ASSAY_CONFIG")->capture_default_str();
  app.add_flag("--check", check, "Only read the config, say what is wrong with it, and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::StatusOr<assay::Config> config = assay::LoadConfig(path, assay::ProcessEnvironment());
  if (!config.ok()) return Fail(2, config.status().message());
  if (check) {
    std::printf("%s is good\n", path.c_str());
    return 0;
  }

  // Before any thread is made, so that none of them takes the signals that we wait for.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);

  assay::InitLogging(config->log.level);
  absl::StatusOr<std::unique_ptr<assay::Daemon>> daemon = assay::Daemon::Start(*config, kNaiveProjection);
  if (!daemon.ok()) return Fail(1, daemon.status().message());
  int signal = 0;
  sigwait(&signals, &signal);
  assay::Log(assay::LogLevel::kInfo, "stopping");
  if (!(*daemon)->Stop(absl::Seconds(1)))
    _exit(0);  // What is durable stays so; a name server may take half a minute more.
  daemon->reset();
  assay::Log(assay::LogLevel::kInfo, "stopped");
  return 0;
}
