// What the shops do to their tables while they sell: ALTER TABLE in rolling order. Each branch of a fleet runs the same
// changes, in the same order, each at its own time.
//
// They are made to a table that nobody else has, public.prices: its numbers and notes become others by type, its note
// is dropped and made anew under its name, its key moves to another column.
// public.lines is partitioned at some branches, and gets partitions later.
//
//   Migrations migrations(&random, branches);
//   migrations.CreateTables(number, &database);
//   migrations.RunNext(number, &database);
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/simulation/random.h"
#include "tests/simulation/sim_database.h"

namespace assay {

inline const TableName kShopPrices{"public", "prices"};

class Migrations {
 public:
  // Draws the changes of a fleet of so many branches.
  Migrations(SeededRandom* random, uint32_t branches);

  // Before a branch's log begins.
  void CreateTables(uint32_t number, SimDatabase* database) const;
  // The next change at branch `number`. False: it has had all of them, or somebody works with the table.
  bool RunNext(uint32_t number, SimDatabase* database);
  bool HasMore(uint32_t number) const { return done_[number - 1] < changes_.size(); }
  // Rows may move to another key.
  bool KeyMoves() const;
  // "number to text, note anew", for people.
  std::string ToString() const;

 private:
  enum class Change : uint8_t {
    kWiderNumber,   // Of amount: integer to bigint.
    kNumberToText,  // Neither holds all of the other.
    kTextToNumber,  // And back.
    kShorterNote,   // text to character varying.
    kNoteAnew,      // Dropped, and made anew as a number.
    kNoteRenamed,   // To remark.
    kKeyElsewhere,  // From id to uid.
    kKeyType,       // Of id: text to integer.
    kPartitions,    // Of public.lines, where it has them: those that were missing.
  };
  static constexpr const char* kNames[] = {"wider number",  "number to text", "text to number",
                                           "shorter note",  "note anew",      "note renamed",
                                           "key elsewhere", "key type",       "partitions"};
  static absl::Status Run(Change change, SimDatabase* database);

  std::vector<Change> changes_;
  std::vector<size_t> done_;       // By branch.
  std::vector<bool> partitioned_;  // By branch: public.lines.
};

}  // namespace assay
