#include "tools/survey/survey.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "tools/survey/fed_sequences.h"
#include "tools/survey/sql_names.h"

namespace assay {
namespace {

constexpr char kInstalled[] = R"sql(
SELECT pg_catalog.to_regclass('assay.enrolled') IS NOT NULL AND pg_catalog.to_regclass('assay.sequences') IS NOT NULL
       AND pg_catalog.to_regclass('assay.progress') IS NOT NULL AS installed,
       (SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND p.pubviaroot
        FROM pg_catalog.pg_publication p WHERE p.pubname = 'assay') AS publishes_all)sql";

// The tables that were enrolled and are not there any more, by their names of then; and those that are, and are
// published, whatever their names are now.
constexpr char kEnrolled[] = R"sql(
SELECT e.schema_name, e.table_name, e.relation::pg_catalog.oid AS oid, c.oid IS NOT NULL AS there,
       x.prrelid IS NOT NULL AS published
FROM assay.enrolled e
LEFT JOIN pg_catalog.pg_class c ON c.oid = e.relation
LEFT JOIN pg_catalog.pg_publication p ON p.pubname = 'assay'
LEFT JOIN pg_catalog.pg_publication_rel x ON x.prpubid = p.oid AND x.prrelid = c.oid
WHERE e.relation = e.root)sql";

// One row for each table and for each partition below it. Where a row's columns of pg_publication_rel are not known to
// a version of PostgreSQL, it has no filters and lists either.
constexpr char kRelations[] = R"sql(
SELECT r.root, c.oid, n.nspname, c.relname, c.relreplident,
       e.relation IS NOT NULL AS enrolled,
       x.prrelid IS NOT NULL AS published,
       pg_catalog.to_jsonb(x) ->> 'prqual' IS NOT NULL AS filtered,
       pg_catalog.to_jsonb(x) ->> 'prattrs' IS NOT NULL AS narrowed,
       EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = 'assay_attribution'
               AND g.tgenabled <> 'D') AS attributed,
       -- A partition that was made as one is in both catalogs by one transaction, and empty then. Where the transaction
       -- that made the table attached it, too, the latter has rewritten what the former noted of every column.
       (i.xmin::text <> a.xmin::text OR NOT EXISTS (SELECT FROM pg_catalog.pg_attribute u WHERE u.attrelid = c.oid
         AND u.attnum > 0 AND u.xmin::text = a.xmin::text AND u.cmin::text = a.cmin::text))
         AND pg_catalog.pg_relation_size(c.oid) > 0 AS attached_with_rows
FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS r (root)
CROSS JOIN LATERAL (SELECT r.root AS relid UNION SELECT t.relid FROM pg_catalog.pg_partition_tree(r.root) t) AS m
JOIN pg_catalog.pg_class c ON c.oid = m.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN assay.enrolled e ON e.relation = c.oid
LEFT JOIN pg_catalog.pg_publication p ON p.pubname = 'assay'
LEFT JOIN pg_catalog.pg_publication_rel x ON x.prpubid = p.oid AND x.prrelid = c.oid
LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = -1
ORDER BY r.root, c.oid <> r.root, n.nspname COLLATE "C", c.relname COLLATE "C")sql";

ReplicaIdentity IdentityOf(absl::string_view relreplident) {
  if (relreplident == "f") return ReplicaIdentity::kFull;
  if (relreplident == "i") return ReplicaIdentity::kIndex;
  return relreplident == "n" ? ReplicaIdentity::kNothing : ReplicaIdentity::kDefault;
}

// Why changes of an enrolled table may have been missed, by its own row of kRelations; empty: none were.
std::string MissedBecause(const Result& relations, int row, bool publishes_all) {
  if (!relations.Bool(row, "enrolled")) return "it was made anew since it was enrolled";
  if (!relations.Bool(row, "published")) return "it is not in the publication assay any more";
  if (relations.Bool(row, "filtered")) return "the publication assay has a row filter for it";
  if (relations.Bool(row, "narrowed")) return "the publication assay has a column list for it";
  if (!publishes_all) return "the publication assay does not hand out every kind of change";
  return {};
}

class Survey {
 public:
  Survey(Connection& connection, const SurveyOptions& options) : connection_(connection), options_(options) {}

  absl::StatusOr<SurveyReport> Take() {
    ASSAY_ASSIGN_OR_RETURN(const Result installed, connection_.Execute(kInstalled));
    if (!installed.Bool(0, "installed")) {
      return WithProblem(
          absl::FailedPreconditionError("what Assay installed in this database, schema assay, is not there"),
          ProblemKind::kInstallationGone);
    }
    publishes_all_ = installed.Bool(0, "publishes_all");
    ASSAY_ASSIGN_OR_RETURN(const TableSelection selection,
                           SelectTables(connection_, options_.patterns, SelectFor::kLooking));
    ASSAY_RETURN_IF_ERROR(Selected(selection));
    ASSAY_RETURN_IF_ERROR(Relations(selection));
    ASSAY_RETURN_IF_ERROR(Sequences());
    std::stable_sort(report_.problems.begin(), report_.problems.end(),
                     [](const Problem& a, const Problem& b) { return a.kind < b.kind; });
    return std::move(report_);
  }

 private:
  void Add(ProblemKind kind, std::string subject, std::string cause = "") {
    report_.problems.push_back({.kind = kind, .subject = std::move(subject), .cause = std::move(cause)});
  }
  bool IsEnrolled(const TableName& name) const { return options_.enrolled.contains(name.ToString()); }

  // What the configuration means, beside what exists and what the log has.
  absl::Status Selected(const TableSelection& selection) {
    ASSAY_ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kEnrolled));
    nothing_noted_ = rows.rows() == 0;
    std::set<std::string> dropped, there;
    std::set<uint32_t> captured;  // Also under a new name.
    for (int row = 0; row < rows.rows(); ++row) {
      const TableName name{rows.String(row, "schema_name"), rows.String(row, "table_name")};
      if (!rows.Bool(row, "there")) dropped.insert(name.ToString());
      if (rows.Bool(row, "published") && IsEnrolled(name))
        captured.insert(static_cast<uint32_t>(rows.Int64(row, "oid")));
    }
    for (const SelectedTable& table : selection.tables) {
      there.insert(table.name().ToString());
      if (!IsEnrolled(table.name()) && !captured.contains(table.oid))
        Add(ProblemKind::kTableNotEnrolled, table.name().ToString());
    }
    for (const RefusedTable& refused : selection.refused) {
      there.insert(refused.name.ToString());
      Add(ProblemKind::kTableRefused, refused.name.ToString(), refused.reason);
    }
    for (const std::string& pattern : selection.unmatched) Add(ProblemKind::kPatternEmpty, pattern);
    Policies(selection);
    for (const std::string& name : options_.enrolled) {
      const absl::StatusOr<TableName> table = TableName::Parse(name);
      if (table.ok() && options_.patterns.Mean(*table) && !there.contains(name) && dropped.contains(name))
        Add(ProblemKind::kTableGone, name);
    }
    return absl::OkStatus();
  }

  // A policy that names nothing is a slip, and would be one in silence.
  void Policies(const TableSelection& selection) {
    for (const auto& [name, columns] : options_.policies) {
      const auto table = std::find_if(selection.tables.begin(), selection.tables.end(),
                                      [&name = name](const SelectedTable& each) { return each.name() == name; });
      const bool refused = std::any_of(selection.refused.begin(), selection.refused.end(),
                                       [&name = name](const RefusedTable& each) { return each.name == name; });
      if (refused) continue;  // It is named for that.
      if (table == selection.tables.end()) {
        Add(ProblemKind::kPolicyUnknown, name.ToString());
        continue;
      }
      for (const std::string& column : columns) {
        const auto& known = table->shape.columns;
        if (std::none_of(known.begin(), known.end(), [&](const auto& each) { return each.name == column; }))
          Add(ProblemKind::kPolicyUnknown, absl::StrCat("column ", column, " of ", name.ToString()));
      }
    }
  }

  // How the tables that take part are published and captured.
  absl::Status Relations(const TableSelection& selection) {
    std::map<uint32_t, const SelectedTable*> roots;
    std::vector<uint32_t> oids;
    for (const SelectedTable& table : selection.tables) {
      if (!IsEnrolled(table.name())) continue;
      roots[table.oid] = &table;
      oids.push_back(table.oid);
    }
    ASSAY_ASSIGN_OR_RETURN(const Result relations, connection_.Execute(kRelations, {OidArray(oids)}));
    for (int row = 0; row < relations.rows(); ++row) {
      const std::string root = roots.at(relations.Int64(row, "root"))->name().ToString();
      const std::string name = TableName{relations.String(row, "nspname"), relations.String(row, "relname")}.ToString();
      if (relations.Text(row, "oid") == relations.Text(row, "root")) {
        // After DROP SCHEMA no table is known by its OID, and none was made anew for that.
        const std::string cause = nothing_noted_ ? "what Assay had noted of it in this database is gone"
                                                 : MissedBecause(relations, row, publishes_all_);
        const bool made_anew = !nothing_noted_ && !relations.Bool(row, "enrolled");
        if (!cause.empty()) report_.missed[root] = {.cause = cause, .made_anew = made_anew};
      } else if (!relations.Bool(row, "enrolled") && relations.Bool(row, "attached_with_rows")) {
        report_.missed.try_emplace(
            root, UnrecordedRows{.cause = absl::StrCat("its partition ", name, " was attached, and had rows before")});
      }
      const ReplicaIdentity identity = IdentityOf(relations.Text(row, "relreplident"));
      if (identity != ReplicaIdentity::kFull) report_.identities[name] = identity;
      if (!relations.Bool(row, "attributed")) Add(ProblemKind::kAttributionMissing, name);
    }
    return absl::OkStatus();
  }

  absl::Status Sequences() {
    ASSAY_ASSIGN_OR_RETURN(const std::vector<FedSequence> sequences, ListSequences(connection_));
    std::set<TableName> unknown = options_.sequences.stride;
    unknown.insert(options_.sequences.own.begin(), options_.sequences.own.end());
    for (const FedSequence& sequence : sequences) {
      unknown.erase(sequence.name);
      if (sequence.IsOpen(options_.sequences)) Add(ProblemKind::kSequenceOpen, sequence.name.ToString());
      if (!sequence.IsStrided(options_.sequences)) continue;
      NoteClass(sequence);
      const std::string cause = StrayBecause(sequence, options_.stride, options_.number);
      if (!cause.empty()) Add(ProblemKind::kSequenceStray, sequence.name.ToString(), cause);
    }
    for (const TableName& name : unknown) Add(ProblemKind::kSequenceUnknown, name.ToString());
    return absl::OkStatus();
  }

  // Where it was strided at all: before that all keys are anybody's, and the sequence is named.
  void NoteClass(const FedSequence& sequence) {
    if (sequence.stride != options_.stride || sequence.number != options_.number) return;
    const SequenceClass own = ClassOf(sequence.state.increment, sequence.state.start, options_.stride, options_.number);
    for (const FedColumn& column : sequence.columns) {
      if (column.is_integer)
        report_.key_classes[{column.root.ToString(), column.name}] = {own.modulus, own.residue,
                                                                      sequence.name.ToString()};
    }
  }

  Connection& connection_;
  const SurveyOptions& options_;
  bool publishes_all_ = false;
  bool nothing_noted_ = false;  // assay.enrolled is empty.
  SurveyReport report_;
};

}  // namespace

absl::StatusOr<SurveyReport> TakeSurvey(Connection& connection, const SurveyOptions& options) {
  return Survey(connection, options).Take();
}

}  // namespace assay
