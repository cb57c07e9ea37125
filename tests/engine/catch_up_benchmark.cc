// Figures for the engine's own work on a change, per row: recording it where it was made, and, at a branch that catches up,
// appending the pulled chain and folding it. No PostgreSQL, no hub, no disk: what the processor does.
//
//   build/tests/engine/catch_up_benchmark
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/batch.h"
#include "engine/engine.h"
#include "engine/recorder.h"
#include "log/check.h"
#include "tests/support/crash_vfs.h"

namespace assay {
namespace {

constexpr int kHotRows = 10'000;
constexpr int kTransactionRows = 1000;
constexpr int kUpdates = 200'000;

template <typename T>
T Must(absl::StatusOr<T> result) {
  ASSAY_CHECK(result.ok());
  return *std::move(result);
}
void Must(const absl::Status& status) { ASSAY_CHECK(status.ok()); }

class NoEcho : public ProjectionEcho {
 public:
  bool Claims(absl::string_view, HlcStamp*) override { return false; }
  bool Meant(const RowRef&, ChangeKind, const TableShape&, absl::Span<const TupleValue>) override { return false; }
  absl::Status Landed() override { return absl::OkStatus(); }
};

class FixedClock : public Clock {
 public:
  absl::Time Now() override { return absl::FromUnixSeconds(1'700'000'000); }
};

class CountingRandom : public Random {
 public:
  explicit CountingRandom(uint64_t first) : value_(first) {}
  uint64_t Next() override { return ++value_; }

 private:
  uint64_t value_;
};

// A branch's log in memory, with what stands on it.
struct Shop {
  explicit Shop(uint64_t number) : disk(number), random(number * 1000) {
    config.branch_name = absl::StrCat("shop-", number);
    config.branch_number = static_cast<uint32_t>(number);
    file = Must(LogFile::Open("log.db", {.vfs = disk.name()}));
    Must(OpenBranchLog(config, file.get(), &clock, &random).status());
    log = Must(EventLog::Open(file.get()));
    names = Must(TableNames::Open(file.get(), log.get()));
    rows = Must(RowVersionStore::Open(file.get(), log.get()));
    stages = Must(StageStore::Open(file.get(), log.get()));
    own = Must(OwnOrigin(*stages));
  }

  test::CrashVfs disk;
  EngineConfig config;
  FixedClock clock;
  CountingRandom random;
  std::unique_ptr<LogFile> file;
  std::unique_ptr<EventLog> log;
  std::unique_ptr<TableNames> names;
  std::unique_ptr<RowVersionStore> rows;
  std::unique_ptr<StageStore> stages;
  OriginId own;
};

// Products whose price, stock and time of update change, round and round.
class Updates {
 public:
  Updates() {
    TableShape shape{.name = {"public", "products"}, .key = {0}};
    shape.columns.push_back({.name = "id", .type = "uuid", .not_null = true});
    for (const char* name : {"sku", "name", "metal", "karat", "gross_weight", "making_charge", "price", "stock_qty", "description", "updated_at"}) {
      shape.columns.push_back({.name = name, .type = "text"});
    }
    shape_ = std::make_shared<const TableShape>(std::move(shape));
  }

  // Transaction `number`, from 0.
  void Record(Recorder& recorder, int number) {
    CaptureItem begin;
    begin.kind = CaptureItem::Kind::kBegin;
    begin.commit_lsn = {static_cast<uint64_t>(number + 1) * 100'000};
    begin.commit_time_us = int64_t{1'700'000'000'000'000} + number * 1000;
    Must(recorder.Record(begin));
    CaptureItem update;
    update.kind = CaptureItem::Kind::kUpdate;
    update.relation = shape_;
    for (int i = 0; i < kTransactionRows; ++i) {
      const int row = (number * kTransactionRows + i) % kHotRows, round = number * kTransactionRows / kHotRows;
      Fill(row, round, &old_texts_, &update.old_tuple);
      Fill(row, round + 1, &new_texts_, &update.new_tuple);
      Must(recorder.Record(update));
    }
    CaptureItem commit;
    commit.kind = CaptureItem::Kind::kCommit;
    commit.commit_lsn = begin.commit_lsn;
    commit.end_lsn = {begin.commit_lsn.value + 8};
    Must(recorder.Record(commit));
  }

 private:
  static void Fill(int row, int round, std::vector<std::string>* texts, std::vector<TupleValue>* tuple) {
    *texts = {absl::StrFormat("%08x-7a3f-4f21-9c0d-%012x", row * 2654435761u, row),
              absl::StrCat("SKU-", row), absl::StrCat("Bangle ", row), "gold", "22", absl::StrCat(10 + row % 500), "512.00",
              absl::StrCat(50'000 + row + round, ".00"), absl::StrCat(1000 - round),
              absl::StrCat("hallmarked piece, tray ", row % 400, ", supplier lot ", row),
              absl::StrFormat("2026-01-01 10:%02d:%02d.%06d+00", round % 60, row % 60, row)};
    tuple->clear();
    for (const std::string& text : *texts) tuple->push_back({TupleValue::Kind::kText, text});
  }

  std::shared_ptr<const TableShape> shape_;
  std::vector<std::string> old_texts_, new_texts_;
};

// A shop that makes all the updates, each transaction durable by itself.
void RecordAll(Shop& shop) {
  NoEcho echo;
  Recorder recorder(shop.config, shop.own, shop.log.get(), shop.names.get(), shop.rows.get(), shop.stages.get(), &shop.clock, &echo);
  Must(recorder.Load());
  Updates updates;
  for (int i = 0; i < kUpdates / kTransactionRows; ++i) {
    Must(shop.file->Begin());
    updates.Record(recorder, i);
    Must(shop.file->Commit());
  }
}

// The sender's chain, as it is pushed.
const std::vector<Segment>& Chain() {
  static const auto* segments = [] {
    Shop shop(1);
    RecordAll(shop);
    return new std::vector<Segment>(Must(shop.log->ReadSegments(shop.own, {1}, size_t{1} << 40, /*complete_only=*/true)));
  }();
  return *segments;
}

void BM_Record(benchmark::State& state) {
  for (auto _ : state) {
    Shop shop(1);
    RecordAll(shop);
  }
  state.SetItemsProcessed(state.iterations() * kUpdates);
}
BENCHMARK(BM_Record)->Unit(benchmark::kMillisecond);

void AppendAll(Shop& shop) {
  Must(shop.file->Begin());
  for (const Segment& segment : Chain()) Must(shop.log->AppendPulled(segment));
  Must(shop.file->Commit());
}

void BM_AppendPulled(benchmark::State& state) {
  Chain();
  for (auto _ : state) {
    Shop shop(2);
    AppendAll(shop);
  }
  state.SetItemsProcessed(state.iterations() * kUpdates);
}
BENCHMARK(BM_AppendPulled)->Unit(benchmark::kMillisecond);

// Batch after batch, as many rows each as a projection takes at once; what PostgreSQL does with them is left out.
void BM_Fold(benchmark::State& state) {
  Shop shop(2);
  AppendAll(shop);
  int64_t rows = 0;
  for (auto _ : state) {
    rows = 0;
    Must(shop.file->Begin());
    Batch batch(shop.own, shop.log.get(), shop.names.get(), shop.stages.get());
    for (;;) {
      while (!Must(batch.Gather(4000))) {
      }
      if (batch.Empty()) break;
      rows += static_cast<int64_t>(batch.rows().size());
      for (const auto& [origin, to] : batch.to()) Must(shop.stages->SetProjected(origin, to));
      batch.Clear();
    }
    shop.file->Rollback();
  }
  state.SetItemsProcessed(state.iterations() * kUpdates);
  state.counters["events_a_written_row"] = static_cast<double>(kUpdates) / static_cast<double>(rows);
}
BENCHMARK(BM_Fold)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace assay

BENCHMARK_MAIN();
