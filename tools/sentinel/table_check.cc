#include "tools/sentinel/table_check.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "log/annotate.h"

namespace assay {
namespace {

// Doubtful rows are looked at together, since each look waits for a fence.
constexpr size_t kDoubtsMax = 500;
constexpr int kLooksMax = 8;
// A commit may be captured a moment before others can see it: longer than that.
constexpr absl::Duration kBetweenLooks = absl::Milliseconds(500);
constexpr size_t kMissedPortion = 5000;
// What is found is recorded so much at a time.
constexpr size_t kFoundMax = 1000;
constexpr size_t kFoundBytesMax = 4 << 20;

std::string NewNonce() {
  static std::atomic<uint64_t> count{0};
  return absl::StrCat(kSentinelFence, absl::ToUnixMicros(absl::Now()), "-", ++count);
}

}  // namespace

absl::StatusOr<CheckedTable> TableCheck::Run(const TableName& name) {
  checked_ = {};
  doubts_.clear();
  found_.clear();
  ASSAY_ASSIGN_OR_RETURN(pieces_, TablePieces::Open(connection_, name));
  ASSAY_ASSIGN_OR_RETURN(seen_, SeenKeys::Create(directory_));
  // What was captured of it when it was described is in the log.
  ASSAY_RETURN_IF_ERROR(Fence());
  ASSAY_RETURN_IF_ERROR(fold_.BeginTable(pieces_->shape()));
  checked_.declared = fold_.declared();
  ASSAY_RETURN_IF_ERROR(ReadPieces());
  if (!Enough()) ASSAY_RETURN_IF_ERROR(FindMissed());
  checked_.gave_up = Enough();
  return std::exchange(checked_, {});
}

absl::Status TableCheck::AtOneMoment(const std::function<absl::Status()>& read) {
  ASSAY_RETURN_IF_ERROR(file_.Begin());
  absl::Status status = fold_.Refresh();
  if (status.ok()) status = read();
  // Nothing was written: there is nothing to take back.
  const absl::Status ended = file_.Commit();
  return status.ok() ? ended : status;
}

absl::Status TableCheck::Rest(absl::Time begun) {
  const absl::Duration worked = SteadyNow() - begun;
  return hooks_.pause(hooks_.share >= 1 ? absl::ZeroDuration() : worked * (1 / hooks_.share - 1));
}

absl::Status TableCheck::ReadPieces() {
  std::vector<LiveFold::HashedRow> rows;
  std::vector<size_t> doubtful, found;
  while (!pieces_->at_end() && !Enough()) {
    const absl::Time begun = SteadyNow();
    rows.clear();
    doubtful.clear();
    found.clear();
    ASSAY_RETURN_IF_ERROR(pieces_->Next([&](absl::Span<const TupleValue> tuple) {
      rows.push_back(fold_.Hash(tuple));
      return seen_->Add(rows.back().ref.key);
    }));
    ASSAY_RETURN_IF_ERROR(AtOneMoment([&] { return fold_.Compare(rows, &checked_, &doubtful, &found); }));
    for (const size_t row : found) ASSAY_RETURN_IF_ERROR(AddFound(rows[row].key));
    for (const size_t row : doubtful) ASSAY_RETURN_IF_ERROR(AddDoubt(std::move(rows[row].key)));
    hooks_.progress(pieces_->shape().name, checked_.rows);
    ASSAY_RETURN_IF_ERROR(Rest(begun));
  }
  ASSAY_RETURN_IF_ERROR(RecordFound());
  return Settle();
}

absl::Status TableCheck::FindMissed() {
  KeyHash from{};
  for (bool more = true; more && !Enough();) {
    const absl::Time begun = SteadyNow();
    std::vector<RowKey> missed;
    ASSAY_RETURN_IF_ERROR(AtOneMoment([&]() -> absl::Status {
      std::vector<RowVersions> unmet;
      const auto visit = [&](const KeyHash& key, const RowVersions& versions) -> absl::Status {
        ASSAY_ASSIGN_OR_RETURN(const bool met, seen_->Has(key));
        if (!met) unmet.push_back(versions);
        return absl::OkStatus();
      };
      ASSAY_ASSIGN_OR_RETURN(more, fold_.ForEachLive(kMissedPortion, &from, visit));
      for (const RowVersions& versions : unmet) {
        ASSAY_ASSIGN_OR_RETURN(std::optional<RowKey> key, fold_.KeyOf(versions));
        if (key.has_value()) missed.push_back(*std::move(key));
      }
      return absl::OkStatus();
    }));
    for (RowKey& key : missed) ASSAY_RETURN_IF_ERROR(AddDoubt(std::move(key)));
    ASSAY_RETURN_IF_ERROR(Rest(begun));
  }
  return Settle();
}

absl::Status TableCheck::AddDoubt(RowKey key) {
  if (Enough()) return absl::OkStatus();
  doubts_.try_emplace(std::move(key));
  return doubts_.size() < kDoubtsMax ? absl::OkStatus() : Settle();
}

absl::Status TableCheck::AddFound(RowKey key) {
  found_.push_back(std::move(key));
  return found_.size() < kFoundMax ? absl::OkStatus() : RecordFound();
}

absl::Status TableCheck::RecordFound() {
  const std::vector<RowKey> keys = std::exchange(found_, {});
  for (size_t next = 0; next < keys.size();) {
    ASSAY_ASSIGN_OR_RETURN(TablePieces now, Reopen());
    std::vector<std::vector<ColumnText>> rows;
    for (size_t bytes = 0; next < keys.size() && bytes < kFoundBytesMax; ++next) {
      ASSAY_ASSIGN_OR_RETURN(std::optional<TablePieces::Row> row, now.Find(keys[next], fold_.key_ordinals()));
      if (!row.has_value()) continue;
      for (const ColumnText& value : row->values) bytes += value.has_value() ? value->size() : 0;
      rows.push_back(std::move(row->values));
    }
    // What was read under another shape than it is said to have is nobody's.
    ASSAY_ASSIGN_OR_RETURN(now, Reopen());
    ASSAY_RETURN_IF_ERROR(BeginAgain());
    FoundRows found{std::make_shared<TableShape>(now.shape()), fold_.declared(), {}};
    ASSAY_RETURN_IF_ERROR(AtOneMoment([&]() -> absl::Status {
      for (std::vector<ColumnText>& row : rows) {
        ASSAY_ASSIGN_OR_RETURN(std::optional<FoundRow> one, fold_.FoundIn(std::move(row)));
        if (one.has_value()) found.rows.push_back(*std::move(one));
      }
      return absl::OkStatus();
    }));
    if (found.rows.empty()) continue;
    hooks_.found(std::move(found));
    // Recording them may have declared the table.
    ASSAY_RETURN_IF_ERROR(Fence());
    ASSAY_RETURN_IF_ERROR(fold_.BeginTable(now.shape()));
    checked_.declared = fold_.declared();
  }
  return absl::OkStatus();
}

absl::StatusOr<TablePieces> TableCheck::Reopen() {
  ASSAY_ASSIGN_OR_RETURN(TablePieces now, TablePieces::Open(connection_, pieces_->shape().name));
  if (now.shape() == pieces_->shape()) return now;
  // Nothing here is true of it any more.
  return absl::AbortedError(absl::StrCat(pieces_->shape().name.ToString(), " was altered while it was compared"));
}

absl::Status TableCheck::BeginAgain() {
  ASSAY_RETURN_IF_ERROR(Fence());
  ASSAY_RETURN_IF_ERROR(fold_.BeginTable(pieces_->shape()));
  if (fold_.declared() == checked_.declared) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat(pieces_->shape().name.ToString(), " was altered while it was compared"));
}

absl::Status TableCheck::Settle() {
  for (int look = 0; look < kLooksMax && !doubts_.empty(); ++look) {
    if (look > 0) ASSAY_RETURN_IF_ERROR(hooks_.pause(kBetweenLooks * look));
    ASSAY_RETURN_IF_ERROR(LookAtAll());
  }
  checked_.restless += doubts_.size();
  doubts_.clear();
  return absl::OkStatus();
}

absl::Status TableCheck::LookAtAll() {
  ASSAY_ASSIGN_OR_RETURN(TablePieces now, Reopen());
  std::map<RowKey, std::optional<TablePieces::Row>> here;
  for (const auto& [key, _] : doubts_) {
    ASSAY_ASSIGN_OR_RETURN(here[key], now.Find(key, fold_.key_ordinals()));
  }
  ASSAY_RETURN_IF_ERROR(BeginAgain());
  std::vector<RowKey> done;
  ASSAY_RETURN_IF_ERROR(AtOneMoment([&]() -> absl::Status {
    for (auto& [key, doubt] : doubts_) {
      const std::optional<TablePieces::Row>& row = here[key];
      ASSAY_ASSIGN_OR_RETURN(LiveFold::Look look, fold_.LookAt(key, row.has_value() ? &row->values : nullptr));
      Judge(key, doubt, std::move(look), row.has_value() ? row->xmin : "", &done);
    }
    return absl::OkStatus();
  }));
  for (const RowKey& key : done) doubts_.erase(key);
  return absl::OkStatus();
}

void TableCheck::Judge(const RowKey& key, Doubt& doubt, LiveFold::Look look, std::string xmin,
                       std::vector<RowKey>* done) {
  using Verdict = LiveFold::Look::Verdict;
  const bool again = doubt.looked_at && doubt.xmin == xmin && doubt.versions == look.versions;
  if (look.verdict == Verdict::kDiffers && !again) {
    doubt = {true, std::move(xmin), std::move(look.versions)};
    return;
  }
  done->push_back(key);
  checked_.waiting += look.verdict == Verdict::kWaits;
  if (look.verdict != Verdict::kDiffers) return;
  ++checked_.differing;
  for (DifferingCell& cell : look.cells) {
    if (checked_.cells_listed.size() == CheckedTable::kCellsListed) break;
    checked_.cells_listed.push_back(std::move(cell));
  }
}

absl::Status TableCheck::Fence() {
  const std::string nonce = NewNonce();
  ASSAY_RETURN_IF_ERROR(AnnotateSql(connection_
                                        .Execute("SELECT pg_catalog.pg_logical_emit_message(true, $1, $2)",
                                                 {Parameter(kFencePrefix), Parameter(nonce)})
                                        .status(),
                                    "write a fence"));
  return hooks_.await_fence(nonce);
}

}  // namespace assay
