// Judges what happened to the rows of one table in PostgreSQL, independently of the engine.
//
// Inside each database an ALWAYS trigger writes down every change of every row, ours and the app's alike, in the order
// the row lived it. The app writes values that are used once in the whole test, so that the value names its write; the
// log (read by log_reader.h) says where in the order of all writes it stands. From the two follows, per row and column:
//
// - a projection that replaced a value by one with an older version: a *stale overwrite*;
// - a local write whose version is older than what it replaced: causality broken;
// - a value in two events: an echo captured as if it were new;
// - the fold: the value with the newest version, which every database must show in the end.
//
// The table has a text key `id` and text columns; the value 'start' is older than every write.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/fleet/log_reader.h"

namespace assay::test {

// Before the first write to judge; `admin_url` is a superuser's. `table` is in schema public.
void InstallOracle(const std::string& admin_url, const std::string& table);

struct Verdict {
  int64_t local_writes = 0, projected_writes = 0;
  int64_t stale_overwrites = 0;
  int64_t causality_broken = 0;
  int64_t captured_twice = 0;
  int64_t not_captured = 0;           // A value in the history that no event has.
  int64_t differs_from_fold = 0;      // Values in the database.
  std::vector<std::string> examples;  // Of each fault, a few, for people.
};
// `columns` are the text columns to judge; `log` holds all chains (every branch has them all once converged).
absl::StatusOr<Verdict> Judge(const std::string& admin_url, const std::string& table,
                              const std::vector<std::string>& columns, const std::vector<LoggedRow>& log);

}  // namespace assay::test
