#include "adapters/grpc/status_proto.h"

#include <algorithm>
#include <map>

#include "engine/audit/proto_text.h"
#include "engine/human_text.h"
#include "engine/status_sentence.h"
#include "log/row_versions/row_ref.h"

namespace assay {
namespace {

namespace pb = admin::v1;

// Of each text about what is wrong: the hub and other branches have their words in it.
constexpr size_t kTextMax = 4096;

void SetLink(const LinkStatus& from, pb::Link* to) {
  to->set_ok(from.status.ok());
  if (!from.status.ok()) {
    to->set_code(absl::StatusCodeToString(from.status.code()));
    to->set_message(CleanText(from.status.message(), kTextMax));
    SetTime(from.next_try, to, &pb::Link::mutable_next_try);
  }
  SetTime(from.since, to, &pb::Link::mutable_since);
  to->set_failures(from.failures);
}

void SetProgress(const Progress& from, bool moves, pb::Progress* to) {
  to->set_done(from.done);
  to->set_total(from.total);
  if (!moves) return;
  to->set_events_per_second(from.events_per_second);
  const absl::Duration left = TimeLeft(from.total - from.done, from.events_per_second);
  if (left < absl::InfiniteDuration()) *to->mutable_time_left() = ToProto(left);
}

pb::Problem::Severity SeverityToProto(Severity severity) {
  switch (severity) {
    case Severity::kNote:
      return pb::Problem::NOTE;
    case Severity::kWarn:
      return pb::Problem::WARN;
    case Severity::kBad:
      return pb::Problem::BAD;
  }
  return pb::Problem::BAD;
}

void SetProblem(const Problem& from, absl::TimeZone zone, pb::Problem* to) {
  to->set_kind(std::string(ProblemName(from.kind)));
  to->set_severity(SeverityToProto(SeverityOf(from.kind)));
  to->set_subject(CleanText(from.subject, kTextMax));
  to->set_sentence(CleanText(InZone(SentenceOf(from), zone), kTextMax));
  to->set_detail(CleanText(InZone(from.detail, zone), kTextMax));
  to->set_remedy(CleanText(RemedyOf(from), kTextMax));
  SetTime(from.since, to, &pb::Problem::mutable_since);
  SetTime(from.next_try, to, &pb::Problem::mutable_next_try);
}

pb::Sentence::Tone ToneToProto(Tone tone) {
  switch (tone) {
    case Tone::kOk:
      return pb::Sentence::OK;
    case Tone::kBusy:
      return pb::Sentence::BUSY;
    case Tone::kIdle:
      return pb::Sentence::IDLE;
    case Tone::kWarn:
      return pb::Sentence::WARN;
    case Tone::kBad:
      return pb::Sentence::BAD;
  }
  return pb::Sentence::BAD;
}

void SetVerification(const DaemonStatus& status, pb::Verification* to) {
  static const CheckedTables* const none = new CheckedTables();
  const CheckedTables& checked = status.engine.checked == nullptr ? *none : *status.engine.checked;
  absl::Time oldest = absl::InfiniteFuture(), newest = absl::InfinitePast();
  CheckedTable sum;
  uint32_t compared = 0;
  for (const auto& [_, table] : checked) {
    if (table.ended_ms == 0) continue;
    ++compared;
    oldest = std::min(oldest, absl::FromUnixMillis(table.ended_ms));
    newest = std::max(newest, absl::FromUnixMillis(table.ended_ms));
    sum.rows += table.rows;
    sum.cells += table.cells;
    sum.passed_over += table.passed_over;
    sum.waiting += table.waiting;
    sum.restless += table.restless;
    sum.differing += table.differing;
  }
  to->set_tables(static_cast<uint32_t>(checked.size()));
  to->set_compared(compared);
  if (compared == checked.size()) SetTime(oldest, to, &pb::Verification::mutable_oldest);
  SetTime(newest, to, &pb::Verification::mutable_newest);
  to->set_rows(sum.rows);
  to->set_cells(sum.cells);
  to->set_cells_passed_over(sum.passed_over);
  to->set_waiting_rows(sum.waiting);
  to->set_restless_rows(sum.restless);
  to->set_differing_rows(sum.differing);
  if (!status.check.under_way) return;
  to->set_table(CleanText(status.check.table, 256));
  to->set_table_rows(status.check.rows);
  to->set_tables_done(static_cast<uint32_t>(status.check.tables_done));
  to->set_tables_total(static_cast<uint32_t>(status.check.tables));
}

void SetValue(const std::optional<std::string>& from, bool whole_row, pb::Value* value) {
  value->set_is_null(!from.has_value() && !whole_row);
  value->set_text(CleanText(from.value_or(""), kTextMax));
}

void SetVerifiedTable(const std::string& name, const CheckedTable& from, pb::VerifiedTable* to) {
  to->set_table(CleanText(name, 256));
  SetTime(absl::FromUnixMillis(from.ended_ms), to, &pb::VerifiedTable::mutable_ended);
  to->set_rows(from.rows);
  to->set_cells(from.cells);
  to->set_cells_passed_over(from.passed_over);
  to->set_waiting_rows(from.waiting);
  to->set_restless_rows(from.restless);
  to->set_differing_rows(from.differing);
  to->set_gave_up(from.gave_up);
  for (const DifferingCell& cell : from.cells_listed) {
    pb::DifferingCell* added = to->add_cells_listed();
    const absl::StatusOr<std::vector<std::string>> key = DecodeKey(cell.key);
    for (const std::string& part : key.value_or(std::vector<std::string>())) added->add_key(CleanText(part, kTextMax));
    added->set_column(CleanText(cell.column, 256));
    const bool whole_row = cell.column.empty();
    if (cell.here.has_value() || !whole_row) SetValue(cell.here, whole_row, added->mutable_here());
    if (cell.log.has_value() || !whole_row) SetValue(cell.log, whole_row, added->mutable_log());
  }
}

}  // namespace

void SetVerified(const DaemonStatus& status, const std::vector<TableName>& tables, pb::VerifyTablesProgress* to) {
  for (const std::string& table : status.check.not_compared) to->add_not_verified(CleanText(table, kTextMax));
  if (status.engine.checked == nullptr) return;
  for (const auto& [name, checked] : *status.engine.checked) {
    const auto is_it = [&name = name](const TableName& table) { return table.ToString() == name; };
    const bool meant = tables.empty() || std::any_of(tables.begin(), tables.end(), is_it);
    if (meant && checked.ended_ms != 0) SetVerifiedTable(name, checked, to->add_verified());
  }
}

namespace {

// A stage's link is what it saw last. What stands still altogether is not working, however well its last try went.
LinkStatus StageLink(const DaemonStatus& status, const LinkStatus& link) {
  if (!link.status.ok()) return link;
  if (!status.engine_link.status.ok()) return status.engine_link;
  if (status.engine.state != "halted") return link;
  return {
      absl::FailedPreconditionError("halted: nothing is recorded, written, sent or received until somebody has looked"),
      link.since};
}

void SetSentence(const Sentence& from, absl::TimeZone zone, pb::Sentence* to) {
  to->set_tone(ToneToProto(from.tone));
  to->set_headline(CleanText(InZone(from.headline, zone), kTextMax));
  to->set_line(CleanText(InZone(from.line, zone), kTextMax));
}

void SetStages(const DaemonStatus& status, pb::Status* out) {
  const EngineStatus& engine = status.engine;
  SetLink(status.engine_link, out->mutable_engine());
  SetLink(StageLink(status, engine.capture), out->mutable_capture());
  SetLink(StageLink(status, engine.projection), out->mutable_projection());
  out->set_has_hub(engine.has_hub);
  out->set_paused(engine.paused);
  SetTime(engine.last_push, out, &pb::Status::mutable_last_push);
  SetTime(engine.last_pull, out, &pb::Status::mutable_last_pull);
  SetTime(engine.next_pull, out, &pb::Status::mutable_next_pull);
  if (!engine.has_hub) return;
  SetLink(StageLink(status, engine.hub_push), out->mutable_push());
  SetLink(StageLink(status, engine.hub_pull), out->mutable_pull());
  SetLink(LinkStatus{.status = engine.hints}, out->mutable_realtime());
  *out->mutable_interval() = ToProto(engine.hub_interval);
  if (engine.hub_clock_offset != absl::ZeroDuration())
    *out->mutable_hub_clock_offset() = ToProto(engine.hub_clock_offset);
}

void SetCounts(const EngineStatus& engine, pb::Status* out) {
  out->set_captured_lsn(engine.captured.ToString());
  SetTime(engine.last_captured_commit, out, &pb::Status::mutable_last_captured_commit);
  out->set_events_captured(engine.events_captured);
  out->set_events_total(engine.events_total);
  out->set_unattributed_transactions(engine.unattributed_transactions);
  out->set_false_tags(engine.false_tags);
  out->set_unsettled_rows(engine.unsettled);
  out->set_parked_rows(engine.parked);
  out->set_forgotten_rows(engine.forgotten);
  out->set_conflicts(engine.conflicts);
  out->set_log_bytes(engine.log_bytes);
  for (const auto& [table, events] : engine.masked) {
    pb::Masked* masked = out->add_masked();
    masked->set_table(CleanText(table, 256));
    masked->set_events(events);
  }
}

void SetCatchingUp(const DaemonStatus& status, pb::Status* out) {
  const auto under_way = [](const Progress& progress) { return progress.done < progress.total; };
  const bool moves = status.engine_link.status.ok();
  if (under_way(status.push) && status.engine.has_hub) SetProgress(status.push, moves, out->mutable_push_progress());
  if (under_way(status.pull)) SetProgress(status.pull, moves, out->mutable_pull_progress());
  if (under_way(status.projection)) SetProgress(status.projection, moves, out->mutable_projection_progress());
}

void SetOrigin(const OriginStatus& from, pb::Origin* to) {
  to->set_origin(from.origin.Hex());
  to->set_branch(CleanText(from.branch_name, 256));
  to->set_own(from.own);
  to->set_head(from.head.value);
  to->set_complete(from.complete.value);
  to->set_hub_head(from.hub_head.value);
  to->set_projected(from.projected.value);
  if (!from.status.ok()) to->set_error(CleanText(from.status.message(), kTextMax));
}

}  // namespace

pb::Status StatusToProto(const DaemonStatus& status, absl::Time now, absl::TimeZone zone) {
  const EngineStatus& engine = status.engine;
  pb::Status out;
  out.set_branch(CleanText(engine.branch_name, 256));
  if (engine.origin != OriginId{}) out.set_origin(engine.origin.Hex());
  SetSentence(StatusSentence(status, now, zone), zone, out.mutable_sentence());
  out.set_state(status.state);
  if (engine.restore != RestoreState::kNormal && engine.restore != RestoreState::kUnverified) {
    out.set_hazard(std::string(RestoreStateName(engine.restore)));
  }
  for (const Problem& problem : status.problems) SetProblem(problem, zone, out.add_problems());
  out.set_version(status.version);
  out.set_pid(status.pid);
  SetTime(status.started, &out, &pb::Status::mutable_started);
  SetTime(status.as_of, &out, &pb::Status::mutable_as_of);
  SetStages(status, &out);
  SetCounts(engine, &out);
  SetCatchingUp(status, &out);
  SetVerification(status, out.mutable_verification());
  for (const OriginStatus& origin : engine.origins) SetOrigin(origin, out.add_origins());
  return out;
}

namespace {

// How far the chains of a fleet have come, as far as this branch knows.
struct KnownHeads {
  explicit KnownHeads(const EngineStatus& engine) {
    for (const OriginStatus& origin : engine.origins) {
      last[origin.origin] = std::max(origin.head.value, origin.hub_head.value);
      projected_here[origin.origin] = origin.projected.value;
    }
    for (const BranchPresence& branch : engine.branches) {
      uint64_t& head = last[branch.report.origin];
      head = std::max(head, branch.report.head.value);
    }
  }
  // Of all but `own`.
  uint64_t Others(const OriginId& own) const {
    uint64_t others = 0;
    for (const auto& [origin, head] : last) others += origin == own ? 0 : head;
    return others;
  }
  uint64_t ProjectedHere(const OriginId& origin) const {
    const auto found = projected_here.find(origin);
    return found == projected_here.end() ? 0 : found->second;
  }

  std::map<OriginId, uint64_t> last;  // The longest anybody is known to have.
  std::map<OriginId, uint64_t> projected_here;
};

// What the hub knows of this branch is what it told last; this is how it is.
void TellSelf(const DaemonStatus& status, const KnownHeads& heads, pb::Branch* self) {
  const EngineStatus& engine = status.engine;
  uint64_t behind = 0;
  for (const auto& [origin, head] : heads.last) {
    if (origin != engine.origin) behind += head - std::min(head, heads.ProjectedHere(origin));
  }
  const auto own = heads.last.find(engine.origin);
  self->set_state(status.state);
  self->set_version(status.version);
  self->set_head(own == heads.last.end() ? 0 : own->second);
  self->set_behind(behind);
  self->set_parked_rows(engine.parked);
}

}  // namespace

pb::ListBranchesReply BranchesToProto(const DaemonStatus& status) {
  const EngineStatus& engine = status.engine;
  const KnownHeads heads(engine);
  pb::ListBranchesReply out;
  const absl::Time hub_now = status.as_of + engine.hub_clock_offset;
  bool self_told = false;
  for (const BranchPresence& branch : engine.branches) {
    const BranchReport& report = branch.report;
    pb::Branch* to = out.add_branches();
    to->set_name(CleanText(report.name, 256));
    to->set_number(report.number);
    to->set_origin(report.origin == OriginId{} ? "" : report.origin.Hex());
    to->set_self(report.origin == engine.origin);
    self_told = self_told || to->self();
    to->set_active(branch.active);
    to->set_retired(branch.retired);
    to->set_online(IsOnline(branch, hub_now));
    SetTime(branch.last_seen, to, &pb::Branch::mutable_last_seen);
    to->set_state(CleanText(report.state, 64));
    to->set_version(CleanText(report.version, 64));
    to->set_head(report.head.value);
    to->set_parked_rows(report.parked);
    const uint64_t others = heads.Others(report.origin);
    to->set_behind(others - std::min(others, report.written));
    if (!to->self()) {
      const uint64_t has = heads.ProjectedHere(report.origin);
      to->set_unreceived(report.head.value > has ? report.head.value - has : 0);
    }
  }
  if (!self_told) {
    pb::Branch* self = out.add_branches();
    self->set_name(CleanText(engine.branch_name, 256));
    self->set_number(engine.branch_number);
    self->set_self(true);
    self->set_active(true);
    if (engine.origin != OriginId{}) self->set_origin(engine.origin.Hex());
  }
  for (pb::Branch& branch : *out.mutable_branches()) {
    if (branch.self()) TellSelf(status, heads, &branch);
  }
  if (!engine.branches.empty()) SetTime(engine.branches_heard, &out, &pb::ListBranchesReply::mutable_heard);
  std::sort(out.mutable_branches()->begin(), out.mutable_branches()->end(),
            [](const pb::Branch& a, const pb::Branch& b) {
              return a.number() != b.number() ? a.number() < b.number() : a.name() < b.name();
            });
  return out;
}

}  // namespace assay
