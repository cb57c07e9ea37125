// Keys of new rows that another branch may hand out as well.
//
// A sequence that is strided hands out the values of one class, and no two branches share one. What an application does
// to a sequence can take it out of its class within a second (setval, TRUNCATE … RESTART IDENTITY), and a bill of two
// shops under one number cannot be told apart afterwards. So each captured INSERT is looked at. The classes come with
// the survey; before the first nothing is known. Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "absl/types/span.h"
#include "engine/database.h"
#include "engine/survey.h"

namespace assay {

class ForeignKeys {
 public:
  void SetClasses(KeyClasses classes) { classes_ = std::move(classes); }
  // A row that the application has made.
  void Look(const TableShape& shape, absl::Span<const TupleValue> tuple);

  struct Found {
    std::string key;
    std::string sequence;
  };
  // The newest of each table, by its name; in this process.
  const std::map<std::string, Found>& found() const { return found_; }

 private:
  KeyClasses classes_;
  std::map<std::string, Found> found_;
};

}  // namespace assay
