#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tools/cli/command_line.h"
#include "tools/cli/status_text.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

namespace assay {
namespace {

using admin::v1::Problem;
using admin::v1::Status;
using Stub = admin::v1::Admin::Stub;

constexpr absl::Duration kTryAgainEvery = absl::Seconds(1);

struct StatusOptions {
  bool watch = false;
  bool check = false;
  bool stages = false;
};

// As monitoring programs take them from a plugin.
enum MonitorCode { kMonitorOk = 0, kMonitorWarning = 1, kMonitorCritical = 2, kMonitorUnknown = 3 };

Problem::Severity WorstSeverity(const Status& status) {
  Problem::Severity worst = Problem::NOTE;
  for (const Problem& problem : status.problems()) worst = std::max(worst, problem.severity());
  return worst;
}

// The page. A daemon that does not answer about the others has answered about this branch.
std::string PageOf(Stub& stub, const Status& status, const StatusOptions& options) {
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  admin::v1::ListBranchesRequest request;
  request.set_as_heard(true);
  admin::v1::ListBranchesReply branches;
  if (!stub.ListBranches(&call, request, &branches).ok()) branches.Clear();
  return StatusText(status, branches, options.stages);
}

int ShowStatus(const CliContext& context, Stub& stub, const StatusOptions& options) {
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  admin::v1::GetStatusRequest request;
  request.set_utc(context.utc);
  Status status;
  if (const grpc::Status answer = stub.GetStatus(&call, request, &status); !answer.ok())
    return CliFail(context, answer);
  if (context.json)
    PrintJson(status);
  else
    std::cout << PageOf(stub, status, options) << std::flush;
  return WorstSeverity(status) == Problem::NOTE ? kExitOk : kExitProblem;
}

// Shows what comes until the stream ends: whole pages drawn anew on a terminal, a line a change in a pipe.
grpc::Status WatchOnce(const CliContext& context, Stub& stub, const StatusOptions& options, std::string* page) {
  grpc::ClientContext call;
  admin::v1::WatchStatusRequest request;
  request.set_utc(context.utc);
  auto reader = stub.WatchStatus(&call, request);
  Status status;
  std::string last;
  while (reader->Read(&status)) {
    if (context.json) {
      PrintJson(status);
    } else if (OnTerminal()) {
      *page = PageOf(stub, status, options);
      std::cout << "\033[H\033[2J" << *page << "\n"
                << Painted(Paint::kDim, absl::StrCat("Live ", absl::FormatTime("%H:%M:%S", absl::Now(), Screen().zone),
                                                     ", Ctrl-C ends"))
                << std::endl;
    } else {
      std::string line = absl::StrCat(status.state(), ": ", Printable(status.sentence().headline()));
      if (line != last) std::cout << FullTime(absl::Now()) << " " << line << std::endl;
      last = std::move(line);
    }
  }
  return reader->Finish();
}

// A daemon that is started again is watched again. JSON has no word for that: its stream ends.
int WatchStatus(const CliContext& context, std::unique_ptr<Stub> stub, const StatusOptions& options) {
  std::string page;
  for (;;) {
    const grpc::Status ended = WatchOnce(context, *stub, options, &page);
    if (context.json || ended.error_code() != grpc::StatusCode::UNAVAILABLE) return CliFail(context, ended);
    const std::string news =
        absl::StrCat("No news since ", absl::FormatTime("%H:%M:%S", absl::Now(), Screen().zone), ", trying again");
    if (OnTerminal())
      std::cout << "\033[H\033[2J" << page << "\n" << Painted(Paint::kYellow, news) << std::endl;
    else
      std::cout << FullTime(absl::Now()) << " no news: " << ended.error_message() << std::endl;
    for (;;) {
      absl::SleepFor(kTryAgainEvery);
      absl::StatusOr<std::unique_ptr<Stub>> again = CliConnect(context);
      if (!again.ok() && !absl::IsUnavailable(again.status())) return CliNoDaemon(context, again.status());
      if (!again.ok()) continue;
      stub = *std::move(again);
      break;
    }
  }
}

// One line for a monitoring program, and a code it knows: what could not be looked at is unknown, and not well.
int CheckStatus(const grpc::Status& answer, const Status& status) {
  if (!answer.ok()) {
    std::cout << "UNKNOWN: " << Printable(answer.error_message()) << "\n";
    return kMonitorUnknown;
  }
  const Problem::Severity worst = WorstSeverity(status);
  const MonitorCode code = worst == Problem::BAD    ? kMonitorCritical
                           : worst == Problem::WARN ? kMonitorWarning
                                                    : kMonitorOk;
  uint64_t to_send = 0;
  for (const admin::v1::Origin& origin : status.origins()) {
    if (origin.own() && origin.head() > origin.hub_head()) to_send = origin.head() - origin.hub_head();
  }
  std::cout << (code == kMonitorCritical  ? "CRITICAL"
                : code == kMonitorWarning ? "WARNING"
                                          : "OK")
            << ": " << Printable(status.sentence().headline()) << " | to_send=" << (status.has_hub() ? to_send : 0)
            << " rows_waiting=" << status.parked_rows() << "\n";
  return code;
}

int StatusVerb(const CliContext& context, const StatusOptions& options) {
  absl::StatusOr<std::unique_ptr<Stub>> stub = CliConnect(context);
  Status status;
  if (!stub.ok() && options.check)
    return CheckStatus(grpc::Status(grpc::StatusCode::UNAVAILABLE, std::string(stub.status().message())), status);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  if (options.watch) return WatchStatus(context, *std::move(stub), options);
  if (!options.check) return ShowStatus(context, **stub, options);
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  const grpc::Status answer = (*stub)->GetStatus(&call, {}, &status);
  return CheckStatus(answer, status);
}

}  // namespace

void AddStatus(CommandLine& line) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* verb =
      line.AddVerb({"status", "How this branch is: what is stuck, why, and what comes next", "assay status --watch"},
                   [options](const CliContext& context) { return StatusVerb(context, *options); });
  CLI::Option* watch = verb->add_flag("-w,--watch", options->watch, "Again whenever it changes, until Ctrl-C");
  verb->add_flag("--stages", options->stages, "Each stage and chain, too");
  verb->add_flag("--check", options->check,
                 "One line for a monitoring program; exit code 0 OK, 1 warning, 2 critical, 3 unknown")
      ->excludes(watch);
}

}  // namespace assay
