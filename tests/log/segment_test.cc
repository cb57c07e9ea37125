#include "log/segment.h"

#include <malloc.h>

#include <tuple>

#include "absl/strings/match.h"
#include "log/bytes.h"
#include "log/merkle_tree.h"
#include "log/segment_cache.h"
#include "log/segment_part.h"
#include "tests/log/test_events.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

const OriginId kA = test::Origin(0xaa);

StoredEvent Stored(const v1::Event& event, absl::string_view table, const std::string& bytes) {
  return {.origin = *OriginId::FromBytes(event.origin()),
          .sequence = {event.sequence()},
          .stamp = {event.stamp()},
          .ends_transaction = event.ends_transaction(),
          .table = table,
          .bytes = bytes,
          .leaf = LeafHash(bytes)};
}

std::vector<Segment> Pack(const std::vector<TestTransaction>& transactions, bool with_leaf_hashes = true) {
  SegmentBuilder builder(kA);
  std::vector<Segment> segments;
  for (const TestTransaction& transaction : transactions) {
    for (size_t i = 0; i < transaction.events.size(); ++i) {
      const std::string bytes = transaction.events[i].SerializeAsString();
      const StoredEvent event = Stored(transaction.events[i], transaction.tables[i], bytes);
      while (builder.Full(event)) segments.push_back(builder.Finish(with_leaf_hashes));
      builder.Add(event);
    }
  }
  while (!builder.empty()) segments.push_back(builder.Finish(with_leaf_hashes));
  return segments;
}

std::vector<std::string> Unpack(const Segment& segment) {
  absl::StatusOr<DecodedSegment> decoded = DecodedSegment::Decode(segment);
  EXPECT_OK(decoded.status());
  std::vector<std::string> seen;
  if (!decoded.ok()) return seen;
  for (const StoredEvent& event : decoded->events()) {
    EXPECT_EQ(event.leaf, LeafHash(event.bytes));
    seen.push_back(absl::StrCat(event.sequence.value, "|", event.stamp.value, "|", event.ends_transaction, "|",
                                event.table, "|", event.bytes));
  }
  return seen;
}

std::vector<TestTransaction> SmallTransactions() {
  return {MakeTransaction(kA, 1, 1000, {"public.a", "public.b"}), MakeTransaction(kA, 3, 2000, {"public.a"}),
          MakeTransaction(kA, 4, 2001, {"", "public.a", "public.b"})};
}

TEST(SegmentTest, EventsComeBackInOrderAndInPlace) {
  std::vector<std::string> expected;
  for (const TestTransaction& transaction : SmallTransactions()) {
    for (const std::string& each : Expected(transaction)) expected.push_back(each);
  }
  const std::vector<Segment> segments = Pack(SmallTransactions());
  ASSERT_EQ(segments.size(), 1u);
  EXPECT_EQ(segments[0].first, Sequence{1});
  EXPECT_EQ(segments[0].last, Sequence{6});
  EXPECT_TRUE(segments[0].ends_transaction);
  EXPECT_EQ(segments[0].parts.size(), 3u);
  EXPECT_EQ(segments[0].leaf_hashes.size(), 6 * sizeof(Hash));
  EXPECT_EQ(Unpack(segments[0]), expected);
}

TEST(SegmentTest, BodyIsReadBack) {
  const Segment segment = Pack(SmallTransactions(), false)[0];
  Segment read{.origin = segment.origin, .first = segment.first, .last = segment.last, .ends_transaction = true};
  ASSERT_OK(DecodeSegmentBody(EncodeSegmentBody(segment), &read));
  EXPECT_EQ(Unpack(read), Unpack(segment));
}

// Goal: whatever a disk does to a stored segment, nobody reads a wrong event.
// Method: cut it everywhere and flip every bit.
TEST(SegmentTest, NoDamagedBodyIsBelieved) {
  const Segment segment = Pack(SmallTransactions(), false)[0];
  const std::string body = EncodeSegmentBody(segment);
  const Segment place{.origin = segment.origin, .first = segment.first, .last = segment.last, .ends_transaction = true};
  for (size_t size = 0; size < body.size(); ++size) {
    Segment read = place;
    EXPECT_TRUE(absl::IsDataLoss(DecodeSegmentBody(body.substr(0, size), &read))) << size;
  }
  for (size_t bit = 0; bit < body.size() * 8; ++bit) {
    std::string flipped = body;
    flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
    Segment read = place;
    EXPECT_TRUE(absl::IsDataLoss(DecodeSegmentBody(flipped, &read))) << bit;
  }
  for (Segment moved : {Segment{.origin = test::Origin(1), .first = {1}, .last = {6}, .ends_transaction = true},
                        Segment{.origin = kA, .first = {2}, .last = {7}, .ends_transaction = true},
                        Segment{.origin = kA, .first = {1}, .last = {6}, .ends_transaction = false}}) {
    EXPECT_TRUE(absl::IsDataLoss(DecodeSegmentBody(body, &moved)));
  }
}

// Goal: a peer's segment is right or refused, and never crashes the reader.
// Method: change every byte of every field to a few other values; with leaf hashes only equal content may pass.
TEST(SegmentTest, NoDamagedSegmentIsBelieved) {
  const Segment segment = Pack(SmallTransactions())[0];
  const std::vector<std::string> expected = Unpack(segment);
  int refused = 0;
  const auto check = [&](const Segment& changed) {
    const absl::StatusOr<DecodedSegment> decoded = DecodedSegment::Decode(changed);
    if (!decoded.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(decoded.status()) || absl::IsFailedPrecondition(decoded.status()))
          << decoded.status();
      ++refused;
      return;
    }
    std::vector<std::string> seen;
    for (const StoredEvent& event : decoded->events()) {
      seen.push_back(absl::StrCat(event.sequence.value, "|", event.stamp.value, "|", event.ends_transaction, "|",
                                  event.table, "|", event.bytes));
    }
    EXPECT_EQ(seen, expected);
  };
  const auto damage = [&](Segment& changed, std::string& field) {
    const std::string original = field;
    for (size_t i = 0; i < original.size(); ++i) {
      for (const int mask : {0x01, 0x02, 0x10, 0x80, 0xff}) {
        field[i] = static_cast<char>(original[i] ^ mask);
        check(changed);
        field[i] = original[i];
      }
      field = original.substr(0, i);
      check(changed);
      field = original;
    }
    field.push_back('\0');
    check(changed);
    field = original;
  };
  Segment changed = segment;
  damage(changed, changed.layout);
  const std::string leaves = changed.leaf_hashes;
  damage(changed, changed.leaf_hashes);
  for (SegmentPart& part : changed.parts) {
    damage(changed, part.payload);
    for (const uint32_t count : {0u, part.event_count - 1, part.event_count + 1, UINT32_MAX}) {
      const uint32_t original = std::exchange(part.event_count, count);
      check(changed);
      part.masked = true;
      check(changed);
      part.masked = false;
      part.event_count = original;
    }
  }
  EXPECT_GT(refused, 1000);
  for (const uint64_t first : {0, 2, 7}) {
    changed = segment;
    changed.first = {first};
    EXPECT_FALSE(DecodedSegment::Decode(changed).ok());
  }
  for (const uint64_t last : {uint64_t{0}, uint64_t{5}, uint64_t{7}, UINT64_MAX}) {
    changed = segment;
    changed.last = {last};
    EXPECT_FALSE(DecodedSegment::Decode(changed).ok());
  }
  changed = segment;
  changed.ends_transaction = false;
  EXPECT_TRUE(absl::IsDataLoss(DecodedSegment::Decode(changed).status())) << "a piece is of one transaction";
  changed = segment;
  changed.parts.clear();
  EXPECT_TRUE(absl::IsDataLoss(DecodedSegment::Decode(changed).status()));
}

// Goal: an event's own word about its place must agree with the place it is given.
TEST(SegmentTest, EventThatSaysAnotherPlaceIsRefused) {
  const v1::Event good = MakeTransaction(kA, 5, 100, {"t.t"}).events[0];
  const auto decode = [&](const v1::Event& event) {
    const std::string bytes = event.SerializeAsString();
    StoredEvent stored = Stored(good, "t.t", bytes);
    SegmentBuilder builder(kA);
    builder.Add(stored);
    return DecodedSegment::Decode(builder.Finish(true)).status();
  };
  EXPECT_OK(decode(good));
  v1::Event event = good;
  event.set_origin(std::string(test::Origin(1).AsBytes()));
  EXPECT_TRUE(absl::IsDataLoss(decode(event)));
  event = good;
  event.set_sequence(6);
  EXPECT_TRUE(absl::IsDataLoss(decode(event)));
  event = good;
  event.set_stamp(101);
  EXPECT_TRUE(absl::IsDataLoss(decode(event)));
  event = good;
  event.set_ends_transaction(false);
  EXPECT_TRUE(absl::IsDataLoss(decode(event)));
  for (const uint64_t first : {0, 6}) {
    event = good;
    event.set_transaction_first(first);
    EXPECT_TRUE(absl::IsDataLoss(decode(event))) << first;
  }
  event = good;
  event.GetReflection()->MutableUnknownFields(&event)->AddVarint(1000, 7);
  EXPECT_OK(decode(event)) << "fields of later versions are kept and passed over";
}

TEST(SegmentTest, LargeTransactionIsCutIntoPiecesOfItsOwn) {
  const std::vector<std::string> many(kSegmentEventsMax * 2 + 10, "public.a");
  const std::vector<Segment> segments =
      Pack({MakeTransaction(kA, 1, 1, {"public.b", "public.b"}), MakeTransaction(kA, 3, 2, many),
            MakeTransaction(kA, 3 + many.size(), 3, {"public.c"})});
  std::vector<std::string> shape;
  for (const Segment& segment : segments) {
    shape.push_back(absl::StrCat(segment.first.value, "-", segment.last.value, segment.ends_transaction ? " end" : ""));
    EXPECT_EQ(Unpack(segment).size(), segment.last.value - segment.first.value + 1);
  }
  EXPECT_THAT(shape, ::testing::ElementsAre("1-2 end", "3-4098", "4099-8194", "8195-8204 end", "8205-8205 end"));
}

TEST(SegmentTest, TransactionAtTheEdgeIsNotCut) {
  std::vector<TestTransaction> transactions;
  uint64_t next = 1;
  for (uint64_t i = 0; next <= 2 * kSegmentEventsMax; ++i) {
    transactions.push_back(MakeTransaction(kA, next, i + 1, {"t.a", "t.b", absl::StrCat("t.", i % 7)}));
    next += 3;
  }
  const std::vector<Segment> segments = Pack(transactions);
  size_t events = 0;
  for (const Segment& segment : segments) {
    EXPECT_TRUE(segment.ends_transaction);
    events += Unpack(segment).size();
  }
  EXPECT_EQ(segments.size(), 3u);
  EXPECT_EQ(events, next - 1);
}

TEST(SegmentTest, MoreTablesThanAByteHoldsMakeMoreSegments) {
  std::vector<TestTransaction> transactions;
  for (uint64_t i = 1; i <= 600; ++i) transactions.push_back(MakeTransaction(kA, i, i, {absl::StrCat("t.", i)}));
  const std::vector<Segment> segments = Pack(transactions);
  ASSERT_EQ(segments.size(), 3u);
  for (const Segment& segment : segments) EXPECT_LE(segment.parts.size(), 255u);
  EXPECT_EQ(Unpack(segments[0]).size() + Unpack(segments[1]).size() + Unpack(segments[2]).size(), 600u);
  // The same inside one transaction.
  std::vector<std::string> tables;
  for (int i = 0; i < 600; ++i) tables.push_back(absl::StrCat("t.", i));
  EXPECT_EQ(Pack({MakeTransaction(kA, 1, 1, tables)}).size(), 3u);
}

TEST(SegmentTest, MaskedPartShowsHashesOnly) {
  Segment segment = Pack(SmallTransactions())[0];
  for (size_t i = 0; i < segment.parts.size(); ++i) {
    if (segment.parts[i].table == "public.b") {
      ASSERT_OK(MaskPart(&segment, i));
    }
  }
  ASSERT_OK_AND_ASSIGN(const DecodedSegment decoded, DecodedSegment::Decode(segment));
  const DecodedSegment clear = *DecodedSegment::Decode(Pack(SmallTransactions())[0]);
  for (size_t i = 0; i < decoded.events().size(); ++i) {
    const StoredEvent& event = decoded.events()[i];
    EXPECT_EQ(event.masked, event.table == "public.b");
    EXPECT_EQ(event.bytes.empty(), event.masked);
    EXPECT_EQ(event.leaf, clear.events()[i].leaf);
    EXPECT_EQ(event.stamp, clear.events()[i].stamp);
    EXPECT_EQ(event.ends_transaction, clear.events()[i].ends_transaction);
  }
  Segment without = Pack(SmallTransactions(), false)[0];
  EXPECT_TRUE(absl::IsFailedPrecondition(MaskPart(&without, 0)));
}

// Goal: a few kilobytes from a peer cannot ask for hundreds of gigabytes.
// Method: many parts, each honest, each a large run of zeros packed small.
TEST(SegmentTest, PartsTogetherDoNotUnpackToMoreThanOneMay) {
  EXPECT_TRUE(absl::IsDataLoss(UnpackPart(PackPart(std::string(100000, 'x'), 0), 99999).status()));
  Segment segment = Pack(SmallTransactions())[0];
  const std::string bomb = PackPart(std::string(kPartBytesMax / 2 + 1, '\0'), 0);
  ASSERT_LT(bomb.size(), 100000u);
  for (SegmentPart& part : segment.parts) part.payload = bomb;
  const absl::Status status = DecodedSegment::Decode(segment).status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(status.message(), HasSubstr("impossible size"));
}

TEST(SegmentPartTest, LargeAndSmallPartsComeBack) {
  std::string random;
  for (uint32_t x = 1; random.size() < 9000000; x = x * 1664525 + 1013904223)
    random.push_back(static_cast<char>(x >> 24));
  for (const std::string& raw :
       {std::string(), std::string("x"), std::string(kDictionaryPartBytesMax, 'x'),
        std::string(kDictionaryPartBytesMax + 1, 'x'), std::string(9000000, 'x'), random, random.substr(0, 100)}) {
    const std::string payload = PackPart(raw, 0x01020304);
    EXPECT_LE(payload.size(), raw.size() + 5);
    ASSERT_OK_AND_ASSIGN(const UnpackedPart back, UnpackPart(payload));
    EXPECT_TRUE(back.bytes == raw);
    EXPECT_EQ(back.check, 0x01020304u);
    if (payload.size() < raw.size()) {
      EXPECT_TRUE(absl::IsDataLoss(UnpackPart(absl::string_view(payload).substr(0, payload.size() - 1)).status()));
    }
  }
}

TEST(SegmentPartTest, PartThatDeclaresMoreThanItHoldsIsRefusedWithoutBelievingIt) {
  for (const size_t honest_size : {100000, 1000}) {
    const std::string honest = PackPart(std::string(honest_size, 'x'), 0);
    ByteReader reader(absl::string_view(honest).substr(5));
    uint64_t size;
    ASSERT_TRUE(reader.Varint(&size));
    for (const uint64_t lie :
         {uint64_t{1} << 30, (uint64_t{1} << 30) + 1, UINT64_MAX, size - 1, size + 1, uint64_t{8} << 20}) {
      std::string payload = honest.substr(0, 5);
      PutVarint(&payload, lie);
      payload.append(honest.substr(honest.size() - reader.size()));
      EXPECT_TRUE(absl::IsDataLoss(UnpackPart(payload).status())) << lie;
    }
  }
  EXPECT_TRUE(absl::IsDataLoss(UnpackPart("").status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(UnpackPart("\x07later").status()));
}

// Goal: an event's own bytes come back, however it begins and wherever a segment thinks that it stands.
// Method: one event as a serializer writes it, with its fields in another order, with one twice, with another place,
// empty, and large.
TEST(EventPlaceTest, EveryEventComesBackAsItWas) {
  const EventPlace place{kA, {300}, {0x018cc251f4000000}, {299}, true};
  v1::Event event;
  event.set_origin(std::string(kA.AsBytes()));
  event.set_sequence(300);
  event.set_stamp(place.stamp.value);
  event.set_transaction_first(299);
  event.set_ends_transaction(true);
  event.mutable_row()->add_key("5");
  const std::string plain = event.SerializeAsString();
  event.mutable_row()->add_key(std::string(1 << 20, 'x'));
  constexpr size_t kHead = 35;
  const std::string head = plain.substr(0, kHead);
  const std::string large = event.SerializeAsString(), turned = plain.substr(kHead) + head;
  for (const std::string& bytes : {plain, head, plain + head, turned, large, std::string(), std::string("\x0a")}) {
    for (const EventPlace& taken :
         {place, EventPlace{kA, {300}, place.stamp, {298}, true}, EventPlace{kA, {301}, place.stamp, {299}, true},
          EventPlace{kA, {300}, place.stamp, {299}, false},
          EventPlace{test::Origin(1), {300}, place.stamp, {299}, true}}) {
      std::string part = "before";
      PutEvent(taken, bytes, &part);
      const bool leaves_out = bytes.size() < 1000 && absl::StartsWith(bytes, head) &&
                              taken.sequence == place.sequence && taken.transaction_first == place.transaction_first &&
                              taken.origin == kA;
      const size_t left_out = !leaves_out ? 0 : taken.ends_transaction ? kHead : kHead - 2;
      EXPECT_LE(part.size(), 6 + bytes.size() - left_out + 4);
      PutEvent(place, plain, &part);
      ByteArena arena;
      ByteReader reader(absl::string_view(part).substr(6));
      absl::string_view first, second, none;
      ASSERT_TRUE(TakeEvent(taken, &reader, &arena, &first));
      ASSERT_TRUE(TakeEvent(place, &reader, &arena, &second));
      EXPECT_TRUE(first == bytes);
      EXPECT_TRUE(second == plain);
      EXPECT_FALSE(TakeEvent(place, &reader, &arena, &none));
    }
  }
}

TEST(EventPlaceTest, WhatWasTakenFirstStaysWhileMoreIsTaken) {
  ByteArena arena;
  std::vector<absl::string_view> joined;
  for (int i = 0; i < 20000; ++i) joined.push_back(arena.Join("event ", absl::StrCat(i)));
  const ByteArena moved = std::move(arena);
  for (int i = 0; i < 20000; ++i) EXPECT_EQ(joined[i], absl::StrCat("event ", i));
  EXPECT_EQ(moved.size(), 20000 * 6 + 10 + 90 * 2 + 900 * 3 + 9000 * 4 + 10000 * 5);
}

// Goal: a sale that goes alone is not mostly what its place says again.
TEST(SegmentTest, OneSmallTransactionTakesLessThanItsEvents) {
  const TestTransaction sale = MakeTransaction(kA, 1000, 0x018cc251f4000000, {"public.a", "public.b", "public.b"});
  size_t events = 0, parts = 0;
  for (const v1::Event& event : sale.events) events += event.ByteSizeLong();
  const Segment segment = Pack({sale}, false)[0];
  for (const SegmentPart& part : segment.parts) parts += part.payload.size();
  EXPECT_LT(parts + 3 * 30, events);
  EXPECT_EQ(Unpack(segment), Expected(sale));
}

// Goal: events without their place are not taken for others when a segment says another place.
// Method: the same segment under another origin, sequence, and stamp.
TEST(SegmentTest, SegmentInAnotherPlaceIsRefused) {
  const Segment segment = Pack(SmallTransactions(), false)[0];
  Segment other_origin = segment, later = segment, other_stamp = segment;
  other_origin.origin = test::Origin(1);
  later.first = later.first.Next();
  later.last = later.last.Next();
  other_stamp.layout[2] ^= 1;
  for (const Segment& moved : {other_origin, later, other_stamp}) {
    const absl::Status status = DecodedSegment::Decode(moved).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("another place"));
  }
}

// Goal: a cache holds to its bound in what it takes of the heap, whatever the segments are. Method: more and more sales
// of one row each, which take most beside their bytes; then such with many rows, and large values.
TEST(SegmentCacheTest, WhatItTakesStaysBelowItsBound) {
  const auto heap = [] { return mallinfo2().uordblks; };
  for (const auto& [rows, padding, count] :
       {std::tuple{1, 0, 15'000}, {1, 0, 45'000}, {200, 0, 900}, {1, 300'000, 150}}) {
    SegmentCache cache;
    const size_t before = heap();
    uint64_t sequence = 1;
    for (int i = 0; i < count; ++i) {
      const TestTransaction sale = MakeTransaction(
          kA, sequence, 1000 + sequence, std::vector<std::string>(rows, "public.sale"), std::string(padding, 'x'));
      sequence += sale.events.size();
      ASSERT_OK_AND_ASSIGN(DecodedSegment decoded, DecodedSegment::Decode(Pack({sale}).front()));
      cache.Add(0, std::make_shared<const DecodedSegment>(std::move(decoded)));
    }
    EXPECT_LT(static_cast<double>(heap() - before) / kSegmentCacheBytes, 1.25) << count << " of " << rows << " rows";
  }
}

}  // namespace
}  // namespace assay
