// What pending events say about one row: the join of their versions, and the newest values.
//
// A batch holds tens of thousands of these, and one large transaction some hundred thousand. Not thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/fold/merge.h"
#include "engine/packed_row.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"
#include "log/types.h"
#include "proto/event.pb.h"

namespace assay {

class PendingRow {
 public:
  using Kind = PackedRow::Kind;  // kNone: the value is too large for an event.
  struct Value {
    Kind kind = Kind::kNone;
    absl::string_view text;
    const v1::TableSchema::Column* declared = nullptr;  // As its writer's schema has it; null with kNone.
    const ResolvedSchema* schema = nullptr;             // That schema.
  };
  // One column of an event.
  struct Write {
    ColumnId column;
    Kind kind = Kind::kNone;
    absl::string_view text;
  };

  // `key`: EncodeKey of its texts. With room for what `first` says.
  PendingRow(const RowRef& ref, absl::string_view key, absl::Span<const Write> first);

  const RowRef ref;
  absl::string_view key() const { return texts_.key(); }

  // What `writes` (sorted by column, each once; none with a delete) say at `version`, which may be older than what is
  // known. `schema` is their writer's, has their columns, and outlives this. `epoch`: another one when the writer has
  // seen more of others since, and one of its own for each writer.
  void Fold(const Version& version, ChangeKind kind, absl::Span<const Write> writes, const ResolvedSchema& schema,
            uint32_t epoch = 0);

  const RowVersions& incoming() const { return incoming_; }
  // The event to name when the row cannot be written.
  Version newest() const { return Newest(incoming_); }
  // How the newest of its writers declared the table. After the first Fold.
  const ResolvedSchema& declared() const { return *declared_; }
  // What incoming() is the join of, in the order in which it came: what follows each other in one epoch together. So
  // that who disagrees with whom does not depend on what happens to be in one batch.
  absl::Span<const RowVersions> steps() const {
    return steps_ == nullptr ? absl::MakeConstSpan(&incoming_, 1) : absl::MakeConstSpan(*steps_);
  }
  // Of incoming().columns[index]. Valid until the next Fold.
  Value ValueAt(size_t index) const;
  // All of them, and the key.
  const PackedRow& texts() const { return texts_; }
  size_t ByteSize() const;  // Memory that it takes, about.

 private:
  void FoldStep(const Version& version, ChangeKind kind, absl::Span<const Write> writes);

  uint32_t epoch_ = 0;
  RowVersions incoming_;
  std::unique_ptr<std::vector<RowVersions>> steps_;  // When there is more than one.
  size_t steps_bytes_ = 0;
  PackedRow texts_;  // Parallel to incoming_.columns.
  const ResolvedSchema* declared_ = nullptr;
  const ResolvedSchema* schema_ = nullptr;                       // Of all columns,
  std::unique_ptr<std::vector<const ResolvedSchema*>> schemas_;  // or of each, when a row was written under several.
};

}  // namespace assay
