#include "tests/fleet/progress_watch.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/util/json_util.h"
#include "log/annotate.h"

namespace assay::test {
namespace {

struct Stage {
  const char* field;
  int64_t Positions::*position;
  int64_t Positions::*goal;
};
constexpr Stage kStages[] = {{"push_progress", &Positions::pushed, &Positions::own_head},
                             {"pull_progress", &Positions::pulled, &Positions::others_head},
                             {"projection_progress", &Positions::projected, &Positions::others_head}};

std::optional<google::protobuf::Struct> Parse(absl::string_view line) {
  google::protobuf::Struct object;
  if (!google::protobuf::util::JsonStringToMessage(std::string(line), &object).ok()) return std::nullopt;
  return object;
}

}  // namespace

Positions PositionsIn(const google::protobuf::Struct& status) {
  Positions positions;
  for (const google::protobuf::Struct* origin : JsonObjects(status, "origins")) {
    const int64_t head = JsonNumber(*origin, "head"), at_hub = JsonNumber(*origin, "hub_head");
    if (JsonText(*origin, "own") == "true") {
      positions.pushed += at_hub;
      positions.own_head += head;
    } else {
      positions.pulled += head;
      positions.projected += JsonNumber(*origin, "projected");
      positions.others_head += std::max(head, at_hub);
    }
  }
  return positions;
}

absl::StatusOr<std::unique_ptr<ProgressWatch>> ProgressWatch::Start(const Branch& branch, const std::string& file) {
  unlink(file.c_str());
  std::unique_ptr<ProgressWatch> watch(new ProgressWatch(file));
  ASSAY_ASSIGN_OR_RETURN(watch->process_, ChildProcess::Start({Branch::ProgramPath("assay"), "--config",
                                                               branch.config_path(), "status", "--watch", "--json"},
                                                              {.output = file}));
  return watch;
}

std::optional<google::protobuf::Struct> ProgressWatch::Newest() const {
  const std::string text = ReadFile(file_);
  const size_t end = text.rfind('\n');
  if (end == std::string::npos || end == 0) return std::nullopt;
  const size_t before = text.rfind('\n', end - 1);
  const size_t begin = before == std::string::npos ? 0 : before + 1;
  return Parse(absl::string_view(text).substr(begin, end - begin));
}

absl::Status ProgressWatch::Judge() {
  under_way_ = with_rate_ = 0;
  std::optional<Positions> last;
  struct Told {
    int64_t done = 0, total = 0;
    bool under_way = false;
  } told[std::size(kStages)];
  const std::string text = ReadFile(file_);
  // The last line may be half written.
  for (absl::string_view line :
       absl::StrSplit(absl::string_view(text).substr(0, text.rfind('\n') + 1), '\n', absl::SkipEmpty())) {
    const std::optional<google::protobuf::Struct> status = Parse(line);
    if (!status.has_value() || JsonFind(*status, "origins") == nullptr)
      continue;  // The error that it ends with when the daemon goes.
    const Positions now = PositionsIn(*status);
    bool any = false, rate = false;
    for (size_t i = 0; i < std::size(kStages); ++i) {
      const Stage& stage = kStages[i];
      const auto wrong = [&](absl::string_view what) {
        return absl::InternalError(
            absl::StrCat(stage.field, " ", what, ": told before ", told[i].done, "/", told[i].total, ", now: ", line));
      };
      if (last.has_value() && now.*stage.position < (*last).*stage.position) return wrong("fell");
      if (JsonFind(*status, stage.field) == nullptr || JsonText(*status, absl::StrCat(stage.field, ".total")).empty()) {
        told[i].under_way = false;
        continue;
      }
      const std::string field = stage.field;
      const int64_t done = JsonNumber(*status, field + ".done"), total = JsonNumber(*status, field + ".total");
      if (done < 0 || done >= total) return wrong("is under way and through");
      if (total - done != now.*stage.goal - now.*stage.position) return wrong("is not exact");
      // Begun anew only once it had been through.
      const int64_t base = now.*stage.position - done;
      if (told[i].under_way && last.has_value()) {
        const int64_t last_base = (*last).*stage.position - told[i].done;
        if (base != last_base && base < last_base + told[i].total) return wrong("began anew in the middle");
        if (base == last_base && (done < told[i].done || total < told[i].total)) return wrong("fell");
      }
      told[i] = {done, total, true};
      any = true;
      rate = rate || (!JsonText(*status, field + ".time_left").empty() &&
                      JsonText(*status, field + ".events_per_second") != "0");
    }
    under_way_ += any;
    with_rate_ += rate;
    last = now;
  }
  if (!last.has_value()) return absl::InternalError(absl::StrCat("nothing was told: ", text.substr(0, 1000)));
  return absl::OkStatus();
}

}  // namespace assay::test
