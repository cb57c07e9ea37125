// Text for people: aligned tables, times and numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/human_text.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "proto/admin.pb.h"
#include "tools/cli/terminal.h"

namespace assay {

// How a column gives way where a table is wider than the terminal.
enum class Fit {
  kWhole,   // Never cut: numbers, times, names of events.
  kEnd,     // Cut at the end.
  kMiddle,  // Cut in the middle, as names and keys that differ at both ends.
};

struct Column {
  Column(std::string head, Fit fit = Fit::kWhole, int leaves = 0)  // NOLINT: mostly a head is all there is to say.
      : head(std::move(head)), fit(fit), leaves(leaves) {}
  Column(const char* head) : Column(std::string(head)) {}  // NOLINT
  std::string head;
  Fit fit;
  int leaves;  // 0: stays. Else the column with the largest number is the first to be left out.
};

struct TextCell {
  TextCell(std::string text, Paint paint = Paint::kNone)  // NOLINT: mostly a text is all there is.
      : text(std::move(text)), paint(paint) {}
  TextCell(const char* text) : text(text) {}  // NOLINT
  std::string text;
  Paint paint = Paint::kNone;
};

// An aligned table that fits the terminal: columns that may leave do so, and then the widest text is cut. Under 60
// characters a row is a block of `name: value`. In a pipe, and with -o wide, all of it is there.
class TextTable {
 public:
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void Add(std::vector<TextCell> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  // Control characters are shown, not obeyed: values are somebody's text.
  std::string ToString() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<TextCell>> rows_;
};

// Characters, as far as UTF-8 tells; colours take none.
size_t TextWidth(absl::string_view text);
// At most so many characters of it; where it is cut, "…".
std::string CutToWidth(const std::string& text, size_t width, Fit fit = Fit::kEnd);
// `text` without anything a terminal would act upon.
std::string Printable(absl::string_view text);
// A column's value in a table of differences: "NULL", or as much of the text as fits into `bytes_max`.
std::string ShownValue(const std::optional<std::string>& value, size_t bytes_max);
// "1.2 MB".
std::string Bytes(int64_t bytes);
// "2026-11-29 14:02:05 +0530": a time whole, in the output's zone.
std::string FullTime(absl::Time time);
// On a terminal "14:02:05" of today, or "29 Nov 14:02:05"; in a pipe FullTime. "-" when absent.
std::string When(bool present, const google::protobuf::Timestamp& time);
// On a terminal "3 min ago", "in 12 s"; in a pipe FullTime, since nobody knows when it is read. "-" when absent.
std::string Ago(bool present, const google::protobuf::Timestamp& time);
// "3 min ago, 14:02"; in a pipe FullTime.
std::string AgoAndWhen(bool present, const google::protobuf::Timestamp& time);
// ShortLength of it.
std::string Length(const google::protobuf::Duration& duration);
// `text`, and at the right end of a terminal's line what time it is, and of which zone all times below are.
std::string TitleLine(absl::string_view text);
// "470,000 of 1,000,000, 12,300 a second, 43 s left"; without what is not known.
std::string ProgressText(const admin::v1::Progress& progress);
// "43 s left", "2 h left"; empty when absent.
std::string Left(bool present, const google::protobuf::Duration& duration);
// "12,300 a second"; empty when there is none to tell.
std::string Rate(double events_per_second);

}  // namespace assay
