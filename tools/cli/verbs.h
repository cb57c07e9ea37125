// The verbs of `assay`, each a function from its options to an exit code (tools/cli/cli.h). assay.cc reads the command
// line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/cli/cli.h"

namespace assay {

// ---- Of a running daemon ----

struct StatusOptions {
  bool watch = false;
};
int StatusVerb(const CliContext& context, const StatusOptions& options);

int SyncNowVerb(const CliContext& context);
int SyncPauseVerb(const CliContext& context);
int SyncResumeVerb(const CliContext& context);
int SyncIntervalVerb(const CliContext& context, const std::string& interval);

int BranchesVerb(const CliContext& context);

struct ParkedOptions {
  std::string table;
  uint32_t limit = 100;
};
int ParkedListVerb(const CliContext& context, const ParkedOptions& options);
int ParkedRetryVerb(const CliContext& context, const ParkedOptions& options);
int ConflictsVerb(const CliContext& context, const ParkedOptions& options);

struct LogOptions {
  std::string table, branch, since, until;
  std::vector<std::string> key;
  uint64_t first = 0, last = 0;
  uint32_t limit = 50;
  bool oldest_first = false;
};
int LogListVerb(const CliContext& context, const LogOptions& options);
int LogTailVerb(const CliContext& context, const LogOptions& options);
// `name`: "mumbai-1/17", or an origin's first digits and a sequence.
int LogShowVerb(const CliContext& context, const std::string& name);

// ---- Without a daemon ----

struct HubVerbOptions {
  std::string url;  // Of the head office's role; empty: SUPABASE_DB_URL, or the config's hub.url.
  bool allow_insecure = false;
  std::string name;
  uint32_t number = 0;
  std::vector<std::string> tables = {"*"};
  std::string password_file;  // Where enrol puts the password instead of printing it.
};
int HubInstallVerb(const CliContext& context, const HubVerbOptions& options);
int HubEnrolVerb(const CliContext& context, const HubVerbOptions& options);
int HubBranchesVerb(const CliContext& context, const HubVerbOptions& options);
int HubActiveVerb(const CliContext& context, const HubVerbOptions& options, bool active);
int HubPasswordVerb(const CliContext& context, const HubVerbOptions& options);
int HubGrantVerb(const CliContext& context, const HubVerbOptions& options);

struct InitVerbOptions {
  std::string admin_url;
  std::string differences;  // "", "here" or "fleet".
  bool without_hub = false;
};
int InitVerb(const CliContext& context, const InitVerbOptions& options);

struct LeaveVerbOptions {
  std::string admin_url;
  bool yes = false;
};
struct RepairVerbOptions {
  std::string admin_url;
  bool apply = false;
  bool replaces_other = false;
  bool without_hub = false;
};
int RepairVerb(const CliContext& context, const RepairVerbOptions& options);

int LeaveVerb(const CliContext& context, const LeaveVerbOptions& options);
int DoctorVerb(const CliContext& context, const std::string& admin_url);

}  // namespace assay
