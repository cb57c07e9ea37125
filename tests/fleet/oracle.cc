#include "tests/fleet/oracle.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/substitute.h"
#include "log/annotate.h"
#include "tests/support/sql.h"

namespace assay::test {
namespace {

// Row locks order a row's own changes, so `at` (drawn under the lock) is the order in which the row lived them.
constexpr char kOracle[] = R"(
CREATE SCHEMA IF NOT EXISTS oracle;
CREATE UNLOGGED TABLE oracle.$0 (at bigserial PRIMARY KEY, op text, id text, old jsonb, new jsonb, txid bigint, projected boolean);
CREATE FUNCTION oracle.note_$0() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$$$
BEGIN
  INSERT INTO oracle.$0 (op, id, old, new, txid, projected)
    VALUES (TG_OP, coalesce(NEW.id, OLD.id), to_jsonb(OLD), to_jsonb(NEW), txid_current(),
            current_setting('session_replication_role') = 'replica');
  RETURN NULL;
END $$$$;
CREATE TRIGGER oracle_note AFTER INSERT OR UPDATE OR DELETE ON public.$0 FOR EACH ROW EXECUTE FUNCTION oracle.note_$0();
ALTER TABLE public.$0 ENABLE ALWAYS TRIGGER oracle_note;
)";

constexpr size_t kExamplesMax = 8;

void Note(Verdict& verdict, const std::string& example) {
  if (verdict.examples.size() < kExamplesMax) verdict.examples.push_back(example);
}

// Which write a value came from. 'start' is in no event with a place in the order: older than all.
class Versions {
 public:
  Versions(const std::vector<LoggedRow>& log, const std::string& table, Verdict& verdict) {
    for (const LoggedRow& row : log) {
      if (row.table != absl::StrCat("public.", table)) continue;
      for (const auto& [column, value] : row.written) {
        if (!value.has_value() || *value == "start") continue;
        auto [known, fresh] = by_value_.emplace(*value, row.version);
        if (fresh) continue;
        ++verdict.captured_twice;
        Note(verdict,
             absl::StrCat("captured twice: ", *value, " in ", EventName(known->second.origin, known->second.sequence),
                          " and ", EventName(row.version.origin, row.version.sequence)));
      }
    }
  }
  const Version* Find(const std::string& value) const {
    static const Version kStart;
    if (value == "start") return &kStart;
    auto found = by_value_.find(value);
    return found == by_value_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, Version> by_value_;
};

void JudgeStep(const Versions& versions, const std::string& row, const std::string& before, const std::string& after,
               bool projected, Verdict& verdict) {
  if (before == after) return;
  const Version* older = versions.Find(before);
  const Version* newer = versions.Find(after);
  ++(projected ? verdict.projected_writes : verdict.local_writes);
  if (older == nullptr || newer == nullptr) {
    ++verdict.not_captured;
    Note(verdict, absl::StrCat("not in the log: ", newer == nullptr ? after : before, " of row ", row));
  } else if (*newer < *older && !newer->IsNone()) {
    ++(projected ? verdict.stale_overwrites : verdict.causality_broken);
    Note(verdict, absl::StrCat(projected ? "stale overwrite" : "causality broken", ": row ", row, ": ", before, " (",
                               older->stamp.value, ") replaced by ", after, " (", newer->stamp.value, ")"));
  }
}

// The reference merge: obviously right, and slow. A row lives if its newest write is newer than its newest delete.
struct FoldedRow {
  Version written, deleted;
  std::map<std::string, std::pair<Version, std::string>> columns;
};

std::map<std::string, FoldedRow> Fold(const std::vector<LoggedRow>& log, const std::string& table) {
  std::map<std::string, FoldedRow> fold;
  for (const LoggedRow& event : log) {
    if (event.table != absl::StrCat("public.", table)) continue;
    FoldedRow& row = fold[event.key[0]];
    Version& life = event.operation == v1::RowChange::DELETE ? row.deleted : row.written;
    life = std::max(life, event.version);
    for (const auto& [column, value] : event.written) {
      auto& winner = row.columns[column];
      if (winner.first < event.version) winner = {event.version, value.value_or("NULL")};
    }
  }
  return fold;
}

void JudgeRow(const std::string& id, const FoldedRow& folded, const std::vector<std::string>& columns,
              const std::map<std::string, std::vector<std::string>>& rows, Verdict& verdict) {
  auto row = rows.find(id);
  bool lives = !folded.written.IsNone() && folded.written > folded.deleted;
  if (lives != (row != rows.end())) {
    ++verdict.differs_from_fold;
    Note(verdict, absl::StrCat("differs from the fold: row ", id, lives ? " is missing" : " should be deleted"));
    return;
  }
  for (size_t column = 0; lives && column < columns.size(); ++column) {
    auto winner = folded.columns.find(columns[column]);
    if (winner == folded.columns.end() || winner->second.second == row->second[column]) continue;
    ++verdict.differs_from_fold;
    Note(verdict, absl::StrCat("differs from the fold: row ", id, " has ", row->second[column], ", the log says ",
                               winner->second.second));
  }
}

}  // namespace

void InstallOracle(const std::string& admin_url, const std::string& table) {
  MustSql(admin_url, absl::Substitute(kOracle, table));
}

absl::StatusOr<Verdict> Judge(const std::string& admin_url, const std::string& table,
                              const std::vector<std::string>& columns, const std::vector<LoggedRow>& log) {
  Verdict verdict;
  Versions versions(log, table, verdict);
  auto columns_of = [&](const std::string& prefix) {
    return absl::StrJoin(columns, ", ", [&](std::string* out, const std::string& column) {
      absl::StrAppend(out, prefix, "->>'", column, "'");
    });
  };
  ASSAY_ASSIGN_OR_RETURN(
      Rows history, Sql(admin_url, absl::Substitute("SELECT id, projected, $0, $1 FROM oracle.$2 WHERE op = 'UPDATE' "
                                                    "ORDER BY at",
                                                    columns_of("old"), columns_of("new"), table)));
  for (const std::vector<std::string>& step : history) {
    for (size_t column = 0; column < columns.size(); ++column) {
      JudgeStep(versions, step[0], step[2 + column], step[2 + columns.size() + column], step[1] == "t", verdict);
    }
  }

  std::map<std::string, FoldedRow> fold = Fold(log, table);
  ASSAY_ASSIGN_OR_RETURN(
      Rows now, Sql(admin_url, absl::Substitute("SELECT id, $0 FROM public.$1", absl::StrJoin(columns, ", "), table)));
  std::map<std::string, std::vector<std::string>> rows;
  for (std::vector<std::string>& row : now) rows[row[0]] = {row.begin() + 1, row.end()};
  for (const auto& [id, folded] : fold) JudgeRow(id, folded, columns, rows, verdict);
  return verdict;
}

}  // namespace assay::test
