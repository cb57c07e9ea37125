#include "tests/contract/test_chain.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/check.h"
#include "log/checkpoint.h"
#include "log/merkle_tree.h"
#include "proto/event.pb.h"

namespace assay::test {
namespace {

constexpr absl::string_view kProducts = "public.products";
constexpr absl::string_view kSalaries = "public.salaries";

const SigningKey& Key() {
  static const SigningKey* key = new SigningKey(SigningKey::Generate().value());
  return *key;
}

}  // namespace

TestChain::TestChain(uint8_t seed) {
  origin_.bytes.fill(seed);
  Transaction(1);
}

void TestChain::Transaction(size_t events, size_t payload_bytes) {
  const HlcStamp stamp = HlcStamp::FromMillis(1'700'000'000'000 + static_cast<int64_t>(events_.size()));
  const uint64_t first = events_.size() + 1;
  for (size_t i = 0; i < events; ++i) {
    const uint64_t sequence = events_.size() + 1;
    v1::Event event;
    event.set_origin(std::string(origin_.AsBytes()));
    event.set_sequence(sequence);
    event.set_stamp(stamp.value);
    event.set_transaction_first(first);
    event.set_ends_transaction(i + 1 == events);
    if (i == 0) event.mutable_transaction()->set_xid(static_cast<uint32_t>(first));
    absl::string_view table;
    if (sequence == 1) {
      event.mutable_origin_opened()->set_branch_name("test");
      event.mutable_origin_opened()->set_public_key(Key().public_key());
    } else {
      table = sequence % 2 == 0 ? kProducts : kSalaries;
      event.mutable_row()->set_operation(v1::RowChange::INSERT);
      std::string value(payload_bytes, 'x');
      for (size_t at = 0; at < value.size(); ++at)
        value[at] = static_cast<char>('a' + (sequence * 31 + at * at * 7) % 26);
      event.mutable_row()->add_columns()->set_value(value);
    }
    events_.push_back({stamp, i + 1 == events, std::string(table), event.SerializeAsString()});
  }
}

void TestChain::Noise(size_t bytes, uint64_t seed) {
  Transaction(1);
  v1::Event event;
  ASSAY_CHECK(event.ParseFromString(events_.back().bytes));
  std::mt19937_64 random(seed);
  std::string* value = event.mutable_row()->mutable_columns(0)->mutable_value();
  value->resize(bytes);
  for (char& c : *value) c = static_cast<char>(' ' + random() % 95);
  events_.back().bytes = event.SerializeAsString();
}

void TestChain::Tamper(Sequence sequence) {
  v1::Event event;
  ASSAY_CHECK(event.ParseFromString(bytes(sequence.value)));
  event.mutable_row()->add_key("another content");
  events_[sequence.value - 1].bytes = event.SerializeAsString();
}

Segment TestChain::Cut(uint64_t first, uint64_t last) const {
  SegmentBuilder builder(origin_);
  for (uint64_t sequence = first; sequence <= last; ++sequence) {
    const Event& event = events_[sequence - 1];
    builder.Add({.origin = origin_,
                 .sequence = {sequence},
                 .stamp = event.stamp,
                 .ends_transaction = event.ends_transaction,
                 .table = event.table,
                 .bytes = event.bytes,
                 .leaf = leaf(sequence)});
  }
  return builder.Finish(/*with_leaf_hashes=*/true);
}

std::vector<Segment> TestChain::ByTransaction() const {
  std::vector<Segment> segments;
  uint64_t first = 1;
  for (uint64_t sequence = 1; sequence <= events_.size(); ++sequence) {
    if (!events_[sequence - 1].ends_transaction) continue;
    segments.push_back(Cut(first, sequence));
    first = sequence + 1;
  }
  return segments;
}

PushRequest TestChain::Push(std::vector<Segment> segments, std::string checkpoint) const {
  return {.origin = origin_, .segments = std::move(segments), .checkpoint = std::move(checkpoint)};
}

Hash TestChain::leaf(uint64_t sequence) const { return LeafHash(bytes(sequence)); }

std::string TestChain::Checkpoint(uint64_t size, uint8_t root_seed) const {
  assay::Checkpoint checkpoint{.origin = origin_, .size = size};
  checkpoint.root.fill(root_seed);
  return SignCheckpoint(checkpoint, Key());
}

absl::StatusOr<std::vector<Segment>> PullAll(Hub& hub, std::map<OriginId, Sequence> have, size_t bytes_max) {
  std::vector<Segment> segments;
  for (;;) {
    absl::StatusOr<PullReply> reply = hub.Pull({.have = have, .bytes_max = bytes_max});
    if (!reply.ok()) return reply.status();
    for (Segment& segment : reply->segments) {
      Sequence& held = have[segment.origin];
      if (segment.first > held.Next()) return absl::InternalError(absl::StrCat("a gap before ", segment.first.value));
      if (segment.last <= held) return absl::InternalError(absl::StrCat("given twice: ", segment.first.value));
      held = segment.last;
      segments.push_back(std::move(segment));
    }
    if (!reply->more) return segments;
    if (reply->segments.empty() && !reply->arriving) return absl::InternalError("more, and nothing given");
  }
}

}  // namespace assay::test
