// Walks a branch's WAL with the version of every value in mind: what each projection replaced, and what it left half
// done.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "log/annotate.h"
#include "tests/simulation/history.h"
#include "tests/simulation/workload.h"

namespace assay {
namespace {

// A row as PostgreSQL shows it, each value with the version it comes from.
struct RowState {
  bool live = false;
  std::map<std::string, ColumnText> values;
  std::map<std::string, Version> versions;
  Version local_written, local_deleted;  // Newest of this branch's own, in WAL order.
  std::map<std::string, Version> local;  // The same, per column.
  Lsn born;                              // The commit of the app that made it.
  Lsn local_change;                      // The newest commit of the app that touched it.
  Lsn gone;                              // The commit of the app that deleted it last,
  Lsn went;                              // and the one that had made it.
  bool undone = false;                   // A projection has undone that, unnoticed until its echo comes by.
};

struct EventRef {
  const HistoricChain* chain = nullptr;
  size_t transaction = 0;  // Index.
  const HistoricChange* change = nullptr;
};

}  // namespace

bool IsFill(absl::string_view column, const ColumnText& value) { return column == kLateColumn && value == kLateFill; }

bool IsAnotherTypeElsewhere(const std::vector<HistoricBranch>& branches, const HistoricBranch& branch,
                            const TableName& table, const std::string& column) {
  const auto type = [&](const HistoricBranch& of) {
    const SimTable* found = of.database->Find(table);
    if (found == nullptr) return std::string();
    for (const TableColumn& each : found->shape->columns) {
      if (each.name == column) return each.type;
    }
    return std::string();
  };
  const std::string here = type(branch);
  return !here.empty() && std::any_of(branches.begin(), branches.end(), [&](const HistoricBranch& other) {
    const std::string there = type(other);
    return !there.empty() && there != here;
  });
}

class History::Replay {
 public:
  Replay(const std::vector<HistoricBranch>& branches, size_t index,
         const std::map<Lsn, const HistoricTransaction*>& captured)
      : branches_(branches), branch_(branches[index]), captured_(captured) {
    for (const HistoricBranch& branch : branches) {
      databases_[branch.origin] = branch.database;
      const HistoricChain& chain = branch.chains.at(branch.origin);
      chains_[branch.origin] = &chain;
      for (size_t t = 0; t < chain.transactions.size(); ++t) {
        for (const HistoricChange& change : chain.transactions[t].changes)
          by_row_[change.row].push_back({&chain, t, &change});
      }
    }
  }

  absl::Status Run() {
    for (const WalTransaction& wal : branch_.database->wal()) {
      // A projection may have local changes, too: those that a trigger has made of it.
      absl::Status status = Local(wal);
      if (status.ok() && wal.projected) status = Projected(wal);
      ASSAY_RETURN_IF_ERROR(Annotate(status, absl::StrCat(branch_.name, " at ", wal.commit_lsn.ToString())));
    }
    return absl::OkStatus();
  }
  uint64_t projected_rows() const { return projected_rows_; }

 private:
  std::map<std::string, ColumnText> Named(const TableShape& shape, const SimValues& values) const {
    std::map<std::string, ColumnText> named;
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::count(shape.key.begin(), shape.key.end(), i) == 0) named[NameIn(shape, i)] = values[i];
    }
    return named;
  }
  std::string NameIn(const TableShape& shape, size_t column) const {
    return ColumnIn(*branch_.database, shape.name, shape.columns[column].name, shape.columns[column].number);
  }

  absl::Status Local(const WalTransaction& wal) {
    for (const WalItem& item : wal.items) {
      if (item.kind != CaptureItem::Kind::kMessage || item.prefix != kFencePrefix) continue;
      looked_ = ours_;
      ours_ = wal.commit_lsn;
    }
    auto captured = captured_.find(wal.commit_lsn);
    if (captured == captured_.end()) return absl::OkStatus();
    const HlcStamp stamp = captured->second->changes[0].version.stamp;
    if (stamp <= projected_stamp_) return Violation("causality", "a write does not beat what it could see");
    ASSAY_RETURN_IF_ERROR(CheckSaysWhatItSaw(*captured->second));
    for (const HistoricChange& change : captured->second->changes) {
      RowState& row = rows_[change.row];
      row.local_change = wal.commit_lsn;
      row.undone = false;
      if (change.operation == v1::RowChange::DELETE) {
        row.live = false;
        row.local_deleted = change.version;
        row.went = row.born;
        row.gone = wal.commit_lsn;
        continue;
      }
      if (!row.live) row.born = wal.commit_lsn;
      if (change.operation == v1::RowChange::INSERT) row.values.clear();
      row.live = true;
      row.local_written = change.version;
      for (const auto& [column, value] : change.new_values) {
        row.values[column] = value;
        row.versions[column] = row.local[column] = change.version;
      }
    }
    return absl::OkStatus();
  }

  // Headers say how far their branch had projected the others, each only what has changed. All that was projected
  // before this commit must be in what they have said: the others take it for a conflict otherwise.
  absl::Status CheckSaysWhatItSaw(const HistoricTransaction& transaction) {
    const std::vector<HistoricTransaction>& own = chains_.at(branch_.origin)->transactions;
    for (; own_read_ < own.size() && own[own_read_].last <= transaction.last; ++own_read_) {
      for (const v1::Seen& seen : own[own_read_].header.seen()) {
        ASSAY_ASSIGN_OR_RETURN(const OriginId origin, OriginId::FromBytes(seen.origin()));
        said_[origin] = Sequence{seen.sequence()};
      }
    }
    for (const auto& [origin, sequence] : shown_) {
      if (said_[origin] >= sequence) continue;
      return Violation("who had seen what",
                       absl::StrCat(EventName(branch_.origin, transaction.first),
                                    " does not say that its branch showed ", EventName(origin, sequence)));
    }
    return absl::OkStatus();
  }

  // The newest write of `value` to the column. none: nobody wrote it.
  Version Writer(const SimRowName& row, const std::string& column, const ColumnText& value,
                 std::vector<EventRef>* touched) {
    std::vector<EventRef> writers;
    for (const EventRef& ref : by_row_[row]) {
      auto it = ref.change->new_values.find(column);
      if (it != ref.change->new_values.end() && it->second == value) writers.push_back(ref);
    }
    Version newest;
    for (const EventRef& ref : writers) newest = std::max(newest, ref.change->version);
    // A NULL may also be nobody's: that of a column that the writer's branch does not have. So may what a column came
    // with, although somebody has set it back to that.
    const bool certain = writers.size() == 1 && value.has_value() && !IsFill(column, value);
    if (certain && writers[0].chain->origin != branch_.origin) touched->push_back(writers[0]);
    return newest;
  }

  // The column of that row has been of type `type` at the branch.
  static bool WasOfType(const SimDatabase& database, const TableName& table, const std::string& column,
                        const std::string& type) {
    const auto& types = database.Find(table)->types;
    const auto known = types.find(column.substr(0, column.find('\'')));
    return known != types.end() && std::any_of(known->second.begin(), known->second.end(), [&](const std::string& was) {
             return absl::EndsWith(was, absl::StrCat(" ", type));
           });
  }

  // A value goes only into the type that it was written as, or into one that holds all values of that, or into the one
  // that its writer has given the column since.
  absl::Status CheckType(const SimRowName& row, const std::string& column, const std::string& here,
                         const ColumnText& value) {
    if (!value.has_value()) return absl::OkStatus();
    std::string other;
    for (const EventRef& ref : by_row_[row]) {
      auto it = ref.change->new_values.find(column);
      if (it == ref.change->new_values.end() || it->second != value) continue;
      other = ref.change->types.at(column);
      if (other == here || (here == "bigint" && other == "integer")) return absl::OkStatus();
      if (here == "text" && other.starts_with("character varying")) return absl::OkStatus();
      const TableName table{row.first.schema, row.first.table.substr(0, row.first.table.find(' '))};
      if (WasOfType(*databases_.at(ref.chain->origin), table, column, here)) return absl::OkStatus();
      // "character varying(5)" and "character varying(12)": no number here has another sign or more digits than two.
      const auto width = [](const std::string& type) { return std::pair(type.size(), type); };
      if (other.starts_with("character varying(") && width(other) <= width(here)) return absl::OkStatus();
    }
    if (other.empty()) return absl::OkStatus();
    return Violation("only into its type", absl::StrCat(*value, ", written as ", other, ", came into ",
                                                        row.first.ToString(), ".", column, ", which is ", here));
  }

  bool IsMadeAnew(const TableName& table, const std::string& column) const {
    const std::string second = absl::StrCat(column.substr(0, column.find('\'')), "'");
    const auto& names = branch_.database->Find(table)->first_names;
    return std::any_of(names.begin(), names.end(), [&](const auto& known) { return known.second == second; });
  }

  absl::Status Write(const SimRowName& name, const TableShape& shape, const SimValues& new_values, bool insert,
                     std::vector<EventRef>* touched) {
    RowState& row = rows_[name];
    const std::map<std::string, ColumnText> values = Named(shape, new_values);
    // The one thing that nothing stands guard over (RowWrite::xmin): a row that came after the projection was planned,
    // and went before it was written. The echo finds it, and what was deleted goes again. The next one may be planned
    // upon that.
    const bool unnoticed = row.went >= known_ && row.local_change == row.gone;
    row.undone = false;
    Version newest;
    for (size_t i = 0; i < new_values.size(); ++i) {
      const std::string column = NameIn(shape, i);
      const ColumnText& value = new_values[i];
      if (!values.contains(column) || (!insert && row.values[column] == value)) continue;
      const Version writer = Writer(name, column, value, touched);
      ASSAY_RETURN_IF_ERROR(CheckType(name, column, shape.columns[i].type, value));
      if (writer.IsNone() && value.has_value() && !IsFill(column, value))
        return Violation("projection = fold", absl::StrCat("nobody wrote ", *value));
      // Where a column was made anew, a NULL of the one may stand in the other, and nobody wrote it there.
      const bool not_there = !value.has_value() && IsMadeAnew(shape.name, column);
      if (writer < row.local[column] && !unnoticed && !not_there) {
        return Violation("no stale overwrite", absl::StrCat(name.first.ToString(), "(", absl::StrJoin(name.second, ","),
                                                            ").", column, " was overwritten by an older value"));
      }
      row.undone |= writer < row.local[column] && unnoticed;
      row.versions[column] = writer;
      row.values[column] = value;
      newest = std::max(newest, writer);
    }
    for (const EventRef& ref : by_row_[name]) {
      for (const auto& [column, value] : ref.change->new_values) {
        // It may live by a column that is not here, or not under that name yet.
        if (!values.contains(column) || HasTwoNames(*branch_.database, name.first, column))
          newest = std::max(newest, ref.change->version);
      }
    }
    if (insert && newest < row.local_deleted && !unnoticed)
      return Violation("no stale overwrite", absl::StrCat("a newer delete was undone", Explain(name)));
    row.undone |= insert && newest < row.local_deleted;
    row.live = true;
    return absl::OkStatus();
  }

  absl::Status Delete(const SimRowName& name) {
    RowState& row = rows_[name];
    Version newest;
    for (const EventRef& ref : by_row_[name]) {
      if (ref.change->operation == v1::RowChange::DELETE) newest = std::max(newest, ref.change->version);
    }
    if (newest < row.local_written) {
      return Violation("no stale overwrite",
                       absl::StrCat("a row newer than every delete of it was deleted: ", Explain(name)));
    }
    row.live = row.undone = false;
    return absl::OkStatus();
  }

  absl::Status Projected(const WalTransaction& wal) {
    ours_ = wal.commit_lsn;
    const auto known = branch_.known_when_planned.find(wal.items.empty() ? "" : wal.items[0].content);
    known_ = known == branch_.known_when_planned.end() ? Lsn{} : known->second;
    // Rows that exchange a unique value are taken out and put back: that is an update.
    std::set<SimRowName> inserted, put_back;
    for (const WalItem& item : wal.items) {
      if (item.kind == CaptureItem::Kind::kInsert && !item.aside)
        inserted.insert(RowIn(*branch_.database, *item.relation, item.new_values));
    }
    std::vector<EventRef> touched;
    for (const WalItem& item : wal.items) {
      if (item.kind == CaptureItem::Kind::kMessage || item.aside) continue;
      ++projected_rows_;
      const TableShape& shape = *item.relation;
      const bool deletes = item.kind == CaptureItem::Kind::kDelete;
      const SimRowName name = RowIn(*branch_.database, shape, deletes ? item.old_values : item.new_values);
      if (!deletes) {
        RowState& row = rows_[name];
        // From when the rows had another key.
        if (item.kind == CaptureItem::Kind::kUpdate && !row.live && name.first != shape.name)
          row.live = true, row.values = Named(shape, item.old_values);
        const bool insert = item.kind == CaptureItem::Kind::kInsert && !put_back.contains(name);
        ASSAY_RETURN_IF_ERROR(Write(name, shape, item.new_values, insert, &touched));
      } else if (inserted.contains(name)) {
        put_back.insert(name);
      } else {
        ASSAY_RETURN_IF_ERROR(Delete(name));
      }
    }
    for (const EventRef& ref : touched) {
      const HistoricTransaction& transaction = ref.chain->transactions[ref.transaction];
      projected_stamp_ = std::max(projected_stamp_, ref.change->version.stamp);
      Sequence& shown = shown_[ref.chain->origin];
      shown = std::max(shown, ref.change->version.sequence);
      for (const HistoricChange& change : transaction.changes) {
        if (!Shows(change))
          return Violation("transactions whole",
                           absl::StrCat(EventName(ref.chain->origin, ref.change->version.sequence), " is visible, ",
                                        EventName(ref.chain->origin, change.version.sequence),
                                        " of the same transaction is not: ", Explain(change)));
      }
      // What was withheld and is granted later is merged as soon as it comes (engine/fold/late_events.h).
      if (branch_.granted_late && branch_.denied.contains(ref.change->row.first.ToString())) continue;
      ASSAY_RETURN_IF_ERROR(Annotate(CheckCauses(*ref.chain, ref.transaction), Explain(*ref.change)));
    }
    return absl::OkStatus();
  }

  // What is before a transaction in its chain, and what its branch had projected by then, must show before it does.
  absl::Status CheckCauses(const HistoricChain& chain, size_t index) {
    std::map<OriginId, Sequence> causes;
    if (index > 0) causes[chain.origin] = chain.transactions[index - 1].last;
    for (size_t t = 0; t <= index; ++t) {
      for (const v1::Seen& seen : chain.transactions[t].header.seen()) {
        ASSAY_ASSIGN_OR_RETURN(const OriginId origin, OriginId::FromBytes(seen.origin()));
        causes[origin] = Sequence{seen.sequence()};
      }
    }
    for (const auto& [origin, until] : causes) {
      if (origin == branch_.origin) continue;
      size_t& checked = checked_[origin];
      const std::vector<HistoricTransaction>& transactions = chains_.at(origin)->transactions;
      for (; checked < transactions.size() && transactions[checked].last <= until; ++checked) {
        for (const HistoricChange& change : transactions[checked].changes) {
          if (Shows(change)) continue;
          return Violation("causal order", absl::StrCat(EventName(chain.origin, chain.transactions[index].first),
                                                        " shows before ", EventName(origin, change.version.sequence),
                                                        ", which it builds on: ", Explain(change)));
        }
      }
    }
    return absl::OkStatus();
  }

  // For people: the change, what PostgreSQL shows instead, and everything that was ever written to the row.
  std::string Explain(const HistoricChange& change) { return absl::StrCat(Show(change), Explain(change.row)); }
  std::string Explain(const SimRowName& name) {
    const RowState& row = rows_[name];
    const auto show = [](const Version& version) {
      return absl::StrCat(version.stamp.value, " ", EventName(version.origin, version.sequence));
    };
    std::string text = absl::StrCat("\n  ", Show(name), " is ", row.live ? "live" : "absent");
    for (const auto& [column, version] : row.versions) {
      const auto shown = row.values.find(column);  // It may be of a table that had more columns then.
      const ColumnText value = shown == row.values.end() ? ColumnText() : shown->second;
      absl::StrAppend(&text, "; ", column, "=", value ? *value : "NULL", " of ", show(version));
    }
    for (const EventRef& ref : by_row_[name]) {
      absl::StrAppend(&text, "\n  ", show(ref.change->version), " ", Show(*ref.change));
    }
    return text;
  }

  // Some value of the row was written as another type than its column has here, or had, and waits for that; or to a row
  // that could not be found by its key.
  bool MayHaveWaited(const SimRowName& name) {
    const SimTable* table = TableOf(*branch_.database, name.first);
    if (table == nullptr || table->shape->name != name.first) return true;
    if (HasAnotherTypeElsewhere(name.first, NameIn(*table->shape, table->shape->key[0]))) return true;
    return std::any_of(by_row_[name].begin(), by_row_[name].end(), [&](const EventRef& ref) {
      return std::any_of(ref.change->new_values.begin(), ref.change->new_values.end(), [&](const auto& written) {
        return written.second.has_value() && HasAnotherTypeElsewhere(name.first, written.first);
      });
    });
  }
  bool HasAnotherTypeElsewhere(const TableName& table, const std::string& column) {
    const auto [it, is_new] = another_type_[table].try_emplace(column);
    if (!is_new) return it->second;
    std::set<std::string> types;
    for (const HistoricBranch& each : branches_) {
      const SimTable* found = each.database->Find(table);
      const auto known = found->types.find(column.substr(0, column.find('\'')));
      if (known != found->types.end()) types.insert(known->second.begin(), known->second.end());
    }
    return it->second = types.size() > 1;
  }

  // Whether PostgreSQL shows this change or something newer. Rows it once refused, and what is not here to read, do not
  // count.
  bool Shows(const HistoricChange& change) {
    if (branch_.denied.contains(change.row.first.ToString())) return true;
    if (branch_.database->refused().contains(change.row) || branch_.unsettled.contains(change.row)) return true;
    if (MayHaveWaited(change.row)) return true;
    const RowState& row = rows_[change.row];
    if (row.undone) return true;
    if (row.local_change > looked_) return true;  // Written over by the app since the projection looked at it.
    if (change.operation == v1::RowChange::DELETE) {
      // A newer write that brought the row back may have written what the row had already.
      const auto brought_back = [&](const EventRef& ref) {
        if (ref.change->operation == v1::RowChange::DELETE || ref.change->version < change.version) return false;
        return std::all_of(ref.change->new_values.begin(), ref.change->new_values.end(), [&](const auto& written) {
          auto shown = row.values.find(written.first);
          return shown == row.values.end() || shown->second == written.second;
        });
      };
      return !row.live || std::any_of(row.versions.begin(), row.versions.end(), [&](const auto& column) {
        return column.second > change.version;
      }) || std::any_of(by_row_[change.row].begin(), by_row_[change.row].end(), brought_back);
    }
    if (!row.live) {
      // No row is made of what was never seen whole, whoever makes one of that key later. Nor of an insert that nobody
      // here has heard of yet, whatever it is stamped.
      const bool begun = std::any_of(by_row_[change.row].begin(), by_row_[change.row].end(), [&](const EventRef& ref) {
        const Version& version = ref.change->version;
        const bool heard = version.origin == change.version.origin || version.origin == branch_.origin ||
                           version.sequence <= shown_[version.origin];
        return heard && ref.change->operation == v1::RowChange::INSERT && version <= change.version;
      });
      if (!begun) return true;
      // A row that was written and deleted between two projections never shows.
      return std::any_of(by_row_[change.row].begin(), by_row_[change.row].end(), [&](const EventRef& ref) {
        return ref.change->operation == v1::RowChange::DELETE && ref.change->version > change.version;
      });
    }
    for (const auto& [column, value] : change.new_values) {
      auto shown = row.values.find(column);
      if (shown == row.values.end()) continue;  // No such column here, or not yet.
      auto version = row.versions.find(column);
      const Version since = version == row.versions.end() ? Version{} : version->second;
      // A column added since, and due to be written.
      if (IsFill(column, shown->second)) continue;
      if ((since.IsNone() || column == kLateColumn) && !shown->second.has_value()) continue;
      if (shown->second == value || since >= change.version) continue;
      std::vector<EventRef> ignored;
      if (Writer(change.row, column, shown->second, &ignored) < change.version) return false;
    }
    return true;
  }

  const std::vector<HistoricBranch>& branches_;
  const HistoricBranch& branch_;
  const std::map<Lsn, const HistoricTransaction*>& captured_;
  std::map<OriginId, const HistoricChain*> chains_;
  std::map<OriginId, const SimDatabase*> databases_;
  std::map<SimRowName, std::vector<EventRef>> by_row_;
  std::map<SimRowName, RowState> rows_;
  std::map<TableName, std::map<std::string, bool>> another_type_;  // By column; asked for with each row that shows.
  std::map<OriginId, size_t> checked_;                             // Transactions known to show, from the first on.
  Lsn ours_;                                                       // The newest fence or projection.
  Lsn looked_;                          // The one before the newest fence: the rows were read after this.
  Lsn known_;                           // What had been captured when the projection was planned.
  HlcStamp projected_stamp_;            // Newest that came in by projection.
  std::map<OriginId, Sequence> shown_;  // The newest event of each that came in by projection.
  std::map<OriginId, Sequence> said_;   // What the own chain has said of that,
  size_t own_read_ = 0;                 // up to this transaction.
  uint64_t projected_rows_ = 0;
};

absl::Status History::CheckProjections() {
  for (size_t b = 0; b < branches_.size(); ++b) {
    Replay replay(branches_, b, captured_[b]);
    ASSAY_RETURN_IF_ERROR(replay.Run());
    projected_rows_ += replay.projected_rows();
  }
  return absl::OkStatus();
}

}  // namespace assay
