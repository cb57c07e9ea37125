// Whether triggers and rules that answer a projection, too, leave its rows as they are meant to be.
//
// Such an object may change what is written, write the row once more, or skip it. What it made of a row is neither what
// the fold has nor anybody's edit: a row that does not come back as it was meant is not written at all.
//
//   AnswerCheck check(&connection, &catalog, &request);
//   ASSAY_RETURN_IF_ERROR(check.Before(/*with_care=*/false, &moved, &refused));
//   … write …
//   ASSAY_RETURN_IF_ERROR(check.After(&refused));
//
// Of a plain table it asks nothing and costs nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "adapters/libpq/connection.h"
#include "adapters/postgres/catalog.h"
#include "adapters/postgres/row_statements.h"
#include "engine/database.h"

namespace assay {

class AnswerCheck {
 public:
  // Tables must have been loaded. All outlive this.
  AnswerCheck(Connection* connection, const LocalCatalog* catalog, const ProjectRequest* request)
      : connection_(connection), catalog_(catalog), request_(request) {}

  // Locks the rows and remembers what they hold. Adds to `moved` those that are not as they were read. `with_care`: a
  // row that cannot be had is added to `refused` and fails nothing else, as RowWriter::WriteWithCare has it.
  absl::Status Before(bool with_care, std::vector<ProjectReply::Row>* moved, std::vector<ProjectReply::Row>* refused);
  // Adds to `refused`, with the causes, the rows that are not as they were meant to be, and are not there already.
  absl::Status After(std::vector<ProjectReply::Row>* refused);

 private:
  struct Table {
    uint32_t table;
    std::vector<RowKey> keys;            // One for each of its rows.
    std::vector<ReadReply::Row> before;  // Parallel to them.
  };
  // Halves what cannot be locked until the rows at fault stand alone.
  absl::Status LockWithCare(Table& table, size_t first, size_t count, std::vector<ProjectReply::Row>* refused);
  absl::Status Lock(Table& table, size_t first, size_t count);
  // Why the row is not what it was meant to be; empty: it is.
  std::string Complaint(const LocalTable& local, const TableWrites& writes, const RowWrite& write,
                        const ReadReply::Row& before, const ReadReply::Row& after) const;

  Connection* connection_;
  const LocalCatalog* catalog_;
  const ProjectRequest* request_;
  std::vector<Table> tables_;
};

}  // namespace assay
