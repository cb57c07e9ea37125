// assay_bench [--repetitions N] [--only NAME]... [--scale F] [--json FILE]: see tools/bench, which builds it.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "log/annotate.h"
#include "tests/bench/measure.h"

namespace assay::bench {
namespace {

struct Measurement {
  const char* name;
  std::function<absl::Status(Stand&, Report&)> run;
};

const std::vector<Measurement>& FleetMeasurements() {
  static const auto* all = new std::vector<Measurement>{
      {"latency", MeasureLatency},
      {"inserts", MeasureInserts},
      {"sales", MeasureSales},
      {"hot-reconnect", [](Stand& stand, Report& report) { return MeasureHotRows(stand, /*chain=*/false, report); }},
      {"hot-chain", [](Stand& stand, Report& report) { return MeasureHotRows(stand, /*chain=*/true, report); }},
      {"memory", MeasureMemory},
      {"absence", MeasureAbsence},
  };
  return *all;
}

absl::Status Repeat(const BenchOptions& options, Report& report) {
  const auto told = [&](const char* name, const absl::Status& status) {
    std::fprintf(stderr, "%s repetition %d, %s%s\n",
                 absl::FormatTime("%H:%M:%S", absl::Now(), absl::LocalTimeZone()).c_str(), options.repetition + 1, name,
                 status.ok() ? "" : absl::StrCat(": ", status.ToString()).c_str());
    return status;
  };
  absl::Status worst = told("one shop", MeasureShop(options, report));
  bool any = false;
  for (const Measurement& measurement : FleetMeasurements()) any |= options.Wants(measurement.name);
  if (!any) return worst;
  absl::StatusOr<std::unique_ptr<Stand>> stand = Stand::Create(options, 2);
  if (!stand.ok()) return told("servers", stand.status());
  for (const Measurement& measurement : FleetMeasurements()) {
    if (!options.Wants(measurement.name)) continue;
    const absl::Status status = told(measurement.name, measurement.run(**stand, report));
    worst.Update(status);
    if (!status.ok()) return worst;  // What it left half done would spoil the next.
  }
  return worst;
}

int Main(int argc, char** argv) {
  BenchOptions options;
  std::string json;
  const auto refuse = [](const std::string& what) {
    std::fprintf(stderr, "assay_bench: %s; tools/bench --help tells what there is\n", what.c_str());
    return 2;
  };
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (i + 1 == argc) return refuse(absl::StrCat(flag, " needs a value"));
    const std::string value = argv[i + 1];
    if (flag == "--only") {
      bool known = value == "tps" || value == "capture" || value == "bytes";
      for (const Measurement& measurement : FleetMeasurements()) known |= value == measurement.name;
      if (!known) return refuse(absl::StrCat("no figure is called ", value));
      options.only.insert(value);
    } else if (flag == "--json") {
      json = value;
    } else if (flag == "--repetitions" ? !absl::SimpleAtoi(value, &options.repetitions) || options.repetitions < 1
               : flag == "--scale"     ? !absl::SimpleAtod(value, &options.scale) || options.scale <= 0
                                       : true) {
      return refuse(absl::StrCat("not understood: ", flag, " ", value));
    }
  }
  Report report;
  absl::Status status;
  for (; options.repetition < options.repetitions; ++options.repetition) {
    status.Update(Repeat(options, report));
    // After each, so that a run that is ended early was not for nothing.
    std::printf("\n%d of %d repetitions, scale %g\n%s", options.repetition + 1, options.repetitions, options.scale,
                report.Table().c_str());
    std::fflush(stdout);
    if (!json.empty()) std::ofstream(json) << report.Json();
  }
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace assay::bench

int main(int argc, char** argv) { return assay::bench::Main(argc, argv); }
