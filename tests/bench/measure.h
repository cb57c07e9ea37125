// What is measured, a function each; every one adds to the report what --only wants of it, Assay and its peer in one
// repetition.
#pragma once

#include "absl/status/status.h"
#include "tests/bench/report.h"
#include "tests/bench/stand.h"

namespace assay::bench {

// "tps", "capture", "bytes": one branch and its hub.
absl::Status MeasureShop(const BenchOptions& options, Report& report);

// On a stand of two branches:
absl::Status MeasureInserts(Stand& stand, Report& report);              // "inserts"
absl::Status MeasureHotRows(Stand& stand, bool chain, Report& report);  // "hot-reconnect", "hot-chain"
absl::Status MeasureSales(Stand& stand, Report& report);                // "sales"
absl::Status MeasureLatency(Stand& stand, Report& report);              // "latency"
absl::Status MeasureMemory(Stand& stand, Report& report);               // "memory"
absl::Status MeasureAbsence(Stand& stand, Report& report);              // "absence"

// Assay and its peer, each after the other; who begins takes turns from one repetition to the next.
template <typename Ours, typename Theirs>
absl::Status InTurns(const Stand& stand, Ours ours, Theirs theirs) {
  const bool we_begin = stand.options().repetition % 2 == 0;
  if (absl::Status status = we_begin ? ours() : theirs(); !status.ok()) return status;
  return we_begin ? theirs() : ours();
}

}  // namespace assay::bench
