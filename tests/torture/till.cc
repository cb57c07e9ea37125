#include "tests/torture/till.h"

#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "log/annotate.h"

namespace assay::test {

Till::Till(std::string url, std::string shop, const std::string& file_path, uint64_t seed)
    : url_(std::move(url)), shop_(std::move(shop)), file_(std::fopen(file_path.c_str(), "w")), seed_(seed) {
  if (file_ == nullptr) std::abort();
  thread_ = std::thread([this] { Live(); });
}

void Till::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  if (file_ != nullptr) std::fclose(std::exchange(file_, nullptr));
}

void Till::Plan(std::mt19937_64& random) {
  Deed deed;
  deed.name = absl::StrCat(shop_, "#", deeds_.size());
  const uint64_t dice = random() % 10;
  if (dice < 5) {
    deed.lines = static_cast<int>(1 + random() % 8);
  } else if (dice < 9 || standing_.empty()) {
    deed.kind = Deed::Kind::kPrice;
  } else {
    deed.kind = Deed::Kind::kVoid;
    const size_t at = random() % standing_.size();
    const Deed& sale = deeds_[standing_[at]];
    deed.voids = sale.name;
    deed.lines = sale.lines;
    standing_.erase(standing_.begin() + static_cast<ptrdiff_t>(at));
  }
  deeds_.push_back(std::move(deed));
}

absl::Status Till::Do(SqlSession& session, const Deed& deed, std::mt19937_64& random) {
  const std::string product = absl::StrCat("p", random() % kTortureProducts);
  switch (deed.kind) {
    case Deed::Kind::kPrice:
      return session.Run("UPDATE products SET price = $1 WHERE id = $2", {deed.name, product}).status();
    case Deed::Kind::kSale:
      ASSAY_RETURN_IF_ERROR(session.Run("BEGIN").status());
      ASSAY_RETURN_IF_ERROR(
          session.Run("INSERT INTO invoices VALUES ($1, $2, $3)", {deed.name, absl::StrCat(deed.lines), "1500.50"})
              .status());
      for (int line = 1; line <= deed.lines; ++line) {
        ASSAY_RETURN_IF_ERROR(session
                                  .Run("INSERT INTO invoice_lines VALUES ($1, $2, $3, random())",
                                       {deed.name, absl::StrCat(line), product})
                                  .status());
      }
      ASSAY_RETURN_IF_ERROR(session.Run("UPDATE products SET tag = $1 WHERE id = $2", {deed.name, product}).status());
      return session.Run("COMMIT").status();
    case Deed::Kind::kVoid:
      return session
          .Run("WITH lines AS (DELETE FROM invoice_lines WHERE invoice = $1) DELETE FROM invoices WHERE id = $1",
               {deed.voids})
          .status();
  }
  return absl::OkStatus();
}

void Till::Live() {
  std::mt19937_64 random(seed_);
  std::unique_ptr<SqlSession> session;
  while (!stop_) {
    if (session == nullptr) {
      absl::StatusOr<std::unique_ptr<SqlSession>> connected = SqlSession::Connect(url_);
      if (!connected.ok()) {
        absl::SleepFor(absl::Milliseconds(20));
        continue;
      }
      session = *std::move(connected);
    }
    Plan(random);
    Deed& deed = deeds_.back();
    std::fprintf(file_, "intent %s\n", deed.name.c_str());
    std::fflush(file_);
    const absl::Time begin = absl::Now();
    const absl::Status status = Do(*session, deed, random);
    if (!status.ok()) {
      std::fprintf(file_, "lost %s: %s\n", deed.name.c_str(), std::string(status.message()).c_str());
      session.reset();  // Whatever it was: begin anew.
      continue;
    }
    deed.acknowledged = true;
    std::fprintf(file_, "acknowledged %s\n", deed.name.c_str());
    if (deed.kind == Deed::Kind::kSale) standing_.push_back(deeds_.size() - 1);
    slowest_ms_ = std::max(slowest_ms_, absl::ToDoubleMilliseconds(absl::Now() - begin));
    absl::SleepFor(absl::Milliseconds(random() % 10));
  }
}

}  // namespace assay::test
