#include "tools/survey/fed_sequences.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"

namespace assay {
namespace {

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
       k.increment, k.start, k.stride, k.number,
       CASE WHEN pg_catalog.has_sequence_privilege(s.seqrelid, 'USAGE, SELECT')
            THEN pg_catalog.pg_sequence_last_value(s.seqrelid) END AS last_value,
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

// The others of the same schemas: no column of any table takes their values by itself, and no extension made them.
constexpr char kUnfed[] = R"sql(
SELECT s.seqrelid, n.nspname, c.relname, s.seqincrement, s.seqstart, s.seqmin, s.seqmax, s.seqcycle,
       k.increment, k.start, k.stride, k.number,
       CASE WHEN pg_catalog.has_sequence_privilege(s.seqrelid, 'USAGE, SELECT')
            THEN pg_catalog.pg_sequence_last_value(s.seqrelid) END AS last_value,
       NOT pg_catalog.has_sequence_privilege('assay_projector', s.seqrelid, 'USAGE') AS rights,
       pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN assay.sequences k ON k.sequence = s.seqrelid
WHERE c.relpersistence = 'p' AND c.relnamespace IN (SELECT t.relnamespace FROM assay.enrolled e JOIN pg_catalog.pg_class t ON t.oid = e.relation)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                  AND d.objid = s.seqrelid AND d.deptype IN ('a', 'i', 'e'))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
                  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = s.seqrelid)
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C")sql";

// All but the columns that it feeds.
FedSequence SequenceOf(const Result& rows, int row) {
  FedSequence sequence;
  sequence.oid = static_cast<uint32_t>(rows.Int64(row, "seqrelid"));
  sequence.name = {rows.String(row, "nspname"), rows.String(row, "relname")};
  sequence.increment_now = rows.Int64(row, "seqincrement");
  sequence.start_now = rows.Int64(row, "seqstart");
  if (!rows.IsNull(row, "last_value")) sequence.last = rows.Int64(row, "last_value");
  sequence.state = {rows.Int64(row, "seqincrement"), rows.Int64(row, "seqstart"), rows.Int64(row, "seqmin"),
                    rows.Int64(row, "seqmax"),       rows.Bool(row, "seqcycle"),  0};
  if (!rows.IsNull(row, "increment")) {
    sequence.state.increment = rows.Int64(row, "increment");
    sequence.state.start = rows.Int64(row, "start");
    sequence.stride = rows.Int64(row, "stride");
    sequence.number = rows.Int64(row, "number");
  }
  sequence.needs_rights = rows.Bool(row, "rights");
  sequence.owned = rows.Bool(row, "owned");
  return sequence;
}

int64_t Modulo(__int128 value, int64_t modulus) {
  const int64_t rest = static_cast<int64_t>(value % modulus);
  return rest < 0 ? rest + modulus : rest;
}

}  // namespace

bool SequenceClass::Has(int64_t value) const { return Modulo(static_cast<__int128>(value) - residue, modulus) == 0; }

SequenceClass ClassOf(int64_t increment, int64_t start, int64_t stride, int64_t number) {
  const int64_t modulus = increment * stride;
  const int64_t phase = increment == 1 ? 0 : Modulo(start, increment);
  return {modulus, Modulo(static_cast<__int128>(increment) * number + phase, modulus)};
}

absl::StatusOr<StridedSequence> StrideSequence(const SequenceState& state, int64_t stride, int64_t number) {
  if (state.cycles)
    return absl::FailedPreconditionError("it starts over when it is used up (CYCLE), and would collide then");
  if (state.increment <= 0) return absl::FailedPreconditionError("it counts down");
  if (stride > INT64_MAX / state.increment) return absl::FailedPreconditionError("its steps would be too large");
  const SequenceClass own = ClassOf(state.increment, state.start, stride, number);
  const __int128 least = std::max<__int128>(static_cast<__int128>(state.above) + 1, state.minimum);
  const auto first_from = [&](__int128 value) { return value + Modulo(own.residue - value, own.modulus); };
  const __int128 next = first_from(least);
  if (next > state.maximum) {
    return absl::FailedPreconditionError(
        absl::StrCat("it ends at ", state.maximum, ", which leaves no value above ", state.above,
                     " for this branch: give it and its column a larger type (ALTER SEQUENCE … AS bigint)"));
  }
  // From the smallest number to the largest there are more than fit one.
  const __int128 left = std::min<__int128>((state.maximum - next) / own.modulus + 1, INT64_MAX);
  const __int128 start = std::min(next, first_from(std::max(state.start, state.minimum)));
  return StridedSequence{own.modulus, static_cast<int64_t>(start), static_cast<int64_t>(next),
                         static_cast<int64_t>(left)};
}

absl::StatusOr<std::vector<FedSequence>> ListSequences(Connection& connection) {
  ASSAY_ASSIGN_OR_RETURN(const Result rows, connection.Execute(kSequences));
  std::vector<FedSequence> sequences;
  for (int row = 0; row < rows.rows(); ++row) {
    const auto oid = static_cast<uint32_t>(rows.Int64(row, "seqrelid"));
    if (sequences.empty() || sequences.back().oid != oid) sequences.push_back(SequenceOf(rows, row));
    sequences.back().columns.push_back({{rows.String(row, "fed_schema"), rows.String(row, "fed_table")},
                                        {rows.String(row, "replica_root"), rows.String(row, "replica_table")},
                                        rows.String(row, "attname"),
                                        rows.Text(row, "relkind") == "p",
                                        rows.Bool(row, "is_integer")});
  }
  ASSAY_ASSIGN_OR_RETURN(const Result unfed, connection.Execute(kUnfed));
  for (int row = 0; row < unfed.rows(); ++row) sequences.push_back(SequenceOf(unfed, row));
  return sequences;
}

std::string StrayBecause(const FedSequence& sequence, int64_t stride, int64_t number) {
  if (!sequence.stride.has_value()) return absl::StrCat("it steps by ", sequence.increment_now, ", as at every branch");
  if (sequence.stride != stride || sequence.number != number)
    return absl::StrCat("it was set up for branch number ", *sequence.number, " of ", *sequence.stride);
  const SequenceClass own = ClassOf(sequence.state.increment, sequence.state.start, stride, number);
  if (sequence.increment_now != own.modulus)
    return absl::StrCat("it steps by ", sequence.increment_now, " in place of ", own.modulus);
  if (!own.Has(sequence.start_now))
    return absl::StrCat("it begins with ", sequence.start_now, " when it is restarted, which is another branch's");
  if (sequence.last.has_value() && !own.Has(*sequence.last))
    return absl::StrCat("it stands at ", *sequence.last, ", which is another branch's");
  return {};
}

}  // namespace assay
