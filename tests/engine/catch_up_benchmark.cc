// Figures for the engine's own work on a change, per row: recording it where it was made, and, at a branch that catches
// up, appending the pulled chain, folding it, and projecting it. No PostgreSQL, no hub, no disk: what the processor
// does.
//
//   build/tests/engine/catch_up_benchmark
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>
#include <deque>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/capture/recorder.h"
#include "engine/engine.h"
#include "engine/fold/batch.h"
#include "engine/own_chain.h"
#include "engine/projection/projector.h"
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
    state = Must(LocalState::Open(file.get(), log.get()));
    unsettled = Must(UnsettledRows::Open(file.get(), log.get()));
    conflicts = Must(Conflicts::Open(file.get(), log.get()));
    own = Must(OwnOrigin(*state));
  }
  Stores stores() const { return {log.get(), names.get(), rows.get(), state.get(), unsettled.get(), conflicts.get()}; }

  test::CrashVfs disk;
  EngineConfig config;
  FixedClock clock;
  CountingRandom random;
  std::unique_ptr<LogFile> file;
  std::unique_ptr<EventLog> log;
  std::unique_ptr<TableNames> names;
  std::unique_ptr<RowVersionStore> rows;
  std::unique_ptr<LocalState> state;
  std::unique_ptr<UnsettledRows> unsettled;
  std::unique_ptr<Conflicts> conflicts;
  OriginId own;
};

// Products whose price, stock and time of update change, round and round.
class Updates {
 public:
  Updates() {
    TableShape shape{.name = {"public", "products"}, .key = {0}};
    shape.columns.push_back({.name = "id", .type = "uuid", .not_null = true});
    for (const char* name : {"sku", "name", "metal", "karat", "gross_weight", "making_charge", "price", "stock_qty",
                             "description", "updated_at"}) {
      shape.columns.push_back({.name = name, .type = "text"});
    }
    shape_ = std::make_shared<const TableShape>(std::move(shape));
  }

  // Transaction `number`, from 0.
  void Record(Recorder& recorder, int number) {
    Begin(recorder, number);
    CaptureItem update;
    update.kind = CaptureItem::Kind::kUpdate;
    update.relation = shape_;
    for (int i = 0; i < kTransactionRows; ++i) {
      const int row = (number * kTransactionRows + i) % kHotRows, round = number * kTransactionRows / kHotRows;
      Fill(row, round, &old_texts_, &update.old_tuple);
      Fill(row, round + 1, &new_texts_, &update.new_tuple);
      Must(recorder.Record(update));
    }
    Commit(recorder, number);
  }
  // Instead of updates: so many new products.
  void RecordNew(Recorder& recorder, int number, int rows) {
    Begin(recorder, number);
    CaptureItem insert;
    insert.kind = CaptureItem::Kind::kInsert;
    insert.relation = shape_;
    for (int i = 0; i < rows; ++i) {
      Fill(number * rows + i, 0, &new_texts_, &insert.new_tuple);
      Must(recorder.Record(insert));
    }
    Commit(recorder, number);
  }

  const TableShape& shape() const { return *shape_; }

 private:
  static Lsn LsnOf(int number) { return {static_cast<uint64_t>(number + 1) * 100'000}; }
  static void Begin(Recorder& recorder, int number) {
    CaptureItem begin;
    begin.kind = CaptureItem::Kind::kBegin;
    begin.commit_lsn = LsnOf(number);
    begin.commit_time_us = int64_t{1'700'000'000'000'000} + number * 1000;
    Must(recorder.Record(begin));
  }
  static void Commit(Recorder& recorder, int number) {
    CaptureItem commit;
    commit.kind = CaptureItem::Kind::kCommit;
    commit.commit_lsn = LsnOf(number);
    commit.end_lsn = {LsnOf(number).value + 8};
    Must(recorder.Record(commit));
  }
  static void Fill(int row, int round, std::vector<std::string>* texts, std::vector<TupleValue>* tuple) {
    *texts = {absl::StrFormat("%08x-7a3f-4f21-9c0d-%012x", row * 2654435761u, row),
              absl::StrCat("SKU-", row),
              absl::StrCat("Bangle ", row),
              "gold",
              "22",
              absl::StrCat(10 + row % 500),
              "512.00",
              absl::StrCat(50'000 + row + round, ".00"),
              absl::StrCat(1000 - round),
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
  Recorder recorder(shop.config, shop.own, shop.stores(), &shop.clock, &echo);
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
    return new std::vector<Segment>(
        Must(shop.log->ReadSegments(shop.own, {1}, size_t{1} << 40, /*complete_only=*/true)));
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

// Sales: an invoice, three lines and a payment are new, and price and stock of three products change.
class Sales {
 public:
  Sales() {
    const auto shape = [](const char* name, std::initializer_list<const char*> columns) {
      TableShape table{.name = {"public", name}, .key = {0}};
      for (const char* column : columns)
        table.columns.push_back({.name = column, .type = table.columns.empty() ? "uuid" : "text"});
      return std::make_shared<const TableShape>(std::move(table));
    };
    invoices_ =
        shape("invoices", {"id", "branch_id", "customer_id", "number", "total", "status", "created_at", "updated_at"});
    lines_ =
        shape("invoice_lines", {"id", "invoice_id", "product_id", "qty", "unit_price", "making_charge", "line_total"});
    payments_ = shape("payments", {"id", "invoice_id", "method", "amount", "paid_at"});
    products_ = shape("products", {"id", "sku", "name", "metal", "karat", "weight", "making_charge", "price",
                                   "stock_qty", "updated_at"});
  }

  // What the stream brings of the sales from `first` on. Good until the next call.
  const std::vector<CaptureItem>& Captured(int first, int count) {
    items_.clear();
    texts_.clear();
    for (int sale = first; sale < first + count; ++sale) {
      const std::string at = absl::StrFormat("2026-01-01 10:%02d:%02d.%06d+00", sale / 60 % 60, sale % 60, sale);
      const std::string invoice = Uuid('i', sale);
      Item(CaptureItem::Kind::kBegin, nullptr);
      items_.back().commit_lsn = {static_cast<uint64_t>(sale + 1) * 4000};
      items_.back().commit_time_us = int64_t{1'700'000'000'000'000} + sale * 1000;
      Item(CaptureItem::Kind::kInsert, invoices_).new_tuple =
          Tuple({invoice, Uuid('b', sale % 4), Uuid('c', sale % 1000), absl::StrCat("INV-", sale), "150000.00", "final",
                 at, at});
      for (int i = 0; i < 3; ++i) {
        Item(CaptureItem::Kind::kInsert, lines_).new_tuple =
            Tuple({Uuid('l' + i, sale), invoice, Uuid('p', Product(sale, i)), "1", "50000.00", "500.00", "50500.00"});
      }
      Item(CaptureItem::Kind::kInsert, payments_).new_tuple = Tuple({Uuid('y', sale), invoice, "upi", "150000.00", at});
      for (int i = 0; i < 3; ++i) {
        const int product = Product(sale, i);
        const auto tuple = [&](int round) {
          return Tuple({Uuid('p', product), absl::StrCat("SKU-", product), absl::StrCat("Bangle ", product), "gold",
                        "22", "11.250", "512.00", absl::StrCat(50'000 + round, ".00"), absl::StrCat(100'000 - round),
                        at});
        };
        CaptureItem& update = Item(CaptureItem::Kind::kUpdate, products_);
        update.old_tuple = tuple(sale);
        update.new_tuple = tuple(sale + 1);
      }
      Item(CaptureItem::Kind::kCommit, nullptr);
      items_.back().commit_lsn = {static_cast<uint64_t>(sale + 1) * 4000};
      items_.back().end_lsn = {static_cast<uint64_t>(sale + 1) * 4000 + 8};
    }
    return items_;
  }

 private:
  static uint64_t Mixed(uint64_t value) {  // splitmix64.
    value += 0x9E3779B97F4A7C15;
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9;
    value = (value ^ value >> 27) * 0x94D049BB133111EB;
    return value ^ value >> 31;
  }
  static std::string Uuid(int kind, int number) {
    const uint64_t a = Mixed(static_cast<uint64_t>(kind) << 32 | static_cast<uint32_t>(number)), b = Mixed(a);
    return absl::StrFormat("%08x-%04x-%04x-%04x-%012x", a >> 32, a >> 16 & 0xFFFF, a & 0xFFFF, b >> 48,
                           b & 0xFFFFFFFFFFFF);
  }
  static int Product(int sale, int i) {
    return kHotRows / 3 * i + static_cast<int>(Mixed(sale * 3 + i) % (kHotRows / 3));
  }

  CaptureItem& Item(CaptureItem::Kind kind, std::shared_ptr<const TableShape> relation) {
    items_.emplace_back();
    items_.back().kind = kind;
    items_.back().relation = std::move(relation);
    return items_.back();
  }
  std::vector<TupleValue> Tuple(std::vector<std::string> texts) {
    texts_.push_back(std::move(texts));
    std::vector<TupleValue> tuple;
    for (const std::string& text : texts_.back()) tuple.push_back({TupleValue::Kind::kText, text});
    return tuple;
  }

  std::shared_ptr<const TableShape> invoices_, lines_, payments_, products_;
  std::vector<CaptureItem> items_;
  std::deque<std::vector<std::string>> texts_;
};

// Sales that waited in the WAL, a thousand rows durable at once.
void BM_RecordSales(benchmark::State& state) {
  constexpr int kSales = 40'000, kSalesAtOnce = 125, kRowsOfASale = 8;
  NoEcho echo;
  for (auto _ : state) {
    state.PauseTiming();
    Shop shop(1);
    Recorder recorder(shop.config, shop.own, shop.stores(), &shop.clock, &echo);
    Must(recorder.Load());
    Sales sales;
    for (int sale = 0; sale < kSales; sale += kSalesAtOnce) {
      const std::vector<CaptureItem>& captured = sales.Captured(sale, kSalesAtOnce);
      state.ResumeTiming();
      Must(shop.file->Begin());
      for (const CaptureItem& item : captured) Must(recorder.Record(item));
      Must(shop.file->Commit());
      state.PauseTiming();
    }
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kSales * kRowsOfASale);
}
BENCHMARK(BM_RecordSales)->Unit(benchmark::kMillisecond);

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
    Batch batch(shop.own, shop.log.get(), shop.names.get(), shop.state.get());
    for (;;) {
      while (!Must(batch.Gather(4000))) {
      }
      if (batch.Empty()) break;
      rows += static_cast<int64_t>(batch.rows().size());
      for (const auto& [origin, to] : batch.to()) Must(shop.state->SetProjected(origin, to));
      batch.Clear();
    }
    shop.file->Rollback();
  }
  state.SetItemsProcessed(state.iterations() * kUpdates);
  state.counters["events_a_written_row"] = static_cast<double>(kUpdates) / static_cast<double>(rows);
}
BENCHMARK(BM_Fold)->Unit(benchmark::kMillisecond);

// Of memory, in use now.
size_t BytesInUse() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// From the pulled chain to what PostgreSQL is asked for, and, as if it had come by in capture, to the row versions: new
// rows in transactions of so many. What they take beside the log, at most, is `bytes_a_row`, of those that are on their
// way together.
void BM_ProjectNew(benchmark::State& state) {
  constexpr int kRows = 60'000;
  const int transaction_rows = static_cast<int>(state.range(0));
  Updates products;
  Shop sender(1);
  {
    NoEcho echo;
    Recorder recorder(sender.config, sender.own, sender.stores(), &sender.clock, &echo);
    Must(recorder.Load());
    for (int i = 0; i < kRows / transaction_rows; ++i) {
      Must(sender.file->Begin());
      products.RecordNew(recorder, i, transaction_rows);
      Must(sender.file->Commit());
    }
  }
  const std::vector<Segment> chain =
      Must(sender.log->ReadSegments(sender.own, {1}, size_t{1} << 40, /*complete_only=*/true));
  double bytes_a_row = 0;
  for (auto _ : state) {
    state.PauseTiming();
    Shop shop(2);
    Must(shop.file->Begin());
    for (const Segment& segment : chain) Must(shop.log->AppendPulled(segment));
    Must(shop.file->Commit());
    const size_t before = BytesInUse();
    size_t rows_max = 0, peak = 0;
    state.ResumeTiming();
    Must(shop.file->Begin());
    Projector projector(shop.config, shop.own, shop.stores(), &shop.clock, &shop.random);
    Must(projector.Load());
    while (projector.Pending() > 0) {
      Must(projector.Step(4000, /*idle=*/true));
      const std::optional<DatabaseCall> call = projector.TakeCall();
      if (!call.has_value()) continue;
      if (const auto* read = std::get_if<DatabaseRead>(&*call)) {
        ReadReply reply;
        for (const ReadRequest::Table& table : read->request.tables) {
          reply.tables.push_back({products.shape(), "", std::vector<ReadReply::Row>(table.keys.size())});
        }
        Must(projector.OnRead(std::move(reply)));
        projector.OnFence(read->request.fence);
      }
      if (const auto* project = std::get_if<DatabaseProject>(&*call)) {
        size_t rows = 0;
        for (const TableWrites& writes : project->request.writes) rows += writes.rows.size();
        if (rows >= rows_max) rows_max = rows, peak = std::max(peak, BytesInUse());
        // While PostgreSQL writes, the next one is gathered and planned.
        do Must(projector.Step(4000, /*idle=*/true));
        while (projector.HasWork());
        peak = std::max(peak, BytesInUse());
        Must(projector.OnProjected({.outcome = ProjectReply::Outcome::kCommitted}));
        HlcStamp stamp;
        ASSAY_CHECK(projector.Claims(project->request.tag, &stamp));
        Must(projector.Landed());
        peak = std::max(peak, BytesInUse());
      }
    }
    Must(shop.file->Commit());
    bytes_a_row = static_cast<double>(peak - before) / static_cast<double>(rows_max);
  }
  state.SetItemsProcessed(state.iterations() * kRows);
  state.counters["bytes_a_row"] = bytes_a_row;
}
BENCHMARK(BM_ProjectNew)->Arg(1000)->Arg(60'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace assay

BENCHMARK_MAIN();
