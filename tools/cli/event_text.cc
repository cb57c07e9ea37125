#include "tools/cli/event_text.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/column_text.h"
#include "tools/cli/text.h"

namespace assay {

using admin::v1::LogEvent;

namespace {

std::string WhoText(const LogEvent& event) {
  if (!event.has_who())
    return event.source() == "LIVE" && !event.table().empty() && event.operation() != "SCHEMA" ? "unattributed" : "";
  const admin::v1::Who& who = event.who();
  std::string text = who.application_user().empty() ? who.database_user() : who.application_user();
  if (!who.terminal().empty()) absl::StrAppend(&text, " at ", who.terminal());
  return text;
}

std::string ChangesText(const LogEvent& event) {
  if (!event.note().empty()) return event.note();
  return absl::StrJoin(event.columns(), ", ", [](std::string* out, const admin::v1::Change& change) {
    if (change.has_old_value() && change.has_new_value()) {
      absl::StrAppend(out, change.column(), " ", ValueText(change.old_value()), " → ", ValueText(change.new_value()));
    } else {
      absl::StrAppend(out, change.column(), " ",
                      ValueText(change.has_new_value() ? change.new_value() : change.old_value()));
    }
  });
}

}  // namespace

std::string ValueText(const admin::v1::Value& value) {
  if (value.is_null()) return "NULL";
  return absl::StrCat(value.text(), value.cut_from() > 0
                                        ? absl::StrCat("… (", Bytes(static_cast<int64_t>(value.cut_from())), ")")
                                        : "");
}

bool ParseEventName(absl::string_view name, std::string* origin, uint64_t* sequence) {
  const size_t slash = name.rfind('/');
  if (slash == absl::string_view::npos || slash == 0) return false;
  *origin = std::string(name.substr(0, slash));
  return absl::SimpleAtoi(name.substr(slash + 1), sequence) && *sequence > 0;
}

std::string KeyText(const LogEvent& event) {
  return absl::StrJoin(event.key(), ", ", [](std::string* out, const admin::v1::Cell& cell) {
    absl::StrAppend(out, cell.column(), "=", ValueText(cell.value()));
  });
}

// What was there before the fleet has a stamp older than anything, which is no time.
std::string TimeText(const LogEvent& event) {
  constexpr int64_t kYear1971 = 31'536'000;
  const bool known = event.has_time() && event.time().seconds() > kYear1971;
  return When(known, event.time());
}

std::string EventLine(const LogEvent& event) {
  constexpr size_t kChangesMax = 160, kKeyMax = 24;
  std::string changes = Printable(ChangesText(event));
  if (!Screen().wide && changes.size() > kChangesMax) changes = absl::StrCat(CutText(changes, kChangesMax), "…");
  const std::string who = WhoText(event);
  const std::string time = TimeText(event);
  const bool fits = Screen().live && !Screen().wide;
  std::string key = Printable(KeyText(event));
  if (fits) key = CutToWidth(key, kKeyMax, Fit::kMiddle);
  // Who comes before what is cut: that is what people ask the log.
  const std::string line =
      absl::StrCat(Printable(event.branch()), "/", event.sequence(), "  ", event.operation(), "  ",
                   Printable(event.table()), key.empty() ? "" : absl::StrCat(" [", key, "]"),
                   who.empty() ? "" : absl::StrCat("  by ", Printable(who)), changes.empty() ? "" : "  ", changes);
  const size_t taken = TextWidth(time) + 2, width = static_cast<size_t>(Screen().width);
  return absl::StrCat(Painted(Paint::kDim, time), "  ",
                      fits ? CutToWidth(line, width > taken ? width - taken : 1) : line);
}

}  // namespace assay
