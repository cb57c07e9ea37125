#include "tools/cli/event_text.h"

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

std::string KeyText(const LogEvent& event) {
  return absl::StrJoin(event.key(), ", ", [](std::string* out, const admin::v1::Cell& cell) {
    absl::StrAppend(out, cell.column(), "=", ValueText(cell.value()));
  });
}

// What was there before the fleet has a stamp older than anything, which is no time. As wide as a time.
std::string TimeText(const LogEvent& event) {
  constexpr int64_t kYear1971 = 31'536'000;
  const bool known = event.has_time() && event.time().seconds() > kYear1971;
  return known ? When(true, event.time()) : "-                  ";
}

std::string EventLine(const LogEvent& event) {
  constexpr size_t kChangesMax = 160;
  std::string changes = Printable(ChangesText(event));
  if (changes.size() > kChangesMax) changes = absl::StrCat(CutText(changes, kChangesMax), "…");
  const std::string who = WhoText(event);
  return absl::StrCat(TimeText(event), "  ", Printable(event.branch()), "/", event.sequence(), "  ", event.operation(),
                      "  ", Printable(event.table()),
                      event.key().empty() ? "" : absl::StrCat(" [", Printable(KeyText(event)), "]"), "  ", changes,
                      who.empty() ? "" : absl::StrCat("  by ", Printable(who)));
}

}  // namespace assay
