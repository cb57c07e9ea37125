// What every verb of `assay` shares: where the config and the daemon are, how answers are printed, and what the exit
// code says.
//
// Exit codes: kExitCodesHelp. Results go to stdout, errors to stderr. --json gives one JSON object (streams: one a
// line) with the field names of proto/admin.proto; an error is then {"code", "message", "do"}, on stderr, too.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "adapters/grpc/admin_client.h"
#include "google/protobuf/message.h"
#include "google/protobuf/struct.pb.h"
#include "grpcpp/client_context.h"
#include "tools/config/config.h"

namespace assay {

enum ExitCode { kExitOk = 0, kExitProblem = 1, kExitUsage = 2, kExitNoDaemon = 3 };
inline constexpr char kExitCodesHelp[] =
    "Exit codes:\n"
    "0 done; of status: nothing is wrong\n"
    "1 something is wrong, as printed; or what was asked for is not there\n"
    "2 the command or the config is wrong\n"
    "3 no daemon answers\n"
    "130 Ctrl-C";

struct CliContext {
  std::string config_path = "/etc/assay/assay.toml";
  std::string socket;  // Overrides the config's [admin] listen.
  bool json = false;
  bool utc = false;
};

// The config, or its faults printed: then the verb returns kExitUsage.
absl::StatusOr<Config> CliConfig(const CliContext& context);
// A stub of the daemon that config or socket name.
absl::StatusOr<std::unique_ptr<admin::v1::Admin::Stub>> CliConnect(const CliContext& context);

// What a verb whose CliConnect failed returns: prints why, and how a daemon is started when that is what is missing.
int CliNoDaemon(const CliContext& context, const absl::Status& status);
// INVALID_ARGUMENT when `url`, from the command line, holds a password: `ps` shows it to everyone.
absl::Status RefusePassword(const std::string& url, const std::string& option, const std::string& instead);

// Prints the error, and what to do when a command mends it; returns `exit_code`.
int CliFail(const CliContext& context, const absl::Status& status, int exit_code = kExitProblem,
            const std::string& command = "");
// Of an answer, or of what came instead of one: a daemon that has gone is kExitNoDaemon.
int CliFail(const CliContext& context, const grpc::Status& status);

// One JSON object on a line of its own, every field present.
void PrintJson(const google::protobuf::Message& message);
// Builds the JSON of verbs that do not ask the daemon.
google::protobuf::Value JsonText(std::string text);
google::protobuf::Value JsonTexts(const std::vector<std::string>& texts);
google::protobuf::Value JsonFlag(bool flag);
google::protobuf::Value JsonCount(double count);

// True when stdout is a terminal: progress is drawn only there.
bool OnTerminal();
// Redraws one line of a terminal: "pull 47/100".
void DrawProgress(const std::string& text);
void EndProgress();

}  // namespace assay
