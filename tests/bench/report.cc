#include "tests/bench/report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace assay::bench {
namespace {

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Three digits that mean something.
std::string Number(double value) {
  if (std::isnan(value)) return "-";
  if (std::abs(value) < 10) return absl::StrFormat("%.2f", value);
  if (std::abs(value) < 1000) return absl::StrFormat("%.1f", value);
  std::string grouped;
  const std::string digits = absl::StrFormat("%.0f", value);
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped.push_back(',');
    grouped.push_back(digits[i]);
  }
  return grouped;
}

std::string Spread(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return absl::StrCat(Number(Median(values)), " [", Number(*least), "..", Number(*most), "]");
}

std::string Quoted(const std::string& text) { return absl::StrCat("\"", text, "\""); }  // Ours: nothing to escape.

}  // namespace

bool Report::Row::Reached() const {
  const double median = Median(ratio);
  return goal.at_least > 0 ? median >= goal.at_least : median <= goal.at_most;
}

void Report::Add(const Goal& goal, double assay, double peer) {
  auto row = std::find_if(rows_.begin(), rows_.end(), [&](const Row& each) {
    return each.goal.what == goal.what && each.goal.against == goal.against;
  });
  if (row == rows_.end()) row = rows_.insert(rows_.end(), {goal, {}, {}, {}});
  row->assay.push_back(assay);
  if (!std::isnan(peer)) row->peer.push_back(peer);
  row->ratio.push_back(std::isnan(peer) ? assay : assay / peer);
}

std::string Report::Table() const {
  std::vector<std::vector<std::string>> lines = {
      {"what", "against", "Assay", "the other", "ratio [min..max]", "goal", "reached"}};
  for (const Row& row : rows_) {
    const bool compared = !row.peer.empty();
    const std::string bound = row.goal.at_least > 0  ? absl::StrCat(">= ", Number(row.goal.at_least))
                              : row.goal.at_most > 0 ? absl::StrCat("<= ", Number(row.goal.at_most))
                                                     : "";
    lines.push_back({absl::StrCat(row.goal.what, ", ", row.goal.unit), row.goal.against, Number(Median(row.assay)),
                     compared ? Number(Median(row.peer)) : "", compared ? Spread(row.ratio) : Spread(row.assay), bound,
                     row.HasGoal() ? (row.Reached() ? "yes" : "NO") : ""});
  }
  std::vector<size_t> widths(lines[0].size());
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string table;
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      absl::StrAppend(&table, line[i], std::string(widths[i] - line[i].size(), ' '), i + 1 < line.size() ? "  " : "\n");
    }
  }
  return table;
}

std::string Report::Json() const {
  const auto list = [](const std::vector<double>& values) {
    return absl::StrCat("[", absl::StrJoin(values, ", "), "]");
  };
  std::vector<std::string> rows;
  for (const Row& row : rows_) {
    rows.push_back(
        absl::StrCat("  {\"name\": ", Quoted(row.goal.name), ", \"what\": ", Quoted(row.goal.what),
                     ", \"unit\": ", Quoted(row.goal.unit), ", \"against\": ", Quoted(row.goal.against),
                     ", \"assay\": ", list(row.assay), ", \"peer\": ", list(row.peer), ", \"ratio\": ", list(row.ratio),
                     ", \"at_least\": ", row.goal.at_least, ", \"at_most\": ", row.goal.at_most,
                     row.HasGoal() ? absl::StrCat(", \"reached\": ", row.Reached() ? "true" : "false") : "", "}"));
  }
  return absl::StrCat("[\n", absl::StrJoin(rows, ",\n"), "\n]\n");
}

}  // namespace assay::bench
