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
// More than a branch sells while it is cut off.
constexpr int64_t kUnsentMax = 1'000'000;

// The largest value anywhere the sequence feeds, under the sequence's lock: whoever took a value has committed or not
// begun.
absl::StatusOr<int64_t> Above(Connection& admin, const FedSequence& sequence) {
  ASSAY_ASSIGN_OR_RETURN(const Result state, admin.Execute(absl::StrCat("SELECT last_value, is_called FROM ",
                                                                        Quoted(admin, sequence.name))));
  int64_t above = state.Bool(0, "is_called") ? state.Int64(0, "last_value") : state.Int64(0, "last_value") - 1;
  for (const FedColumn& column : sequence.columns) {
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
                                             int64_t number, int64_t above, KeysOfOthers others) {
  // Any ALTER SEQUENCE takes the lock that nextval's users hold until they end; this one changes nothing yet.
  const std::string name = Quoted(admin, sequence.name);
  ASSAY_RETURN_IF_ERROR(
      admin.ExecuteScript(absl::StrCat("ALTER SEQUENCE ", name, " INCREMENT BY ", sequence.increment_now)).status());
  SequenceState state = sequence.state;
  ASSAY_ASSIGN_OR_RETURN(const int64_t present, Above(admin, sequence));
  state.above = std::max(above, present);
  ASSAY_ASSIGN_OR_RETURN(StridedSequence strided, StrideSequence(state, stride, number));
  if (others == KeysOfOthers::kUnsent) {
    state.above = strided.next + std::min(kUnsentMax, strided.left / 2) * strided.increment - 1;
    ASSAY_ASSIGN_OR_RETURN(strided, StrideSequence(state, stride, number));
  }
  ASSAY_RETURN_IF_ERROR(
      admin
          .ExecuteScript(absl::StrCat(
              "ALTER SEQUENCE ", name, " INCREMENT BY ", strided.increment, " START WITH ", strided.start,
              " RESTART WITH ", strided.next,
              ";"
              "INSERT INTO assay.sequences (sequence, increment, start, stride, number) VALUES (",
              sequence.oid, ",", sequence.state.increment, ",", sequence.state.start, ",", stride, ",", number,
              ") ON CONFLICT (sequence) DO UPDATE SET stride = excluded.stride, number = excluded.number;"
              "COMMIT"))
          .status());
  return strided;
}

// A dump of an enrolled branch brings its step along, and not the note of how it was before.
void AsBeforeADump(int64_t stride, FedSequence* sequence) {
  if (stride > 1 && sequence->state.increment % stride == 0) sequence->state.increment /= stride;
}

}  // namespace

absl::StatusOr<SequenceReport> StrideSequences(Connection& admin, int64_t stride, int64_t number,
                                               const SequenceChoices& choices,
                                               const std::map<SequenceColumn, int64_t>& largest, absl::Time deadline,
                                               KeysOfOthers others) {
  if (number < 1 || number > stride) {
    return absl::InvalidArgumentError(
        absl::StrCat("branch.number is ", number, ", which is not in 1..", stride, " (branch.stride)"));
  }
  ASSAY_ASSIGN_OR_RETURN(const std::vector<FedSequence> sequences, ListSequences(admin));
  SequenceReport report;
  for (FedSequence sequence : sequences) {
    const std::string name = sequence.name.ToString();
    if (!sequence.IsStrided(choices)) continue;
    if (!sequence.stride.has_value()) AsBeforeADump(stride, &sequence);
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
    for (const FedColumn& column : sequence.columns) {
      auto known = largest.find({column.root, column.name});
      if (known != largest.end()) above = std::max(above, known->second);
    }
    if (others == KeysOfOthers::kKnown && StrayBecause(sequence, stride, number).empty()) {
      if (above == INT64_MIN) continue;
      ASSAY_ASSIGN_OR_RETURN(const Result state,
                             admin.Execute(absl::StrCat("SELECT last_value FROM ", Quoted(admin, sequence.name))));
      if (above < state.Int64(0, "last_value")) continue;
    }
    for (;;) {
      ASSAY_RETURN_IF_ERROR(
          admin.ExecuteScript(absl::StrCat("BEGIN; SET LOCAL lock_timeout = ", absl::ToInt64Milliseconds(kLockWait)))
              .status());
      const absl::StatusOr<StridedSequence> strided = StrideLocked(admin, sequence, stride, number, above, others);
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

absl::StatusOr<std::map<SequenceColumn, SequenceClass>> StridedColumns(Connection& admin, int64_t stride,
                                                                       int64_t number) {
  std::map<SequenceColumn, SequenceClass> classes;
  // A repair that only shows what it would do may meet a database where nothing is installed.
  ASSAY_ASSIGN_OR_RETURN(const Result installed,
                         admin.Execute("SELECT pg_catalog.to_regclass('assay.enrolled') IS NOT NULL AND "
                                       "pg_catalog.to_regclass('assay.sequences') IS NOT NULL AS installed"));
  if (!installed.Bool(0, "installed")) return classes;
  ASSAY_ASSIGN_OR_RETURN(std::vector<FedSequence> sequences, ListSequences(admin));
  for (FedSequence& sequence : sequences) {
    if (!sequence.stride.has_value()) AsBeforeADump(stride, &sequence);
    for (const FedColumn& column : sequence.columns) {
      if (!column.is_integer) continue;
      classes[{column.root, column.name}] = ClassOf(sequence.state.increment, sequence.state.start,
                                                    sequence.stride.value_or(stride), sequence.number.value_or(number));
    }
  }
  return classes;
}

absl::Status RestoreSequences(Connection& admin, absl::Time deadline) {
  ASSAY_ASSIGN_OR_RETURN(
      const Result rows,
      admin.Execute(
          "SELECT c.oid, n.nspname, c.relname, k.increment, k.start FROM assay.sequences k JOIN pg_catalog.pg_class c "
          "ON c.oid = k.sequence "
          "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY n.nspname, c.relname"));
  for (int row = 0; row < rows.rows(); ++row) {
    const TableName name{rows.String(row, "nspname"), rows.String(row, "relname")};
    ASSAY_RETURN_IF_ERROR(ExecuteWithShortLocks(
        admin,
        absl::StrCat("ALTER SEQUENCE ", Quoted(admin, name), " INCREMENT BY ", rows.Text(row, "increment"),
                     " START WITH ", rows.Text(row, "start"),
                     "; DELETE FROM assay.sequences WHERE sequence = ", rows.Text(row, "oid")),
        {static_cast<uint32_t>(rows.Int64(row, "oid"))}, absl::StrCat("restore sequence ", name.ToString()), deadline));
  }
  return absl::OkStatus();
}

}  // namespace assay
