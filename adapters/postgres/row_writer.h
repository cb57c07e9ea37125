// Writes one batch of rows inside the open transaction, and finds out which of them PostgreSQL will not take.
//
// Set-wise first, which is all that a good batch needs. When a statement fails, the batch is written again with care:
// every group of rows under a savepoint, halved until the rows that fail stand alone. Some fail only because of the
// order: a unique value that another row of the batch gives up later, two rows that exchange theirs, or a deferred rule
// that several rows satisfy together. Those are tried again after the others, then together, and what still fails is
// taken out of its table and put back with its new values, all of them at once. What then still fails is refused.
//
// Deferred constraints are checked here and not by COMMIT, which could not say what row it is about. Under the replica
// role PostgreSQL checks few of them: constraint triggers enabled ALWAYS, as enrolment does with those of deferrable
// unique and exclusion constraints. Rows that a deferred rule takes only together are refused together when one of them
// cannot be written.
//
//   RowWriter writer(&connection, &catalog, &request);
//   absl::Status status = writer.Write();           // or an error that says nothing about a row: connection, deadlock, disk
//   if (IsAboutRows(status)) { ROLLBACK TO …; status = writer.WriteWithCare(); }
//   commit only if status is OK and moved() and refused() are empty; ABORTED and gave_way(): somebody waited
//
// Ends early when nothing can come of it: a row has moved; or somebody waits for a lock of ours, and may be given way.
// An application that waits for a large batch would feel it; and after a second (deadlock_timeout), if we wait for a
// row of its own by then, PostgreSQL would end the application's transaction.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "adapters/libpq/connection.h"
#include "adapters/postgres/answer_check.h"
#include "adapters/postgres/catalog.h"
#include "adapters/postgres/row_statements.h"
#include "engine/database.h"

namespace assay {

class RowWriter {
 public:
  // Tables must have been loaded. All outlive this. `gently`: others write to them just now, and should not wait.
  // Nothing is begun after `deadline`: then writing ends with ABORTED. A locked request gives way to nobody: that its
  // turn comes is what the locks are for.
  RowWriter(Connection* connection, const LocalCatalog* catalog, const ProjectRequest* request, absl::Time deadline,
            bool gently);

  // Rows that this database cannot even be asked to write: unknown table, column or form of key.
  bool RefuseUnknown();
  absl::Status Write();
  // The transaction must stand where it did before Write.
  absl::Status WriteWithCare();
  // Until the request's gate is decided. UNAVAILABLE: it is shut. Before COMMIT.
  absl::Status AwaitGate();
  // And before Write: it would keep rows locked that others may want, for as long as the log's disk takes.
  bool AwaitsGateFirst() const { return gently_ && rows_there_ > kFewRows; }

  const std::vector<ProjectReply::Row>& moved() const { return moved_; }
  const std::vector<ProjectReply::Row>& refused() const { return refused_; }
  bool gave_way() const { return gave_way_; }

 private:
  static constexpr size_t kFewRows = 100;

  struct Group {  // Rows of one table and one operation, few enough for one statement.
    uint32_t table;
    std::vector<uint32_t> rows;
  };
  struct Failure {
    uint32_t table;
    uint32_t row;
    absl::Status status;
  };

  void AddGroups(RowWrite::Operation operation);
  const LocalTable& TableOf(uint32_t table) const { return catalog_->Find(request_->writes[table].name); }
  const RowWrite& WriteOf(const Failure& failure) const { return request_->writes[failure.table].rows[failure.row]; }
  // Before each statement that writes, and while it waits. ABORTED: the deadline is over; or somebody waits for us, for
  // whom it looks every few milliseconds.
  absl::Status MayGoOn();
  absl::Status Apply(uint32_t table, absl::Span<const uint32_t> rows);
  absl::Status TryHalves(uint32_t table, absl::Span<const uint32_t> rows, std::vector<Failure>* failures);
  absl::Status TryAgain(std::vector<Failure>* failures);
  absl::Status Together(std::vector<Failure>* failures);
  absl::Status Exchange(std::vector<Failure> failures);
  absl::Status TakeOutAndPutBack(const std::vector<Failure>& failures, std::vector<Failure>* still_failing);
  void Refuse(const Failure& failure);

  Connection* connection_;
  const LocalCatalog* catalog_;
  const ProjectRequest* request_;
  const absl::Time deadline_;
  const bool gently_;
  std::vector<Group> groups_;  // In the order in which they are to be written.
  size_t rows_there_ = 0;      // To be updated or deleted.
  AnswerCheck answers_;
  std::vector<ProjectReply::Row> moved_;
  std::vector<ProjectReply::Row> refused_;
  absl::Time looked_;
  bool gave_way_ = false;
};

}  // namespace assay
