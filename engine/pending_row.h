// What pending events say about one row: the join of their versions, and the newest values.
//
// A batch holds tens of thousands of these, and one large transaction some hundred thousand: all of a row's texts are in one string, and a
// value that is replaced by one of no greater length takes its place. Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/merge.h"
#include "log/row_versions.h"
#include "log/types.h"
#include "proto/event.pb.h"

namespace assay {

class PendingRow {
 public:
  struct Value {
    enum class Kind : uint8_t {
      kNone,  // The column was written, and the value is too large for an event.
      kNull,
      kText,
    };
    Kind kind = Kind::kNone;
    absl::string_view text;
    const v1::TableSchema::Column* declared = nullptr;  // As its writer's schema has it; null with kNone.
  };
  // One column of an event.
  struct Write {
    ColumnId column;
    Value value;
  };

  PendingRow(const RowRef& ref, std::string key) : ref(ref), key(std::move(key)) {}
  PendingRow(const PendingRow&) = delete;  // Texts are looked at from outside.

  const RowRef ref;
  const std::string key;  // EncodeKey of its texts.

  // What `writes` (sorted by column, each once; none with a delete) say at `version`, which may be older than what is known.
  void Fold(const Version& version, ChangeKind kind, absl::Span<const Write> writes);

  const RowVersions& incoming() const { return incoming_; }
  // The event to name when the row cannot be written.
  Version newest() const { return Newest(incoming_); }
  // All of it is of one origin: then there is nothing to disagree about.
  bool OnlyOf(const OriginId& origin) const;
  // Of incoming().columns[index]. Valid until the next Fold.
  Value ValueAt(size_t index) const;
  size_t ByteSize() const;  // Of memory, about.

 private:
  struct Slot {
    size_t at = 0;
    uint32_t size = 0;
    Value::Kind kind = Value::Kind::kNone;
    const v1::TableSchema::Column* declared = nullptr;
  };
  void Set(const Value& value, Slot* slot);

  RowVersions incoming_;
  bool mixed_ = false;
  std::vector<Slot> slots_;  // Parallel to incoming_.columns.
  std::string texts_;
  size_t unused_ = 0;        // Bytes of texts_ that no slot is about.
};

}  // namespace assay
