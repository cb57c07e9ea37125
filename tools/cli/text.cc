#include "tools/cli/text.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "engine/audit/proto_text.h"
#include "engine/column_text.h"

namespace assay {
namespace {

constexpr size_t kCutMin = 6;   // Characters of a column that is cut: fewer tell nothing.
constexpr int kTableMin = 60;   // Narrower, a row is a block.
constexpr size_t kBetween = 2;  // Blanks between columns.
constexpr size_t kNoColumn = ~size_t{0};

// The byte behind the first `count` characters.
size_t EndOf(absl::string_view text, size_t count) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    const bool begins = (text[at] & 0xc0) != 0x80;
    if (begins && count-- == 0) break;
  }
  return at;
}

std::string Cut(const std::string& text, size_t width, Fit fit) {
  const size_t length = TextWidth(text);
  if (length <= width) return text;
  const size_t after = fit == Fit::kMiddle ? (width - 1) / 2 : 0;
  return absl::StrCat(text.substr(0, EndOf(text, width - 1 - after)), "…", text.substr(EndOf(text, length - after)));
}

// Which columns are shown, and how wide.
struct Layout {
  std::vector<size_t> columns;
  std::vector<size_t> widths;  // Of all columns, also of those that left.

  size_t Total() const {
    size_t total = 0;
    for (const size_t column : columns) total += widths[column] + kBetween;
    return total == 0 ? 0 : total - kBetween;
  }
};

// Makes it fit, as far as it can.
void Narrow(const std::vector<Column>& columns, size_t limit, Layout* layout) {
  while (layout->Total() > limit) {
    auto leaves = std::max_element(layout->columns.begin(), layout->columns.end(),
                                   [&](size_t a, size_t b) { return columns[a].leaves < columns[b].leaves; });
    if (columns[*leaves].leaves == 0) break;
    layout->columns.erase(leaves);
  }
  while (layout->Total() > limit) {
    size_t widest = kNoColumn;
    for (const size_t column : layout->columns) {
      const bool cuttable = columns[column].fit != Fit::kWhole && layout->widths[column] > kCutMin;
      if (cuttable && (widest == kNoColumn || layout->widths[column] > layout->widths[widest])) widest = column;
    }
    if (widest == kNoColumn) break;
    --layout->widths[widest];
  }
}

}  // namespace

size_t TextWidth(absl::string_view text) {
  size_t width = 0;
  bool in_colour = false;  // From the escape to the m: ours, since no text of others has an escape.
  for (const char c : text) {
    if (c == '\033') in_colour = true;
    if (!in_colour && (c & 0xc0) != 0x80) ++width;  // Continuation bytes take no place.
    if (c == 'm') in_colour = false;
  }
  return width;
}

std::string CutToWidth(const std::string& text, size_t width, Fit fit) {
  return Cut(text, std::max<size_t>(width, 1), fit);
}

std::string Printable(absl::string_view text) {
  std::string printable;
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    const bool c1 = c == 0xc2 && i + 1 < text.size() && (text[i + 1] & 0xe0) == 0x80;  // U+0080 … U+009f, controls too.
    if (c1) {
      absl::StrAppend(&printable, absl::StrFormat("\\u%04x", static_cast<unsigned char>(text[++i])));
    } else if (c == '\n') {
      printable += "\\n";
    } else if (c == '\t') {
      printable += "\\t";
    } else if (c < 0x20 || c == 0x7f) {
      absl::StrAppend(&printable, absl::StrFormat("\\x%02x", c));
    } else {
      printable += static_cast<char>(c);
    }
  }
  return printable;
}

std::string ShownValue(const std::optional<std::string>& value, size_t bytes_max) {
  if (!value.has_value()) return "NULL";
  return value->size() <= bytes_max ? *value : absl::StrCat(CutText(*value, bytes_max), "…");
}

std::string TextTable::ToString() const {
  std::vector<std::vector<TextCell>> shown = rows_;
  Layout layout;
  layout.widths.resize(columns_.size());
  for (std::vector<TextCell>& row : shown) {
    for (size_t i = 0; i < row.size(); ++i) {
      row[i].text = Printable(row[i].text);
      layout.widths[i] = std::max(layout.widths[i], TextWidth(row[i].text));
    }
  }
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (layout.widths[i] == 0) continue;  // Nothing in it.
    layout.columns.push_back(i);
    layout.widths[i] = std::max(layout.widths[i], TextWidth(columns_[i].head));
  }
  std::string text;
  const bool fits = !Screen().live || Screen().wide;
  if (!fits && Screen().width < kTableMin) {
    for (const std::vector<TextCell>& row : shown) {
      for (const size_t i : layout.columns) {
        if (i < row.size() && !row[i].text.empty())
          absl::StrAppend(&text, Painted(Paint::kDim, absl::StrCat(columns_[i].head, ":")), " ",
                          Painted(row[i].paint, row[i].text), "\n");
      }
      text += "\n";
    }
    return text;
  }
  if (!fits) Narrow(columns_, static_cast<size_t>(Screen().width), &layout);
  const auto add = [&](size_t column, const std::string& whole, Paint paint) {
    const std::string cell = Cut(whole, layout.widths[column], columns_[column].fit);
    text += Painted(paint, cell);
    if (column != layout.columns.back()) text.append(layout.widths[column] - TextWidth(cell) + kBetween, ' ');
  };
  const auto end_line = [&] {
    while (!text.empty() && text.back() == ' ') text.pop_back();
    text += "\n";
  };
  for (const size_t column : layout.columns) add(column, columns_[column].head, Paint::kDim);
  end_line();
  for (const std::vector<TextCell>& row : shown) {
    for (const size_t column : layout.columns) {
      if (column < row.size()) add(column, row[column].text, row[column].paint);
    }
    end_line();
  }
  return text;
}

std::string Bytes(int64_t bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  double size = static_cast<double>(bytes);
  int unit = 0;
  while (size >= 1000 && unit < 4) size /= 1000, ++unit;
  return unit == 0 ? absl::StrCat(bytes, " B") : absl::StrFormat("%.1f %s", size, units[unit]);
}

std::string FullTime(absl::Time time) { return absl::FormatTime("%Y-%m-%d %H:%M:%S %z", time, Screen().zone); }

std::string When(bool present, const google::protobuf::Timestamp& time) {
  if (!present) return "-";
  const absl::Time at = FromProto(time);
  if (!Screen().live) return FullTime(at);
  const absl::TimeZone zone = Screen().zone;
  return absl::StrCat(ClockTime(at, absl::Now(), zone), absl::FormatTime(":%S", at, zone));
}

std::string Ago(bool present, const google::protobuf::Timestamp& time) {
  if (!present) return "-";
  if (!Screen().live) return FullTime(FromProto(time));
  const absl::Duration ago = absl::Now() - FromProto(time);
  if (absl::AbsDuration(ago) < absl::Seconds(1)) return "now";
  const std::string text = Roughly(absl::AbsDuration(ago));
  return ago < absl::ZeroDuration() ? absl::StrCat("in ", text) : absl::StrCat(text, " ago");
}

std::string AgoAndWhen(bool present, const google::protobuf::Timestamp& time) {
  if (!present || !Screen().live) return Ago(present, time);
  return absl::StrCat(Ago(present, time), ", ", ClockTime(FromProto(time), absl::Now(), Screen().zone));
}

std::string TitleLine(absl::string_view text) {
  if (!Screen().live) return absl::StrCat(text, "\n");
  const std::string now = absl::FormatTime("%H:%M:%S %Z", absl::Now(), Screen().zone);
  const size_t taken = TextWidth(text) + now.size() + kBetween, width = static_cast<size_t>(Screen().width);
  if (taken > width) return absl::StrCat(Wrapped(text, 0, 0), "\n");
  return absl::StrCat(text, std::string(width - taken + kBetween, ' '), Painted(Paint::kDim, now), "\n");
}

std::string Left(bool present, const google::protobuf::Duration& duration) {
  return present ? Roughly(FromProto(duration)) + " left" : "";
}

std::string Rate(double events_per_second) {
  // Less than one in two seconds is no rate that anybody could plan with.
  return events_per_second < 0.5 ? "" : absl::StrCat(Grouped(std::llround(events_per_second)), " a second");
}

std::string ProgressText(const admin::v1::Progress& progress) {
  std::vector<std::string> parts = {absl::StrCat(Grouped(progress.done()), " of ", Grouped(progress.total()))};
  for (std::string& part : std::vector<std::string>{Rate(progress.events_per_second()),
                                                    Left(progress.has_time_left(), progress.time_left())}) {
    if (!part.empty()) parts.push_back(std::move(part));
  }
  return absl::StrJoin(parts, ", ");
}

std::string Length(const google::protobuf::Duration& duration) { return ShortLength(FromProto(duration)); }

}  // namespace assay
