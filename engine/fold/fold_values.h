// Finds the value behind a version: the fold keeps versions, the events keep values.
//
// A version names the event that wrote it, so a value is one look into the log. Rare on the main path (a batch brings
// its own values); needed when a row comes back to life, is truncated, or is written again after it was parked. Not
// thread-safe.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/database.h"
#include "engine/fold/merge.h"
#include "log/event_log.h"
#include "log/local_state/local_state.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"
#include "proto/event.pb.h"

namespace assay {

// A row change as the engine works with it: parsed, its table and columns resolved to local numbers.
struct ResolvedChange {
  v1::Event event;
  std::shared_ptr<const ResolvedSchema> schema;

  const v1::RowChange& row() const { return event.row(); }
  // Local number of the column that entry `index` of row().columns() is about.
  ColumnId ColumnAt(int index) const { return schema->columns[row().columns(index).ordinal()]; }
};

// INVALID_ARGUMENT when it has a row that nobody can read: its schema is none, or it does not fit its schema. Whoever
// reads a chain leaves such a row out, and goes on. DATA_LOSS when `bytes` are no event, or the schema is not to be
// had. PERMISSION_DENIED when the schema is masked here: then the row is as good as masked itself.
absl::StatusOr<ResolvedChange> ResolveChange(absl::string_view bytes, const OriginId& origin, TableNames& names);
// The two halves of it. DATA_LOSS when `bytes` are no event.
absl::StatusOr<v1::Event> ParseEvent(absl::string_view bytes, const OriginId& origin);
absl::StatusOr<ResolvedChange> ResolveChange(v1::Event event, const OriginId& origin, TableNames& names);
// The schema that a row event of `origin` names. DATA_LOSS when it is not to be had: then the chain is not whole.
// INVALID_ARGUMENT when the schema is none that can be read, PERMISSION_DENIED when it is masked here.
absl::StatusOr<std::shared_ptr<const ResolvedSchema>> SchemaOfRow(const OriginId& origin, Sequence schema,
                                                                  TableNames& names);
// INVALID_ARGUMENT when a row event does not fit its schema. Who writes one asks before it is signed.
absl::Status CheckKeySize(size_t size, size_t key_columns);
absl::Status CheckOrdinal(uint32_t ordinal, size_t columns);
// The version, and the claim, of a change whose event has a row.
Version VersionOf(const v1::Event& event, const OriginId& origin);
RowClaim ClaimOf(const ResolvedChange& change, const OriginId& origin);

// Notes how much of other chains a transaction had seen, by the header in `event`, if it has one. What names no origin
// is passed over: folding the event says what is wrong.
absl::Status NoteSeen(const v1::Event& event, const OriginId& origin, LocalState* state);

class FoldValues {
 public:
  FoldValues(EventLog* log, TableNames* names) : log_(log), names_(names) {}

  // The text (or NULL) that `version` wrote to `column`. NOT_FOUND: that event did not write it.
  absl::StatusOr<ColumnText> Value(const Version& version, ColumnId column);
  // The event behind a version. PERMISSION_DENIED: masked here. Valid until the next call.
  absl::StatusOr<const ResolvedChange*> Change(const Version& version);

  void Clear() { recent_.clear(); }

 private:
  struct Entry {
    Version version;
    ResolvedChange change;
  };
  EventLog* log_;
  TableNames* names_;
  std::list<Entry> recent_;  // Newest first; a row's columns mostly come from one or two events.
};

}  // namespace assay
