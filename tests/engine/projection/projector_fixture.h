// A projector over a small real log, of which the test is the database (a map of rows) and the capture that brings
// echoes and fences back, one at a time.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/projection/projector.h"
#include "tests/support/hand_clock.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {

class ProjectorTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kSession = 1;
  inline static const TableName kItems{"public", "items"};
  // A row as PostgreSQL shows it.
  struct Shown {
    uint32_t xmin = 0;
    std::string name, price;
  };

  ProjectorTest() { Restart(); }
  test::OpenLog& log() { return small_.open(); }
  const OriginId& delhi() const { return small_.delhi(); }
  // The daemon dies and comes back: what is not in the log is gone.
  void Restart() {
    projector_ = std::make_unique<Projector>(config_, small_.mumbai(), log().stores(), &clock_, &random_);
    ASSERT_EQ(projector_->Load(), absl::OkStatus());
  }

  // ---- What delhi's shop did ----

  Sequence Insert(const std::string& key, const std::string& name) {
    return small_.Write(delhi(), v1::RowChange::INSERT, key, {{{}, name}, {{}, "9"}});
  }
  Sequence Rename(const std::string& key, const std::string& before, const std::string& after) {
    return small_.Write(delhi(), v1::RowChange::UPDATE, key, {{before, after}});
  }

  // ---- The engine, which steps the projector ----

  // The next call, once that is durable.
  std::optional<DatabaseCall> Step(bool idle = true) {
    log().InTransaction([&] { ASSERT_EQ(projector_->Step(1000, idle), absl::OkStatus()); });
    return projector_->TakeCall();
  }
  template <typename Call>
  Call Next(bool idle = true) {
    std::optional<DatabaseCall> call = Step(idle);
    if (call.has_value() && std::holds_alternative<Call>(*call)) return std::get<Call>(*std::move(call));
    ADD_FAILURE() << (call.has_value() ? "another call" : "no call");
    return {};
  }
  ReadRequest NextRead(bool idle = true) { return Next<DatabaseRead>(idle).request; }
  ProjectRequest NextProject(bool idle = true) { return Next<DatabaseProject>(idle).request; }
  void Reply(absl::StatusOr<ReadReply> reply) {
    log().InTransaction([&] { ASSERT_EQ(projector_->OnRead(std::move(reply)), absl::OkStatus()); });
  }
  void Reply(ProjectReply reply) {
    log().InTransaction([&] { ASSERT_EQ(projector_->OnProjected(std::move(reply)), absl::OkStatus()); });
  }
  void Reply(const absl::StatusOr<uint64_t>& last_batch) {
    log().InTransaction([&] { ASSERT_EQ(projector_->OnLastBatch(last_batch), absl::OkStatus()); });
  }

  // ---- PostgreSQL ----

  static TableShape Items() {
    return {kItems, {{"id", "text", true}, {"name", "text", false}, {"price", "text", false}}, {0}};
  }
  ReadReply Show(const ReadRequest& request) const {
    ReadReply reply;
    reply.session = kSession;
    for (const ReadRequest::Table& asked : request.tables) {
      ReadReply::Table& table = reply.tables.emplace_back(ReadReply::Table{.shape = Items()});
      for (const RowKey& key : asked.keys) {
        ReadReply::Row& row = table.rows.emplace_back();
        const auto at = postgres_.find(key[0]);
        if (at == postgres_.end()) continue;
        row = {true, at->second.xmin, {key[0], at->second.name, at->second.price}};
      }
    }
    return reply;
  }
  // Commits what is asked for, and answers.
  ProjectReply Commit(const ProjectRequest& request) {
    const uint32_t xmin = ++xid_;
    for (const TableWrites& writes : request.writes) {
      for (const RowWrite& write : writes.rows) {
        if (IsKeep(write) && postgres_.at(std::string(write.row.KeyParts()[0])).xmin != write.xmin)
          return {.outcome = ProjectReply::Outcome::kMoved};
      }
    }
    for (const TableWrites& writes : request.writes) {
      for (const RowWrite& write : writes.rows) {
        const std::string key(write.row.KeyParts()[0]);
        if (IsKeep(write)) continue;
        if (write.operation == RowWrite::Operation::kDelete) {
          postgres_.erase(key);
          continue;
        }
        Shown& row = postgres_[key];
        row.xmin = xmin;
        for (size_t i = 0; i < writes.columns.size(); ++i) {
          (writes.columns[i] == "name" ? row.name : row.price) = std::string(writes.Value(write, i).value_or(""));
        }
      }
    }
    return {.outcome = ProjectReply::Outcome::kCommitted, .xmin = xmin, .session = kSession};
  }
  static bool IsKeep(const RowWrite& write) { return write.operation == RowWrite::Operation::kKeep; }
  void ReplyMoved(const ProjectRequest&) { Reply(ProjectReply{.outcome = ProjectReply::Outcome::kMoved}); }

  // ---- Capture ----

  // The transaction of `request` comes by, as PostgreSQL has it.
  void Echo(const ProjectRequest& request) {
    log().InTransaction([&] {
      HlcStamp stamp;
      ASSERT_TRUE(projector_->Claims(request.tag, &stamp));
      for (const TableWrites& writes : request.writes) {
        for (const RowWrite& write : writes.rows) {
          if (IsKeep(write)) continue;
          const std::string key(write.row.KeyParts()[0]);
          const bool deletes = write.operation == RowWrite::Operation::kDelete;
          const Shown row = deletes ? Shown{} : postgres_.at(key);
          const auto text = [](const std::string& value) { return TupleValue{TupleValue::Kind::kText, value}; };
          const std::vector<TupleValue> tuple = {text(key), text(row.name), text(row.price)};
          const ChangeKind kind = deletes                                           ? ChangeKind::kDelete
                                  : write.operation == RowWrite::Operation::kInsert ? ChangeKind::kInsert
                                                                                    : ChangeKind::kUpdate;
          EXPECT_TRUE(projector_->Meant(Ref(key), kind, Items(), tuple)) << key;
        }
      }
      ASSERT_EQ(projector_->Landed(), absl::OkStatus());
    });
  }
  // The application has written the row's name, and capture has brought that to the log.
  void RecordLocalWrite(const std::string& key, const std::string& before, const std::string& name) {
    const Sequence local = small_.Write(small_.mumbai(), v1::RowChange::UPDATE, key, {{before, name}});
    const Version version{log().log->Head(small_.mumbai()).complete_stamp, small_.mumbai(), local};
    log().InTransaction([&] {
      const RowVersions* stored = log().rows->Get(Ref(key)).value();
      RowVersions versions = stored == nullptr ? RowVersions{} : *stored;
      Merge(VersionsOf(RowClaim{ChangeKind::kUpdate, version, {Column("name")}}), &versions);
      ASSERT_TRUE(log().rows->Put(Ref(key), versions).ok());
      projector_->NoteActivity();
    });
  }

  // ---- How it stands ----

  RowRef Ref(const std::string& key) {
    return RowOf(log().names->IdOf(kItems).value(), KeyColumns({"id"}), RowKey{key});
  }
  ColumnId Column(const std::string& name) {
    return log().names->ColumnIdOf(log().names->IdOf(kItems).value(), name).value();
  }
  Sequence Projected() { return log().state->Projected(delhi()); }
  std::optional<UnsettledRow> Unsettled(const std::string& key) { return log().unsettled->Find(Ref(key)).value(); }
  size_t OpenIntents() { return log().state->Intents().value().size(); }
  static std::vector<std::string> Keys(const ReadRequest& request) {
    std::vector<std::string> keys;
    for (const ReadRequest::Table& table : request.tables) {
      for (const RowKey& key : table.keys) keys.push_back(key[0]);
    }
    return keys;
  }
  // "insert 7 name=ring price=9" and the like.
  static std::vector<std::string> Writes(const ProjectRequest& request) {
    std::vector<std::string> out;
    for (const TableWrites& writes : request.writes) {
      for (const RowWrite& write : writes.rows) {
        const bool deletes = write.operation == RowWrite::Operation::kDelete;
        std::string& line = out.emplace_back(IsKeep(write)                                     ? "keep "
                                             : deletes                                         ? "delete "
                                             : write.operation == RowWrite::Operation::kInsert ? "insert "
                                                                                               : "update ");
        line += std::string(write.row.KeyParts()[0]);
        for (size_t i = 0; !deletes && i < writes.columns.size(); ++i) {
          line += " " + writes.columns[i] + "=" + std::string(writes.Value(write, i).value_or("NULL"));
        }
      }
    }
    return out;
  }

  // Everything that waits, with nobody in the way.
  void Settle() {
    for (int i = 0; i < 20; ++i) {
      std::optional<DatabaseCall> call = Step();
      if (!call.has_value() && !projector_->HasWork()) return;
      if (!call.has_value()) continue;
      if (auto* read = std::get_if<DatabaseRead>(&*call)) {
        Reply(Show(read->request));
        projector_->OnFence(read->request.fence);
      } else if (auto* project = std::get_if<DatabaseProject>(&*call)) {
        const ProjectReply reply = Commit(project->request);
        Reply(reply);
        if (reply.outcome == ProjectReply::Outcome::kCommitted) Echo(project->request);
      }
    }
    ADD_FAILURE() << "it does not settle";
  }
  // A row that both log and database have, written by a transaction of which the projector knows nothing.
  void Have(const std::string& key, const std::string& name) {
    Insert(key, name);
    Settle();
    ASSERT_EQ(postgres_.at(key).name, name);
    postgres_.at(key).xmin = 7000 + ++xid_;
  }

  test::TempDirectory directory_{"projector"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  EngineConfig config_;
  test::HandClock clock_;
  test::CountingRandom random_;
  std::map<std::string, Shown> postgres_;
  uint32_t xid_ = 100;
  std::unique_ptr<Projector> projector_;
};

}  // namespace assay
