// Another branch's chain, event by event: whatever the events say, they are refused, or merged without a crash.
//
// Events that fit into their place (the log checks that first) and are arbitrary otherwise go the way of pulled ones:
// into a log, and through the folding of a batch, which resolves schemas, rows and versions. The first is a real
// opening, so that the chain begins.
#include <fuzzer/FuzzedDataProvider.h>

#include <memory>

#include "engine/fold/batch.h"
#include "engine/fold/fold_values.h"
#include "log/check.h"
#include "log/merkle_tree.h"
#include "tests/support/crash_vfs.h"
#include "tests/support/origins.h"

namespace assay {
namespace {

using test::Origin;

// One log for all inputs: each is rolled back, which is quicker than a new file, and has to leave nothing behind.
struct Receiver {
  test::CrashVfs disk{1};
  std::unique_ptr<LogFile> file = Must(LogFile::Open("log.db", {.vfs = disk.name()}));
  std::unique_ptr<EventLog> log = Must(EventLog::Open(file.get()));
  std::unique_ptr<TableNames> names = Must(TableNames::Open(file.get(), log.get()));
  std::unique_ptr<LocalState> state = Must(LocalState::Open(file.get(), log.get()));

  template <typename T>
  static T Must(absl::StatusOr<T> result) {
    ASSAY_CHECK(result.ok());
    return *std::move(result);
  }

  // Folds what is new, and looks values up, as a projection does.
  void Merge() {
    Batch batch(Origin(1), log.get(), names.get(), state.get());
    for (;;) {
      const absl::StatusOr<bool> complete = batch.Gather(1000);
      if (!complete.ok() || *complete) break;
    }
    FoldValues values(log.get(), names.get());
    for (const PendingRow& row : batch.rows()) {
      for (size_t i = 0; i < row.incoming().columns.size(); ++i) {
        const ColumnVersion& column = row.incoming().columns[i];
        const PendingRow::Value folded = row.ValueAt(i);
        const absl::StatusOr<ColumnText> stored = values.Value(column.version, column.column);
        // What was read in place is what the parser reads.
        ASSAY_CHECK(stored.ok() == (folded.kind != PendingRow::Kind::kNone));
        if (stored.ok() && stored->has_value()) ASSAY_CHECK(**stored == folded.text);
      }
    }
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Receiver receiver;
  FuzzedDataProvider input(data, size);
  const OriginId origin = Origin(2);
  SegmentBuilder builder(origin);
  uint64_t sequence = 0, stamp = 0, first = 1;
  bool ends = true;
  while (sequence < 40 && (sequence == 0 || input.remaining_bytes() > 0)) {
    v1::Event event;
    if (sequence == 0) {
      event.mutable_origin_opened()->set_branch_name("shop");
      event.mutable_origin_opened()->set_branch_number(2);
      event.mutable_transaction();
    } else {
      (void)event.ParseFromString(input.ConsumeRandomLengthString(2000));
    }
    // Up to the highest of all, where the next one does not rise any more.
    const uint64_t rise = uint64_t{input.ConsumeIntegral<uint32_t>()} << input.ConsumeIntegralInRange<uint32_t>(0, 32);
    if (ends) first = sequence + 1, stamp += std::min(1 + rise, UINT64_MAX - stamp);
    ends = sequence == 0 || input.ConsumeBool();
    event.set_origin(std::string(origin.AsBytes()));
    event.set_sequence(++sequence);
    event.set_stamp(stamp);
    event.set_transaction_first(first);
    event.set_ends_transaction(ends);
    if (first == sequence) event.mutable_transaction();
    const std::string bytes = event.SerializeAsString();
    builder.Add({origin, Sequence{sequence}, HlcStamp{stamp}, ends, false,
                 input.ConsumeBool() ? "public.t" : "public.u", bytes, LeafHash(bytes)});
  }
  ASSAY_CHECK(receiver.file->Begin().ok());
  while (!builder.empty()) (void)receiver.log->AppendPulled(builder.Finish(true));
  receiver.Merge();
  receiver.file->Rollback();
  ASSAY_CHECK(receiver.log->Origins().empty());
  return 0;
}

}  // namespace assay
