#include <fstream>

#include "tests/log/test_events.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

// The most memory this process has used so far, in MB.
int64_t PeakMegabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kilobytes;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes / 1024;
  }
  ADD_FAILURE() << "no VmHWM";
  return 0;
}

// Goal: memory stays flat whatever the size of a transaction, when it is written, read, pushed and pulled.
// Method: 300,000 events of some 400 bytes in one transaction, about 130 MB, on a real disk.
TEST(LargeTransactionTest, MemoryStaysFlat) {
  constexpr uint64_t kEvents = 300000;
  constexpr int64_t kMegabytesMax = 100;
  const OriginId origin = test::Origin(0xaa);
  test::TempDirectory directory("large");
  ASSERT_OK_AND_ASSIGN(const auto file, LogFile::Open(directory.path() + "/a.db", {}));
  ASSERT_OK_AND_ASSIGN(const auto log, EventLog::Open(file.get()));
  ASSERT_OK_AND_ASSIGN(const auto pulled_file, LogFile::Open(directory.path() + "/b.db", {}));
  ASSERT_OK_AND_ASSIGN(const auto pulled, EventLog::Open(pulled_file.get()));
  const int64_t before = PeakMegabytes();

  v1::Event event;
  event.set_origin(std::string(origin.AsBytes()));
  event.set_stamp(1);
  event.set_transaction_first(1);
  event.mutable_row()->set_operation(v1::RowChange::INSERT);
  event.mutable_row()->add_key("");
  event.mutable_row()->add_columns();
  std::string value(360, ' ');
  uint64_t random = 1;
  ASSERT_OK(file->Begin());
  for (uint64_t i = 1; i <= kEvents; ++i) {
    for (char& c : value)
      c = static_cast<char>('0' + ((random = random * 6364136223846793005 + 1442695040888963407) >> 60));
    event.set_sequence(i);
    event.set_ends_transaction(i == kEvents);
    event.mutable_row()->set_key(0, absl::StrCat(i));
    event.mutable_row()->mutable_columns(0)->set_value(value);
    ASSERT_OK(log->Append(event, i % 3 == 0 ? "public.sales" : "public.sale_lines", event.SerializeAsString()));
  }
  ASSERT_OK(file->Commit());
  EXPECT_LT(PeakMegabytes() - before, kMegabytesMax) << "written";

  for (;;) {
    ASSERT_OK_AND_ASSIGN(const auto segments,
                         log->ReadSegments(origin, pulled->Head(origin).last.Next(), 4 << 20, true));
    if (segments.empty()) break;
    ASSERT_OK(pulled_file->Begin());
    for (const Segment& segment : segments) ASSERT_OK(pulled->AppendPulled(segment));
    ASSERT_OK(pulled_file->Commit());
  }
  EXPECT_EQ(pulled->Head(origin).complete.value, kEvents);
  EXPECT_EQ(pulled->Root(origin), log->Root(origin));
  uint64_t count = 0;
  EventReader reader = pulled->Read(origin, {1});
  for (;;) {
    ASSERT_OK_AND_ASSIGN(const StoredEvent* read, reader.Next());
    if (read == nullptr) break;
    ++count;
  }
  EXPECT_EQ(count, kEvents);
  EXPECT_LT(PeakMegabytes() - before, kMegabytesMax) << "read, pushed and pulled";
  RecordProperty("peak_megabytes", std::to_string(PeakMegabytes() - before));
}

}  // namespace
}  // namespace assay
