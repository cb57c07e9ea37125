// A row's key and the texts of its columns, in one piece of memory.
//
// A batch holds tens of thousands of these, and one large transaction some hundred thousand: so an object is one pointer, and a column costs
// eight bytes beside its text. A text that is replaced by one of no greater length takes its place; what longer ones leave behind is given
// back when room for the next runs out. Not thread-safe, but for many threads that read one which nobody changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"

namespace assay {

class PackedRow {
 public:
  enum class Kind : uint8_t {
    kNone,  // The column was written, and its value is not here.
    kNull,
    kText,
  };

  // `key`: EncodeKey of its texts. With room for so many columns, of so many bytes together; more of either is made as it is needed.
  explicit PackedRow(absl::string_view key, size_t columns = 0, size_t bytes = 0);

  absl::string_view key() const { return {bytes(), header().key_size}; }
  size_t size() const { return header().size; }
  Kind KindAt(size_t index) const { return static_cast<Kind>(slots()[index].kind); }
  // Empty unless kText. Texts stay where they are until the next change.
  absl::string_view TextAt(size_t index) const { return {bytes() + slots()[index].at, slots()[index].size}; }

  // Another column before `index`; kNone, until it is set.
  void Insert(size_t index);
  // `text` only with kText, and none of this row's own.
  void Set(size_t index, Kind kind, absl::string_view text = {});

  size_t ByteSize() const;  // Of memory beside the object itself.

 private:
  // The piece: this, then the slots, then the key and the texts.
  struct Header {
    uint32_t size;
    uint32_t slots;  // There is room for.
    uint32_t key_size;
    uint32_t end;    // Of the bytes that are taken.
    uint32_t bytes;  // There is room for.
    uint32_t unused; // Of those taken: that no slot is about.
  };
  struct Slot {
    uint32_t at;
    uint32_t size : 30;  // An event is smaller.
    uint32_t kind : 2;
  };

  const Header& header() const { return *reinterpret_cast<const Header*>(piece_.get()); }
  Header& header() { return *reinterpret_cast<Header*>(piece_.get()); }
  const Slot* slots() const { return reinterpret_cast<const Slot*>(piece_.get() + sizeof(Header)); }
  Slot* slots() { return reinterpret_cast<Slot*>(piece_.get() + sizeof(Header)); }
  const char* bytes() const { return piece_.get() + sizeof(Header) + header().slots * sizeof(Slot); }
  char* bytes() { return piece_.get() + sizeof(Header) + header().slots * sizeof(Slot); }

  static std::unique_ptr<char[]> NewPiece(size_t slots, size_t bytes);
  // Moves into a piece with room for so many slots, and so many bytes more than are in use.
  void Move(size_t slots, size_t bytes);

  std::unique_ptr<char[]> piece_;
};

}  // namespace assay
