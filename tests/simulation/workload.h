// The shop's application at one branch: sales, entries of new rows only, edits, deletes, renamed keys, stocktaking, in
// transactions that may stay open.
//
// Every value it writes is new in the whole fleet (but for e-mail addresses, which must clash now and then), so that a
// value seen anywhere tells which write it came from. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "engine/engine.h"
#include "tests/simulation/migrations.h"
#include "tests/simulation/random.h"
#include "tests/simulation/sim_database.h"

namespace assay {

// What the app does and how often, drawn per seed.
struct WorkloadOptions {
  uint32_t rows = 8;  // Keys per table that several branches fight for.
  uint32_t sale = 4, edit = 6, insert = 3, erase = 2, rename = 1, truncate = 0, entry = 0;  // Weights.
  double open_percent = 20;  // Transactions that stay open for a while.
  double attributed_percent = 30;
  double forged_tag_percent = 0;  // Transactions under a tag that Assay never wrote, or wrote before.
  double equal_percent = 0;       // Values that others write, too.
  bool keeps_prices = false;      // Rows of public.prices keep their key.
  double existing_percent = 0;    // Rows that are there, whoever made them, instead of the keys that all fight for.
  uint32_t undo = 0;              // Weight of what sets a column back to what it was before the last edit.
  uint32_t unreadable = 0;        // Weight of rows that nobody can make sense of.
  bool long_values = true;        // Some values are TOASTed.
};

// The tables every branch has. `late_column`: public.products has kLateColumn from the start.
inline constexpr char kLateColumn[] = "grade";
// What the rows that are there may get when it comes (ADD COLUMN … DEFAULT), which nobody writes.
inline constexpr char kLateFill[] = "ungraded";
// `email_width`: of public.people.email, in characters; a branch may have it narrower than another.
void CreateShopTables(SimDatabase* database, bool late_column, int email_width);
std::map<TableName, TablePolicy> ShopPolicies();
// Rows that no log has heard of: what is changed of them later can be made a row by nobody.
void AddUnheardRows(SimDatabase* database);
// Each row of public.stock, projected or not, makes another in public.invoices.
void AddAsideTrigger(SimDatabase* database);
// A trigger on public.settings that answers projections, too: of values that several write it changes one row, and
// skips another.
void AddAnsweringTrigger(SimDatabase* database);
inline const TableName kShopProducts{"public", "products"};
inline const TableName kShopSecrets{"public", "secrets"};
bool AddLateColumn(SimDatabase* database, bool filled = false);

class Workload {
 public:
  Workload(const WorkloadOptions& options, std::string branch, SimDatabase* database, SeededRandom* random)
      : options_(options), branch_(std::move(branch)), database_(database), random_(random) {}

  // Begins, goes on with, or ends a transaction. Returns the transactions committed.
  int Act();
  // A whole small transaction at once, as another session would slip it in between two of the engine's statements.
  // Mostly on the rows of `near`, if there are any.
  int ActAtOnce(std::vector<SimRowName> near);
  // Inserts a row that is not there, and deletes it again, in two transactions.
  int ComeAndGo(const SimRowName& row);
  // Edits one of `rows`, or inserts it, of which only the commit record is written: it is captured, and nobody sees it
  // until Act goes on with it, or somebody waits for the row.
  int CommitUnseen(const std::vector<SimRowName>& rows);
  // Makes a row of public.prices, so that the branch's chain declares it as it is now.
  absl::Status MakePrice();
  // Rolls back what is open and shows what was committed.
  void EndAll();

 private:
  int ActAtOnce();
  struct Session {
    std::unique_ptr<SimTransaction> transaction;
    int statements_left = 0;
    bool committed = false;  // Recorded, not yet visible.
  };
  std::unique_ptr<SimTransaction> Begin();
  // `at_once`: the transaction commits before anybody else does anything.
  absl::Status Statement(SimTransaction& transaction, bool at_once);
  absl::Status Sale(SimTransaction& transaction);
  // Of up to so many columns.
  absl::Status Edit(SimTransaction& transaction, const TableShape& shape, const RowKey& key, uint64_t columns_max);
  const SimTable& AnyTable();
  RowKey AnyKey(const SimTable& table);
  ColumnText NewValue(const TableColumn& column);
  // Of public.prices: what every type that its columns are given takes.
  ColumnText NewPrice(const TableColumn& column);
  RowKey AnyPrice(const SimTable& table);
  ColumnText NewValue(const TableShape& shape, const TableColumn& column) {
    return shape.name == kShopPrices ? NewPrice(column) : NewValue(column);
  }
  SimValues NewRow(const SimTable& table, const RowKey& key);

  const WorkloadOptions options_;
  const std::string branch_;
  SimDatabase* database_;
  SeededRandom* random_;
  std::vector<Session> sessions_;
  std::vector<SimRowName> near_;
  // The last edit, and what there was before it.
  SimRowName edited_;
  std::map<std::string, ColumnText> before_;
  uint64_t counter_ = 0;
};

}  // namespace assay
