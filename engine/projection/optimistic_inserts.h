// Which rows may be written without being looked for, and into which tables.
//
// Rows that the log has never heard of are not in PostgreSQL either, but for what the application has just written; so
// they are written unread, and their keys stand guard. Not while that does not hold: after a join both have the same
// rows. The tables are taken to be as they were last read, which Database::Project compares. Not thread-safe.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "engine/database.h"
#include "engine/projection/plan.h"
#include "log/table_names.h"

namespace assay {

class OptimisticInserts {
 public:
  // A read showed `table`, which is there.
  void OnTable(TableId table, const ReadReply::Table& read);
  // Of rows that the log had never heard of, `read` were looked for, and `there` of them were there.
  void OnUnknownRows(size_t read, size_t there) {
    if (read > 0) absent_ = there == 0;
  }
  // One that was not looked for was there.
  void OnRefuted() { absent_ = false; }
  // It may be another server that answers next.
  void ForgetTables() { shapes_.clear(); }

  bool MayGoUnread(const TargetRow& target) const {
    return absent_ && target.unknown && target.pending != nullptr && target.pending->incoming().IsLive();
  }
  // Of `targets`, which are sorted, none is to be read and every table is known: the read's reply, of shapes only.
  std::optional<ReadReply> Tables(const std::vector<TargetRow>& targets) const;
  // As the table was last read; nullptr: it was not.
  std::shared_ptr<const TableShape> Shape(TableId table) const {
    const auto at = shapes_.find(table);
    return at == shapes_.end() ? nullptr : at->second;
  }

 private:
  bool absent_ = true;
  std::map<TableId, std::shared_ptr<const TableShape>> shapes_;  // As they were last read.
};

}  // namespace assay
