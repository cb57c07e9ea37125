#include "engine/recovery/restore_check.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"

namespace assay {
namespace {

Judgement DatabaseBehind(absl::string_view cause) { return {RestoreState::kDatabaseBehind, std::string(cause)}; }

// The slot cannot tell: what does the rest say of the database's age?
Judgement WithoutSlot(const LogEvidence& log, const DatabaseEvidence& database) {
  const std::string gone =
      database.slot_there ? "the replication slot has lost WAL it still needed" : "the replication slot is gone";
  if (!log.server.empty() && !database.server.empty() && log.server != database.server) {
    return DatabaseBehind(
        absl::StrCat(gone, " and this is another database than before (restored from a dump, or moved)"));
  }
  if (database.flushed < log.captured.position || database.flushed < log.captured.end_lsn) {
    return DatabaseBehind(absl::StrCat(gone, " and the server's WAL ends at ", database.flushed.ToString(),
                                       ", before what the log has captured (",
                                       std::max(log.captured.position, log.captured.end_lsn).ToString(), ")"));
  }
  // Transaction ids wrap; what lies within 2^31 is before or after.
  if (log.captured.xid != 0 && database.next_xid != 0 &&
      static_cast<int32_t>(database.next_xid - log.captured.xid) <= 0) {
    return DatabaseBehind(absl::StrCat(gone, " and the server has not reached transaction ", log.captured.xid,
                                       ", which the log has captured"));
  }
  if (log.timeline != 0 && database.timeline != 0 && log.timeline != database.timeline) {
    return DatabaseBehind(absl::StrCat(gone, " and the server is on timeline ", database.timeline, ", no longer on ",
                                       log.timeline,
                                       ": it was recovered to a point in time, or is a standby that was promoted"));
  }
  return {RestoreState::kGap,
          absl::StrCat(gone, ", so changes since ", log.captured.position.ToString(), " may have been missed")};
}

}  // namespace

absl::string_view RestoreStateName(RestoreState state) {
  if (const std::optional<Problem> hazard = HazardProblem(state, "", "")) return ProblemName(hazard->kind);
  return state == RestoreState::kNormal ? "normal" : "unverified";
}

std::optional<Problem> HazardProblem(RestoreState state, absl::string_view branch, absl::string_view cause) {
  const auto problem = [&](ProblemKind kind) {
    return Problem{.kind = kind, .subject = std::string(branch), .detail = std::string(cause)};
  };
  switch (state) {
    case RestoreState::kUnverified:
    case RestoreState::kNormal:
      break;
    case RestoreState::kDatabaseBehind:
      return problem(ProblemKind::kDatabaseBehindLog);
    case RestoreState::kLogBehind:
      return problem(ProblemKind::kLogBehindDatabase);
    case RestoreState::kGap:
      return problem(ProblemKind::kGap);
    case RestoreState::kClone:
      return problem(ProblemKind::kClone);
    case RestoreState::kOtherDatabase:
      return problem(ProblemKind::kOtherDatabase);
    case RestoreState::kSetAside:
      return problem(ProblemKind::kOwnChainSetAside);
    case RestoreState::kReplaced:
      return problem(ProblemKind::kReplaced);
    case RestoreState::kKeyLost:
      return problem(ProblemKind::kSigningKeyLost);
  }
  return std::nullopt;
}

absl::StatusOr<LogEvidence> ReadLogEvidence(const OriginId& own, EventLog& log, LocalState& state) {
  LogEvidence evidence{.own = own};
  ASSAY_ASSIGN_OR_RETURN(evidence.captured, state.Read(kCapturedNote));
  ASSAY_ASSIGN_OR_RETURN(evidence.batch_landed, state.Read(kBatchLandedNote));
  ASSAY_ASSIGN_OR_RETURN(evidence.batch_asked, state.Read(kBatchAskedNote));
  ASSAY_ASSIGN_OR_RETURN(const KnownServer server, state.Read(kServerNote));
  evidence.server = server.id;
  evidence.timeline = server.timeline;
  ASSAY_ASSIGN_OR_RETURN(const std::string repair, state.Read(kRepairNote));
  for (const RestoreState state : {RestoreState::kDatabaseBehind, RestoreState::kGap}) {
    if (repair == RestoreStateName(state)) evidence.unfinished = state;
  }
  for (OriginId origin = own;;) {
    const absl::StatusOr<v1::OriginOpened> opened = log.Opening(origin);
    if (!opened.ok() || opened->previous_origin().empty()) break;
    ASSAY_ASSIGN_OR_RETURN(origin, OriginId::FromBytes(opened->previous_origin()));
    if (!evidence.previous.insert(origin).second) break;  // A circle, which only damaged bytes could make.
  }
  return evidence;
}

absl::Status NoteRepair(RestoreState state, LocalState* local) {
  return local->Write(kRepairNote, state == RestoreState::kNormal ? "" : std::string(RestoreStateName(state)));
}

absl::Status NoteServer(const std::string& server, uint32_t timeline, LocalState* state) {
  const KnownServer found{server, timeline};
  ASSAY_ASSIGN_OR_RETURN(const KnownServer noted, state->Read(kServerNote));
  return noted == found ? absl::OkStatus() : state->Write(kServerNote, found);
}

Judgement Judge(const LogEvidence& log, const DatabaseEvidence& database) {
  if (!database.known) return {RestoreState::kNormal, ""};
  if (log.unfinished != RestoreState::kNormal)
    return {log.unfinished, "`assay repair` has begun to mend it, and did not finish"};
  if (database.origin.has_value() && *database.origin != log.own) {
    if (log.previous.contains(*database.origin)) {
      return DatabaseBehind("the database is from before this log's chain was opened");
    }
    return {RestoreState::kOtherDatabase,
            absl::StrCat("the database was enrolled with the log of origin ", database.origin->Hex().substr(0, 8),
                         ", and this is that of ", log.own.Hex().substr(0, 8))};
  }
  const bool slot = database.slot_there && !database.slot_lost;
  if (database.batch.has_value() && *database.batch > log.batch_asked) {
    return {RestoreState::kLogBehind,
            absl::StrCat("the database has projection ", *database.batch, ", and the log knows only of ",
                         log.batch_asked, ": the log file was restored from a copy")};
  }
  if (database.batch.has_value() && *database.batch < log.batch_landed && !database.projecting) {
    return DatabaseBehind(absl::StrCat("the database has seen projection ", *database.batch,
                                       ", and the log has captured number ", log.batch_landed));
  }
  if (!database.batch.has_value() && !slot) {
    return DatabaseBehind(
        "the database has neither the replication slot nor Assay's own tables: it was restored from a dump without "
        "them, or is another one");
  }
  if (!slot) return WithoutSlot(log, database);
  if (!log.server.empty() && !database.server.empty() && log.server != database.server) {
    return DatabaseBehind(
        "this is another database than before (restored from a dump, or moved), with a slot of the same name");
  }
  if (log.captured.position.value != 0 && database.slot_confirmed > log.captured.position) {
    return {RestoreState::kGap,
            absl::StrCat("the replication slot stands at ", database.slot_confirmed.ToString(),
                         ", and the log has everything only up to ", log.captured.position.ToString(),
                         ": the slot was made anew or advanced by somebody, or the log file is an older copy")};
  }
  if (database.flushed < log.captured.end_lsn) {
    return DatabaseBehind(absl::StrCat("the server's WAL ends at ", database.flushed.ToString(),
                                       ", before the last transaction that the log has captured (",
                                       log.captured.end_lsn.ToString(), ")"));
  }
  // Only what the log has was ever confirmed: the transaction is part of this server's past.
  if (database.slot_confirmed >= log.captured.end_lsn) return {RestoreState::kNormal, ""};
  return {RestoreState::kUnverified, ""};
}

void StreamCheck::Begin(const CapturedPosition& captured) {
  expected_ = captured;
  met_ = false;
}

Judgement StreamCheck::See(const CaptureItem& item) {
  const auto behind = [&](Lsn at) {
    return DatabaseBehind(absl::StrCat("the log has captured transaction ", expected_.xid, " at ",
                                       expected_.commit_lsn.ToString(), ", and the server has something else at ",
                                       at.ToString()));
  };
  switch (item.kind) {
    case CaptureItem::Kind::kBegin:
      if (item.commit_lsn < expected_.commit_lsn) break;
      met_ = item.commit_lsn == expected_.commit_lsn && item.xid == expected_.xid &&
             item.commit_time_us == expected_.commit_time_us;
      if (!met_) return behind(item.commit_lsn);
      break;
    case CaptureItem::Kind::kCommit:
      if (met_) return {RestoreState::kNormal, ""};
      break;
    case CaptureItem::Kind::kKeepalive:
      if (item.end_lsn >= expected_.end_lsn) return behind(item.end_lsn);
      break;
    default:
      break;
  }
  return {};
}

}  // namespace assay
