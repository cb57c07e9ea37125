// How an engine is, for people and for the other branches.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/engine_parts.h"

namespace assay {

BranchReport Engine::Parts::Report() const {
  BranchReport report;
  report.name = config.branch_name;
  report.number = config.branch_number;
  report.origin = own;
  report.head = log->Head(own).last;
  for (const OriginId& origin : log->Origins()) {
    if (origin != own) report.projected[origin] = state->Projected(origin);
  }
  report.parked = unsettled->parked_count();
  report.state = State();
  return report;
}

std::string Engine::Parts::State() const {
  if (Hazard() != RestoreState::kNormal && Hazard() != RestoreState::kUnverified) return "halted";
  if (!capture_link.status.ok()) return capture_link.failures == 0 ? "starting" : "stopped";
  if (gate->state() == RestoreState::kUnverified) return "starting";
  if (!config.has_hub) return "local-only";
  if (paused) return "paused";
  if (!session->link().status.ok() || !puller->link().status.ok() || !pusher->link().status.ok()) return "offline";
  if (puller->last_pull() == absl::InfinitePast()) return "starting";
  const bool behind = puller->Behind() > 0 || projector->Pending() > 0 ||
                      (pusher->hub_last().has_value() && *pusher->hub_last() < log->Head(own).complete);
  return behind ? "catching-up" : "running";
}

std::string Engine::Parts::NameOf(const OriginId& origin) const {
  const std::string id = absl::StrCat("origin ", origin.Hex().substr(0, 8));
  const absl::StatusOr<v1::OriginOpened> opened = log->Opening(origin);
  return opened.ok() ? absl::StrCat(id, " (", opened->branch_name(), ")") : id;
}

std::vector<std::string> Engine::Parts::Problems() const {
  std::vector<std::string> problems;
  const auto since = [](const LinkStatus& link) {
    std::string text =
        absl::StrCat(" (since ", absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", link.since, absl::UTCTimeZone()));
    if (link.next_try > absl::InfinitePast()) {
      absl::StrAppend(&text, ", next try at ", absl::FormatTime("%H:%M:%S UTC", link.next_try, absl::UTCTimeZone()));
    }
    return text + ")";
  };
  const auto add = [&](absl::string_view what, const LinkStatus& link) {
    if (!link.status.ok()) problems.push_back(absl::StrCat(what, ": ", link.status.message(), since(link)));
  };
  if (const RestoreState hazard = Hazard(); gate->Halts() || hazard == RestoreState::kClone) {
    problems.push_back(absl::StrCat("HALTED, ", RestoreStateName(hazard), ": ",
                                    gate->Halts() ? gate->cause() : session->refusal(), ". Nothing is ",
                                    gate->Halts() ? "captured, " : "",
                                    "written to PostgreSQL, pushed or pulled. What to do: ", RestoreRemedy(hazard)));
  }
  if (capture_link.failures > 0) add("Changes are not captured", capture_link);
  add("Changes of other branches are not written to PostgreSQL", projector->link());
  if (config.has_hub && !session->link().status.ok()) {
    add("Nothing is pushed to the hub or pulled from it", session->link());
  } else if (config.has_hub) {
    add("Nothing is pushed to the hub", pusher->link());
    add("Nothing is pulled from the hub", puller->link());
    // CANCELLED: turned off on purpose.
    if (hints_told && !hints.ok() && pusher->link().status.ok() && puller->link().status.ok() &&
        !absl::IsCancelled(hints)) {
      problems.push_back(absl::StrCat("The hub cannot tell at once that something has come: ", hints.message(),
                                      " (it is asked every ", absl::FormatDuration(puller->interval()),
                                      " all the same)"));
    }
  }
  constexpr size_t kChainsListed = 10;  // A hub may name as many as it likes.
  size_t listed = 0;
  for (const auto& [origin, trouble] : puller->troubles()) {
    if (++listed > kChainsListed && origin != own) continue;
    if (origin == own) {
      add("The hub does not have this branch's own chain as this branch wrote it (nothing of it is taken from there; tell the head "
          "office)",
          trouble);
    } else if (trouble.next_try == absl::InfiniteFuture()) {
      problems.push_back(
          absl::StrCat("The changes of ", NameOf(origin), " are not taken further: ", trouble.status.message(),
                       since({trouble.status, trouble.since}),
                       ". Keep this log, and ask that branch and the head office what happened to theirs; assayd looks "
                       "at the chain again when it is started again"));
    } else {
      add(absl::StrCat(
              "The hub does not give the changes of ", NameOf(origin),
              " as they must be, and none of what is wrong is taken (it is asked for again by itself; if this stays so, ask "
              "the head office what happened to the hub)"),
          trouble);
    }
  }
  if (listed > kChainsListed) {
    problems.push_back(absl::StrCat("So it is with other chains, ", listed, " in all"));
  }
  for (const auto& [origin, status] : projector->stopped()) {
    problems.push_back(absl::StrCat("The changes of ", NameOf(origin), " are not taken further: ", status.message(),
                                    ". Ask that branch and the head office what happened to its log"));
  }
  for (const auto& [origin, awaited] : projector->waiting_for()) {
    problems.push_back(
        absl::StrCat("The changes of ", NameOf(origin), " wait for event ", EventName(awaited.first, awaited.second),
                     ", which they build on and which is not here yet; it comes when its branch is online"));
  }
  if (unsettled->parked_count() > 0) {
    problems.push_back(absl::StrCat(unsettled->parked_count(), unsettled->parked_count() == 1 ? " row" : " rows",
                                    " cannot be written to PostgreSQL; see `assay parked`"));
  }
  if (recorder->counters().false_tags > 0) {
    problems.push_back(
        absl::StrCat(recorder->counters().false_tags,
                     " rows carried Assay's mark but were not written by it; they were recorded as local "
                     "changes. Look for triggers that are ENABLE ALWAYS, or for somebody who forges the mark"));
  }
  constexpr size_t kWithheldListed = 3;
  const std::vector<WithheldValue>& withheld = recorder->withheld();
  for (size_t i = 0; i < withheld.size() && i < kWithheldListed; ++i) {
    const WithheldValue& value = withheld[i];
    const absl::StatusOr<std::vector<std::string>> key = DecodeKey(value.key);
    problems.push_back(absl::StrCat(
        "Column ", value.column, " of ", value.table, " [", key.ok() ? absl::StrJoin(*key, ", ") : "?", "] holds ",
        value.bytes >> 20, " MB, and a row's changes have room for ", config.row_bytes_max >> 20,
        " MB in the log: the value is in this database alone. Store a smaller one, or keep such data "
        "outside of the table"));
  }
  if (withheld.size() > kWithheldListed) {
    problems.push_back(absl::StrCat("So it is with ", withheld.size() - kWithheldListed, " other values"));
  }
  const absl::Duration offset = puller->clock_offset();
  if (absl::AbsDuration(offset) > absl::Seconds(5)) {
    problems.push_back(absl::StrCat("This machine's clock is ", absl::FormatDuration(absl::AbsDuration(offset)),
                                    offset > absl::ZeroDuration() ? " behind" : " ahead of",
                                    " the hub's; set it right (timedatectl set-ntp true): later writes win by time"));
  }
  return problems;
}

EngineStatus Engine::Status() const {
  const Parts& p = *parts_;
  EngineStatus status;
  status.branch_name = p.config.branch_name;
  status.branch_number = p.config.branch_number;
  status.origin = p.own;
  status.state = p.State();
  status.restore = p.Hazard();
  status.problems = p.Problems();
  status.capture = p.capture_link;
  status.projection = p.projector->link();
  status.hub_push = p.session->link().status.ok() ? p.pusher->link() : p.session->link();
  status.hub_pull = p.session->link().status.ok() ? p.puller->link() : p.session->link();
  status.hints = p.hints;
  status.has_hub = p.config.has_hub;
  status.paused = p.paused;
  status.hub_interval = p.puller->interval();
  status.last_push = p.pusher->last_push();
  status.last_pull = p.puller->last_pull();
  status.next_pull = p.puller->next_pull();
  status.hub_clock_offset = p.puller->clock_offset();
  status.captured = p.confirmed;
  status.last_captured_commit = absl::FromUnixMicros(p.recorder->counters().last_commit_us);
  status.events_captured = p.recorder->events();
  status.unattributed_transactions = p.recorder->counters().unattributed_transactions;
  status.false_tags = p.recorder->counters().false_tags;
  status.events_total = p.log->EventCount();
  status.unsettled = p.unsettled->count();
  status.parked = p.unsettled->parked_count();
  status.conflicts = p.conflicts->count();
  status.log_bytes = p.file->SizeOnDisk();
  status.branches = p.puller->branches();
  status.branches_heard = p.puller->heard();
  for (const OriginId& origin : p.log->Origins()) {
    OriginStatus one;
    one.origin = origin;
    one.own = origin == p.own;
    const ChainHead head = p.log->Head(origin);
    one.head = head.last;
    one.complete = head.complete;
    one.projected = one.own ? head.complete : p.state->Projected(origin);
    if (absl::StatusOr<v1::OriginOpened> opened = p.log->Opening(origin); opened.ok()) {
      one.branch_name = opened->branch_name();
    }
    if (auto it = p.puller->hub_heads().find(origin); it != p.puller->hub_heads().end())
      one.hub_head = it->second.complete;
    if (one.own && p.pusher->hub_heard().has_value()) one.hub_head = *p.pusher->hub_heard();
    if (auto it = p.puller->troubles().find(origin); it != p.puller->troubles().end()) one.status = it->second.status;
    const auto& stopped = p.projector->stopped();
    if (auto it = stopped.find(origin); it != stopped.end()) one.status = it->second;
    if (one.own) {
      if (p.pusher->hub_heard().has_value()) status.push_position = {one.hub_head.value, head.last.value};
    } else if (one.status.ok()) {
      const uint64_t newest = std::max(head.last, one.hub_head).value;
      status.pull_position.at += head.last.value;
      status.pull_position.goal += newest;
      // What is still to be pulled is still to be written, too: who waits for the rows waits for all of it.
      status.projection_position.at += one.projected.value;
      status.projection_position.goal += newest;
    }
    status.origins.push_back(std::move(one));
  }
  return status;
}

}  // namespace assay
