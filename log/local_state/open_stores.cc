#include "log/local_state/open_stores.h"

#include "log/annotate.h"

namespace assay {

absl::StatusOr<OpenStores> OpenStores::Open(LogFile* file, RowVersionStore::Limits limits) {
  OpenStores open;
  ASSAY_ASSIGN_OR_RETURN(open.log, EventLog::Open(file));
  ASSAY_ASSIGN_OR_RETURN(open.names, TableNames::Open(file, open.log.get()));
  ASSAY_ASSIGN_OR_RETURN(open.rows, RowVersionStore::Open(file, open.log.get(), limits));
  ASSAY_ASSIGN_OR_RETURN(open.state, LocalState::Open(file, open.log.get()));
  ASSAY_ASSIGN_OR_RETURN(open.unsettled, UnsettledRows::Open(file, open.log.get()));
  ASSAY_ASSIGN_OR_RETURN(open.conflicts, Conflicts::Open(file, open.log.get()));
  return open;
}

}  // namespace assay
