// Brings log and database together again, row by row, after one of them was restored or lost: what the database holds
// is compared with the fold, and every difference is put down either to the database's age or to a change that the log
// never got.
//
// The question is asked per column, because versions are. A value that the fold has too is equal. If PostgreSQL is
// known to have held the fold's version (`held`), then somebody has changed the value since: it becomes a RECONCILE
// event, stamped now, and wins. If not, a value that some event in the log has once written is *stale*: an older copy
// shows it, and the fold is due to be written over it. A value that no event has ever written was written after the
// restore: a RECONCILE event. In the same way an absent row was deleted here, or restored away; a row that the fold has
// deleted was written here, or is stale. Rows and columns that the log knows nothing of are FOUND: nobody is known to
// have edited them, so they beat no edit.
//
//   RowRepair repair(parts, fold.get(), held, {.make_due = true});
//   for each pass in {kCompare, kWrite}:
//     BeginPass(pass, …);  per table: BeginTable(shape), Row(tuple) …, EndTable();  EndPass()
//
// Everything happens inside one LogFile transaction that the caller begins, and ends or rolls back (a preview). Memory
// grows with the differences, not with the table. Not thread-safe.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/recovery/fold_index.h"
#include "engine/recovery/table_comparer.h"

namespace assay {

struct RowRepairOptions {
  // Rows whose fold is to be written again are noted as due; otherwise the cursors, which stand before their versions,
  // bring them.
  bool make_due = false;
  // Tables that are others than those whose rows the log knows: PostgreSQL is known to have held nothing of them, and
  // what they lack is due.
  std::set<std::string> made_anew;  // By TableName::ToString.
};

struct RowRepairReport {
  uint64_t rows = 0;      // Seen here.
  uint64_t equal = 0;     // Rows, of those compared, that are as the fold has them.
  uint64_t inserted = 0;  // RECONCILE events: rows, by what they say.
  uint64_t updated = 0;
  uint64_t deleted = 0;
  uint64_t stale = 0;   // Rows that show older values, to be brought to the fold.
  uint64_t absent = 0;  // Rows of the fold that are not here, to be written again.
  // The first kDifferencesListed. `here`: what the database holds; `fleet`: what the log has.
  struct Difference : RowDifference {
    std::string verdict;  // For people: "changed here: kept", ...
  };
  std::vector<Difference> differences;
};

class RowRepair : public TableComparer {
 public:
  // True: PostgreSQL is known to have held this version of that row. (Of a column; nullopt: of the row's life.)
  using Held = std::function<absl::StatusOr<bool>(const RowRef&, std::optional<ColumnId>, const Version&)>;

  RowRepair(const Parts& parts, FoldIndex* fold, Held held, RowRepairOptions options)
      : TableComparer(parts, fold), held_(std::move(held)), options_(options) {}

  // `at`: the WAL position at which the rows were read; `time_us`: Unix microseconds, the events' time.
  absl::Status BeginPass(Pass pass, Lsn at, int64_t time_us);
  // Looks at the rows that the fold has and Row did not bring.
  absl::Status EndTable();
  absl::Status EndPass();

  const RowRepairReport& report() const { return report_; }

 private:
  // A value that may be an older one, and whether an event has ever written or replaced it.
  struct Doubt {
    uint32_t column = 0;
    uint64_t hash = 0;
    bool written = false;
  };
  absl::Status Compared(const ComparedRow& row) override;
  // Which values of the row may be older ones.
  void NoteDoubts(const ComparedRow& row);
  absl::Status Differs(const ComparedRow& row);
  absl::Status Deleted(const ComparedRow& row);
  absl::Status Absent(const RowRef& ref, const FoldIndex::Entry& entry);
  absl::Status LookForOlderValues();
  // An event of the row says that `column` held this once.
  static void NoteHeld(ColumnId column, bool has_text, bool is_null, absl::string_view text,
                       std::vector<Doubt>* doubts);
  bool Written(const RowRef& ref, uint32_t ordinal, const TupleValue& value) const;
  bool MadeAnew() const { return options_.made_anew.contains(shape().name.ToString()); }
  absl::StatusOr<bool> IsHeld(const RowRef& ref, std::optional<ColumnId> column, const Version& version) const {
    return MadeAnew() ? false : held_(ref, column, version);
  }
  absl::Status Stale(const RowRef& ref, const RowKey& key, const FoldIndex::Entry& entry, bool there);
  // `edited`: what was changed here. Of the columns that nobody in the log has written it is only known that they are
  // there.
  absl::Status KeepUpdate(const ComparedRow& row, const std::vector<uint32_t>& edited);
  absl::Status KeepInsert(absl::Span<const TupleValue> tuple);
  void List(const RowKey& key, const std::string& column, const ColumnText& here, const ColumnText& fold,
            const std::string& verdict);

  Held held_;
  RowRepairOptions options_;
  absl::flat_hash_map<RowRef, std::vector<Doubt>> doubts_;
  RowRepairReport report_;
};

}  // namespace assay
