// What an event must be, given those before it in its chain: a reader's rules of proto/event.proto, in one place for
// whoever audits a chain.
//
// Not thread-safe. Memory grows with the number of schemas declared.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "log/segment.h"
#include "log/types.h"
#include "proto/audit.pb.h"
#include "proto/event.pb.h"

namespace assay {

class EventRules {
 public:
  explicit EventRules(const OriginId& origin) : origin_(origin) {}

  // Takes the chain's next event; one that is masked has only a place. False: it breaks a rule, and `finding` says
  // which, with table and key as far as it tells them.
  bool Take(const StoredEvent& event, audit::v1::Finding* finding);

  // Of event 1, once it was taken.
  const v1::OriginOpened& opening() const { return opening_; }
  // When the first and the last transaction were committed, by what their headers say. Unix microseconds; 0: none says.
  int64_t first_commit_us() const { return first_commit_us_; }
  int64_t last_commit_us() const { return last_commit_us_; }

 private:
  struct Declared {
    std::string table;  // As SegmentPart::table.
    int columns = 0, key = 0;
  };
  // The rule that is broken; empty: none.
  std::string CheckBody(const StoredEvent& event, const v1::Event& parsed);
  std::string CheckHeader(const StoredEvent& event, const v1::Event& parsed);
  std::string CheckRow(const StoredEvent& event, const v1::RowChange& row) const;
  std::string Declare(Sequence sequence, const v1::TableSchema& schema);

  const OriginId origin_;
  v1::OriginOpened opening_;
  int64_t first_commit_us_ = 0, last_commit_us_ = 0;
  std::map<uint64_t, Declared> declared_;
  std::map<std::string, uint64_t> seen_;  // By origin, as the headers have told so far.
  std::set<std::string> headed_;          // Tables whose readers have the header of this transaction.
};

}  // namespace assay
