#include "tools/host/change_log.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace assay {
namespace {

// A link that has not been used yet is neither news nor trouble.
bool Tried(const LinkStatus& link) { return link.status.ok() || link.failures > 0; }

void CompareLinks(const char* name, const char* well, const LinkStatus& before, const LinkStatus& after,
                  std::vector<LogLine>* out) {
  if (!Tried(after)) return;
  const bool recovered = after.status.ok() && !before.status.ok() && Tried(before);
  if (recovered) out->push_back({LogLevel::kInfo, absl::StrCat(name, ": ", well)});
  if (!after.status.ok() && (!Tried(before) || before.status.code() != after.status.code())) {
    std::string text = absl::StrCat(name, ": ", after.status.message());
    if (after.next_try > absl::UnixEpoch()) {
      absl::StrAppend(&text, "; next try at ", absl::FormatTime("%H:%M:%S", after.next_try, absl::LocalTimeZone()));
    }
    out->push_back({LogLevel::kWarning, text});
  }
}

}  // namespace

std::vector<LogLine> NewsBetween(const DaemonStatus& before, const DaemonStatus& after) {
  std::vector<LogLine> out;
  CompareLinks("engine", "running again", before.engine_link, after.engine_link, &out);
  const EngineStatus& old_engine = before.engine;
  const EngineStatus& engine = after.engine;
  const std::string state = after.engine_link.status.ok() ? engine.state : "stopped";
  const std::string old_state = before.engine_link.status.ok() ? old_engine.state : "stopped";
  // Catching up and being done with it alternate with every change that comes by.
  const auto steady = [](const std::string& word) { return word == "catching-up" ? std::string("running") : word; };
  if (steady(state) != steady(old_state) && !state.empty())
    out.push_back({LogLevel::kInfo, absl::StrCat("state: ", state)});

  CompareLinks("capture", "streaming again", old_engine.capture, engine.capture, &out);
  CompareLinks("projection", "writing again", old_engine.projection, engine.projection, &out);
  if (engine.has_hub) {
    CompareLinks("push", "the hub answers again", old_engine.hub_push, engine.hub_push, &out);
    CompareLinks("pull", "the hub answers again", old_engine.hub_pull, engine.hub_pull, &out);
    if (engine.hints.code() != old_engine.hints.code() && !old_engine.state.empty()) {
      out.push_back({LogLevel::kInfo,
                     engine.hints.ok() ? "realtime: listening" : absl::StrCat("realtime: ", engine.hints.message())});
    }
  }
  if (engine.parked > 0 && old_engine.parked == 0) {
    out.push_back({LogLevel::kWarning, "rows of other branches cannot be written here: see assay parked"});
  }
  if (engine.parked == 0 && old_engine.parked > 0) out.push_back({LogLevel::kInfo, "no row is parked any more"});
  for (const OriginStatus& origin : engine.origins) {
    auto old = std::find_if(old_engine.origins.begin(), old_engine.origins.end(),
                            [&](const OriginStatus& each) { return each.origin == origin.origin; });
    if (!origin.status.ok() && (old == old_engine.origins.end() || old->status.ok())) {
      out.push_back({LogLevel::kError, absl::StrCat("chain ", origin.origin.Hex().substr(0, 8), " of ",
                                                    origin.branch_name, " stands still: ", origin.status.message())});
    }
    if (origin.status.ok() && old != old_engine.origins.end() && !old->status.ok()) {
      out.push_back({LogLevel::kInfo, absl::StrCat("chain ", origin.origin.Hex().substr(0, 8), " of ",
                                                   origin.branch_name, ": goes on")});
    }
  }
  if (engine.false_tags > old_engine.false_tags && old_engine.false_tags == 0) {
    out.push_back({LogLevel::kWarning,
                   "rows claimed to be our own projection and were not: they were captured as local changes"});
  }
  return out;
}

}  // namespace assay
