#include "tests/support/child_process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"

namespace assay::test {
namespace {

const passwd& ServerUser() {
  static const passwd user = [] {
    const passwd* found = getpwnam("postgres");
    if (found == nullptr) {
      std::fprintf(stderr, "running as root, and there is no user `postgres` to run servers as\n");
      std::abort();
    }
    return *found;
  }();
  return user;
}

// Everything a child needs after fork is prepared before it: malloc may be locked by another thread there.
struct Prepared {
  std::vector<std::string> environment;
  std::vector<char*> environment_pointers, argument_pointers;
};

Prepared Prepare(const std::vector<std::string>& arguments, const ChildProcess::Options& options) {
  Prepared prepared;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string text = *entry;
    if (options.environment.count(text.substr(0, text.find('='))) == 0) prepared.environment.push_back(std::move(text));
  }
  for (const auto& [name, value] : options.environment) prepared.environment.push_back(absl::StrCat(name, "=", value));
  for (std::string& entry : prepared.environment) prepared.environment_pointers.push_back(entry.data());
  prepared.environment_pointers.push_back(nullptr);
  for (const std::string& argument : arguments)
    prepared.argument_pointers.push_back(const_cast<char*>(argument.c_str()));
  prepared.argument_pointers.push_back(nullptr);
  return prepared;
}

// In the child: only async-signal-safe calls from here on.
[[noreturn]] void Become(const Prepared& prepared, const ChildProcess::Options& options, const passwd* user, int out,
                         int err, pid_t parent) {
  int null = open("/dev/null", O_RDONLY);
  dup2(null, 0);
  dup2(out, 1);
  dup2(err, 2);
  if (user != nullptr && (setgroups(1, &user->pw_gid) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
    _exit(126);
  prctl(PR_SET_PDEATHSIG, options.signal_if_we_die);  // After setuid, which clears it.
  if (getppid() != parent) _exit(125);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0);  // A Ctrl-C at the terminal is ours to pass on.
  execvpe(prepared.argument_pointers[0], prepared.argument_pointers.data(), prepared.environment_pointers.data());
  _exit(127);
}

absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& arguments, const ChildProcess::Options& options, int out,
                            int err) {
  Prepared prepared = Prepare(arguments, options);
  const passwd* user = options.as_server_user && geteuid() == 0 ? &ServerUser() : nullptr;
  pid_t parent = getpid();
  pid_t pid = fork();
  if (pid < 0) return absl::UnavailableError("fork failed");
  if (pid == 0) Become(prepared, options, user, out, err, parent);
  return pid;
}

int ExitCode(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

void ChownToServerUser(const std::string& path) {
  if (chown(path.c_str(), ServerUser().pw_uid, ServerUser().pw_gid) != 0) {
    std::perror(absl::StrCat("chown ", path).c_str());
    std::abort();
  }
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(const std::vector<std::string>& arguments,
                                                                  Options options) {
  const std::string& output = options.output;
  int file = open(output.empty() ? "/dev/null" : output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) return absl::UnavailableError(absl::StrCat("cannot open ", output));
  absl::StatusOr<pid_t> pid = Spawn(arguments, options, file, file);
  close(file);
  if (!pid.ok()) return pid.status();
  return std::unique_ptr<ChildProcess>(new ChildProcess(*pid, std::move(options)));
}

ChildProcess::~ChildProcess() {
  if (!Running()) return;
  Signal(options_.signal_at_end);
  if (Wait(absl::Seconds(10)).has_value()) return;
  Signal(SIGKILL);
  Wait(absl::Seconds(10));
}

bool ChildProcess::Running() { return !Wait(absl::ZeroDuration()).has_value(); }

void ChildProcess::Signal(int signal) {
  if (!exit_code_.has_value()) kill(pid_, signal);
}

std::optional<int> ChildProcess::Wait(absl::Duration timeout) {
  absl::Time deadline = absl::Now() + timeout;
  while (!exit_code_.has_value()) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      exit_code_ = ExitCode(status);
    } else if (absl::Now() >= deadline) {
      return std::nullopt;
    } else {
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  return exit_code_;
}

RunResult RunProgram(const std::vector<std::string>& arguments, absl::Duration timeout, ChildProcess::Options options) {
  RunResult result;
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) std::abort();
  absl::StatusOr<pid_t> pid = Spawn(arguments, options, out[1], err[1]);
  close(out[1]);
  close(err[1]);
  if (!pid.ok()) std::abort();
  absl::Time deadline = absl::Now() + timeout;
  pollfd fds[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  bool killed = false;
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0 && !killed) {
      killed = true;
      kill(*pid, SIGKILL);
    }
    if (poll(fds, 2, killed ? 1000 : static_cast<int>(left)) == 0 && killed) break;  // A grandchild holds the pipe.
    for (pollfd& fd : fds) {
      if (fd.fd < 0 || fd.revents == 0) continue;
      char buffer[65536];
      ssize_t count = read(fd.fd, buffer, sizeof(buffer));
      if (count <= 0) {
        fd.fd = -1;
        continue;
      }
      result.output.append(buffer, static_cast<size_t>(count));
      if (&fd == &fds[0]) result.standard_output.append(buffer, static_cast<size_t>(count));
    }
  }
  close(out[0]);
  close(err[0]);
  int status = 0;
  waitpid(*pid, &status, 0);
  result.exit_code = killed ? 124 : ExitCode(status);
  return result;
}

}  // namespace assay::test
