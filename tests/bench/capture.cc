// One shop and its hub: what capture costs the shop, how fast it is when behind, and how many bytes an event takes.
#include <signal.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "log/annotate.h"
#include "tests/bench/measure.h"
#include "tests/bench/relay.h"

namespace assay::bench {
namespace {

using test::Branch;
using test::ChildProcess;

constexpr int kRowsPerSale = 8;
constexpr char kSlot[] = "bench_recvlogical";

// The row changes of one sale as JSON of the rows: an invoice, three lines, a payment, three products.
constexpr char kJsonBytes[] =
    "SELECT ((SELECT avg(octet_length(row_to_json(r)::text)) FROM (SELECT * FROM invoices LIMIT 5000) r)"
    " + 3 * (SELECT avg(octet_length(row_to_json(r)::text)) FROM (SELECT * FROM invoice_lines LIMIT 5000) r)"
    " + (SELECT avg(octet_length(row_to_json(r)::text)) FROM (SELECT * FROM payments LIMIT 5000) r)"
    " + 3 * (SELECT avg(octet_length(row_to_json(r)::text)) FROM (SELECT * FROM products LIMIT 5000) r)) / 8";

// pg_recvlogical into a file, with the options that our own capture uses.
class RecvLogical {
 public:
  explicit RecvLogical(Stand& stand) : stand_(stand), url_(stand.a().AdminUrl()) {}
  ~RecvLogical() {
    process_.reset();
    Call({"--drop-slot"}).IgnoreError();
  }

  absl::Status CreateSlot() { return Call({"--create-slot", "-P", "pgoutput"}); }
  // Without an end it goes on until this object is gone.
  absl::Status Start(const std::string& end_lsn = "") {
    ASSAY_ASSIGN_OR_RETURN(std::vector<std::string> command,
                           Command({"--start", "--no-loop", "-f", stand_.scratch() + "/recvlogical", "-o",
                                    "proto_version=1", "-o", "publication_names=assay", "-o", "messages=true"}));
    if (!end_lsn.empty()) command.push_back(absl::StrCat("--endpos=", end_lsn));
    ASSAY_ASSIGN_OR_RETURN(process_, ChildProcess::Start(command, {.output = stand_.scratch() + "/recvlogical.log",
                                                                   .signal_at_end = SIGINT}));
    return absl::OkStatus();
  }
  absl::Status AwaitEnd() {
    return Await(
        "end of pg_recvlogical", [&]() -> absl::StatusOr<bool> { return !process_->Running(); }, absl::Milliseconds(2));
  }

 private:
  absl::StatusOr<std::vector<std::string>> Command(std::vector<std::string> arguments) {
    ASSAY_ASSIGN_OR_RETURN(const std::string binaries, test::PostgresBinaries());
    std::vector<std::string> command = {binaries + "/pg_recvlogical", "-d", url_, "-S", kSlot};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
  }
  absl::Status Call(std::vector<std::string> arguments) {
    ASSAY_ASSIGN_OR_RETURN(const std::vector<std::string> command, Command(std::move(arguments)));
    const test::RunResult result = test::RunProgram(command);
    return result.exit_code == 0 ? absl::OkStatus() : absl::InternalError(result.output);
  }

  Stand& stand_;
  std::string url_;
  std::unique_ptr<ChildProcess> process_;
};

std::string BulkSales(const Stand& stand, int64_t count) {
  return absl::StrCat("CALL bulk_sales(", stand.products(), ", ", count, ")");
}

// Without a hub nothing is pushed: capture alone.
void Configure(Stand& stand, const std::string& hub_url) { stand.a().WriteConfig(stand.fleet().options(), hub_url); }

// Slices of a few seconds, taking turns: what else happens on the machine hits both alike.
absl::Status MeasureTps(Stand& stand, Report& report) {
  constexpr int kSlices = 3;
  const absl::Duration slice = absl::Seconds(stand.options().Scaled(8, 2));
  double assay = 0, peer = 0, nobody = 0;
  const auto sell = [&](double* tps) -> absl::Status {
    const std::string output = absl::StrCat(stand.scratch(), "/pgbench-", absl::ToUnixNanos(absl::Now()));
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<ChildProcess> pgbench, stand.Sell(kAssay, 4, 0, slice, output));
    ASSAY_RETURN_IF_ERROR(Await("end of pgbench", [&]() -> absl::StatusOr<bool> { return !pgbench->Running(); }));
    ASSAY_ASSIGN_OR_RETURN(const double one, Stand::Tps(output));
    *tps += one / kSlices;
    return absl::OkStatus();
  };
  for (int i = 0; i < kSlices; ++i) {
    const auto ours = [&]() -> absl::Status {
      ASSAY_RETURN_IF_ERROR(stand.StartAssay());
      ASSAY_RETURN_IF_ERROR(stand.AwaitPushed());
      ASSAY_RETURN_IF_ERROR(sell(&assay));
      return stand.StopAssay();
    };
    const auto theirs = [&]() -> absl::Status {
      RecvLogical recvlogical(stand);
      ASSAY_RETURN_IF_ERROR(recvlogical.CreateSlot());
      ASSAY_RETURN_IF_ERROR(recvlogical.Start());
      return sell(&peer);
    };
    ASSAY_RETURN_IF_ERROR(InTurns(stand, ours, theirs));
    ASSAY_RETURN_IF_ERROR(sell(&nobody));
  }
  report.Add({.name = "tps",
              .what = "the shop's sales while assayd captures and pushes",
              .unit = "sales/s",
              .against = "pg_recvlogical",
              .at_least = 0.95},
             assay, peer);
  report.Add({.name = "tps",
              .what = "the shop's sales while assayd captures and pushes",
              .unit = "sales/s",
              .against = "nobody captures"},
             assay, nobody);
  return absl::OkStatus();
}

absl::Status MeasureCapture(Stand& stand, Report& report) {
  ASSAY_RETURN_IF_ERROR(stand.StopAssay());
  Configure(stand, "");
  RecvLogical recvlogical(stand);
  ASSAY_RETURN_IF_ERROR(stand.StartAssay());
  ASSAY_RETURN_IF_ERROR(stand.StopAssay());
  ASSAY_RETURN_IF_ERROR(recvlogical.CreateSlot());
  const int64_t sales = stand.options().Scaled(100'000, 500);
  ASSAY_RETURN_IF_ERROR(stand.Prepare(kAssay, BulkSales(stand, sales)));
  ASSAY_ASSIGN_OR_RETURN(const std::string end, stand.Value(Node::kA, kAssay, "SELECT pg_current_wal_insert_lsn()"));
  ASSAY_ASSIGN_OR_RETURN(const std::string end_number,
                         stand.Value(Node::kA, kAssay, absl::StrCat("SELECT '", end, "'::pg_lsn - '0/0'")));
  uint64_t end_lsn = 0;
  if (!absl::SimpleAtoi(end_number, &end_lsn)) return absl::InternalError(end_number);
  ASSAY_RETURN_IF_ERROR(stand.Mark(kAssay).status());
  ASSAY_RETURN_IF_ERROR(stand.Checkpoint());

  double assay = 0, peer = 0;
  const double rows = static_cast<double>(sales * kRowsPerSale);
  const auto ours = [&]() -> absl::Status {
    const absl::Time begun = absl::Now();
    // The program alone, without waiting for its status to be asked for.
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<ChildProcess> daemon,
                           ChildProcess::Start({Branch::ProgramPath("assayd"), "--config", stand.a().config_path()},
                                               {.output = stand.scratch() + "/assayd.log"}));
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogWatch> watch, LogWatch::Open(stand.a()));
    ASSAY_RETURN_IF_ERROR(Await("capture", [&]() -> absl::StatusOr<bool> {
      ASSAY_ASSIGN_OR_RETURN(const uint64_t captured, watch->CapturedLsn());
      if (!daemon->Running()) return absl::InternalError(test::ReadFile(stand.scratch() + "/assayd.log"));
      return captured >= end_lsn;
    }));
    assay = rows / absl::ToDoubleSeconds(absl::Now() - begun);
    daemon->Signal(SIGTERM);
    daemon->Wait(absl::Seconds(20));
    return absl::OkStatus();
  };
  const auto theirs = [&]() -> absl::Status {
    const absl::Time begun = absl::Now();
    ASSAY_RETURN_IF_ERROR(recvlogical.Start(end));
    ASSAY_RETURN_IF_ERROR(recvlogical.AwaitEnd());
    peer = rows / absl::ToDoubleSeconds(absl::Now() - begun);
    return absl::OkStatus();
  };
  ASSAY_RETURN_IF_ERROR(InTurns(stand, ours, theirs));
  report.Add({.name = "capture",
              .what = "capture of waiting sales into the durable log",
              .unit = "rows/s",
              .against = "pg_recvlogical",
              .at_least = 0.9},
             assay, peer);
  Configure(stand, stand.a().hub_url());
  return absl::OkStatus();
}

absl::Status MeasureBytes(Stand& stand, Report& report) {
  const auto measure = [&](const std::string& how, const std::function<absl::Status()>& sell) -> absl::Status {
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogWatch> watch, LogWatch::Open(stand.a()));
    ASSAY_ASSIGN_OR_RETURN(const int64_t bytes_before, watch->BytesInUse());
    ASSAY_ASSIGN_OR_RETURN(const int64_t events_before, watch->Events());
    Relay relay(stand.fleet().hub().port());
    const std::string& url = stand.a().hub_url();
    const size_t port = url.rfind(':');
    Configure(stand, absl::StrCat(url.substr(0, port + 1), relay.port(), url.substr(url.find('/', port))));
    ASSAY_RETURN_IF_ERROR(sell());
    ASSAY_RETURN_IF_ERROR(stand.AwaitPushed());
    const int64_t wire = relay.bytes();
    ASSAY_ASSIGN_OR_RETURN(const int64_t events_after, watch->Events());
    const double events = static_cast<double>(events_after - events_before);
    ASSAY_ASSIGN_OR_RETURN(const std::string json_text, stand.Value(Node::kA, kAssay, kJsonBytes));
    double json = 0;
    if (!absl::SimpleAtod(json_text, &json)) return absl::InternalError(json_text);
    const auto tell_log = [&](absl::string_view when, double at_most) -> absl::Status {
      ASSAY_ASSIGN_OR_RETURN(const int64_t bytes, watch->BytesInUse());
      report.Add({.name = "bytes",
                  .what = absl::StrCat("log bytes an event, ", how, when),
                  .unit = "bytes",
                  .against = "the rows as JSON",
                  .at_most = at_most},
                 static_cast<double>(bytes - bytes_before) / events, json);
      return absl::OkStatus();
    };
    ASSAY_RETURN_IF_ERROR(tell_log(", at once", 0));
    ASSAY_RETURN_IF_ERROR(Await("the log to pack its segments", [&] { return watch->Repacked(); }));
    ASSAY_RETURN_IF_ERROR(tell_log("", 0.6));
    report.Add({.name = "bytes",
                .what = absl::StrCat("bytes on the wire an event, ", how),
                .unit = "bytes",
                .against = "the rows as JSON",
                .at_most = 0.5},
               static_cast<double>(wire) / events, json);
    return stand.StopAssay();
  };
  ASSAY_RETURN_IF_ERROR(stand.StartAssay());
  ASSAY_RETURN_IF_ERROR(stand.AwaitPushed());
  ASSAY_RETURN_IF_ERROR(stand.StopAssay());
  ASSAY_RETURN_IF_ERROR(measure("sales one by one", [&]() -> absl::Status {
    ASSAY_RETURN_IF_ERROR(stand.a().StartDaemon());
    const std::string output = stand.scratch() + "/pgbench-live";
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<ChildProcess> pgbench,
                           stand.Sell(kAssay, 1, 20, absl::Seconds(stand.options().Scaled(60, 5)), output));
    return Await("end of pgbench", [&]() -> absl::StatusOr<bool> { return !pgbench->Running(); });
  }));
  return measure("sales that waited", [&]() -> absl::Status {
    ASSAY_RETURN_IF_ERROR(stand.Prepare(kAssay, BulkSales(stand, stand.options().Scaled(20'000, 500))));
    return stand.a().StartDaemon();
  });
}

}  // namespace

absl::Status MeasureShop(const BenchOptions& options, Report& report) {
  if (!options.Wants("tps") && !options.Wants("capture") && !options.Wants("bytes")) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<Stand> stand, Stand::Create(options, 1));
  if (options.Wants("bytes")) ASSAY_RETURN_IF_ERROR(Annotate(MeasureBytes(*stand, report), "bytes"));
  Configure(*stand, stand->a().hub_url());
  if (options.Wants("tps")) ASSAY_RETURN_IF_ERROR(Annotate(MeasureTps(*stand, report), "tps"));
  if (options.Wants("capture")) ASSAY_RETURN_IF_ERROR(Annotate(MeasureCapture(*stand, report), "capture"));
  return absl::OkStatus();
}

}  // namespace assay::bench
