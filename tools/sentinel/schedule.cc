#include "tools/sentinel/schedule.h"

#include <algorithm>

namespace assay {

absl::Time LastNight(std::optional<absl::Duration> time_of_day, absl::Duration after, absl::Time now,
                     absl::TimeZone zone) {
  if (!time_of_day.has_value()) return absl::InfinitePast();
  const absl::Duration at = *time_of_day + after;
  // By the days of the calendar: not each of them has 24 hours.
  for (absl::CivilDay day = absl::ToCivilDay(now, zone);; --day) {
    const absl::CivilMinute minute(day.year(), day.month(), day.day(), 0, absl::ToInt64Minutes(at));
    if (const absl::Time time = absl::FromCivil(minute, zone); time <= now) return time;
  }
}

bool IsDue(const CheckedTable& checked, Sequence declared, absl::Time last_night) {
  return checked.ended_ms == 0 || checked.declared != declared || absl::FromUnixMillis(checked.ended_ms) < last_night;
}

bool IsAltered(const v1::TableSchema& declared, const TableShape& shape) {
  if (declared.columns_size() != static_cast<int>(shape.columns.size())) return true;
  return std::any_of(shape.columns.begin(), shape.columns.end(), [&](const TableColumn& column) {
    return std::none_of(declared.columns().begin(), declared.columns().end(), [&](const auto& is) {
      const bool same_column = is.number() == 0 || column.number == 0 || is.number() == column.number;
      return same_column && is.name() == column.name && is.type() == column.type &&
             is.definition() == column.definition;
    });
  });
}

}  // namespace assay
