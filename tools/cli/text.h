// Text for people: aligned tables, times and numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/human_text.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "proto/admin.pb.h"

namespace assay {

class TextTable {
 public:
  explicit TextTable(std::vector<std::string> heads) : rows_{std::move(heads)} {}
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }
  // Columns as wide as their widest cell; control characters are shown, not obeyed: values are somebody's text.
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// `text` without anything a terminal would act upon.
std::string Printable(absl::string_view text);
// A column's value in a table of differences: "NULL", or as much of the text as fits into `bytes_max`.
std::string ShownValue(const std::optional<std::string>& value, size_t bytes_max);
// "1.2 MB".
std::string Bytes(int64_t bytes);
// Local time, "2026-11-23 07:12:04"; "-" when absent.
std::string When(bool present, const google::protobuf::Timestamp& time);
// "3 s ago", "in 12 s", "2 h ago"; "-" when absent.
std::string Ago(bool present, const google::protobuf::Timestamp& time);
std::string Length(const google::protobuf::Duration& duration);
// "470,000/1,000,000, 12,300 events/s, 43 s left"; without what is not known.
std::string ProgressText(const admin::v1::Progress& progress);
// "43 s left", "2 h left"; empty when absent.
std::string Left(bool present, const google::protobuf::Duration& duration);
// "12,300 events/s"; empty when there is none to tell.
std::string Rate(double events_per_second);

}  // namespace assay
