// A row's key and the texts of its columns, in one piece of memory.
//
// A batch holds tens of thousands of these, and one large transaction some hundred thousand: so an object is one
// pointer, and a column costs eight bytes beside its text. A text that is replaced by one of no greater length takes
// its place; what longer ones leave behind is given back when room for the next runs out.
//
// A value: copies share the piece until one of them is changed. So what PostgreSQL is asked to write costs no second
// copy of the texts, and holds them for as long as it needs them, whatever becomes of the batch that they came with.
// One object is not thread-safe; copies of it may go to other threads.
//
//   PackedRow row(EncodeKey({"7"}));
//   row.Add("ring");
//   row.Add(std::nullopt);
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"

namespace assay {

using ColumnText = std::optional<std::string>;  // nullopt: NULL.

class PackedRow {
 public:
  enum class Kind : uint8_t {
    kNone,  // The column was written, and its value is not here.
    kNull,
    kText,
  };

  // `key`: EncodeKey of its texts. With room for so many columns, of so many bytes together; more of either is made as
  // it is needed.
  explicit PackedRow(absl::string_view key, size_t columns = 0, size_t bytes = 0);
  PackedRow(const PackedRow& other);
  PackedRow(PackedRow&& other) noexcept
      : piece_(std::exchange(other.piece_, nullptr)) {}  // `other` may only be destroyed, or assigned to.
  PackedRow& operator=(PackedRow other) noexcept {
    std::swap(piece_, other.piece_);
    return *this;
  }
  ~PackedRow();

  absl::string_view key() const { return {bytes(), piece_->key_size}; }
  using KeyTexts = absl::InlinedVector<absl::string_view, 4>;
  KeyTexts KeyParts() const;  // The key must be well-formed.

  size_t size() const { return piece_->size; }
  Kind KindAt(size_t index) const { return static_cast<Kind>(slots()[index].kind); }
  // Empty unless kText. Texts stay where they are until the next change.
  absl::string_view TextAt(size_t index) const { return {bytes() + slots()[index].at, slots()[index].size}; }

  // Another column before `index`; kNone, until it is set.
  void Insert(size_t index);
  // `text` only with kText, and none of this row's own.
  void Set(size_t index, Kind kind, absl::string_view text = {});
  // Another column at the end.
  void Add(std::optional<absl::string_view> text);

  size_t ByteSize() const;  // Of memory beside the object itself, which copies may share.

 private:
  struct Slot {
    uint32_t at;
    uint32_t size : 30;  // An event is smaller.
    uint32_t kind : 2;
  };
  // Begins the piece; then come the slots, then the key and the texts.
  struct Piece {
    std::atomic<uint32_t> users;
    uint32_t size;   // Columns.
    uint32_t slots;  // Columns that there is room for.
    uint32_t key_size;
    uint32_t end;     // Where the bytes that are taken end.
    uint32_t bytes;   // Bytes that there is room for.
    uint32_t unused;  // Bytes that are taken, and that no slot is about.
  };

  const Slot* slots() const { return reinterpret_cast<const Slot*>(piece_ + 1); }
  Slot* slots() { return reinterpret_cast<Slot*>(piece_ + 1); }
  const char* bytes() const { return reinterpret_cast<const char*>(slots() + piece_->slots); }
  char* bytes() { return reinterpret_cast<char*>(slots() + piece_->slots); }

  // For a change: the piece is this one's alone afterwards, with room for so many slots, and so many bytes more than
  // are in use.
  void Move(size_t slots, size_t bytes);
  void MakeOwn();

  Piece* piece_;
};

}  // namespace assay
