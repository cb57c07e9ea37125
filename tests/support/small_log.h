// A small real log: two branches, a table, an invoice of two rows, an edit, a delete, a parked row and a conflict.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tests/support/open_log.h"

namespace assay::test {

class SmallLog {
 public:
  static constexpr int64_t kStartMs =
      1'760'000'000'000;  // 2025-10-09 08:53:20 UTC; one second per transaction from there.

  explicit SmallLog(const std::string& path) : open_(path) {
    mumbai_.bytes.fill(0xaa);
    delhi_.bytes.fill(0xbb);
    Begin();
    for (const OriginId& origin : {mumbai_, delhi_}) {
      v1::Event opened = Next(origin);
      opened.mutable_origin_opened()->set_branch_name(origin == mumbai_ ? "mumbai" : "delhi");
      opened.mutable_origin_opened()->set_branch_number(origin == mumbai_ ? 1 : 2);
      Append(opened, "");
      v1::Event schema = Next(origin);
      v1::TableSchema* table = schema.mutable_schema();
      table->set_schema_name("public");
      table->set_table_name("items");
      for (const char* name : {"id", "name", "price"}) {
        table->add_columns()->set_name(name);
        table->mutable_columns()->rbegin()->set_type("text");
      }
      table->add_key(0);
      schema.set_ends_transaction(true);
      Append(schema, "public.items");
    }
    Commit();
  }

  const OriginId& mumbai() const { return mumbai_; }
  const OriginId& delhi() const { return delhi_; }
  // What it is made of, for who works on rather than opening the file again.
  OpenLog& open() { return open_; }

  // One row change in a transaction of its own. Columns: old and new value; nullopt: NULL.
  using Columns = std::vector<std::pair<std::optional<std::string>, std::optional<std::string>>>;
  Sequence Write(const OriginId& origin, v1::RowChange::Operation operation, const std::string& key,
                 const Columns& columns, const std::string& user = "") {
    Begin();
    v1::Event event = Next(origin);
    if (!user.empty()) event.mutable_transaction()->mutable_attribution()->set_application_user(user);
    event.mutable_transaction()->set_commit_lsn(0x16B374D848);
    Fill(operation, key, columns, event.mutable_row());
    Append(event, "public.items");
    Commit();
    return Sequence{event.sequence()};
  }

  // Makes what `write` writes durable all at once.
  template <typename Write>
  void Together(Write write) {
    Begin();
    write();
    Commit();
  }

  void Park(const std::string& key, const std::string& cause) {
    Begin();
    RowRef row;
    row.table = *open_.names->IdOf({"public", "items"});
    row.key.fill(static_cast<uint8_t>(key[0]));
    ASSERT_TRUE(open_.unsettled
                    ->ParkRefused(row, {EncodeKey(std::vector<std::string>{key}), delhi_, {3}}, {cause, "23505"},
                                  RowVersions{}, kStartMs)
                    .ok());
    Commit();
  }

  void AddConflict(const std::string& key, Sequence winner, Sequence loser) {
    Begin();
    KeepConflict(key, winner, loser);
    Commit();
  }
  // Of events that nobody holds.
  void AddConflicts(int count) {
    Begin();
    for (int i = 0; i < count; ++i) KeepConflict("7", Sequence{100'000u + i}, Sequence{200'000u + i});
    Commit();
  }
  void KeepConflict(const std::string& key, Sequence winner, Sequence loser) {
    Conflict conflict;
    conflict.row.table = *open_.names->IdOf({"public", "items"});
    conflict.key = EncodeKey(std::vector<std::string>{key});
    conflict.column = *open_.names->ColumnIdOf(conflict.row.table, "price");
    conflict.winner = {HlcStamp::FromMillis(kStartMs + 2), mumbai_, winner};
    conflict.loser = {HlcStamp::FromMillis(kStartMs + 1), delhi_, loser};
    conflict.rule = "newest write of a column";
    conflict.found_ms = kStartMs;
    ASSERT_TRUE(open_.conflicts->Add(conflict).ok());
  }

  void AppendRaw(const v1::Event& event, absl::string_view table) {
    Begin();
    Append(event, table);
    Commit();
  }
  // The frame of the next event, alone in its transaction.
  v1::Event Next(const OriginId& origin) {
    v1::Event event;
    event.set_origin(std::string(origin.AsBytes()));
    event.set_sequence(open_.log->Head(origin).last.value + 1);
    event.set_stamp(HlcStamp::FromMillis(kStartMs + 1000 * time_++).value);
    event.set_transaction_first(event.sequence());
    event.set_ends_transaction(true);
    event.mutable_transaction();
    return event;
  }
  static void Fill(v1::RowChange::Operation operation, const std::string& key, const Columns& columns,
                   v1::RowChange* row) {
    row->set_operation(operation);
    row->set_schema(2);
    row->add_key(key);
    for (size_t i = 0; i < columns.size(); ++i) {
      v1::ColumnChange* change = row->add_columns();
      change->set_ordinal(static_cast<uint32_t>(i + 1));
      if (operation != v1::RowChange::INSERT) {
        if (columns[i].first)
          change->set_old_value(*columns[i].first);
        else
          change->set_old_is_null(true);
      }
      if (operation != v1::RowChange::DELETE) {
        if (columns[i].second)
          change->set_value(*columns[i].second);
        else
          change->set_is_null(true);
      }
    }
  }

 private:
  void Begin() {
    if (depth_++ > 0) return;
    ASSERT_TRUE(open_.file->Begin().ok());
  }
  void Commit() {
    if (--depth_ > 0) return;
    ASSERT_TRUE(open_.file->Commit().ok());
  }
  void Append(const v1::Event& event, absl::string_view table) {
    ASSERT_TRUE(open_.log->Append(event, table, event.SerializeAsString()).ok());
  }

  OriginId mumbai_, delhi_;
  int64_t time_ = 0;
  int depth_ = 0;
  OpenLog open_;
};

}  // namespace assay::test
