// A log file and all that an engine keeps in it, open together.
//
//   OpenLog log(directory.path() + "/log.db");
//   log.InTransaction([&] { log.names->IdOf(...); });
#pragma once

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "log/event_log.h"
#include "log/local_state/conflicts.h"
#include "log/local_state/local_state.h"
#include "log/local_state/stores.h"
#include "log/local_state/unsettled_rows.h"
#include "log/log_file.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"

namespace assay::test {

struct OpenLog {
  explicit OpenLog(const std::string& path)
      : file(LogFile::Open(path, {}).value()),
        log(EventLog::Open(file.get()).value()),
        names(TableNames::Open(file.get(), log.get()).value()),
        rows(RowVersionStore::Open(file.get(), log.get()).value()),
        state(LocalState::Open(file.get(), log.get()).value()),
        unsettled(UnsettledRows::Open(file.get(), log.get()).value()),
        conflicts(Conflicts::Open(file.get(), log.get()).value()) {}

  Stores stores() const { return {log.get(), names.get(), rows.get(), state.get(), unsettled.get(), conflicts.get()}; }

  template <typename Work>
  void InTransaction(Work work) {
    ASSERT_TRUE(file->Begin().ok());
    work();
    const absl::Status committed = file->Commit();
    ASSERT_TRUE(committed.ok()) << committed;
  }

  std::unique_ptr<LogFile> file;
  std::unique_ptr<EventLog> log;
  std::unique_ptr<TableNames> names;
  std::unique_ptr<RowVersionStore> rows;
  std::unique_ptr<LocalState> state;
  std::unique_ptr<UnsettledRows> unsettled;
  std::unique_ptr<Conflicts> conflicts;
};

}  // namespace assay::test
