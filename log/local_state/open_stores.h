// The stores of one log file, opened together: none of them knows what another instance of it appends.
//
//   ASSAY_ASSIGN_OR_RETURN(OpenStores open, OpenStores::Open(file.get()));
//   Recorder recorder(config, own, open.stores(), &clock, &echo);
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "log/event_log.h"
#include "log/local_state/conflicts.h"
#include "log/local_state/local_state.h"
#include "log/local_state/stores.h"
#include "log/local_state/unsettled_rows.h"
#include "log/log_file.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"

namespace assay {

struct OpenStores {
  std::unique_ptr<EventLog> log;
  std::unique_ptr<TableNames> names;
  std::unique_ptr<RowVersionStore> rows;
  std::unique_ptr<LocalState> state;
  std::unique_ptr<UnsettledRows> unsettled;
  std::unique_ptr<Conflicts> conflicts;

  // Errors are those of the file: DATA_LOSS when a store finds something that no Assay writes.
  static absl::StatusOr<OpenStores> Open(LogFile* file, RowVersionStore::Limits limits = RowVersionStore::Limits());
  Stores stores() const { return {log.get(), names.get(), rows.get(), state.get(), unsettled.get(), conflicts.get()}; }
};

}  // namespace assay
