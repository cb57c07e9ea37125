// Figures for the way into the log: events a second of Append and Commit on a real disk, and of the work on each event
// alone.
//
//   build/tests/log/append_benchmark
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "log/check.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "log/row_versions/row_versions.h"
#include "tests/support/crash_vfs.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

// One-row transactions of a shop: an event of about 300 bytes.
class Events {
 public:
  Events() {
    origin_.bytes.fill(0xaa);
    event_.set_origin(std::string(origin_.AsBytes()));
    event_.set_ends_transaction(true);
    auto& header = *event_.mutable_transaction();
    header.mutable_attribution()->set_database_user("erp");
    header.mutable_attribution()->set_application_user("asha");
    auto& row = *event_.mutable_row();
    row.set_operation(v1::RowChange::UPDATE);
    row.set_schema(2);
    row.add_key("");
    row.add_replaced()->set_sequence(1);
    for (uint32_t i = 1; i <= 6; ++i) {
      auto& column = *row.add_columns();
      column.set_ordinal(i);
      column.set_replaced(1);
    }
  }

  // The next one's bytes; event() is the same, parsed.
  const std::string& Next(uint64_t sequence) {
    event_.set_sequence(sequence);
    event_.set_transaction_first(sequence);
    event_.set_stamp((uint64_t{1700000000000} << 16) + sequence * 977);
    auto& header = *event_.mutable_transaction();
    header.set_commit_time_us(static_cast<int64_t>(1700000000000000 + sequence * 977));
    header.set_commit_lsn(sequence * 312);
    header.set_xid(static_cast<uint32_t>(sequence));
    auto& row = *event_.mutable_row();
    row.set_key(0, absl::StrCat(sequence * 7919 % 100000));
    for (auto& column : *row.mutable_columns()) {
      column.set_value(absl::StrCat("some value ", sequence * column.ordinal() * 2654435761 % 1000003));
      column.set_old_value(absl::StrCat(sequence * 40503 % 65521));
    }
    bytes_.clear();
    event_.AppendToString(&bytes_);
    return bytes_;
  }
  const v1::Event& event() const { return event_; }
  const OriginId& origin() const { return origin_; }

 private:
  OriginId origin_;
  v1::Event event_;
  std::string bytes_;
};

void Report(benchmark::State& state, int64_t events, size_t event_bytes) {
  state.SetItemsProcessed(events);
  state.counters["event_bytes"] = static_cast<double>(event_bytes);
}

void AppendAndCommit(benchmark::State& state, const std::string& path, const LogFile::Options& options) {
  auto file = *LogFile::Open(path, options);
  auto log = *EventLog::Open(file.get());
  Events events;
  uint64_t sequence = 0;
  size_t bytes = 0;
  for (auto _ : state) {
    ASSAY_CHECK(file->Begin().ok());
    for (int64_t i = 0; i < state.range(0); ++i) {
      const std::string& next = events.Next(++sequence);
      bytes = next.size();
      ASSAY_CHECK(log->Append(events.event(), "public.products", next).ok());
    }
    ASSAY_CHECK(file->Commit().ok());
  }
  Report(state, static_cast<int64_t>(sequence), bytes);
  state.counters["disk_bytes_an_event"] = static_cast<double>(file->SizeOnDisk()) / static_cast<double>(sequence);
}

void BM_AppendCommitDisk(benchmark::State& state) {
  test::TempDirectory directory("append");
  AppendAndCommit(state, directory.path() + "/log.db", {});
}
BENCHMARK(BM_AppendCommitDisk)->Arg(1)->Arg(1000)->Arg(10000)->UseRealTime();

// The same without a disk: what the processor does.
void BM_AppendCommitMemory(benchmark::State& state) {
  test::CrashVfs vfs(1);
  AppendAndCommit(state, "log.db", {.vfs = vfs.name()});
}
BENCHMARK(BM_AppendCommitMemory)->Arg(1)->Arg(1000)->Arg(10000);

// Of which making the event takes this much.
void BM_MakeEvent(benchmark::State& state) {
  Events events;
  uint64_t sequence = 0;
  for (auto _ : state) benchmark::DoNotOptimize(events.Next(++sequence).data());
  Report(state, static_cast<int64_t>(sequence), events.Next(1).size());
}
BENCHMARK(BM_MakeEvent);

void BM_HashAndGrowTree(benchmark::State& state) {
  Events events;
  const std::string bytes = events.Next(123456);
  MerkleTree tree;
  for (auto _ : state) tree.Append(LeafHash(bytes));
  benchmark::DoNotOptimize(tree.Root());
  Report(state, state.iterations(), bytes.size());
}
BENCHMARK(BM_HashAndGrowTree);

void BM_PackSegment(benchmark::State& state) {
  Events events;
  std::vector<std::string> bytes;
  for (uint64_t i = 1; i <= kSegmentEventsMax; ++i) bytes.push_back(events.Next(i));
  SegmentBuilder builder(events.origin());
  uint64_t sequence = 0;
  for (auto _ : state) {
    ++sequence;
    StoredEvent event{.origin = events.origin(),
                      .sequence = {sequence},
                      .stamp = {sequence},
                      .ends_transaction = true,
                      .table = "public.products",
                      .bytes = bytes[sequence % bytes.size()]};
    while (builder.Full(event)) benchmark::DoNotOptimize(EncodeSegmentBody(builder.Finish(false)));
    builder.Add(event);
  }
  Report(state, state.iterations(), bytes[0].size());
}
BENCHMARK(BM_PackSegment);

void BM_Read(benchmark::State& state) {
  test::CrashVfs vfs(1);
  auto file = *LogFile::Open("log.db", {.vfs = vfs.name()});
  auto log = *EventLog::Open(file.get());
  Events events;
  constexpr uint64_t kEvents = 100000;
  ASSAY_CHECK(file->Begin().ok());
  for (uint64_t i = 1; i <= kEvents; ++i) {
    const std::string& next = events.Next(i);
    ASSAY_CHECK(log->Append(events.event(), "public.products", next).ok());
  }
  ASSAY_CHECK(file->Commit().ok());
  for (auto _ : state) {
    EventReader reader = log->Read(events.origin(), {1});
    while (*reader.Next() != nullptr) {
    }
  }
  Report(state, static_cast<int64_t>(state.iterations() * kEvents), events.Next(1).size());
}
BENCHMARK(BM_Read)->Unit(benchmark::kMillisecond);

// A portion of the size that the engine takes, of segments with as many events as a sale has.
void BM_Repack(benchmark::State& state) {
  constexpr size_t kSale = 8, kPortion = 1024;
  test::CrashVfs vfs(1);
  auto file = *LogFile::Open("log.db", {.vfs = vfs.name()});
  auto log = *EventLog::Open(file.get());
  Events events;
  uint64_t sequence = 0;
  size_t bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    while (!log->ShouldRepack(kPortion)) {
      ASSAY_CHECK(file->Begin().ok());
      for (size_t i = 0; i < kSale; ++i) {
        const std::string& next = events.Next(++sequence);
        bytes = next.size();
        ASSAY_CHECK(log->Append(events.event(), "public.products", next).ok());
      }
      ASSAY_CHECK(file->Commit().ok());
    }
    ASSAY_CHECK(file->Begin().ok());
    state.ResumeTiming();
    ASSAY_CHECK(log->Repack(kPortion).ok() && file->Commit().ok());
  }
  Report(state, static_cast<int64_t>(sequence), bytes);
}
BENCHMARK(BM_Repack)->Unit(benchmark::kMillisecond);

void BM_PutRowVersions(benchmark::State& state) {
  test::CrashVfs vfs(1);
  auto file = *LogFile::Open("log.db", {.vfs = vfs.name()});
  auto log = *EventLog::Open(file.get());
  auto rows = *RowVersionStore::Open(file.get(), log.get());
  uint64_t number = 0;
  OriginId origin;
  for (auto _ : state) {
    ASSAY_CHECK(file->Begin().ok());
    for (int i = 0; i < 1000; ++i) {
      ++number;
      const RowRef row{{1}, HashKey({absl::StrCat(number * 7919 % 100000)})};
      ASSAY_CHECK(rows->Get(row).ok());
      RowVersions versions{.written = {{number}, origin, {number}}};
      for (uint32_t c = 0; c < 6; ++c) versions.columns.Append({c}, versions.written);
      ASSAY_CHECK(rows->Put(row, std::move(versions)).ok());
    }
    ASSAY_CHECK(file->Commit().ok());
  }
  state.SetItemsProcessed(static_cast<int64_t>(number));
}
BENCHMARK(BM_PutRowVersions)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace assay

BENCHMARK_MAIN();
