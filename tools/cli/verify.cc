#include <iostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/cli/command_line.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

namespace assay {
namespace {

using admin::v1::DifferingCell;
using admin::v1::VerifiedTable;
using admin::v1::VerifyTablesProgress;

// As a monitoring program's: what could not be looked at is not well.
enum VerifyExit { kSame = 0, kDiffers = 1, kNotLookedAt = 3 };

std::string ValueText(const admin::v1::Value& value) {
  return value.is_null() ? "NULL" : absl::StrCat("'", Printable(value.text()), "'");
}

std::string CellText(const DifferingCell& cell) {
  const std::string row = absl::StrCat("  row [", Printable(absl::StrJoin(cell.key(), ", ")), "]");
  if (cell.column().empty()) {
    return absl::StrCat(row, cell.has_here() ? " is here" : " is not here", "; in the log it is ",
                        !cell.has_log()                  ? "not known"
                        : cell.log().text() == "present" ? "there"
                                                         : cell.log().text(),
                        "\n");
  }
  return absl::StrCat(row, ", ", Printable(cell.column()), ": ", ValueText(cell.here()), " here, ",
                      ValueText(cell.log()), " in the log\n");
}

std::string TableText(const VerifiedTable& table) {
  std::vector<std::string> words = {Count(table.rows(), "row")};
  if (table.differing_rows() == 0) {
    words.push_back("as the log has them");
  } else {
    words.push_back(absl::StrCat(table.gave_up() ? "at least " : "", Grouped(table.differing_rows()),
                                 Painted(Paint::kRed, table.differing_rows() == 1 ? " DIFFERS" : " DIFFER")));
  }
  if (table.waiting_rows() > 0) words.push_back(absl::StrCat(Grouped(table.waiting_rows()), " wait to be written"));
  if (table.restless_rows() > 0)
    words.push_back(absl::StrCat(Grouped(table.restless_rows()), " changed at each look: not known"));
  std::string text = absl::StrCat(Printable(table.table()), ": ", absl::StrJoin(words, ", "), "\n");
  for (const DifferingCell& cell : table.cells_listed()) text += CellText(cell);
  return text;
}

std::string ReportText(const VerifyTablesProgress& report) {
  std::string text;
  uint64_t rows = 0, cells = 0, passed_over = 0, differing = 0;
  for (const VerifiedTable& table : report.verified()) {
    text += TableText(table);
    rows += table.rows();
    cells += table.cells();
    passed_over += table.cells_passed_over();
    differing += table.differing_rows();
  }
  for (const std::string& table : report.not_verified())
    absl::StrAppend(&text, "NOT COMPARED: ", Printable(table), "\n");
  absl::StrAppend(&text, Count(report.verified_size(), "table"), ", ", Count(rows, "row"), ", ", Count(cells, "cell"),
                  " compared");
  if (passed_over > 0) absl::StrAppend(&text, "; ", Count(passed_over, "cell"), " that only one of the two has");
  absl::StrAppend(&text, differing == 0 ? ": nothing differs.\n"
                                        : absl::StrCat(": ", Count(differing, "row"),
                                                       differing == 1 ? " differs.\n" : " differ.\n"));
  if (differing > 0) {
    text += "Nothing was changed. To mend them, stop assayd and run assay repair, which shows what it would do.\n";
  }
  return text;
}

int ExitOf(const VerifyTablesProgress& report) {
  for (const VerifiedTable& table : report.verified()) {
    if (table.differing_rows() > 0) return kDiffers;
  }
  return report.not_verified().empty() ? kSame : kNotLookedAt;
}

int VerifyTables(const CliContext& context, const std::vector<std::string>& tables) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  admin::v1::VerifyTablesRequest request;
  for (const std::string& table : tables) {
    if (!table.empty()) request.add_tables(table);
  }
  grpc::ClientContext call;
  auto reader = (*stub)->VerifyTables(&call, request);
  VerifyTablesProgress progress;
  const bool draws = OnTerminal() && !context.json;
  while (reader->Read(&progress)) {
    if (progress.done() || !draws) continue;
    DrawProgress(absl::StrCat("table ", progress.tables_done() + 1, " of ", progress.tables_total(), ", ",
                              Printable(progress.table()), ": ", Count(progress.rows(), "row")));
  }
  if (draws) EndProgress();
  if (grpc::Status answer = reader->Finish(); !answer.ok()) {
    // A table that is none is a slip of whoever asks.
    const bool slip = CliFail(context, answer) == kExitUsage || answer.error_code() == grpc::StatusCode::NOT_FOUND;
    if (slip) return kExitUsage;
    return kNotLookedAt;
  }
  if (context.json)
    PrintJson(progress);
  else
    std::cout << ReportText(progress) << std::flush;
  return ExitOf(progress);
}

}  // namespace

void AddVerify(CommandLine& line) {
  auto tables = std::make_shared<std::vector<std::string>>();
  CLI::App* verb = line.AddVerb({"verify", "Compare the tables with the log, row by row, while everything goes on",
                                 "assay verify --tables public.products"},
                                [tables](const CliContext& context) { return VerifyTables(context, *tables); });
  verb->add_option("--tables", *tables,
                   "These, schema.table; none named: all. Exit code 0 nothing differs, 1 something does, 3 not all "
                   "could be looked at")
      ->expected(0, -1)
      ->required();
}

}  // namespace assay
