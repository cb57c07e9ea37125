#include "log/row_versions/row_version_runs.h"

#include <algorithm>

#include "log/annotate.h"
#include "log/check.h"

namespace assay {
namespace {

// With its header, a block is to fit a page of the file (4096 bytes), which then is read at once and not in a chain of
// pages.
constexpr size_t kBlockBytes = 3900;
// A row that is in the oldest of dozens of runs asks all others first, and each that says "perhaps" costs a block.
constexpr uint64_t kFilterBitsARow = 20;

}  // namespace

absl::StatusOr<std::unique_ptr<RowVersionRuns>> RowVersionRuns::Open(LogFile* file) {
  std::unique_ptr<RowVersionRuns> runs(new RowVersionRuns(file));
  ASSAY_ASSIGN_OR_RETURN(runs->get_, file->Prepare("SELECT rows FROM row_version_run WHERE id = ?1"));
  // Each asked for alone, which is a look at one end; both together are a walk over all of it.
  ASSAY_ASSIGN_OR_RETURN(runs->find_ends_,
                         file->Prepare("SELECT coalesce((SELECT min(id) FROM row_version_run), 0) AS first, "
                                       "coalesce((SELECT max(id) FROM row_version_run), 0) AS last"));
  if (!file->read_only()) {
    ASSAY_ASSIGN_OR_RETURN(runs->put_,
                           file->Prepare("INSERT INTO row_version_run (run, rows) VALUES (?1, ?2) RETURNING id"));
    ASSAY_ASSIGN_OR_RETURN(runs->erase_, file->Prepare("DELETE FROM row_version_run WHERE id <= ?1"));
  }
  ASSAY_RETURN_IF_ERROR(runs->Load());
  return runs;
}

absl::Status RowVersionRuns::Load() {
  runs_.clear();
  ASSAY_ASSIGN_OR_RETURN(ends_, Ends());
  ASSAY_ASSIGN_OR_RETURN(Statement blocks, file_->Prepare("SELECT id, run, rows FROM row_version_run ORDER BY id"));
  std::vector<RowRef> rows;
  const auto fill_filter = [&] {
    if (file_->read_only() || runs_.empty()) return;
    runs_.back().filter = std::make_unique<KeyFilter>(rows.size(), kFilterBitsARow);
    for (const RowRef& row : rows) runs_.back().filter->Add(row);
    rows.clear();
  };
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool more, blocks.Step());
    if (!more) break;
    if (const int64_t run = blocks.Int("run"); runs_.empty() || runs_.back().number != run) {
      fill_filter();
      runs_.push_back({run, {}, nullptr});
    }
    ASSAY_ASSIGN_OR_RETURN(PackedRowsReader reader, PackedRowsReader::Open(blocks.Blob("rows")));
    ASSAY_ASSIGN_OR_RETURN(bool row, reader.Next());
    if (!row) return absl::DataLossError("a block of row versions is empty");
    runs_.back().blocks.push_back({reader.row(), blocks.Int("id")});
    while (row && !file_->read_only()) {
      rows.push_back(reader.row());
      ASSAY_ASSIGN_OR_RETURN(row, reader.Next());
    }
  }
  fill_filter();
  return absl::OkStatus();
}

absl::StatusOr<std::pair<int64_t, int64_t>> RowVersionRuns::Ends() {
  ASSAY_RETURN_IF_ERROR(find_ends_.Step().status());
  const std::pair<int64_t, int64_t> ends{find_ends_.Int("first"), find_ends_.Int("last")};
  find_ends_.Reset();
  return ends;
}

absl::StatusOr<bool> RowVersionRuns::Refresh() {
  ASSAY_ASSIGN_OR_RETURN(const auto ends, Ends());
  if (ends == ends_) return false;
  ASSAY_RETURN_IF_ERROR(Load());
  return true;
}

absl::Status RowVersionRuns::Add(absl::Span<const std::pair<RowRef, absl::string_view>> rows) {
  if (rows.empty()) return absl::OkStatus();
  Run run{runs_.empty() ? 1 : runs_.back().number + 1, {}, std::make_unique<KeyFilter>(rows.size(), kFilterBitsARow)};
  PackedRowsWriter block;
  RowRef first;
  const auto flush = [&]() -> absl::Status {
    put_.BindInt(1, run.number).BindBlob(2, block.bytes());
    ASSAY_RETURN_IF_ERROR(put_.Step().status());
    run.blocks.push_back({first, put_.OnlyInt()});
    put_.Reset();
    block.Clear();
    return absl::OkStatus();
  };
  for (const auto& [row, versions] : rows) {
    if (!block.empty() && block.bytes().size() + sizeof(RowRef) + versions.size() > kBlockBytes)
      ASSAY_RETURN_IF_ERROR(flush());
    if (block.empty()) first = row;
    block.Add(row, versions);
    run.filter->Add(row);
  }
  ASSAY_RETURN_IF_ERROR(flush());
  runs_.push_back(std::move(run));
  return absl::OkStatus();
}

size_t RowVersionRuns::BlockOf(const Run& run, const RowRef& row) {
  const auto after = std::upper_bound(run.blocks.begin(), run.blocks.end(), row,
                                      [](const RowRef& value, const Block& block) { return value < block.first; });
  return after == run.blocks.begin() ? run.blocks.size() : static_cast<size_t>(after - run.blocks.begin()) - 1;
}

absl::StatusOr<std::string> RowVersionRuns::ReadBlock(int64_t id) {
  get_.BindInt(1, id);
  ASSAY_ASSIGN_OR_RETURN(const bool there, get_.Step());
  std::string block(there ? get_.OnlyBlob() : absl::string_view());
  get_.Reset();
  return block;
}

absl::StatusOr<std::string> RowVersionRuns::FindInBlock(int64_t id, const RowRef& row) {
  get_.BindInt(1, id);
  // In place: the block is a hundred times what is looked for.
  const auto find = [&]() -> absl::StatusOr<std::string> {
    ASSAY_ASSIGN_OR_RETURN(const bool there, get_.Step());
    if (!there) return std::string();
    ASSAY_ASSIGN_OR_RETURN(PackedRowsReader rows, PackedRowsReader::Open(get_.OnlyBlob()));
    ASSAY_ASSIGN_OR_RETURN(const bool found, rows.Find(row));
    return found ? std::string(rows.versions()) : std::string();
  };
  absl::StatusOr<std::string> versions = find();
  get_.Reset();
  return versions;
}

absl::StatusOr<std::string> RowVersionRuns::Find(const RowRef& row) {
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->filter != nullptr && !run->filter->MayHave(row)) continue;
    const size_t at = BlockOf(*run, row);
    if (at == run->blocks.size()) continue;
    ASSAY_ASSIGN_OR_RETURN(std::string versions, FindInBlock(run->blocks[at].id, row));
    if (!versions.empty()) return versions;
  }
  return std::string();
}

absl::StatusOr<size_t> RowVersionRuns::TakeOldest(
    size_t rows_max, absl::FunctionRef<absl::Status(const RowRef&, absl::string_view)> take) {
  ASSAY_CHECK(!runs_.empty());
  std::vector<Block>& blocks = runs_.front().blocks;
  size_t taken = 0, done = 0;
  int64_t last = 0;
  for (; done < blocks.size() && taken < rows_max; ++done) {
    last = blocks[done].id;
    ASSAY_ASSIGN_OR_RETURN(const std::string block, ReadBlock(last));
    ASSAY_ASSIGN_OR_RETURN(PackedRowsReader reader, PackedRowsReader::Open(block));
    for (;; ++taken) {
      ASSAY_ASSIGN_OR_RETURN(const bool row, reader.Next());
      if (!row) break;
      ASSAY_RETURN_IF_ERROR(take(reader.row(), reader.versions()));
    }
  }
  ASSAY_RETURN_IF_ERROR(erase_.BindInt(1, last).Run());
  blocks.erase(blocks.begin(), blocks.begin() + static_cast<ptrdiff_t>(done));
  if (blocks.empty()) runs_.pop_front();
  return taken;
}

RowVersionRuns::Cursor::Cursor(RowVersionRuns* runs, const Run* run, const RowRef& from)
    : runs_(runs), run_(run), from_(from) {
  next_block_ = BlockOf(*run, from);
  if (next_block_ == run->blocks.size()) next_block_ = 0;
}

absl::StatusOr<bool> RowVersionRuns::Cursor::Next() {
  for (;;) {
    if (rows_.has_value()) {
      ASSAY_ASSIGN_OR_RETURN(const bool more, rows_->Next());
      if (more && rows_->row() < from_) continue;
      if (more) return true;
      rows_.reset();
    }
    if (next_block_ == run_->blocks.size()) return false;
    ASSAY_ASSIGN_OR_RETURN(block_, runs_->ReadBlock(run_->blocks[next_block_++].id));
    if (block_.empty()) continue;
    ASSAY_ASSIGN_OR_RETURN(rows_, PackedRowsReader::Open(block_));
  }
}

std::vector<RowVersionRuns::Cursor> RowVersionRuns::From(const RowRef& row) {
  std::vector<Cursor> cursors;
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) cursors.push_back(Cursor(this, &*run, row));
  return cursors;
}

}  // namespace assay
