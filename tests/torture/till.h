// The app at one branch, as a witness: it writes down what it is about to do, does it, and writes down that it was told
// it is done.
//
//   Till till(branch.Url(), "shop-1", directory + "/shop-1.till", seed);   // Sells until it is stopped.
//   …kill what you like…
//   till.Stop();
//   for (const Deed& deed : till.deeds()) if (deed.acknowledged) …         // must be in the log once, and everywhere
//
// Every deed has a name that no other has ("shop-1#42"), which is in the rows it writes. The file has a line for each
// intent and each acknowledgement, written before and after, so that what happened can be read up after a failure. A
// lost connection is made anew; what was under way then is an intent without acknowledgement: it may or may not have
// happened, but never by halves.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "tests/support/sql.h"

namespace assay::test {

inline constexpr int kTortureProducts = 40;

// What the tills sell from; to be run at every branch.
inline constexpr char kTillSchema[] =
    "CREATE TABLE products (id text PRIMARY KEY, price text, tag text);"
    "CREATE TABLE invoices (id text PRIMARY KEY, lines int NOT NULL, total numeric(14,2), at timestamptz DEFAULT clock_timestamp());"
    "CREATE TABLE invoice_lines (invoice text, line int, product text NOT NULL, weight float8, PRIMARY KEY (invoice, line))";

struct Deed {
  enum class Kind : uint8_t { kSale, kPrice, kVoid };
  Kind kind = Kind::kSale;
  std::string name;
  int lines = 0;      // Of a sale, or of the sale that is voided.
  std::string voids;  // The sale's name.
  bool acknowledged = false;
};

class Till {
 public:
  Till(std::string url, std::string shop, const std::string& file_path, uint64_t seed);
  ~Till() { Stop(); }
  void Stop();
  // Once stopped.
  const std::vector<Deed>& deeds() const { return deeds_; }
  double slowest_ms() const { return slowest_ms_; }

 private:
  void Live();
  void Plan(std::mt19937_64& random);
  absl::Status Do(SqlSession& session, const Deed& deed, std::mt19937_64& random);

  const std::string url_, shop_;
  std::FILE* file_;
  const uint64_t seed_;
  std::vector<Deed> deeds_;
  std::vector<size_t> standing_;  // Acknowledged sales that were not voided.
  double slowest_ms_ = 0;         // Of the deeds that were acknowledged.
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace assay::test
