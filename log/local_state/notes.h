// The named notes of a log file: what each is called on the disk, what it holds, and who writes it.
//
// A note is one small value that somebody needs after a restart. LocalState reads and writes it as its type, so that a
// name is spelled here and nowhere else. Some notes are kept once a subject, as a table; the subject is an argument
// then. A note that was never written reads as T{}.
//
//   ASSAY_ASSIGN_OR_RETURN(const HlcStamp clock, state.Read(kClockNote));
//   ASSAY_RETURN_IF_ERROR(state.Write(kDeclaredNote, sequence, origin, table));
//
// FORMAT.md has the bytes. Names and encodings are stored on disk.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "log/table_names.h"
#include "log/types.h"

namespace assay {

// ---- What they hold ----

// How far capture has durably come. The last transaction is remembered whole, because a server that was restored uses
// its LSNs again: when the stream goes on below it, this very transaction must come by once more (restore_check.h).
struct CapturedPosition {
  // Of the last transaction that left something in the log; zeros: none since the rows were read at a snapshot.
  Lsn commit_lsn;
  Lsn end_lsn;
  int64_t commit_time_us = 0;
  uint32_t xid = 0;
  // Nothing that ends at or before this may be confirmed unless it is durable here; nothing after it ever was. 0: not
  // known.
  Lsn position;
  bool operator==(const CapturedPosition&) const = default;
};

// The PostgreSQL that was last found to be this log's.
struct KnownServer {
  std::string id;  // As DatabaseEvidence::server; empty: none yet.
  uint32_t timeline = 0;
  bool operator==(const KnownServer&) const = default;
};

// The sessions at the hub that this log knows of.
struct KnownSessions {
  static constexpr size_t kNonceBytes = 16;
  uint64_t counter = 0;             // Of the last one that was opened.
  std::vector<std::string> nonces;  // That one's, then those that were asked for since. Each of kNonceBytes.
  bool operator==(const KnownSessions&) const = default;
};

// The clock is at least at `stamp` once the stream has passed `after`: tables were compared there and may hold what was
// written then, so that whatever changes it must beat it. What was committed before had not seen it. Lsn{}: nothing.
struct ClockAhead {
  Lsn after;
  HlcStamp stamp;
  bool operator==(const ClockAhead&) const = default;
};

enum class EnrolmentState : uint8_t {
  kNone,      // `assay init` has not come so far.
  kBegun,     // A slot of ours may be there without a baseline.
  kFinished,  // Both are.
  kLeft,      // Neither is any more: `assay leave`.
};

// A value that is in this branch's PostgreSQL alone, because it is too large for an event.
struct WithheldValue {
  std::string table;  // TableName::ToString.
  std::string key;    // EncodeKey.
  std::string column;
  uint64_t bytes = 0;
  bool operator==(const WithheldValue&) const = default;
};

// What of a table is not in the log: it came by in capture and could not be recorded, or it may never have come by.
struct UnrecordedRows {
  uint64_t rows = 0;  // That came by.
  std::string cause;  // Of the last, for people.
  // The database has another table of this name than the one whose rows the log knows: a row that is not in it was
  // deleted by nobody.
  bool made_anew = false;
  bool operator==(const UnrecordedRows&) const = default;
};
using UnrecordedTables = std::map<std::string, UnrecordedRows>;  // By TableName::ToString.

// Tables that joined while the stream was behind, by TableName::ToString: what was committed to them up to there is in
// their baselines.
using TableBaselines = std::map<std::string, Lsn>;

// Rows of one table that another branch's chain has and nobody can read.
struct UnreadableRows {
  Sequence first;     // The first of these events.
  std::string cause;  // What is wrong with it, for people.
  bool operator==(const UnreadableRows&) const = default;
};
using UnreadableTables =
    std::map<std::pair<OriginId, std::string>, UnreadableRows>;  // By chain and SegmentPart::table.

// A cell of PostgreSQL that is not as the log has it. Texts may be cut; nullopt: NULL, or of a whole row, not there.
struct DifferingCell {
  std::string key;     // EncodeKey.
  std::string column;  // Empty: the row as a whole.
  std::optional<std::string> here, log;
  bool operator==(const DifferingCell&) const = default;
};

// How a table's rows were found when they were last compared with the log.
struct CheckedTable {
  static constexpr size_t kCellsListed = 20;
  int64_t ended_ms = 0;      // Unix milliseconds. 0: never compared.
  Sequence declared;         // Its newest declaration in this branch's own chain at that time.
  uint64_t rows = 0;         // That were looked at.
  uint64_t cells = 0;        // That were compared.
  uint64_t passed_over = 0;  // Cells that only one of the two has: nobody can say whether they differ.
  uint64_t waiting = 0;      // Rows that differ by right: parked, or due to be written.
  uint64_t restless = 0;     // Rows that were changed at each look, so that nobody can say it of them either.
  uint64_t differing = 0;    // Rows that are not as the log has them.
  bool gave_up = false;      // There were so many of them that the rest was not looked at.
  std::vector<DifferingCell> cells_listed;  // The first kCellsListed that differ.
  bool operator==(const CheckedTable&) const = default;
};

// The newest declaration of a table in this branch's own chain.
struct DeclaredShape {
  uint64_t fingerprint = 0;  // Of the shape that it declares.
  Sequence sequence;         // 0: the chain has none.
  bool operator==(const DeclaredShape&) const = default;
};

// The names that a table's columns have had in this database, each with the column's number (pg_attribute.attnum), in
// the order in which they were first seen. A name may have been another column's before.
using ColumnNumbers = std::vector<std::pair<std::string, uint32_t>>;
// Columns that are not here and to which NULLs were written elsewhere, each with the oldest such stamp.
using ColumnNulls = std::map<std::pair<TableId, ColumnId>, HlcStamp>;

// ---- The notes ----

template <typename T, typename... Subject>
struct Note {
  absl::string_view name;   // On the disk; ":" and each subject follow.
  absl::string_view about;  // For people: "the log's note of … is damaged".
};

// Written once, by OpenBranchLog: the origin of the chain that this log writes itself. OriginId{}: it has none yet.
inline constexpr Note<OriginId> kOwnOriginNote{"own_origin", "the chain that it writes"};
// By Recorder with each transaction, and by init and repair: the stamp that every later one must exceed.
inline constexpr Note<HlcStamp> kClockNote{"clock", "its clock"};
// By init for tables that join later; by Recorder when it is there.
inline constexpr Note<ClockAhead> kClockAheadNote{"clock_ahead", "its clock"};
// By init for tables that join later; by Recorder when it is past all of them, and by repair, after which it is.
inline constexpr Note<TableBaselines> kBaselinesNote{"baselines", "tables that joined later"};
// By Recorder with each transaction and each kept position; by init and repair.
inline constexpr Note<CapturedPosition> kCapturedNote{"captured", "the last captured transaction"};
// By Recorder: the values that it has left out, the newest hundred.
inline constexpr Note<std::vector<WithheldValue>> kWithheldNote{"withheld", "large values"};
// By Recorder and init, until repair has compared them: the tables of which something is not in the log.
inline constexpr Note<UnrecordedTables> kUnrecordedNote{"unrecorded", "tables to compare"};
// By Batch: what it leaves out of the other chains.
inline constexpr Note<UnreadableTables> kUnreadableNote{"unreadable", "rows that cannot be read"};
// By DeclaredTables, a table: by TableName::ToString.
inline constexpr Note<DeclaredShape, std::string> kShapeNote{"schema", "the shape of a table"};
// By Projector: the numbers of the newest projection that was asked for, and of the newest that came by in capture.
inline constexpr Note<uint64_t> kBatchAskedNote{"batch", "the last projection"};
inline constexpr Note<uint64_t> kBatchLandedNote{"batch_landed", "the last landed projection"};
// By ColumnHistory, a table.
inline constexpr Note<ColumnNumbers, TableId> kColumnNumbersNote{"columns", "columns"};
// By ColumnHistory, a chain and table: the newest TableSchema event that is merged.
inline constexpr Note<Sequence, OriginId, TableId> kDeclaredNote{"declared", "declared tables"};
// By ColumnHistory, a table: some branch has renamed one of its columns.
inline constexpr Note<bool, TableId> kRenamesNote{"renames", "renamed columns"};
// By ColumnHistory.
inline constexpr Note<ColumnNulls> kNullsNote{"nulls", "columns that are not here"};
// By ColumnHistory: columns whose name has another number here than before; the stamps are 0.
inline constexpr Note<ColumnNulls> kRemadeNote{"remade", "columns made anew"};
// By Engine when capture starts, and by repair.
inline constexpr Note<KnownServer> kServerNote{"server", "its PostgreSQL"};
// By repair: the RestoreStateName that is being mended; empty: none.
inline constexpr Note<std::string> kRepairNote{"repair", "the repair under way"};
// By SessionGate.
inline constexpr Note<KnownSessions> kSessionsNote{"hub_session", "its session at the hub"};
// By SessionGate: why the hub refused the last session, for people; empty: it did not.
inline constexpr Note<std::string> kRefusalNote{"hub_session_refused", "the hub's refusal"};
// With it: "set-aside" by the head office, or "replaced" by another chain of this branch; empty: any other reason.
inline constexpr Note<std::string> kRefusedAsNote{"hub_refused_as", "the hub's refusal"};
// By init and repair, until the hub has refused it: the chain of this branch whose place its own takes. OriginId{}:
// none.
inline constexpr Note<OriginId> kReplacesNote{"replaces", "the chain that it replaces"};
// By init, leave and repair.
inline constexpr Note<EnrolmentState> kEnrolmentNote{"enrolment", "its enrolment"};
// By init and repair: the tables whose baseline is in the log, by TableName::ToString.
inline constexpr Note<std::set<std::string>> kEnrolledTablesNote{"enrolled_tables", "the enrolled tables"};
// By Engine when the sentinel has compared a table, by TableName::ToString. Repair and init forget them: what they have
// changed is compared anew.
inline constexpr Note<CheckedTable, std::string> kCheckedNote{"checked", "a table that was compared"};
// By Engine: a person has paused pushing and pulling, until a person resumes it.
inline constexpr Note<bool> kPausedNote{"paused", "whether it is paused"};

// Every one of them.
inline constexpr absl::string_view kNoteNames[] = {
    kOwnOriginNote.name,      kClockNote.name,      kClockAheadNote.name, kCapturedNote.name,   kWithheldNote.name,
    kUnrecordedNote.name,     kUnreadableNote.name, kShapeNote.name,      kBatchAskedNote.name, kBatchLandedNote.name,
    kColumnNumbersNote.name,  kDeclaredNote.name,   kRenamesNote.name,    kNullsNote.name,      kRemadeNote.name,
    kServerNote.name,         kRepairNote.name,     kSessionsNote.name,   kRefusalNote.name,    kEnrolmentNote.name,
    kEnrolledTablesNote.name, kCheckedNote.name,    kPausedNote.name,     kRefusedAsNote.name,  kReplacesNote.name,
    kBaselinesNote.name};

// ---- Their bytes ----

// A subject as it stands in a note's name.
std::string SubjectText(const OriginId& origin);
std::string SubjectText(TableId table);
std::string SubjectText(const std::string& table);

std::string EncodeNote(bool value);
std::string EncodeNote(uint64_t value);
std::string EncodeNote(Sequence value);
std::string EncodeNote(HlcStamp value);
std::string EncodeNote(const OriginId& value);
std::string EncodeNote(const std::string& value);
std::string EncodeNote(const std::set<std::string>& lines);
std::string EncodeNote(EnrolmentState value);
std::string EncodeNote(const ClockAhead& value);
std::string EncodeNote(const CapturedPosition& value);
std::string EncodeNote(const KnownServer& value);
std::string EncodeNote(const KnownSessions& value);
std::string EncodeNote(const DeclaredShape& value);
std::string EncodeNote(const ColumnNumbers& value);
std::string EncodeNote(const ColumnNulls& value);
std::string EncodeNote(const std::vector<WithheldValue>& value);
std::string EncodeNote(const UnrecordedTables& value);
std::string EncodeNote(const UnreadableTables& value);
std::string EncodeNote(const TableBaselines& value);
std::string EncodeNote(const CheckedTable& value);

// False: `bytes` are not what EncodeNote of such a value gives. `value` is a new one.
bool DecodeNote(absl::string_view bytes, bool* value);
bool DecodeNote(absl::string_view bytes, uint64_t* value);
bool DecodeNote(absl::string_view bytes, Sequence* value);
bool DecodeNote(absl::string_view bytes, HlcStamp* value);
bool DecodeNote(absl::string_view bytes, OriginId* value);
bool DecodeNote(absl::string_view bytes, std::string* value);
bool DecodeNote(absl::string_view bytes, std::set<std::string>* lines);
bool DecodeNote(absl::string_view bytes, EnrolmentState* value);
bool DecodeNote(absl::string_view bytes, ClockAhead* value);
bool DecodeNote(absl::string_view bytes, CapturedPosition* value);
bool DecodeNote(absl::string_view bytes, KnownServer* value);
bool DecodeNote(absl::string_view bytes, KnownSessions* value);
bool DecodeNote(absl::string_view bytes, DeclaredShape* value);
bool DecodeNote(absl::string_view bytes, ColumnNumbers* value);
bool DecodeNote(absl::string_view bytes, ColumnNulls* value);
bool DecodeNote(absl::string_view bytes, std::vector<WithheldValue>* value);
bool DecodeNote(absl::string_view bytes, UnrecordedTables* value);
bool DecodeNote(absl::string_view bytes, UnreadableTables* value);
bool DecodeNote(absl::string_view bytes, TableBaselines* value);
bool DecodeNote(absl::string_view bytes, CheckedTable* value);

}  // namespace assay
