// From the commit at A until B shows it through the hub, beside 20 sales a second at A.
//
// Timed from before the INSERT is sent: where the commit itself waits (synchronous apply), that is part of the wait.
#include <algorithm>
#include <optional>
#include <random>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "log/annotate.h"
#include "tests/bench/measure.h"
#include "tests/bench/native.h"

namespace assay::bench {
namespace {

using test::SqlSession;

constexpr absl::Duration kPoll = absl::Microseconds(200);
constexpr absl::Duration kTooLong = absl::Seconds(30);

struct Latency {
  double p50 = 0, p95 = 0;  // Milliseconds.
};

Latency Summary(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const auto at = [&](double share) {
    return samples[std::min(samples.size() - 1, static_cast<size_t>(share * static_cast<double>(samples.size())))];
  };
  return {at(0.5), at(0.95)};
}

// `probe(id)` makes one change and returns when B has it.
absl::StatusOr<Latency> Sample(Stand& stand, const std::string& database, const std::string& pg_options,
                               const std::function<absl::Status(int64_t id)>& probe) {
  const int64_t count = stand.options().Scaled(200, 20);
  const std::string output = absl::StrCat(stand.scratch(), "/pgbench-latency");
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<test::ChildProcess> pgbench,
                         stand.Sell(database, 2, 20, absl::Hours(1), output, pg_options));
  absl::SleepFor(absl::Seconds(1));
  std::mt19937 random(1);
  std::vector<double> samples;
  const int64_t first = stand.NextKeys(absl::StrCat(database, " probes"), count);
  for (int64_t id = first; id < first + count; ++id) {
    absl::SleepFor(absl::Milliseconds(random() % 100));
    const absl::Time begun = absl::Now();
    ASSAY_RETURN_IF_ERROR(probe(id));
    samples.push_back(absl::ToDoubleMilliseconds(absl::Now() - begun));
  }
  if (!pgbench->Running()) return absl::InternalError(absl::StrCat("pgbench ended: ", test::ReadFile(output)));
  return Summary(std::move(samples));
}

absl::StatusOr<Latency> Replicated(Stand& stand, const std::string& database, const std::string& pg_options = "") {
  ASSAY_ASSIGN_OR_RETURN(
      const std::unique_ptr<SqlSession> a,
      SqlSession::Connect(absl::StrCat(stand.Url(Node::kA, database),
                                       pg_options.empty() ? "" : "&options=-c%20synchronous_commit%3Dremote_apply")));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<SqlSession> b, SqlSession::Connect(stand.Url(Node::kB, database)));
  return Sample(stand, database, pg_options, [&](int64_t id) -> absl::Status {
    ASSAY_RETURN_IF_ERROR(a->Run(absl::StrCat("INSERT INTO bench_probe (id) VALUES (", id, ")")).status());
    const std::string look = absl::StrCat("SELECT 1 FROM bench_probe WHERE id = ", id);
    for (const absl::Time deadline = absl::Now() + kTooLong; absl::Now() < deadline; absl::SleepFor(kPoll)) {
      ASSAY_ASSIGN_OR_RETURN(const test::Rows rows, b->Run(look));
      if (!rows.empty()) return absl::OkStatus();
    }
    return absl::DeadlineExceededError(absl::StrCat("probe ", id, " never arrived in ", database));
  });
}

absl::StatusOr<Latency> OfClient(Stand& stand) {
  std::vector<std::unique_ptr<SqlSession>> sessions;
  for (const Node node : {Node::kA, Node::kHub, Node::kB}) {
    ASSAY_ASSIGN_OR_RETURN(sessions.emplace_back(), SqlSession::Connect(stand.Url(node, kClient)));
  }
  return Sample(stand, kClient, "", [&](int64_t id) -> absl::Status {
    for (const auto& session : sessions) {
      ASSAY_RETURN_IF_ERROR(session->Run(absl::StrCat("INSERT INTO bench_probe (id) VALUES (", id, ")")).status());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<Latency> OfNative(Stand& stand, const std::string& apply_commit, bool wait_for_apply) {
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<Native> native,
                         Native::Start(stand, Native::Path::kChain, apply_commit));
  ASSAY_RETURN_IF_ERROR(native->WaitForApply(wait_for_apply));
  auto latency = Replicated(stand, kNative, wait_for_apply ? "-c synchronous_commit=remote_apply" : "");
  ASSAY_RETURN_IF_ERROR(native->WaitForApply(false));
  // With the subscriptions goes what is still on its way, and the copies would differ for good.
  ASSAY_ASSIGN_OR_RETURN(const int64_t marker, stand.Mark(kNative));
  ASSAY_RETURN_IF_ERROR(stand.AwaitMarker(Node::kB, kNative, marker));
  return latency;
}

}  // namespace

absl::Status MeasureLatency(Stand& stand, Report& report) {
  Latency assay, shipped, flushed, applied, client;
  ASSAY_RETURN_IF_ERROR(InTurns(
      stand,
      [&]() -> absl::Status {
        ASSAY_RETURN_IF_ERROR(stand.StartAssay());
        ASSAY_ASSIGN_OR_RETURN(assay, Replicated(stand, kAssay));
        return stand.StopAssay();
      },
      [&]() -> absl::Status {
        ASSAY_ASSIGN_OR_RETURN(shipped, OfNative(stand, "off", false));
        ASSAY_ASSIGN_OR_RETURN(flushed, OfNative(stand, "on", false));
        ASSAY_ASSIGN_OR_RETURN(applied, OfNative(stand, "remote_apply", true));
        ASSAY_ASSIGN_OR_RETURN(client, OfClient(stand));
        return absl::OkStatus();
      }));
  const auto add = [&](const std::string& what, const std::string& against, double most, double ours, double theirs) {
    report.Add({.name = "latency",
                .what = absl::StrCat("commit at A to visible at B, ", what),
                .unit = "ms",
                .against = against,
                .at_most = most},
               ours, theirs);
  };
  add("p50", "native as shipped", 0.05, assay.p50, shipped.p50);
  add("p95", "native as shipped", 0, assay.p95, shipped.p95);
  add("p50", "native, apply commits durably", 0, assay.p50, flushed.p50);
  add("p95", "native, apply commits durably", 1.5, assay.p95, flushed.p95);
  add("p50", "native, remote_apply all along", 0, assay.p50, applied.p50);
  add("p95", "native, remote_apply all along", 1.5, assay.p95, applied.p95);
  add("p50", "a client that commits to all three", 4, assay.p50, client.p50);
  add("p95", "a client that commits to all three", 0, assay.p95, client.p95);
  return absl::OkStatus();
}

}  // namespace assay::bench
