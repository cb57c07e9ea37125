// The figures of a run, side by side with their peers, as a table for people and as JSON.
//
//   report.Add({.name = "inserts", .what = "catch-up of 300,000 inserts", .unit = "rows/s", .against = "native A-hub-B",
//               .at_least = 1.4}, 41'200, 29'300);
//
// A ratio is made of two values of one repetition; medians are over ratios, never a ratio of medians. Not thread-safe.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace assay::bench {

struct Goal {
  std::string name;  // As in --only.
  std::string what;
  std::string unit;     // Of both values.
  std::string against;  // The peer; empty: the value itself is held against the goal.
  double at_least = 0;  // One of the two is set; neither: told for what it is worth.
  double at_most = 0;
};

class Report {
 public:
  // The repetition's two values, in `goal.unit`.
  void Add(const Goal& goal, double assay, double peer = std::numeric_limits<double>::quiet_NaN());
  std::string Table() const;
  std::string Json() const;

 private:
  struct Row {
    Goal goal;
    std::vector<double> assay, peer, ratio;
    bool HasGoal() const { return goal.at_least > 0 || goal.at_most > 0; }
    bool Reached() const;
  };
  std::vector<Row> rows_;  // In the order they were first added.
};

}  // namespace assay::bench
