// The stores of one log file, for those who work with most of them at once. Points at what its maker owns.
#pragma once

namespace assay {

class EventLog;
class TableNames;
class RowVersionStore;
class LocalState;
class UnsettledRows;
class Conflicts;

struct Stores {
  EventLog* log;
  TableNames* names;
  RowVersionStore* rows;
  LocalState* state;
  UnsettledRows* unsettled;
  Conflicts* conflicts;
};

}  // namespace assay
