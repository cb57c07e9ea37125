// What a walsender says while it streams with pgoutput, protocol version 1: bytes in, values out, no connection needed.
//
//   ASSAY_ASSIGN_OR_RETURN(WalsenderMessage envelope, ParseWalsender(copy_data));
//   if (envelope.kind == WalsenderMessage::Kind::kData) ParsePgoutput(envelope.data) -> pgoutput::Insert{…}
//
// Every length is checked before it is used. Bytes that make no sense are DATA_LOSS, never a crash and never a guess.
// Texts are views into the bytes given.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/database.h"
#include "log/types.h"

namespace assay {

struct WalsenderMessage {
  enum class Kind : uint8_t { kData, kKeepalive };
  Kind kind = Kind::kData;
  absl::string_view data;        // kData: one pgoutput message.
  Lsn end_lsn;                   // kKeepalive: the server has sent all there was to send before this.
  bool reply_requested = false;  // kKeepalive: answer at once, or the server closes the connection.
};

absl::StatusOr<WalsenderMessage> ParseWalsender(absl::string_view bytes);

// The standby status update that confirms everything before `flushed`.
std::string StandbyStatus(Lsn flushed, int64_t now_us);

namespace pgoutput {

struct Begin {
  Lsn commit_lsn;
  int64_t commit_time_us = 0;  // Unix microseconds.
  uint32_t xid = 0;
};

struct Commit {
  Lsn commit_lsn;
  Lsn end_lsn;
};

struct Relation {
  struct Column {
    absl::string_view name;
    uint32_t type_oid = 0;
    int32_t type_modifier = -1;
    bool replica_key = false;  // Sent in an old tuple that is not whole; under REPLICA IDENTITY FULL every column is.
  };
  uint32_t oid = 0;
  ReplicaIdentity identity = ReplicaIdentity::kFull;
  absl::string_view schema;
  absl::string_view table;
  std::vector<Column> columns;
};

struct Insert {
  uint32_t relation = 0;
  std::vector<TupleValue> new_tuple;
};

struct Update {
  uint32_t relation = 0;
  bool old_is_whole = false;  // False: there is no old tuple, or it holds the key only.
  std::vector<TupleValue> old_tuple;
  std::vector<TupleValue> new_tuple;
};

struct Delete {
  uint32_t relation = 0;
  bool old_is_whole = false;
  std::vector<TupleValue> old_tuple;
};

struct Truncate {
  std::vector<uint32_t> relations;
};

struct LogicalMessage {
  bool transactional = false;
  absl::string_view prefix;
  absl::string_view content;
};

// Type and origin messages, which carry nothing that is needed here.
struct Ignored {};

using Message = std::variant<Begin, Commit, Relation, Insert, Update, Delete, Truncate, LogicalMessage, Ignored>;

// The relation that `bytes` tell of a row of; nullopt: they tell of none. They may make no sense otherwise.
std::optional<uint32_t> RelationOfRow(absl::string_view bytes);

}  // namespace pgoutput

absl::StatusOr<pgoutput::Message> ParsePgoutput(absl::string_view bytes);

}  // namespace assay
