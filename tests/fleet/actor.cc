#include "tests/fleet/actor.h"

#include <algorithm>
#include <set>

#include "absl/time/clock.h"

namespace assay::test {

void Actors::Start(const std::string& url, Work work) {
  threads_.emplace_back([this, url, work = std::move(work), seed = seed_ + threads_.size()] { Live(url, work, seed); });
}

void Actors::Live(const std::string& url, const Work& work, uint64_t seed) {
  static const std::set<std::string> kExpected = {"40001", "40P01", "23505", "23503", "55P03"};
  Result mine;
  std::mt19937_64 random(seed);
  absl::StatusOr<std::unique_ptr<SqlSession>> session = SqlSession::Connect(url);
  while (!stop_ && session.ok()) {
    absl::Time begin = absl::Now();
    absl::Status status = work(**session, random);
    mine.slowest_ms = std::max(mine.slowest_ms, absl::ToDoubleMilliseconds(absl::Now() - begin));
    if (status.ok()) {
      ++mine.done;
      continue;
    }
    if (kExpected.count(SqlState(status)) != 0) {
      ++mine.expected_errors;
    } else {
      ++mine.other_errors;
      mine.first_error = std::string(status.message());
    }
    (*session)->Run("ROLLBACK").status().IgnoreError();
  }
  std::lock_guard<std::mutex> lock(mutex_);
  if (!session.ok()) ++mine.other_errors, mine.first_error = std::string(session.status().message());
  result_.done += mine.done;
  result_.expected_errors += mine.expected_errors;
  result_.other_errors += mine.other_errors;
  if (result_.first_error.empty()) result_.first_error = mine.first_error;
  result_.slowest_ms = std::max(result_.slowest_ms, mine.slowest_ms);
}

Actors::Result Actors::Stop() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  return result_;
}

}  // namespace assay::test
