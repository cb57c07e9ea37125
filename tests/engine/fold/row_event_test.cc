// Goal: reading an event in place says what Protocol Buffers' parser says, for every sequence of bytes.
// Method: compare the two on events as the recorder writes them, on such events with bytes changed, cut and repeated,
// and on fields in odd places.
#include "engine/fold/row_event.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace assay {
namespace {

v1::Event Example(bool begins) {
  v1::Event event;
  event.set_origin(std::string(16, '\x7a'));
  event.set_sequence(123'456);
  event.set_stamp(0x0123456789abcdef);
  event.set_transaction_first(123'450);
  event.set_ends_transaction(true);
  if (begins) {
    event.mutable_transaction()->set_xid(77);
    event.mutable_transaction()->mutable_attribution()->set_application_user("asha");
    event.mutable_transaction()->add_seen()->set_sequence(9);
  }
  v1::RowChange* row = event.mutable_row();
  row->set_operation(v1::RowChange::UPDATE);
  row->set_schema(17);
  row->add_key("7f3c-1");
  row->add_key("");
  v1::ColumnChange* column = row->add_columns();
  column->set_ordinal(3);
  column->set_value("hallmarked piece, tray 12");
  column->set_old_value("hallmarked piece");
  column->set_replaced(1);
  column = row->add_columns();
  column->set_ordinal(4);
  column->set_is_null(true);
  column = row->add_columns();  // Written, and too large for an event.
  column->set_ordinal(300);
  v1::VersionRef* replaced = row->add_replaced();
  replaced->set_stamp(5);
  replaced->set_origin(std::string(16, '\x01'));
  row->set_row_replaced(1);
  return event;
}

// What the two make of the same bytes. The transaction's header is compared as it parses.
void ExpectSame(const std::string& bytes) {
  RowEventReader reader;
  const absl::StatusOr<const RowEvent*> read = reader.Read(bytes);
  v1::Event parsed;
  v1::TransactionHeader header;
  if (!parsed.ParseFromString(bytes)) {
    // Attribution is text, which the parser checks; whoever uses the header parses it.
    const bool refused =
        !read.ok() || !header.ParseFromArray((*read)->header.data(), static_cast<int>((*read)->header.size()));
    EXPECT_TRUE(refused) << "read in place, and no message";
    return;
  }
  ASSERT_TRUE(read.ok()) << read.status();
  const RowEvent& event = **read;
  ASSERT_TRUE(header.ParseFromArray(event.header.data(), static_cast<int>(event.header.size())));
  EXPECT_EQ(header.SerializeAsString(), parsed.transaction().SerializeAsString());
  ASSERT_EQ(event.body == RowEvent::Body::kRow, parsed.has_row());
  ASSERT_EQ(event.body == RowEvent::Body::kSchema, parsed.has_schema());
  if (!parsed.has_row()) return;
  const v1::RowChange& row = parsed.row();
  EXPECT_EQ(event.kind == ChangeKind::kInsert, row.operation() == v1::RowChange::INSERT);
  EXPECT_EQ(event.kind == ChangeKind::kDelete, row.operation() == v1::RowChange::DELETE);
  EXPECT_EQ(event.schema.value, row.schema());
  ASSERT_EQ(event.key.size(), static_cast<size_t>(row.key_size()));
  for (int i = 0; i < row.key_size(); ++i) EXPECT_EQ(event.key[i], row.key(i));
  ASSERT_EQ(event.columns.size(), static_cast<size_t>(row.columns_size()));
  for (int i = 0; i < row.columns_size(); ++i) {
    EXPECT_EQ(event.columns[i].ordinal, row.columns(i).ordinal());
    EXPECT_EQ(event.columns[i].has_value, row.columns(i).has_value());
    EXPECT_EQ(event.columns[i].is_null, row.columns(i).is_null());
    EXPECT_EQ(event.columns[i].value, row.columns(i).value());
  }
}

TEST(RowEventTest, ReadsWhatTheParserReads) {
  for (const bool begins : {false, true}) ExpectSame(Example(begins).SerializeAsString());
  v1::Event other = Example(true);
  other.mutable_schema()->set_table_name("products");
  ExpectSame(other.SerializeAsString());
  other.mutable_origin_opened()->set_branch_name("mumbai");
  ExpectSame(other.SerializeAsString());
  other.clear_body();
  ExpectSame(other.SerializeAsString());
  ExpectSame("");
}

TEST(RowEventTest, AFieldThatComesTwiceIsJoinedAsTheParserDoes) {
  v1::Event more;
  more.mutable_row()->add_key("another");
  more.mutable_row()->set_operation(v1::RowChange::DELETE);
  more.mutable_transaction()->set_xid(78);
  const std::string one = Example(true).SerializeAsString(), two = more.SerializeAsString();
  ExpectSame(one + two);
  ExpectSame(two + one);
  v1::Event schema;
  schema.mutable_schema()->set_table_name("products");
  ExpectSame(one + schema.SerializeAsString());
  ExpectSame(schema.SerializeAsString() + one);
}

TEST(RowEventTest, ReadsDamagedBytesAsTheParserDoes) {
  std::mt19937 random(1);
  for (int round = 0; round < 200'000; ++round) {
    std::string bytes = Example(round % 2 == 0).SerializeAsString();
    const auto place = [&] { return random() % bytes.size(); };
    switch (round % 3) {
      case 0:
        bytes[place()] = static_cast<char>(random());
        break;
      case 1:
        bytes.resize(place());
        break;
      case 2:
        bytes.insert(place(), bytes.substr(place(), random() % 24));
        break;
    }
    ExpectSame(bytes);
    if (::testing::Test::HasFailure()) FAIL() << "round " << round;
  }
}

}  // namespace
}  // namespace assay
