#include "tools/setup/sequences.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "log/annotate.h"
#include "tools/setup/enrolled_tables.h"

namespace assay {
namespace {

// Fewer keys left than this is worth a word at enrolment.
constexpr int64_t kFewValues = 100'000;

// One row for each column of an enrolled relation and the sequence that feeds it: owned by it (serial), its identity,
// or named in its default.
constexpr char kSequences[] = R"sql(
WITH fed AS (
  SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS attnum
  FROM pg_catalog.pg_depend d
  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
  UNION
  SELECT d.refobjid, f.adrelid, f.adnum
  FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attrdef f ON f.oid = d.objid
  WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass)
SELECT s.seqrelid, n.nspname, c.relname, s.seqincrement, s.seqstart, s.seqmin, s.seqmax, s.seqcycle,
       rn.nspname AS fed_schema, rc.relname AS fed_table, a.attname, r.replica_root, r.replica_table,
       k.increment, k.stride, k.number,
       NOT pg_catalog.has_sequence_privilege('assay_projector', s.seqrelid, 'USAGE') AS rights,
       pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned, rc.relkind, a.atttypid IN (20, 21, 23) AS is_integer
FROM fed
JOIN pg_catalog.pg_sequence s ON s.seqrelid = fed.sequence
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN assay.enrolled e ON e.relation = fed.relation
JOIN pg_catalog.pg_class rc ON rc.oid = fed.relation JOIN pg_catalog.pg_namespace rn ON rn.oid = rc.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = fed.relation AND a.attnum = fed.attnum AND NOT a.attisdropped
CROSS JOIN LATERAL (SELECT tn.nspname AS replica_root, t.relname AS replica_table FROM pg_catalog.pg_class t
  JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace WHERE t.oid = e.root) r
LEFT JOIN assay.sequences k ON k.sequence = s.seqrelid
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C", rn.nspname COLLATE "C", rc.relname COLLATE "C", a.attname COLLATE "C")sql";

struct Column {
  TableName relation;  // Where it is: a partition may have its own.
  TableName root;      // Under what name the fleet knows it.
  std::string name;
  bool partitioned = false, is_integer = true;
};

struct FedSequence {
  uint32_t oid = 0;
  TableName name;
  SequenceState state;  // `above` not yet known.
  int64_t increment_now = 0;
  std::vector<Column> columns;
  std::optional<int64_t> stride, number;  // What it was strided for.
  bool needs_rights = false, owned = true;
};

absl::StatusOr<std::vector<FedSequence>> ListSequences(Connection& admin) {
  ASSAY_ASSIGN_OR_RETURN(const Result rows, admin.Execute(kSequences));
  std::vector<FedSequence> sequences;
  for (int row = 0; row < rows.rows(); ++row) {
    const uint32_t oid = rows.Int64(row, "seqrelid");
    if (sequences.empty() || sequences.back().oid != oid) {
      FedSequence& added = sequences.emplace_back();
      added.oid = oid;
      added.name = {rows.String(row, "nspname"), rows.String(row, "relname")};
      added.increment_now = rows.Int64(row, "seqincrement");
      added.state = {rows.Int64(row, "seqincrement"), rows.Int64(row, "seqstart"), rows.Int64(row, "seqmin"),
                     rows.Int64(row, "seqmax"),       rows.Bool(row, "seqcycle"),  0};
      if (!rows.IsNull(row, "increment")) {
        added.state.increment = rows.Int64(row, "increment");
        added.stride = rows.Int64(row, "stride");
        added.number = rows.Int64(row, "number");
      }
      added.needs_rights = rows.Bool(row, "rights");
      added.owned = rows.Bool(row, "owned");
    }
    sequences.back().columns.push_back({{rows.String(row, "fed_schema"), rows.String(row, "fed_table")},
                                        {rows.String(row, "replica_root"), rows.String(row, "replica_table")},
                                        rows.String(row, "attname"),
                                        rows.Text(row, "relkind") == "p",
                                        rows.Bool(row, "is_integer")});
  }
  return sequences;
}

int64_t Modulo(__int128 value, int64_t modulus) {
  const int64_t rest = static_cast<int64_t>(value % modulus);
  return rest < 0 ? rest + modulus : rest;
}

SequenceClass ClassOf(int64_t increment, int64_t start, int64_t stride, int64_t number) {
  const int64_t modulus = increment * stride;
  const int64_t phase = increment == 1 ? 0 : Modulo(start, increment);
  return {modulus, Modulo(static_cast<__int128>(increment) * number + phase, modulus)};
}

// The largest value anywhere the sequence feeds, under the sequence's lock: whoever took a value has committed or not
// begun.
absl::StatusOr<int64_t> Above(Connection& admin, const FedSequence& sequence) {
  ASSAY_ASSIGN_OR_RETURN(const Result state, admin.Execute(absl::StrCat("SELECT last_value, is_called FROM ",
                                                                        Quoted(admin, sequence.name))));
  int64_t above = state.Bool(0, "is_called") ? state.Int64(0, "last_value") : state.Int64(0, "last_value") - 1;
  for (const Column& column : sequence.columns) {
    if (!column.is_integer) continue;
    ASSAY_ASSIGN_OR_RETURN(
        const Result largest,
        admin.Execute(absl::StrCat("SELECT pg_catalog.max(", admin.QuoteIdentifier(column.name), ") AS largest FROM ",
                                   column.partitioned ? "" : "ONLY ", Quoted(admin, column.relation))));
    if (!largest.IsNull(0, "largest")) above = std::max(above, largest.Int64(0, "largest"));
  }
  return above;
}

// Inside a transaction that the caller ends.
absl::StatusOr<StridedSequence> StrideLocked(Connection& admin, const FedSequence& sequence, int64_t stride,
                                             int64_t number, int64_t above) {
  // Any ALTER SEQUENCE takes the lock that nextval's users hold until they end; this one changes nothing yet.
  const std::string name = Quoted(admin, sequence.name);
  ASSAY_RETURN_IF_ERROR(
      admin.ExecuteScript(absl::StrCat("ALTER SEQUENCE ", name, " INCREMENT BY ", sequence.increment_now)).status());
  SequenceState state = sequence.state;
  ASSAY_ASSIGN_OR_RETURN(const int64_t present, Above(admin, sequence));
  state.above = std::max(above, present);
  ASSAY_ASSIGN_OR_RETURN(const StridedSequence strided, StrideSequence(state, stride, number));
  ASSAY_RETURN_IF_ERROR(
      admin
          .ExecuteScript(
              absl::StrCat("ALTER SEQUENCE ", name, " INCREMENT BY ", strided.increment, " RESTART WITH ", strided.next,
                           ";"
                           "INSERT INTO assay.sequences (sequence, increment, stride, number) VALUES (",
                           sequence.oid, ",", sequence.state.increment, ",", stride, ",", number,
                           ") ON CONFLICT (sequence) DO UPDATE SET stride = excluded.stride, number = excluded.number;"
                           "COMMIT"))
          .status());
  return strided;
}

}  // namespace

absl::StatusOr<StridedSequence> StrideSequence(const SequenceState& state, int64_t stride, int64_t number) {
  if (state.cycles)
    return absl::FailedPreconditionError("it starts over when it is used up (CYCLE), and would collide then");
  if (state.increment <= 0) return absl::FailedPreconditionError("it counts down");
  if (stride > INT64_MAX / state.increment) return absl::FailedPreconditionError("its steps would be too large");
  const SequenceClass own = ClassOf(state.increment, state.start, stride, number);
  const __int128 least = std::max<__int128>(static_cast<__int128>(state.above) + 1, state.minimum);
  const __int128 next = least + Modulo(own.residue - least, own.modulus);
  if (next > state.maximum) {
    return absl::FailedPreconditionError(
        absl::StrCat("it ends at ", state.maximum, ", which leaves no value above ", state.above,
                     " for this branch: give it and its column a larger type (ALTER SEQUENCE … AS bigint)"));
  }
  const int64_t left = static_cast<int64_t>((state.maximum - next) / own.modulus);
  return StridedSequence{own.modulus, static_cast<int64_t>(next), left == INT64_MAX ? left : left + 1};
}

absl::StatusOr<SequenceReport> StrideSequences(Connection& admin, int64_t stride, int64_t number,
                                               const std::map<SequenceColumn, int64_t>& largest, absl::Time deadline) {
  if (number < 1 || number > stride) {
    return absl::InvalidArgumentError(
        absl::StrCat("branch.number is ", number, ", which is not in 1..", stride, " (branch.stride)"));
  }
  ASSAY_ASSIGN_OR_RETURN(const std::vector<FedSequence> sequences, ListSequences(admin));
  SequenceReport report;
  for (const FedSequence& sequence : sequences) {
    const std::string name = sequence.name.ToString();
    if (!sequence.owned) {
      report.problems.push_back(absl::StrCat(name, " is not strided: it is owned by another role than its table"));
      continue;
    }
    if (sequence.needs_rights) {
      ASSAY_RETURN_IF_ERROR(admin
                                .ExecuteScript(absl::StrCat("GRANT USAGE ON SEQUENCE ", Quoted(admin, sequence.name),
                                                            " TO ", kProjectorRole))
                                .status());
    }
    int64_t above = INT64_MIN;
    for (const Column& column : sequence.columns) {
      auto known = largest.find({column.root, column.name});
      if (known != largest.end()) above = std::max(above, known->second);
    }
    if (sequence.stride == stride && sequence.number == number) {
      if (above == INT64_MIN) continue;
      ASSAY_ASSIGN_OR_RETURN(const Result state,
                             admin.Execute(absl::StrCat("SELECT last_value FROM ", Quoted(admin, sequence.name))));
      if (above < state.Int64(0, "last_value")) continue;
    }
    for (;;) {
      ASSAY_RETURN_IF_ERROR(
          admin.ExecuteScript(absl::StrCat("BEGIN; SET LOCAL lock_timeout = ", absl::ToInt64Milliseconds(kLockWait)))
              .status());
      const absl::StatusOr<StridedSequence> strided = StrideLocked(admin, sequence, stride, number, above);
      if (strided.ok()) {
        report.strided.push_back(
            absl::StrCat(name, " goes on at ", strided->next, ", in steps of ", strided->increment));
        if (strided->left < kFewValues) {
          report.problems.push_back(absl::StrCat(name, " has ", strided->left,
                                                 " values left at this branch: give it and its column a larger type"));
        }
        break;
      }
      ASSAY_RETURN_IF_ERROR(admin.ExecuteScript("ROLLBACK").status());
      if (SqlstateOf(strided.status()).empty() && absl::IsFailedPrecondition(strided.status())) {
        report.problems.push_back(absl::StrCat(name, " is not strided: ", std::string(strided.status().message())));
        break;
      }
      if (!absl::IsAborted(strided.status()) || SteadyNow() >= deadline)
        return AnnotateSql(strided.status(), absl::StrCat("stride ", name));
      absl::SleepFor(absl::Milliseconds(300));
    }
  }
  return report;
}

absl::StatusOr<std::map<SequenceColumn, SequenceClass>> StridedColumns(Connection& admin) {
  ASSAY_ASSIGN_OR_RETURN(const std::vector<FedSequence> sequences, ListSequences(admin));
  std::map<SequenceColumn, SequenceClass> classes;
  for (const FedSequence& sequence : sequences) {
    if (!sequence.stride.has_value()) continue;
    for (const Column& column : sequence.columns) {
      if (column.is_integer) {
        classes[{column.root, column.name}] =
            ClassOf(sequence.state.increment, sequence.state.start, *sequence.stride, *sequence.number);
      }
    }
  }
  return classes;
}

absl::Status RestoreSequences(Connection& admin, absl::Time deadline) {
  ASSAY_ASSIGN_OR_RETURN(
      const Result rows,
      admin.Execute("SELECT c.oid, n.nspname, c.relname, k.increment FROM assay.sequences k JOIN pg_catalog.pg_class c "
                    "ON c.oid = k.sequence "
                    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY n.nspname, c.relname"));
  for (int row = 0; row < rows.rows(); ++row) {
    const TableName name{rows.String(row, "nspname"), rows.String(row, "relname")};
    ASSAY_RETURN_IF_ERROR(ExecuteWithShortLocks(
        admin,
        absl::StrCat("ALTER SEQUENCE ", Quoted(admin, name), " INCREMENT BY ", rows.Text(row, "increment"),
                     "; DELETE FROM assay.sequences WHERE sequence = ", rows.Text(row, "oid")),
        {static_cast<uint32_t>(rows.Int64(row, "oid"))}, absl::StrCat("restore sequence ", name.ToString()), deadline));
  }
  return absl::OkStatus();
}

}  // namespace assay
