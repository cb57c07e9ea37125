// Coming back after a disconnection: rows a second from the reconnection until B shows the marker that was written
// last, and the memory that takes. Offline is `assay sync pause` for Assay, whose capture goes on, and a disabled
// subscription for its peer.
#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "log/annotate.h"
#include "tests/bench/measure.h"
#include "tests/bench/native.h"

namespace assay::bench {
namespace {

constexpr int64_t kHotRows = 10'000;
constexpr int kRowsPerSale = 8;
constexpr char kDigest[] =
    "SELECT md5(string_agg(md5(t), '' ORDER BY t)) FROM (SELECT p::text AS t FROM products p UNION ALL SELECT i::text FROM invoices i"
    " UNION ALL SELECT l::text FROM invoice_lines l UNION ALL SELECT y::text FROM payments y) AS r";

// A figure of something that came out wrong is none.
absl::Status CheckEqual(Stand& stand, const std::string& database) {
  ASSAY_ASSIGN_OR_RETURN(const std::string at_a, stand.Value(Node::kA, database, kDigest));
  ASSAY_ASSIGN_OR_RETURN(const std::string at_b, stand.Value(Node::kB, database, kDigest));
  return at_a == at_b ? absl::OkStatus() : absl::InternalError(absl::StrCat("A and B differ in ", database));
}

struct Peaks {
  double sender = 0, receiver = 0;
};

// What waits is made by `prepare(database)`. Returns the seconds from reconnecting to the marker's arrival.
using Preparation = std::function<absl::Status(const std::string& database)>;

// `offline` is A, or B when the hub is to have everything already.
absl::StatusOr<double> AssayCatchUp(Stand& stand, Node offline, const Preparation& prepare, Peaks* peaks,
                                    const std::function<void(bool)>& under_way = {}) {
  ASSAY_RETURN_IF_ERROR(stand.StartAssay());
  test::Branch& branch = offline == Node::kA ? stand.a() : stand.b();
  ASSAY_RETURN_IF_ERROR(stand.Pause(branch));
  ASSAY_RETURN_IF_ERROR(prepare(kAssay));
  ASSAY_ASSIGN_OR_RETURN(int64_t marker, stand.Mark(kAssay));
  ASSAY_RETURN_IF_ERROR(offline == Node::kA ? stand.AwaitCaptured() : stand.AwaitPushed());
  ++marker;  // Awaiting the capture wrote one more.
  ASSAY_RETURN_IF_ERROR(stand.Checkpoint());
  const pid_t sender = stand.a().daemon()->pid(), receiver = stand.b().daemon()->pid();
  ForgetPeak(sender);
  ForgetPeak(receiver);
  if (under_way) under_way(true);
  const absl::Time begun = absl::Now();
  ASSAY_RETURN_IF_ERROR(stand.Resume(branch));
  ASSAY_RETURN_IF_ERROR(stand.AwaitMarker(Node::kB, kAssay, marker));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begun);
  if (under_way) under_way(false);
  if (peaks != nullptr) *peaks = {PeakMegabytes(sender), PeakMegabytes(receiver)};
  ASSAY_RETURN_IF_ERROR(CheckEqual(stand, kAssay));
  ASSAY_RETURN_IF_ERROR(stand.StopAssay());
  return seconds;
}

absl::StatusOr<double> NativeCatchUp(Stand& stand, Native::Path path, const Preparation& prepare,
                                     const std::function<void(bool)>& under_way = {}) {
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<Native> native, Native::Start(stand, path));
  const Node first = path == Native::Path::kChain ? Node::kHub : Node::kB;  // Who subscribes to A.
  ASSAY_RETURN_IF_ERROR(native->Disconnect(first));
  ASSAY_RETURN_IF_ERROR(prepare(kNative));
  ASSAY_ASSIGN_OR_RETURN(const int64_t marker, stand.Mark(kNative));
  ASSAY_RETURN_IF_ERROR(stand.Checkpoint());
  if (under_way) under_way(true);
  const absl::Time begun = absl::Now();
  ASSAY_RETURN_IF_ERROR(native->Connect(first));
  ASSAY_RETURN_IF_ERROR(stand.AwaitMarker(Node::kB, kNative, marker));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begun);
  if (under_way) under_way(false);
  ASSAY_RETURN_IF_ERROR(CheckEqual(stand, kNative));
  return seconds;
}

void AddPeaks(const std::string& name, const std::string& during, const Peaks& peaks, Report& report) {
  report.Add({.name = name,
              .what = absl::StrCat("peak memory of the sender, ", during),
              .unit = "MB",
              .against = "",
              .at_most = 150},
             peaks.sender);
  report.Add({.name = name,
              .what = absl::StrCat("peak memory of the receiver, ", during),
              .unit = "MB",
              .against = "",
              .at_most = 150},
             peaks.receiver);
}

// Watches B for half a sale: every invoice has three lines and a payment, seen in one snapshot.
class Reader {
 public:
  explicit Reader(Stand& stand, const std::string& database) : url_(stand.Url(Node::kB, database)) {}
  ~Reader() { Watch(false); }

  void Watch(bool on) {
    if (on && !thread_.joinable()) {
      stop_ = false;
      thread_ = std::thread([this] { Loop(); });
    } else if (!on && thread_.joinable()) {
      stop_ = true;
      thread_.join();
    }
  }
  absl::Status Verdict() const {
    if (looks_ == 0) return absl::InternalError("the reader never looked");
    if (halves_ > 0)
      return absl::InternalError(
          absl::StrCat("a reader of B saw half a sale ", halves_.load(), " times in ", looks_.load()));
    return failure_;
  }

 private:
  void Loop() {
    auto session = test::SqlSession::Connect(url_);
    if (!session.ok()) return failure_.Update(session.status());
    for (; !stop_; absl::SleepFor(absl::Milliseconds(20))) {
      const auto rows = (*session)->Run(
          "SELECT (SELECT count(*) FROM invoice_lines) = 3 * s.n AND (SELECT count(*) FROM payments) = s.n FROM"
          " (SELECT count(*) AS n FROM invoices) AS s");
      if (!rows.ok()) return failure_.Update(rows.status());
      ++looks_;
      if ((*rows)[0][0] != "t") ++halves_;
    }
  }

  std::string url_;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::atomic<int> looks_{0}, halves_{0};
  absl::Status failure_;
};

}  // namespace

absl::Status MeasureInserts(Stand& stand, Report& report) {
  const int64_t count = stand.options().Scaled(300'000, 2000);
  const Preparation prepare = [&](const std::string& database) {
    return stand.Prepare(database,
                         absl::StrCat("CALL bulk_insert(", stand.NextKeys(database, count), ", ", count, ", 1000)"));
  };
  double assay = 0, peer = 0;
  Peaks peaks;
  ASSAY_RETURN_IF_ERROR(InTurns(
      stand,
      [&]() -> absl::Status {
        ASSAY_ASSIGN_OR_RETURN(assay, AssayCatchUp(stand, Node::kA, prepare, &peaks));
        return absl::OkStatus();
      },
      [&]() -> absl::Status {
        ASSAY_ASSIGN_OR_RETURN(peer, NativeCatchUp(stand, Native::Path::kChain, prepare));
        return absl::OkStatus();
      }));
  const double rows = static_cast<double>(count);
  report.Add({.name = "inserts",
              .what = "catch-up of inserts, A offline, A to hub to B",
              .unit = "rows/s",
              .against = "native A to hub to B",
              .at_least = 1.4},
             rows / assay, rows / peer);
  AddPeaks("inserts", "catch-up of inserts", peaks, report);
  return absl::OkStatus();
}

absl::Status MeasureHotRows(Stand& stand, bool chain, Report& report) {
  const int64_t count = stand.options().Scaled(1'000'000, 5000), hot = std::min(stand.products(), kHotRows);
  const Preparation prepare = [&](const std::string& database) {
    return stand.Prepare(database,
                         absl::StrCat("CALL bulk_update(", hot, ", ", count, ", ", std::min<int64_t>(hot, 1000), ")"));
  };
  double assay = 0, peer = 0;
  Peaks peaks;
  ASSAY_RETURN_IF_ERROR(InTurns(
      stand,
      [&]() -> absl::Status {
        ASSAY_ASSIGN_OR_RETURN(assay, AssayCatchUp(stand, chain ? Node::kA : Node::kB, prepare, &peaks));
        return absl::OkStatus();
      },
      [&]() -> absl::Status {
        ASSAY_ASSIGN_OR_RETURN(peer,
                               NativeCatchUp(stand, chain ? Native::Path::kChain : Native::Path::kDirect, prepare));
        return absl::OkStatus();
      }));
  const double rows = static_cast<double>(count);
  if (chain) {
    report.Add({.name = "hot-chain",
                .what = "catch-up of updates of hot rows, A offline, A to hub to B",
                .unit = "rows/s",
                .against = "native A to hub to B",
                .at_least = 5},
               rows / assay, rows / peer);
    AddPeaks("hot-chain", "updates of hot rows, whole chain", peaks, report);
  } else {
    report.Add({.name = "hot-reconnect",
                .what = "catch-up of updates of hot rows, the hub has them, B reconnects",
                .unit = "rows/s",
                .against = "native A to B",
                .at_least = 10},
               rows / assay, rows / peer);
    AddPeaks("hot-reconnect", "updates of hot rows, B reconnects", peaks, report);
  }
  return absl::OkStatus();
}

absl::Status MeasureSales(Stand& stand, Report& report) {
  const int64_t count = stand.options().Scaled(10'000, 200);
  const Preparation prepare = [&](const std::string& database) {
    return stand.Prepare(database, absl::StrCat("CALL bulk_sales(", stand.products(), ", ", count, ")"));
  };
  double assay = 0, peer = 0;
  ASSAY_RETURN_IF_ERROR(InTurns(
      stand,
      [&]() -> absl::Status {
        Reader reader(stand, kAssay);
        ASSAY_ASSIGN_OR_RETURN(assay,
                               AssayCatchUp(stand, Node::kA, prepare, nullptr, [&](bool on) { reader.Watch(on); }));
        return reader.Verdict();
      },
      [&]() -> absl::Status {
        Reader reader(stand, kNative);
        ASSAY_ASSIGN_OR_RETURN(peer,
                               NativeCatchUp(stand, Native::Path::kChain, prepare, [&](bool on) { reader.Watch(on); }));
        return reader.Verdict();
      }));
  const double rows = static_cast<double>(count * kRowsPerSale);
  report.Add({.name = "sales",
              .what = "catch-up of sales, nobody sees half of one",
              .unit = "rows/s",
              .against = "native A to hub to B",
              .at_least = 1.5},
             rows / assay, rows / peer);
  return absl::OkStatus();
}

absl::Status MeasureMemory(Stand& stand, Report& report) {
  const int64_t count = stand.options().Scaled(300'000, 2000);
  ASSAY_RETURN_IF_ERROR(stand.StartAssay());
  const pid_t sender = stand.a().daemon()->pid(), receiver = stand.b().daemon()->pid();
  ForgetPeak(sender);
  ForgetPeak(receiver);
  const int64_t from = stand.NextKeys(kAssay, count);
  // A single transaction.
  ASSAY_RETURN_IF_ERROR(stand.Run(
      Node::kA, kAssay,
      absl::StrCat(
          "INSERT INTO products SELECT md5('p'||g)::uuid, 'SKU-'||g, 'Bangle '||g, 'gold', 22, 10 + g%500/10.0, 500 + g%1000, 50000 + g%90000,"
          " 5, 'hallmarked piece, tray '||(g%400)||', supplier lot '||g, clock_timestamp() FROM generate_series(",
          from, ", ", from + count - 1, ") g")));
  ASSAY_ASSIGN_OR_RETURN(const int64_t marker, stand.Mark(kAssay));
  ASSAY_RETURN_IF_ERROR(stand.AwaitMarker(Node::kB, kAssay, marker));
  ASSAY_RETURN_IF_ERROR(CheckEqual(stand, kAssay));
  const auto most = [&](const std::string& what, double limit, double value, const std::string& unit) {
    report.Add({.name = "memory", .what = what, .unit = unit, .against = "", .at_most = limit}, value);
  };
  most("peak memory of the sender, one transaction of many rows", 300, PeakMegabytes(sender), "MB");
  most("peak memory of the receiver, one transaction of many rows", 300, PeakMegabytes(receiver), "MB");

  const absl::Duration idle = absl::Seconds(stand.options().Scaled(60, 5));
  absl::SleepFor(absl::Seconds(2));
  const absl::Duration before[] = {CpuTime(sender), CpuTime(receiver)};
  absl::SleepFor(idle);
  const absl::Duration used = std::max(CpuTime(sender) - before[0], CpuTime(receiver) - before[1]);
  most("idle daemon", 1, 100 * absl::FDivDuration(used, idle), "% of a core");
  most("idle daemon that has just caught up", 60, std::max(ResidentMegabytes(sender), ResidentMegabytes(receiver)),
       "MB");
  ASSAY_RETURN_IF_ERROR(stand.StopAssay());
  ASSAY_RETURN_IF_ERROR(stand.StartAssay());
  most("idle daemon that was just started", 60,
       std::max(ResidentMegabytes(stand.a().daemon()->pid()), ResidentMegabytes(stand.b().daemon()->pid())), "MB");
  return stand.StopAssay();
}

}  // namespace assay::bench
