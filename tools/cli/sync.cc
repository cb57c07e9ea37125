#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tools/cli/command_line.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

namespace assay {
namespace {

// "Sent 47 of 100 (12 a second)  Received 12 of 12  Written 12 of 12  8 s left".
std::string SyncLine(const admin::v1::SyncProgress& progress) {
  const auto stage = [](absl::string_view name, uint64_t done, uint64_t total, double per_second) {
    const std::string rate = Rate(per_second);
    return absl::StrCat(name, Grouped(done), " of ", Grouped(total), rate.empty() ? "" : absl::StrCat(" (", rate, ")"));
  };
  const std::string left = progress.done() ? "" : Left(progress.has_time_left(), progress.time_left());
  return absl::StrCat(
      stage("Sent ", progress.pushed(), progress.push_total(), progress.pushed_per_second()),
      stage("  Received ", progress.pulled(), progress.pull_total(), progress.pulled_per_second()),
      stage("  Written ", progress.projected(), progress.projected_total(), progress.projected_per_second()),
      left.empty() ? "" : absl::StrCat("  ", left));
}

int SyncNow(const CliContext& context) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  const absl::Time begun = absl::Now();
  grpc::ClientContext call;
  auto reader = (*stub)->SyncNow(&call, {});
  admin::v1::SyncProgress progress;
  const bool draw = OnTerminal() && !context.json;
  while (reader->Read(&progress)) {
    if (context.json) PrintJson(progress);
    if (!draw) continue;
    DrawProgress(SyncLine(progress));
  }
  if (draw) EndProgress();
  if (grpc::Status answer = reader->Finish(); !answer.ok()) return CliFail(context, answer);
  if (!context.json) {
    std::cout << Painted(Paint::kGreen, "In step") << " in " << ShortLength(absl::Now() - begun) << ": "
              << Count(progress.pushed(), "change") << " sent, " << Grouped(progress.pulled()) << " received, "
              << Grouped(progress.projected()) << " written.\n";
  }
  return kExitOk;
}

int PauseSync(const CliContext& context) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  grpc::ClientContext call;
  admin::v1::PauseReply reply;
  if (grpc::Status answer = (*stub)->Pause(&call, {}, &reply); !answer.ok()) return CliFail(context, answer);
  if (context.json)
    PrintJson(reply);
  else
    std::cout << "Paused: nothing is sent or received until `assay sync resume`, whether or not the daemon is started "
                 "again before. Changes are recorded all the while.\n";
  return kExitOk;
}

int ResumeSync(const CliContext& context) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  grpc::ClientContext call;
  admin::v1::ResumeReply reply;
  if (grpc::Status answer = (*stub)->Resume(&call, {}, &reply); !answer.ok()) return CliFail(context, answer);
  if (context.json)
    PrintJson(reply);
  else
    std::cout << "Resumed.\n";
  return kExitOk;
}

int SetSyncInterval(const CliContext& context, const std::string& text) {
  absl::StatusOr<absl::Duration> interval = ParseInterval(text);
  if (!interval.ok()) {
    return CliFail(context, absl::InvalidArgumentError(absl::StrCat("\"", text, "\" ", interval.status().message())),
                   kExitUsage);
  }
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  grpc::ClientContext call;
  admin::v1::SetIntervalRequest request;
  request.mutable_interval()->set_seconds(absl::ToInt64Seconds(*interval));
  request.mutable_interval()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(*interval % absl::Seconds(1))));
  admin::v1::SetIntervalReply reply;
  if (grpc::Status answer = (*stub)->SetInterval(&call, request, &reply); !answer.ok()) return CliFail(context, answer);
  if (context.json)
    PrintJson(reply);
  else
    std::cout << "Looks every " << Length(reply.interval())
              << " until the daemon restarts; [hub] interval in the config is the lasting one.\n";
  return kExitOk;
}

}  // namespace

void AddSync(CommandLine& line) {
  CLI::App* sync = line.AddFamily({"sync", "Send and receive now, pause, resume, or how often", "assay sync now"});
  line.AddVerb({"now", "Send and receive at once, and wait until it is done", "assay sync now"}, SyncNow, sync);
  line.AddVerb(
      {"pause", "Nothing is sent or received until resume, also through a restart of the daemon", "assay sync pause"},
      PauseSync, sync);
  line.AddVerb({"resume", "Send and receive again", "assay sync resume"}, ResumeSync, sync);
  auto interval = std::make_shared<std::string>();
  line.AddVerb(
          {"interval", "How often to look when no hint comes, until a restart of the daemon", "assay sync interval 5m"},
          [interval](const CliContext& context) { return SetSyncInterval(context, *interval); }, sync)
      ->add_option("interval", *interval, "300ms to 7 days: 30s, 5m, 1h30m")
      ->required();
}

}  // namespace assay
