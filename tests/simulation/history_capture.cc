// Every committed change of the app is in the branch's chain, once, in commit order, and nothing else is.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "tests/simulation/history.h"

namespace assay {
namespace {

// What one WAL transaction of the app must become: per item, its changes; those of a TRUNCATE in any order.
class Expectation {
 public:
  Expectation(const std::map<TableName, TablePolicy>* policies, const SimDatabase* database)
      : policies_(policies), database_(database) {}

  // The catalog is ahead of the stream: rows that were written before their table got another key may be recorded under
  // that already, and from then on all are.
  void NoteKeys(const HistoricTransaction& recorded) {
    for (const HistoricChange& change : recorded.changes) {
      if (IsRekeyed(change.row.first)) rekeyed_.insert(PlainName(change.row.first));
    }
  }

  // The changes of `item`, which the rows then follow.
  std::vector<HistoricChange> Take(const WalItem& item) {
    std::vector<HistoricChange> changes;
    if (item.kind == CaptureItem::Kind::kMessage || item.kind == CaptureItem::Kind::kUnreadable) return changes;
    TableShape shape = *item.relation;
    if (rekeyed_.contains(shape.name)) shape.key = database_->Find(shape.name)->shape->key;
    if (item.kind == CaptureItem::Kind::kTruncate) {
      // It shows no row by another key: until one has come, the table's are known by the old one.
      const TableName name = rekeyed_.contains(shape.name) ? RowsOf(*database_, shape) : shape.name;
      for (auto it = rows_.begin(); it != rows_.end();) {
        if (it->first != name) {
          ++it;
          continue;
        }
        changes.push_back(Change(v1::RowChange::DELETE, *it));
        it = rows_.erase(it);
      }
      return changes;
    }
    const bool has_old = item.kind != CaptureItem::Kind::kInsert, has_new = item.kind != CaptureItem::Kind::kDelete;
    const SimRowName old_row = has_old ? RowIn(*database_, shape, item.old_values) : SimRowName();
    const SimRowName new_row = has_new ? RowIn(*database_, shape, item.new_values) : SimRowName();
    const bool known = has_old && rows_.erase(old_row) > 0;
    if (has_old && has_new && old_row == new_row) {
      HistoricChange change = Change(v1::RowChange::UPDATE, new_row);
      for (size_t i = 0; i < shape.columns.size(); ++i) {
        if (item.old_values[i] != item.new_values[i]) Claim(shape, i, item, &change);
      }
      // An update that changes nothing leaves no event: by that nobody knows the row.
      if (known || !change.new_values.empty()) rows_.insert(new_row);
      if (!change.new_values.empty()) changes.push_back(std::move(change));
      return changes;
    }
    if (has_old) {
      changes.push_back(Change(v1::RowChange::DELETE, old_row));
      Fill(shape, item.old_values, &changes.back().old_values);
    }
    if (has_new) {
      rows_.insert(new_row);
      changes.push_back(Change(v1::RowChange::INSERT, new_row));
      Fill(shape, item.new_values, &changes.back().new_values);
    }
    return changes;
  }

 private:
  static HistoricChange Change(v1::RowChange::Operation operation, SimRowName row) {
    return {{}, operation, std::move(row), {}, {}};
  }
  static bool IsKey(const TableShape& shape, size_t column) {
    return std::count(shape.key.begin(), shape.key.end(), column) > 0;
  }
  std::string Name(const TableShape& shape, size_t column) const {
    return ColumnIn(*database_, shape.name, shape.columns[column].name, shape.columns[column].number);
  }
  void Fill(const TableShape& shape, const SimValues& values, std::map<std::string, ColumnText>* out) const {
    for (size_t i = 0; i < shape.columns.size(); ++i) {
      if (!IsKey(shape, i)) (*out)[Name(shape, i)] = values[i];
    }
  }
  // `column` was written, and with it what the policy moves together.
  void Claim(const TableShape& shape, size_t column, const WalItem& item, HistoricChange* change) const {
    const auto write = [&](size_t i) {
      change->new_values[Name(shape, i)] = item.new_values[i];
      change->old_values[Name(shape, i)] = item.old_values[i];
    };
    write(column);
    auto policy = policies_->find(shape.name);
    if (policy == policies_->end()) return;
    for (size_t i = 0; i < shape.columns.size(); ++i) {
      if (IsKey(shape, i)) continue;
      bool together = policy->second.whole_row;
      for (const std::vector<std::string>& group : policy->second.column_groups) {
        together |= std::count(group.begin(), group.end(), shape.columns[i].name) > 0 &&
                    std::count(group.begin(), group.end(), shape.columns[column].name) > 0;
      }
      if (together) write(i);
    }
  }

  const std::map<TableName, TablePolicy>* policies_;
  const SimDatabase* database_;
  std::set<TableName> rekeyed_;
  std::set<SimRowName> rows_;
};

// Same row, operation and values; `old_values` too where the expectation has them.
bool Matches(const HistoricChange& expected, const HistoricChange& found) {
  return expected.operation == found.operation && expected.row == found.row &&
         expected.new_values == found.new_values &&
         (expected.old_values.empty() || expected.old_values == found.old_values);
}

absl::Status CompareTransaction(const WalTransaction& wal, const std::vector<std::vector<HistoricChange>>& expected,
                                const HistoricTransaction& found) {
  if (found.header.commit_time_us() != wal.commit_time_us || found.header.xid() != wal.xid) {
    return Violation("captured once", "the header is not that of the transaction");
  }
  size_t at = 0;
  for (const std::vector<HistoricChange>& item : expected) {
    if (found.changes.size() - at < item.size()) return Violation("captured once", "changes are missing");
    for (const HistoricChange& change : item) {
      const auto begin = found.changes.begin() + static_cast<ptrdiff_t>(at);
      const bool in_order = item.size() <= 2 && item[0].operation != item.back().operation;
      const bool matches = in_order ? Matches(change, *(begin + (&change - &item[0])))
                                    : std::any_of(begin, begin + static_cast<ptrdiff_t>(item.size()),
                                                  [&](const HistoricChange& c) { return Matches(change, c); });
      if (!matches)
        return Violation("captured once", absl::StrCat("no event for ", Show(change), "; there is ", Show(*begin)));
    }
    at += item.size();
  }
  if (at == found.changes.size()) return absl::OkStatus();
  return Violation("captured once", absl::StrCat("an event for nothing: ", Show(found.changes[at])));
}

}  // namespace

absl::Status History::CheckCapturedOnce() {
  captured_.resize(branches_.size());
  for (size_t b = 0; b < branches_.size(); ++b) {
    const HistoricBranch& branch = branches_[b];
    std::map<Lsn, const HistoricTransaction*>& by_lsn = captured_[b];
    Lsn last;
    for (const HistoricTransaction& transaction : branch.chains.at(branch.origin).transactions) {
      if (transaction.changes.empty()) continue;  // The opening.
      const Lsn lsn{transaction.header.commit_lsn()};
      if (lsn <= last)
        return Violation("captured once", absl::StrCat(branch.name, ": out of commit order at ", lsn.ToString()));
      by_lsn[last = lsn] = &transaction;
    }
    Expectation expectation(&branch.policies, branch.database);
    size_t matched = 0;
    for (const WalTransaction& wal : branch.database->wal()) {
      std::vector<std::vector<HistoricChange>> expected;
      auto found = by_lsn.find(wal.commit_lsn);
      if (found != by_lsn.end()) expectation.NoteKeys(*found->second);
      for (const WalItem& item : wal.items) {
        std::vector<HistoricChange> changes = expectation.Take(item);
        if (!changes.empty() && (!wal.projected || item.aside)) expected.push_back(std::move(changes));
      }
      const std::string where = absl::StrCat(branch.name, " at ", wal.commit_lsn.ToString());
      if (found == by_lsn.end()) {
        if (!expected.empty()) return Violation("captured once", absl::StrCat(where, ": a commit is not in the log"));
        continue;
      }
      ++matched;
      // What was written before the key moved, and came by after it, is taken for the row that has the new key.
      if (wal.projected && std::all_of(found->second->changes.begin(), found->second->changes.end(),
                                       [](const HistoricChange& change) { return IsRekeyed(change.row.first); })) {
        continue;
      }
      if (expected.empty()) {
        return Violation("captured once", absl::StrCat(where, wal.projected ? ": a projection" : ": nothing",
                                                       " taken as local: ", Show(found->second->changes.front())));
      }
      ASSAY_RETURN_IF_ERROR(Annotate(CompareTransaction(wal, expected, *found->second), where));
    }
    if (matched != by_lsn.size())
      return Violation("captured once", absl::StrCat(branch.name, " has a transaction nobody made"));
  }
  return absl::OkStatus();
}

}  // namespace assay
