#include "tools/setup/branch_key.h"

#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "engine/own_chain.h"
#include "engine/problem.h"
#include "log/annotate.h"
#include "log/event_log.h"
#include "log/local_state/local_state.h"
#include "log/log_file.h"

namespace assay {
namespace {

// How the log's own chain begins; nullopt: there is none that could be read.
std::optional<v1::OriginOpened> OwnOpening(const std::string& log_path) {
  const auto read = [&]() -> absl::StatusOr<v1::OriginOpened> {
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogFile> file, LogFile::Open(log_path, {.read_only = true}));
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<EventLog> log, EventLog::Open(file.get()));
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LocalState> state, LocalState::Open(file.get(), log.get()));
    ASSAY_ASSIGN_OR_RETURN(const OriginId own, OwnOrigin(*state));
    return log->Opening(own);
  };
  absl::StatusOr<v1::OriginOpened> opening = read();
  return opening.ok() ? std::optional(*std::move(opening)) : std::nullopt;
}

absl::Status Lost(const v1::OriginOpened& opening, const std::string& what) {
  const Problem problem{.kind = ProblemKind::kSigningKeyLost, .subject = opening.branch_name()};
  return WithProblem(
      absl::FailedPreconditionError(absl::StrCat(SentenceOf(problem), " (", what, ") ", RemedyOf(problem))),
      problem.kind);
}

}  // namespace

absl::StatusOr<SigningKey> LoadBranchKey(const std::string& state_dir) {
  const std::string path = state_dir + "/signing.key";
  absl::StatusOr<SigningKey> key = SigningKey::Load(path);
  if (!key.ok() && !absl::IsNotFound(key.status())) return key;
  const std::optional<v1::OriginOpened> opening = OwnOpening(state_dir + "/log.db");
  // Tests alone open chains without a key.
  if (!opening.has_value() || opening->public_key().empty()) return key;
  if (!key.ok()) return Lost(*opening, absl::StrCat(path, " is not there"));
  if (opening->public_key() == key->public_key()) return key;
  return Lost(*opening, absl::StrCat(path, " is the key of another chain"));
}

}  // namespace assay
