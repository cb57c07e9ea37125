// When a table is to be compared by itself: at night, and whenever something has happened to it.
//
// A table that was never compared is due at once; init and repair make all of theirs such tables. So is one that was
// declared anew since, or altered and not declared yet. All of them are due once a night. A machine that was off at
// that hour does it when it is on again. Pure.
#pragma once

#include <optional>

#include "absl/time/time.h"
#include "engine/database.h"
#include "log/local_state/notes.h"
#include "proto/event.pb.h"

namespace assay {

// The newest time at or before `now` at which all tables were due, by a time of day as Config::Verify has it;
// InfinitePast: never. `after`: so that the branches of one machine do not begin together.
absl::Time LastNight(std::optional<absl::Duration> time_of_day, absl::Duration after, absl::Time now,
                     absl::TimeZone zone);

// `declared`: the table's newest declaration.
bool IsDue(const CheckedTable& checked, Sequence declared, absl::Time last_night);

// The table is another one by now than its newest declaration says: it was altered, and no row has been captured since.
// `shape`: as capture would deliver it.
bool IsAltered(const v1::TableSchema& declared, const TableShape& shape);

}  // namespace assay
