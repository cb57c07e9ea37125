// What the tables hold in the end is the fold of the chains, as the slow twins have it: rows, conflicts, and what is
// parked.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/engine/fold/reference_conflicts.h"
#include "tests/simulation/history.h"
#include "tests/simulation/migrations.h"

namespace assay {

History::Writes History::WritesIn(const HistoricBranch& branch) {
  Writes writes;
  for (const auto& [origin, chain] : branch.chains) {
    for (const HistoricTransaction& transaction : chain.transactions) {
      for (const HistoricChange& change : transaction.changes) {
        writes[change.row].push_back({change.version, change.operation == v1::RowChange::DELETE, change.new_values});
      }
    }
  }
  return writes;
}

std::set<SimRowName> History::RowsSeenWhole() const {
  std::set<SimRowName> whole;
  for (const HistoricBranch& branch : branches_) {
    for (const HistoricTransaction& transaction : branch.chains.at(branch.origin).transactions) {
      for (const HistoricChange& change : transaction.changes) {
        if (change.operation == v1::RowChange::INSERT) whole.insert(change.row);
      }
    }
  }
  return whole;
}

std::set<SimRowName> History::RowsOfTwoColumns() const {
  std::map<SimRowName, std::map<std::string, Version>> newest;
  for (const HistoricBranch& branch : branches_) {
    for (const HistoricTransaction& transaction : branch.chains.at(branch.origin).transactions) {
      for (const HistoricChange& change : transaction.changes) {
        if (PlainName(change.row.first) != kShopPrices) continue;
        for (const auto& [column, value] : change.new_values) {
          Version& known = newest[change.row][column];
          known = std::max(known, change.version);
        }
      }
    }
  }
  std::set<SimRowName> rows;
  for (const auto& [row, columns] : newest) {
    for (const auto& [column, version] : columns) {
      const auto old = columns.find(column.substr(0, column.find('\'')));
      if (old != columns.end() && old->second > version) rows.insert(row);
    }
  }
  return rows;
}

std::string History::LifeOf(const SimRowName& row, const HistoricBranch& branch) {
  std::map<Version, std::string> life;
  for (const auto& [origin, chain] : branch.chains) {
    for (const HistoricTransaction& transaction : chain.transactions) {
      for (const HistoricChange& change : transaction.changes) {
        // Rows of an altered table may be the same under another key.
        const bool is_it =
            IsAltered(row.first) ? PlainName(change.row.first) == PlainName(row.first) : change.row == row;
        if (is_it) life[change.version] = Show(change);
      }
    }
  }
  std::string text;
  for (const auto& [version, change] : life)
    absl::StrAppend(&text, "\n    ", version.stamp.value, " ", EventName(version.origin, version.sequence), ": ",
                    change);
  return text;
}

absl::Status History::CheckRowsAreTheFold() const {
  const std::set<SimRowName> whole = RowsSeenWhole(), of_two_columns = RowsOfTwoColumns();
  for (const HistoricBranch& branch : branches_) {
    const Writes writes = WritesIn(branch);
    const auto differs = [&](const SimRowName& row, absl::string_view how) {
      return Violation("projection = fold", absl::StrCat(branch.name, ": ", Show(row), " ", how, LifeOf(row, branch)));
    };
    for (const auto& [row, set] : writes) {
      const SimTable* table = TableOf(*branch.database, row.first);
      if (table == nullptr || branch.unsettled.contains(row)) continue;
      const ReferenceRow fold = ReferenceFold(set);
      auto here = table->rows.find(row.second);
      if (!fold.IsLive()) {
        if (here != table->rows.end()) return differs(row, "is there, and deleted in the fold");
        continue;
      }
      if (here == table->rows.end()) return differs(row, "is missing");
      if (!whole.contains(row)) continue;  // Where it was already: the log knows what was changed of it.
      for (size_t i = 0; i < table->shape->columns.size(); ++i) {
        if (std::count(table->shape->key.begin(), table->shape->key.end(), i) > 0) continue;
        const std::string column = ColumnIn(*branch.database, table->shape->name, table->shape->columns[i].name,
                                            table->shape->columns[i].number);
        if (column.back() == '\'' && of_two_columns.contains(row)) continue;
        auto value = fold.values.find(column);
        const ColumnText expected = value == fold.values.end() ? ColumnText() : value->second;
        if (here->second.values[i] == expected) continue;
        if (value == fold.values.end() && IsFill(table->shape->columns[i].name, here->second.values[i])) continue;
        return differs(row, absl::StrCat("has ", table->shape->columns[i].name, " = ", Show(here->second.values[i]),
                                         ", the fold says ", Show(expected)));
      }
    }
    for (const auto& [name, table] : branch.database->tables()) {
      if (TableOf(*branch.database, name) == nullptr) continue;  // Its rows may be from when they had another key.
      for (const auto& [key, row] : table.rows) {
        if (!writes.contains({name, key}) && !branch.database->IsUnheard({name, key}))
          return differs({name, key}, "is there, and nobody wrote it");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status History::CheckEqualTables() const {
  const HistoricBranch& a = branches_[0];
  const std::set<SimRowName> whole = RowsSeenWhole(), of_two_columns = RowsOfTwoColumns();
  for (const HistoricBranch& b : branches_) {
    for (const auto& [name, table] : a.database->tables()) {
      const auto is_denied = [&](const HistoricBranch& branch) {
        return branch.denied.contains(name.ToString()) && !branch.granted_late;
      };
      if (is_denied(a) || is_denied(b)) continue;
      const SimTable& other = *b.database->Find(name);
      const bool rekeyed = TableOf(*a.database, name) == nullptr;
      std::set<RowKey> keys;
      for (const auto& [key, row] : table.rows) keys.insert(key);
      for (const auto& [key, row] : other.rows) keys.insert(key);
      for (const RowKey& key : keys) {
        const SimRowName row{RowsOf(*a.database, *table.shape), key};
        if (!whole.contains(row)) {
          if (rekeyed) continue;  // From when the rows had another key.
          for (const HistoricBranch* each : {&a, &b}) {
            if (!each->database->Find(name)->rows.contains(key) || each->database->IsUnheard({name, key})) continue;
            return Violation("rows seen whole", absl::StrCat(each->name, " made ", Show({name, key}), " of an update"));
          }
          continue;
        }
        if (a.unsettled.contains(row) || b.unsettled.contains(row)) continue;
        auto in_a = table.rows.find(key);
        auto in_b = other.rows.find(key);
        const auto same = [&](const SimValues& one, const SimValues& another) {
          for (size_t i = 0; i < one.size(); ++i) {
            const std::string& column = table.shape->columns[i].name;
            if (one[i] == another[i]) continue;
            const std::string first = ColumnIn(*a.database, name, column, table.shape->columns[i].number);
            if (first.back() == '\'' && of_two_columns.contains(row)) continue;
            // Of a column that nobody has written.
            if (!(IsFill(column, one[i]) && !another[i]) && !(IsFill(column, another[i]) && !one[i])) return false;
          }
          return one.size() == another.size();
        };
        if (in_a == table.rows.end() || in_b == other.rows.end() || !same(in_a->second.values, in_b->second.values)) {
          return Violation("equal tables",
                           absl::StrCat(Show({name, key}), " differs between ", a.name, " and ", b.name));
        }
      }
    }
  }
  return absl::OkStatus();
}

std::set<HistoricConflict> History::ConflictsIn(const HistoricBranch& branch) {
  std::map<std::pair<SimRowName, std::string>, std::vector<ReferenceEdit>> cells;
  HlcStamp newest;  // The log's own time, which also what is withheld moves.
  for (const auto& [origin, chain] : branch.chains) {
    newest = std::max(newest, chain.newest);
    for (const HistoricTransaction& transaction : chain.transactions) {
      for (const HistoricChange& change : transaction.changes) {
        const bool deletes = change.operation == v1::RowChange::DELETE;
        cells[{change.row, ""}].push_back({change.version, transaction.seen, deletes ? "delete" : "edit"});
        for (const auto& [column, value] : change.new_values)  // Under a name that is given on it is the same column.
          cells[{change.row, column.substr(0, column.find('\''))}].push_back({change.version, transaction.seen, value});
      }
    }
  }
  const uint64_t kept = HlcStamp::FromMillis(kConflictDays * 24 * 3600 * 1000).value;
  std::set<HistoricConflict> conflicts;
  for (const auto& [cell, edits] : cells) {
    for (const auto& [winner, loser] : ReferenceConflicts(edits)) {
      if (loser.stamp.value + kept >= newest.value) conflicts.insert({cell.first, cell.second, winner, loser});
    }
  }
  return conflicts;
}

absl::Status History::CheckConflicts() const {
  std::set<std::string> written_blind;  // By a branch that may not read it: engine/LIMITS.md.
  for (const HistoricBranch& branch : branches_) written_blind.insert(branch.denied.begin(), branch.denied.end());
  for (const HistoricBranch& branch : branches_) {
    std::set<HistoricConflict> expected = ConflictsIn(branch), listed = branch.conflicts;
    for (std::set<HistoricConflict>* conflicts : {&expected, &listed}) {
      std::erase_if(*conflicts, [&](const HistoricConflict& conflict) {
        const TableName& table = std::get<0>(conflict).first;
        // Of writes under the old and the new name of a column none is listed: engine/LIMITS.md.
        return written_blind.contains(table.ToString()) || HasTwoNames(*branch.database, table, std::get<1>(conflict));
      });
    }
    if (listed == expected) continue;
    std::string differ;
    const auto tell = [&](absl::string_view how, const std::set<HistoricConflict>& of,
                          const std::set<HistoricConflict>& not_of) {
      for (const HistoricConflict& conflict : of) {
        if (not_of.contains(conflict)) continue;
        const auto& [row, column, winner, loser] = conflict;
        absl::StrAppend(&differ, "\n  ", how, " ", Show(row), " ", column, ": ",
                        EventName(winner.origin, winner.sequence), " over ", EventName(loser.origin, loser.sequence),
                        LifeOf(row, branch));
      }
    };
    tell("too many:", listed, expected);
    tell("missing:", expected, listed);
    return Violation("conflicts", absl::StrCat(branch.name, " does not list those that the log has", differ));
  }
  return absl::OkStatus();
}

absl::Status History::CheckParked() const {
  const std::set<SimRowName> whole = RowsSeenWhole();
  for (const HistoricBranch& branch : branches_) {
    const Writes writes = WritesIn(branch);
    for (const SimRowName& row : branch.unsettled) {
      const SimTable* table = TableOf(*branch.database, row.first);
      if (table == nullptr) continue;  // Its rows have another key by now.
      const TableShape& shape = *table->shape;
      ReferenceRow fold = ReferenceFold(writes.at(row));
      SimValues values;
      for (const TableColumn& column : shape.columns)
        values.push_back(fold.values[ColumnIn(*branch.database, shape.name, column.name, column.number)]);
      for (size_t i = 0; i < row.second.size(); ++i) values[shape.key[i]] = row.second[i];
      if (fold.IsLive() && !branch.database->WouldTake(shape.name, values).ok()) continue;
      if (fold.IsLive() && !whole.contains(row)) continue;
      bool of_another_type = false;  // Which it waits for, whatever its value.
      for (size_t i = 0; i < values.size(); ++i)
        of_another_type |=
            values[i].has_value() && IsAnotherTypeElsewhere(branches_, branch, shape.name, shape.columns[i].name);
      if (of_another_type) continue;
      return Violation("parked with a cause", absl::StrCat(branch.name, " would take ", Show(row)));
    }
  }
  return absl::OkStatus();
}

}  // namespace assay
