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

// Characters, as far as UTF-8 tells: continuation bytes take no place.
size_t Width(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

}  // namespace

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
  std::vector<size_t> widths(rows_[0].size());
  std::vector<std::vector<std::string>> shown = rows_;
  for (auto& row : shown) {
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] = Printable(row[i]);
      widths[i] = std::max(widths[i], Width(row[i]));
    }
  }
  std::string text;
  for (const auto& row : shown) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - Width(row[i]) + 2, ' ');
    }
    text += "\n";
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

std::string When(bool present, const google::protobuf::Timestamp& time) {
  return present ? absl::FormatTime("%Y-%m-%d %H:%M:%S", FromProto(time), absl::LocalTimeZone()) : "-";
}

std::string Ago(bool present, const google::protobuf::Timestamp& time) {
  if (!present) return "-";
  const absl::Duration ago = absl::Now() - FromProto(time);
  const absl::Duration length = absl::AbsDuration(ago);
  if (length < absl::Seconds(1)) return ago < absl::ZeroDuration() ? "now" : "just now";
  const std::string text = Roughly(length);
  return ago < absl::ZeroDuration() ? absl::StrCat("in ", text) : absl::StrCat(text, " ago");
}

std::string Left(bool present, const google::protobuf::Duration& duration) {
  return present ? Roughly(FromProto(duration)) + " left" : "";
}

std::string Rate(double events_per_second) {
  // Less than one in two seconds is no rate that anybody could plan with.
  return events_per_second < 0.5 ? "" : absl::StrCat(Grouped(std::llround(events_per_second)), " events/s");
}

std::string ProgressText(const admin::v1::Progress& progress) {
  std::vector<std::string> parts = {absl::StrCat(Grouped(progress.done()), "/", Grouped(progress.total()))};
  for (std::string& part : std::vector<std::string>{Rate(progress.events_per_second()),
                                                    Left(progress.has_time_left(), progress.time_left())}) {
    if (!part.empty()) parts.push_back(std::move(part));
  }
  return absl::StrJoin(parts, ", ");
}

std::string Length(const google::protobuf::Duration& duration) { return absl::FormatDuration(FromProto(duration)); }

}  // namespace assay
