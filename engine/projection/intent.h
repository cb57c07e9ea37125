// A projection that PostgreSQL was asked for and that has not come by in capture: what it was to do, row by row.
//
// A tag in the WAL is believed only for the rows listed here, values compared. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/database.h"
#include "engine/fold/merge.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"
#include "log/types.h"
#include "proto/state.pb.h"

namespace assay {

// What a projection is to do with one row: ProjectionIntent.Row, as it is held in memory. A large one has some hundred
// thousand of these.
struct IntentRow {
  enum class Write : uint8_t { kNothing, kInsert, kUpdate, kDelete };
  enum class Seen : uint8_t {
    kNothing,
    kTakenOut,  // To be updated: it was deleted, and is to come back.
    kAll,
  };
  // Of few rows: what to say of one that is parked, or may have to be.
  struct Remark {
    std::vector<uint32_t> missing;
    std::string cause, sqlstate;
    std::string key;  // Empty: the batch's events say it, and the event to name.
    OriginId origin;
    Sequence sequence;
  };

  RowRef ref;
  // Which of the intent's lists of columns it writes: there are fewer lists than rows.
  uint32_t columns : 24 = 0;
  Write write : 2 = Write::kNothing;
  bool refused : 1 = false;
  Seen seen : 2 = Seen::kNothing;  // What of its write has come by in capture.
  uint64_t values = 0;
  uint64_t versions = 0;
  uint64_t note = 0;                   // UnsettledRow::revision that the plan had seen; 0: the row was settled.
  std::unique_ptr<Remark> own_remark;  // Null: nothing.

  const Remark& remark() const;
  Remark& MutableRemark();
};

class OpenIntent {
 public:
  // Serialize() of a build whose fields had another meaning is refused (FAILED_PRECONDITION), and so are damaged bytes
  // (DATA_LOSS).
  static absl::StatusOr<OpenIntent> Parse(const std::string& bytes);
  // `intent`: all but the rows. Of this build's meaning; sets `format`.
  static absl::StatusOr<OpenIntent> Make(v1::ProjectionIntent intent, std::deque<IntentRow> rows);

  std::string Serialize() const;
  uint64_t batch() const { return intent_.batch(); }
  const std::string& tag() const { return intent_.tag(); }
  HlcStamp stamp() const { return HlcStamp{intent_.stamp()}; }
  // Where the cursors go.
  const std::map<OriginId, Sequence>& to() const { return to_; }

  // It is about this row, to be written or to stay as it is.
  bool Concerns(const RowRef& row) const { return index_.contains(row); }
  // True, once per row: this is what was meant to be done with it. `tuple` holds the new values (key only, of a
  // delete).
  bool Meant(const RowRef& row, ChangeKind kind, const TableShape& shape, absl::Span<const TupleValue> tuple,
             TableNames& names);

  // Some row is refused, or written but for columns that are not here.
  bool LeavesOut() const;
  std::deque<IntentRow> TakeRows() && { return std::move(rows_); }

 private:
  // Finds an IntentRow by its RowRef.
  struct RefHash {
    using is_transparent = void;
    size_t operator()(const RowRef& ref) const { return absl::HashOf(ref); }
    size_t operator()(const IntentRow* row) const { return absl::HashOf(row->ref); }
  };
  struct RefEqual {
    using is_transparent = void;
    bool operator()(const IntentRow* a, const IntentRow* b) const { return a->ref == b->ref; }
    bool operator()(const IntentRow* a, const RowRef& b) const { return a->ref == b; }
  };
  OpenIntent(v1::ProjectionIntent intent, std::map<OriginId, Sequence> to, std::deque<IntentRow> rows);

  v1::ProjectionIntent intent_;  // All but the rows.
  std::map<OriginId, Sequence> to_;
  std::deque<IntentRow> rows_;
  absl::flat_hash_set<IntentRow*, RefHash, RefEqual> index_;  // Into rows_, which stay where they are when this moves.
};

}  // namespace assay
