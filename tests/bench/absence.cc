// A long absence: B comes back with a million events of its own to push, the hub has a million of A's for it, over the
// same rows, and B's shop goes on selling.
//
// What is measured is what the shop and its admin notice: memory, the time a sale takes, the progress that is shown.
// Catching up is done in slices, and between two of them B's daemon is stopped (the first time it is killed) while the
// shop sells on: so what else happens on the machine hits sales with and without catching up alike, and going on after
// an end is part of it. A's daemon does not run meanwhile: in life it has a machine of its own. It catches up when B is
// through.
#include <signal.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "log/annotate.h"
#include "tests/bench/measure.h"
#include "tests/fleet/progress_watch.h"

namespace assay::bench {
namespace {

using test::Branch;
using test::ProgressWatch;

constexpr int64_t kRows = 20'000;
constexpr int kRowsPerTransaction = 10;
constexpr int kEventsPerSale = 8;
constexpr double kSalesPerSecond = 40;
constexpr absl::Duration kSlice = absl::Seconds(10), kCatchUpSlice = absl::Seconds(20);

double Percentile(std::vector<double> samples, double share) {
  if (samples.empty()) return 0;
  std::sort(samples.begin(), samples.end());
  return samples[std::min(samples.size() - 1, static_cast<size_t>(share * static_cast<double>(samples.size())))];
}

class Absence {
 public:
  explicit Absence(Stand& stand)
      : stand_(stand), rows_(stand.options().Scaled(kRows, 600)), count_(stand.options().Scaled(1'000'000, 5000)) {}

  absl::Status Run(Report& report) {
    ASSAY_RETURN_IF_ERROR(Annotate(Prepare(), "prepare"));
    ASSAY_RETURN_IF_ERROR(Sell(kSlice, &normal_));
    const absl::Time deadline = absl::Now() + absl::Minutes(40);
    for (int round = 0; !over_; ++round) {
      if (absl::Now() > deadline) return absl::DeadlineExceededError("not caught up after 40 minutes");
      ASSAY_RETURN_IF_ERROR(Annotate(CatchUp(round), "catch up"));
      const bool kill = round == 0;
      killed_in_the_middle_ |= kill && !over_;
      ASSAY_RETURN_IF_ERROR(Stop(1, kill ? SIGKILL : SIGTERM));
      ASSAY_RETURN_IF_ERROR(Sell(kSlice, &normal_));
    }
    ASSAY_RETURN_IF_ERROR(Annotate(CatchUpA(), "A catches up"));
    ASSAY_RETURN_IF_ERROR(stand_.StartAssay());
    ++sides_[0].expected;  // The marker that it writes.
    ASSAY_RETURN_IF_ERROR(stand_.fleet().WaitConverged(absl::Minutes(10)));
    ASSAY_RETURN_IF_ERROR(Count());
    ASSAY_RETURN_IF_ERROR(stand_.StopAssay());
    Tell(report);
    return absl::OkStatus();
  }

 private:
  struct Side {
    int64_t head = 0;      // Of its own chain, when B comes back.
    int64_t expected = 0;  // Events its own chain must have in the end, sales aside.
    double peak = 0;
    std::unique_ptr<ProgressWatch> watch;
  };
  using Sales = std::vector<double>;  // What each took, in milliseconds.

  Branch& branch(int i) { return stand_.fleet().branch(i); }
  static Node NodeOf(int i) { return i == 0 ? Node::kA : Node::kB; }

  absl::Status Prepare() {
    ASSAY_RETURN_IF_ERROR(stand_.StartAssay());
    if (rows_ > stand_.products()) {
      ASSAY_RETURN_IF_ERROR(stand_.Prepare(
          kAssay, absl::StrCat("INSERT INTO products SELECT md5('p'||g)::uuid, 'SKU-'||g, 'Bangle '||g, 'gold', 22, 10,"
                               " 500, 50000, 1000, 'hallmarked piece', '2026-01-01' FROM generate_series(",
                               stand_.products() + 1, ", ", rows_, ") g ON CONFLICT DO NOTHING")));
    }
    ASSAY_ASSIGN_OR_RETURN(const int64_t marker, stand_.Mark(kAssay));
    ASSAY_RETURN_IF_ERROR(stand_.AwaitMarker(Node::kB, kAssay, marker));
    // With the first sale come the tables' schemas, which are events, too.
    Sales first;
    ASSAY_RETURN_IF_ERROR(Sell(absl::Seconds(2), &first));
    absl::Status made[2];
    int64_t before[2];
    for (int i = 0; i < 2; ++i) {
      ASSAY_RETURN_IF_ERROR(stand_.Pause(branch(i)));
      ASSAY_ASSIGN_OR_RETURN(before[i], SettledHead(i));
    }
    ASSAY_ASSIGN_OR_RETURN(sales_before_, Sold());
    {
      // A begins when B is half through: what A has done since then wins, and B has it all to write; what was before is
      // only merged.
      std::vector<std::jthread> both;
      for (int i : {1, 0}) {
        if (i == 0) {
          ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogWatch> watch, LogWatch::Open(branch(1)));
          ASSAY_RETURN_IF_ERROR(Await(
              "half of B's changes",
              [&]() -> absl::StatusOr<bool> {
                ASSAY_ASSIGN_OR_RETURN(const uint64_t head, watch->OwnHead());
                return static_cast<int64_t>(head) >= before[1] + count_ / 2;
              },
              absl::Milliseconds(50)));
        }
        both.emplace_back([&, i] {
          const auto session = test::SqlSession::Connect(stand_.Url(NodeOf(i), kAssay));
          made[i] = session.status();
          if (made[i].ok()) made[i] = (*session)->Run("SET synchronous_commit = off").status();
          if (made[i].ok())
            made[i] = (*session)
                          ->Run(absl::StrCat("CALL bulk_update(", rows_, ", ", count_, ", ", kRowsPerTransaction, ")"))
                          .status();
        });
      }
    }
    for (int i = 0; i < 2; ++i) {
      ASSAY_RETURN_IF_ERROR(made[i]);
      ASSAY_ASSIGN_OR_RETURN(const int64_t head, SettledHead(i));
      sides_[i].head = head;
      sides_[i].expected = before[i] + count_ + 1;  // Awaiting the capture writes one more.
      if (head != sides_[i].expected)
        return absl::InternalError(absl::StrCat("captured ", head - before[i], " events"));
    }
    // A was on line all the while.
    ASSAY_RETURN_IF_ERROR(stand_.Resume(stand_.a()));
    ASSAY_RETURN_IF_ERROR(Await(
        "push by A",
        [&]() -> absl::StatusOr<bool> {
          ASSAY_ASSIGN_OR_RETURN(
              const std::string last,
              stand_.Value(Node::kHub, "postgres", "SELECT max(last) FROM assay_hub.origin WHERE branch = 1"));
          int64_t pushed = 0;
          return absl::SimpleAtoi(last, &pushed) && pushed >= sides_[0].head;
        },
        absl::Milliseconds(200)));
    ASSAY_RETURN_IF_ERROR(Stop(0, SIGTERM));
    return stand_.Checkpoint();
  }

  // With everything that was committed so far in the log.
  absl::StatusOr<int64_t> SettledHead(int i) {
    ASSAY_RETURN_IF_ERROR(stand_.AwaitCaptured(NodeOf(i)));
    absl::SleepFor(absl::Seconds(1));
    return OwnHead(i);
  }
  absl::StatusOr<int64_t> OwnHead(int i) {
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogWatch> watch, LogWatch::Open(branch(i)));
    ASSAY_ASSIGN_OR_RETURN(const uint64_t head, watch->OwnHead());
    return static_cast<int64_t>(head);
  }
  absl::StatusOr<int64_t> Sold() {
    ASSAY_ASSIGN_OR_RETURN(const std::string text, stand_.Value(Node::kB, kAssay, "SELECT count(*) FROM invoices"));
    int64_t count = 0;
    return absl::SimpleAtoi(text, &count) ? count : absl::StatusOr<int64_t>(absl::InternalError(text));
  }

  absl::Status CatchUp(int round) {
    const absl::Time slice_begun = absl::Now();
    if (stand_.b().DaemonRunning()) {
      ForgetPeak(stand_.b().daemon()->pid());
      ASSAY_RETURN_IF_ERROR(stand_.Resume(stand_.b()));
    } else {
      ASSAY_RETURN_IF_ERROR(stand_.b().StartDaemon());
    }
    ASSAY_ASSIGN_OR_RETURN(sides_[1].watch,
                           ProgressWatch::Start(stand_.b(), absl::StrCat(stand_.scratch(), "/watch-b-", round)));
    std::optional<absl::Time> over_at;
    ASSAY_RETURN_IF_ERROR(Sell(
        kCatchUpSlice, &during_,
        [&] {
          if (!over_at.has_value() && CaughtUp(1)) over_at = absl::Now();
        },
        &over_at));
    seconds_ += absl::ToDoubleSeconds(over_at.value_or(absl::Now()) - slice_begun);
    over_ = over_at.has_value();
    return absl::OkStatus();
  }

  absl::Status CatchUpA() {
    const absl::Time begun = absl::Now();
    ASSAY_RETURN_IF_ERROR(stand_.a().StartDaemon());
    ASSAY_ASSIGN_OR_RETURN(sides_[0].watch, ProgressWatch::Start(stand_.a(), stand_.scratch() + "/watch-a"));
    ASSAY_RETURN_IF_ERROR(Await(
        "A to catch up", [&]() -> absl::StatusOr<bool> { return CaughtUp(0); }, absl::Milliseconds(200)));
    seconds_a_ = absl::ToDoubleSeconds(absl::Now() - begun);
    return Stop(0, SIGTERM);
  }

  // Has branch `i` written all that the other one had when B came back, and is its own at the hub?
  bool CaughtUp(int i) {
    const std::optional<google::protobuf::Struct> status = sides_[i].watch->Newest();
    if (!status.has_value() || test::JsonObjects(*status, "origins").size() < 2) return false;  // It is starting.
    for (const google::protobuf::Struct* origin : test::JsonObjects(*status, "origins")) {
      const bool own = test::JsonText(*origin, "own") == "true";
      if (test::JsonNumber(*origin, own ? "hub_head" : "projected") < sides_[own ? i : 1 - i].head) return false;
    }
    return true;
  }

  absl::Status Stop(int i, int signal) {
    Side& side = sides_[i];
    side.peak = std::max(side.peak, PeakMegabytes(branch(i).daemon()->pid()));
    if (side.watch != nullptr) {
      ASSAY_RETURN_IF_ERROR(Annotate(side.watch->Judge(), branch(i).name()));
      told_ += side.watch->under_way();
      told_rate_ += side.watch->with_rate();
      side.watch.reset();
    }
    const int expected = signal == SIGKILL ? 128 + SIGKILL : 0;
    return branch(i).StopDaemon(signal) == expected ? absl::OkStatus()
                                                    : absl::InternalError("assayd did not stop as asked");
  }

  // Sells at B for `time`; adds what each sale took from the moment it was due, up to `*until`.
  absl::Status Sell(absl::Duration time, Sales* sales, const std::function<void()>& meanwhile = {},
                    const std::optional<absl::Time>* until = nullptr) {
    const std::string output = absl::StrCat(stand_.scratch(), "/sales-", ++selling_);
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<test::ChildProcess> pgbench,
                           stand_.Sell(kAssay, 4, kSalesPerSecond, time, output, "", Node::kB, rows_, output));
    ASSAY_RETURN_IF_ERROR(Await(
        "end of pgbench",
        [&]() -> absl::StatusOr<bool> {
          if (meanwhile) meanwhile();
          return !pgbench->Running();
        },
        absl::Milliseconds(200)));
    if (absl::StatusOr<double> tps = Stand::Tps(output); !tps.ok()) return tps.status();
    // "client transaction time_us script epoch_s epoch_us lag_us"
    for (absl::string_view line :
         absl::StrSplit(test::ReadFile(absl::StrCat(output, ".", pgbench->pid())), '\n', absl::SkipEmpty())) {
      const std::vector<std::string> fields = absl::StrSplit(line, ' ');
      int64_t us = 0, at_s = 0;
      if (fields.size() < 6 || !absl::SimpleAtoi(fields[2], &us) || !absl::SimpleAtoi(fields[4], &at_s))
        return absl::InternalError(std::string(line));
      if (until != nullptr && until->has_value() && absl::FromUnixSeconds(at_s) > **until) continue;
      sales->push_back(static_cast<double>(us) / 1000);
    }
    return absl::OkStatus();
  }

  // Each event once: the chains hold exactly what was done.
  absl::Status Count() {
    ASSAY_ASSIGN_OR_RETURN(const int64_t sold, Sold());
    for (int i = 0; i < 2; ++i) {
      ASSAY_ASSIGN_OR_RETURN(const int64_t head, OwnHead(i));
      const int64_t expected = sides_[i].expected + (i == 1 ? kEventsPerSale * (sold - sales_before_) : 0);
      if (head != expected)
        return absl::InternalError(
            absl::StrCat(branch(i).name(), " has ", head, " events in its chain, not ", expected));
    }
    return absl::OkStatus();
  }

  void Tell(Report& report) {
    const auto add = [&](Goal goal, double value, double peer = std::numeric_limits<double>::quiet_NaN()) {
      goal.name = "absence";
      report.Add(goal, value, peer);
    };
    add({.what = "B comes back: events pushed and written beside the shop", .unit = "events/s"},
        2 * static_cast<double>(count_) / seconds_);
    add({.what = "A takes what B brought", .unit = "events/s"}, static_cast<double>(count_) / seconds_a_);
    add({.what = "coming back, peak memory of the daemon at A", .unit = "MB", .at_most = 150}, sides_[0].peak);
    add({.what = "coming back, peak memory of the daemon at B", .unit = "MB", .at_most = 150}, sides_[1].peak);
    const std::string against = "the same shop, daemon stopped";
    const std::vector<double>& with = during_;
    const std::vector<double>& without = normal_;
    add({.what = "a sale at B while catching up, p99", .unit = "ms", .against = against, .at_most = 2},
        Percentile(with, 0.99), Percentile(without, 0.99));
    add({.what = "a sale at B while catching up, p50", .unit = "ms", .against = against}, Percentile(with, 0.5),
        Percentile(without, 0.5));
    add({.what = "a sale at B while catching up, slowest", .unit = "ms", .against = against}, Percentile(with, 1),
        Percentile(without, 1));
    add({.what = "sales at B timed while catching up", .unit = "sales"}, static_cast<double>(with.size()));
    add({.what = "statuses that showed exact progress", .unit = "statuses"}, told_);
    add({.what = "of those, with rate and time left", .unit = "statuses"}, told_rate_);
    add({.what = "killed in the middle, converged byte for byte, each event once", .unit = "yes", .at_least = 1},
        killed_in_the_middle_ ? 1 : 0);
  }

  Stand& stand_;
  const int64_t rows_, count_;
  Side sides_[2];
  Sales normal_, during_;
  int64_t sales_before_ = 0;
  double seconds_ = 0, seconds_a_ = 0;
  bool over_ = false, killed_in_the_middle_ = false;
  int selling_ = 0, told_ = 0, told_rate_ = 0;
};

}  // namespace

absl::Status MeasureAbsence(Stand& stand, Report& report) { return Absence(stand).Run(report); }

}  // namespace assay::bench
