// An Operator whose status a test sets and whose commands it sees.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/operator.h"

namespace assay::test {

class ScriptedOperator : public Operator {
 public:
  explicit ScriptedOperator(std::string log_path) : log_path_(std::move(log_path)) {
    status_.version = "0.0-test";
    status_.engine.branch_name = "mumbai";
    status_.state = "running";
  }

  template <typename Change>
  void Set(Change change) {
    std::lock_guard<std::mutex> lock(mutex_);
    change(status_);
    ++status_.change;
    changed_.notify_all();
  }
  std::vector<std::string> commands() {
    std::lock_guard<std::mutex> lock(mutex_);
    return commands_;
  }
  // Every command answers this from now on.
  void AnswerWith(const absl::Status& answer) {
    std::lock_guard<std::mutex> lock(mutex_);
    answer_ = answer;
  }

  DaemonStatus Status() override {
    std::lock_guard<std::mutex> lock(mutex_);
    return status_;
  }
  DaemonStatus WaitForChange(uint64_t seen, absl::Duration wait) override {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoMilliseconds(wait), [&] { return status_.change > seen; });
    return status_;
  }
  absl::Status SyncNow() override { return Note("sync now"); }
  absl::Status AskAboutAll() override { return Note("ask about all"); }
  absl::Status Pause() override { return Note("pause"); }
  absl::Status Resume() override { return Note("resume"); }
  absl::Status SetInterval(absl::Duration interval) override {
    return Note(absl::StrCat("interval ", absl::FormatDuration(interval)));
  }
  absl::Status RetryParked(std::optional<TableName> table) override {
    return Note(absl::StrCat("retry ", table ? table->ToString() : "all"));
  }
  absl::StatusOr<uint64_t> CheckTables(std::vector<TableName> tables) override {
    std::string command = "check";
    for (const TableName& table : tables) absl::StrAppend(&command, " ", table.ToString());
    const absl::Status noted = Note(command);
    if (!noted.ok()) return noted;
    return 1;
  }
  absl::Status ForgetParked(TableName table, std::optional<std::vector<std::string>> key) override {
    return Note(absl::StrCat("forget ", table.ToString(), key ? absl::StrCat(" ", absl::StrJoin(*key, ",")) : ""));
  }
  std::string log_path() const override { return log_path_; }

 private:
  absl::Status Note(const std::string& command) {
    std::lock_guard<std::mutex> lock(mutex_);
    commands_.push_back(command);
    return answer_;
  }
  std::string log_path_;
  std::mutex mutex_;
  std::condition_variable changed_;
  DaemonStatus status_;
  absl::Status answer_;
  std::vector<std::string> commands_;
};

}  // namespace assay::test
