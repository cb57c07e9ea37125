#include "engine/audit/log_reader.h"

#include <algorithm>
#include <deque>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/audit/proto_text.h"
#include "log/annotate.h"
#include "log/table_names.h"

namespace assay {
namespace {

namespace pb = admin::v1;

constexpr size_t kDefaultValueBytes = 1024;
constexpr size_t kWholeValueBytes = 16 << 20;  // More than a message holds: the message's own limit cuts.
constexpr uint64_t kBlockEvents = 512;
constexpr size_t kBlockBytes = 4 << 20;

bool Matches(const v1::RowChange& row, const std::vector<std::string>& key) {
  return std::equal(row.key().begin(), row.key().end(), key.begin(), key.end());
}

}  // namespace

// Walks one chain's matching events, in blocks so that it can also go backwards (a segment is only read forwards).
class LogReader::Cursor {
 public:
  struct Item {
    Sequence sequence;
    HlcStamp stamp;
    bool masked = false;
    bool has_bytes = false;  // Kept only while the block stays small; else read again when shown.
    std::string table;
    std::string bytes;
  };

  Cursor(LogReader* reader, const Filter* filter, const Range& range)
      : reader_(reader), filter_(filter), range_(range) {}

  const OriginId& origin() const { return range_.origin; }
  // The next match, nullptr at the end (or when `cancelled`).
  absl::StatusOr<const Item*> Peek(const Cancelled& cancelled) {
    while (items_.empty() && range_.first <= range_.last && !cancelled()) ASSAY_RETURN_IF_ERROR(LoadBlock());
    return items_.empty() ? nullptr : &items_.front();
  }
  void Pop() { items_.pop_front(); }

 private:
  absl::Status LoadBlock() {
    uint64_t first = range_.first, last = range_.last;
    if (filter_->newest_first) {
      first = last - first >= kBlockEvents ? last - kBlockEvents + 1 : first;
      range_.last = first - 1;
    } else {
      last = last - first >= kBlockEvents ? first + kBlockEvents - 1 : last;
      range_.first = last + 1;
    }
    size_t bytes = 0;
    EventReader events = reader_->log_->Read(range_.origin, Sequence{first});
    while (events.next_sequence().value <= last) {
      ASSAY_ASSIGN_OR_RETURN(const StoredEvent* event, events.Next());
      if (event == nullptr) break;
      if (!Wanted(*event)) continue;
      Item item{event->sequence, event->stamp, event->masked, false, std::string(event->table), ""};
      if ((bytes += event->bytes.size()) <= kBlockBytes) item.has_bytes = true, item.bytes = std::string(event->bytes);
      if (filter_->newest_first)
        items_.push_front(std::move(item));
      else
        items_.push_back(std::move(item));
    }
    return absl::OkStatus();
  }

  bool Wanted(const StoredEvent& event) const {
    if (filter_->table.empty()) return true;
    if (event.table != filter_->table) return false;
    if (filter_->key.empty()) return true;
    v1::Event parsed;
    return !event.masked && parsed.ParseFromArray(event.bytes.data(), static_cast<int>(event.bytes.size())) &&
           parsed.has_row() && Matches(parsed.row(), filter_->key);
  }

  LogReader* reader_;
  const Filter* filter_;
  Range range_;  // Not yet loaded.
  std::deque<Item> items_;
};

absl::StatusOr<std::unique_ptr<LogReader>> LogReader::Open(const std::string& path) {
  LogFile::Options options;
  options.read_only = true;
  ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<LogFile> file, LogFile::Open(path, options));
  ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<EventLog> log, EventLog::Open(file.get()));
  return std::unique_ptr<LogReader>(new LogReader(std::move(file), std::move(log)));
}

absl::StatusOr<std::vector<OriginId>> LogReader::FindOrigins(const std::string& text) {
  const std::vector<OriginId> all = log_->Origins();
  if (text.empty()) return all;
  std::vector<OriginId> by_name, by_id;
  std::vector<std::string> known;
  for (const OriginId& origin : all) {
    const std::string& branch = viewer_.BranchOf(origin);
    if (branch == text) by_name.push_back(origin);
    if (text.size() >= 4 && absl::StartsWith(origin.Hex(), text)) by_id.push_back(origin);
    if (!branch.empty() && known.size() < 20) known.push_back(branch);
  }
  if (!by_name.empty()) return by_name;
  if (!by_id.empty()) return by_id;
  return absl::NotFoundError(absl::StrCat("no branch or origin \"", CleanText(text, 64),
                                          "\" in this log; branches here: ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<uint64_t> LogReader::FirstAt(const OriginId& origin, HlcStamp stamp) {
  uint64_t low = 1, high = log_->Head(origin).complete.value + 1;  // Stamps only rise along a chain.
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    EventReader reader = log_->Read(origin, Sequence{middle});
    ASSAY_ASSIGN_OR_RETURN(const StoredEvent* event, reader.Next());
    if (event == nullptr || event->stamp >= stamp)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

absl::StatusOr<OriginId> LogReader::FindOrigin(const std::string& text) {
  ASSAY_ASSIGN_OR_RETURN(const std::vector<OriginId> origins, FindOrigins(text));
  if (origins.size() == 1) return origins[0];
  std::vector<std::string> ids;
  for (const OriginId& origin : origins) ids.push_back(origin.Hex());
  return absl::InvalidArgumentError(
      absl::StrCat("\"", CleanText(text, 64), "\" means several chains: choose one of ", absl::StrJoin(ids, ", ")));
}

absl::StatusOr<std::optional<Version>> LogReader::LastShown(const pb::ListEventsRequest& request) {
  if (request.after_origin().empty()) return std::nullopt;
  ASSAY_ASSIGN_OR_RETURN(const OriginId origin, FindOrigin(request.after_origin()));
  const Sequence sequence{request.after_sequence()};
  EventReader reader = log_->Read(origin, sequence);
  ASSAY_ASSIGN_OR_RETURN(const StoredEvent* event, reader.Next());
  if (event == nullptr || event->sequence != sequence)
    return absl::NotFoundError(absl::StrCat("no event ", EventName(origin, sequence), " here to go on after"));
  return Version{event->stamp, origin, sequence};
}

// Events are in the order of stamp, origin, sequence.
absl::Status LogReader::GoOnAfter(const Version& after, bool newest_first, Range* range) {
  const HlcStamp past = after.stamp.Next();
  const bool before_its_own = range->origin < after.origin;
  ASSAY_ASSIGN_OR_RETURN(uint64_t end, FirstAt(range->origin, before_its_own ? past : after.stamp));
  if (range->origin == after.origin) end = after.sequence.value + (newest_first ? 0 : 1);
  if (newest_first)
    range->last = std::min(range->last, end - 1);
  else
    range->first = std::max(range->first, end);
  return absl::OkStatus();
}

absl::Status LogReader::List(const pb::ListEventsRequest& request, const Emit& emit, const Cancelled& cancelled) {
  Filter filter;
  if (!request.table().empty()) {
    ASSAY_ASSIGN_OR_RETURN(const TableName table, TableName::Parse(request.table()));
    filter.table = table.ToString();
  } else if (request.key_size() > 0) {
    return absl::InvalidArgumentError("a key needs its table");
  }
  filter.key.assign(request.key().begin(), request.key().end());
  filter.value_bytes_max = request.value_bytes_max() == 0 ? kDefaultValueBytes : request.value_bytes_max();
  filter.limit = request.limit();
  filter.newest_first = request.newest_first();
  if ((request.first() != 0 || request.last() != 0) && request.origin().empty()) {
    return absl::InvalidArgumentError("sequences count one chain's events: name its origin or branch too");
  }
  ASSAY_ASSIGN_OR_RETURN(const std::vector<OriginId> origins, FindOrigins(request.origin()));
  ASSAY_ASSIGN_OR_RETURN(const std::optional<Version> last_shown, LastShown(request));
  std::vector<Range> ranges;
  for (const OriginId& origin : origins) {
    Range range{origin, std::max<uint64_t>(request.first(), 1), log_->Head(origin).complete.value};
    if (request.last() != 0) range.last = std::min(range.last, request.last());
    if (request.has_since()) {
      const int64_t millis =
          absl::ToUnixMillis(FromProto(request.since()) + absl::Milliseconds(1) - absl::Nanoseconds(1));
      ASSAY_ASSIGN_OR_RETURN(const uint64_t first, FirstAt(origin, HlcStamp::FromMillis(millis)));
      range.first = std::max(range.first, first);
    }
    if (request.has_until()) {
      const int64_t millis =
          absl::ToUnixMillis(FromProto(request.until()) + absl::Milliseconds(1) - absl::Nanoseconds(1));
      ASSAY_ASSIGN_OR_RETURN(const uint64_t end, FirstAt(origin, HlcStamp::FromMillis(millis)));
      range.last = std::min(range.last, end - 1);
    }
    if (last_shown.has_value()) ASSAY_RETURN_IF_ERROR(GoOnAfter(*last_shown, request.newest_first(), &range));
    if (range.first <= range.last) ranges.push_back(range);
  }
  bool any = false;
  const auto count = [&](const pb::LogEvent& event) { return any = true, emit(event); };
  ASSAY_RETURN_IF_ERROR(Merge(ranges, filter, count, cancelled));
  // Asked only where nothing was found: what is masked here has events, and its table may have no name.
  return any || filter.table.empty() ? absl::OkStatus() : CheckTable(filter.table);
}

absl::Status LogReader::Merge(const std::vector<Range>& ranges, const Filter& filter, const Emit& emit,
                              const Cancelled& cancelled) {
  std::deque<Cursor> cursors;
  for (const Range& range : ranges) cursors.emplace_back(this, &filter, range);
  for (uint64_t shown = 0; filter.limit == 0 || shown < filter.limit; ++shown) {
    if (cancelled()) return absl::CancelledError("cancelled");
    Cursor* best = nullptr;
    Version best_version;
    for (Cursor& cursor : cursors) {
      ASSAY_ASSIGN_OR_RETURN(const Cursor::Item* item, cursor.Peek(cancelled));
      if (item == nullptr) continue;
      const Version version{item->stamp, cursor.origin(), item->sequence};
      if (best == nullptr || (filter.newest_first ? version > best_version : version < best_version)) {
        best = &cursor;
        best_version = version;
      }
    }
    if (best == nullptr) return absl::OkStatus();
    ASSAY_ASSIGN_OR_RETURN(const Cursor::Item* item, best->Peek(cancelled));
    pb::LogEvent view;
    if (item->masked) {
      view = viewer_.ViewMasked(best->origin(), item->sequence, item->stamp, item->table);
    } else {
      std::string again;
      if (!item->has_bytes) {
        ASSAY_ASSIGN_OR_RETURN(again, log_->ReadEvent(best->origin(), item->sequence));
      }
      ASSAY_ASSIGN_OR_RETURN(view, viewer_.View(best->origin(), item->sequence, item->has_bytes ? item->bytes : again,
                                                filter.value_bytes_max));
    }
    if (!emit(view)) return absl::OkStatus();
    best->Pop();
  }
  return absl::OkStatus();
}

absl::StatusOr<pb::LogEvent> LogReader::Get(const pb::GetEventRequest& request) {
  if (request.origin().empty() || request.sequence() == 0) {
    return absl::InvalidArgumentError("name an event by its origin (or branch) and its sequence, from 1");
  }
  ASSAY_ASSIGN_OR_RETURN(const OriginId origin, FindOrigin(request.origin()));
  const Sequence sequence{request.sequence()};
  if (sequence > log_->Head(origin).complete) {
    return absl::NotFoundError(absl::StrCat("no event ", EventName(origin, sequence),
                                            " here: this chain is held up to ", log_->Head(origin).complete.value));
  }
  EventReader reader = log_->Read(origin, sequence);
  ASSAY_ASSIGN_OR_RETURN(const StoredEvent* event, reader.Next());
  if (event == nullptr)
    return absl::DataLossError(absl::StrCat("event ", EventName(origin, sequence), " cannot be found"));
  if (event->masked) return viewer_.ViewMasked(origin, sequence, event->stamp, event->table);
  return viewer_.View(origin, sequence, event->bytes,
                      request.value_bytes_max() == 0 ? kWholeValueBytes : request.value_bytes_max());
}

std::map<OriginId, Sequence> LogReader::Ends() const {
  std::map<OriginId, Sequence> out;
  for (const OriginId& origin : log_->Origins()) out[origin] = log_->Head(origin).complete;
  return out;
}

absl::Status LogReader::ListAfter(const std::map<OriginId, Sequence>& ends, const pb::TailEventsRequest& request,
                                  const Emit& emit, const Cancelled& cancelled) {
  Filter filter;
  if (!request.table().empty()) {
    ASSAY_ASSIGN_OR_RETURN(const TableName table, TableName::Parse(request.table()));
    filter.table = table.ToString();
  }
  filter.value_bytes_max = request.value_bytes_max() == 0 ? kDefaultValueBytes : request.value_bytes_max();
  ASSAY_ASSIGN_OR_RETURN(const std::vector<OriginId> origins, FindOrigins(request.origin()));
  std::vector<Range> ranges;
  for (const OriginId& origin : origins) {
    auto it = ends.find(origin);
    const Range range{origin, it == ends.end() ? 1 : it->second.value + 1, log_->Head(origin).complete.value};
    if (range.first <= range.last) ranges.push_back(range);
  }
  return Merge(ranges, filter, emit, cancelled);
}

}  // namespace assay
