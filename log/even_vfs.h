// A SQLite file system that lets little gather for a sync: what is written is synced a megabyte at a time.
//
// The log lies on the disk of the shop's PostgreSQL. A commit of many megabytes is written in one go when it is synced,
// its checkpoint once more, and a sale that commits meanwhile stands behind both (tests/bench/RESULTS.md). In pieces it
// lasts somewhat longer, and a sale gets in between. (PostgreSQL's checkpoint_flush_after is there for the same
// reason.) A sync more than SQLite asks for changes nothing in what it may rely on. Everything else is as in the file
// system below.
//
//   EvenVfs vfs("even", /*below=*/nullptr);
//   sqlite3_open_v2(path, &db, flags, "even");
#pragma once

#include <sqlite3.h>

#include <string>

namespace assay {

class EvenVfs {
 public:
  // Bytes of one file.
  static constexpr sqlite3_int64 kPiece = 1 << 20;

  // Registers it under `name`. `below`: the name of what it stands on, nullptr: SQLite's own.
  EvenVfs(std::string name, const char* below);
  // No connection may be open.
  ~EvenVfs();
  EvenVfs(const EvenVfs&) = delete;
  EvenVfs& operator=(const EvenVfs&) = delete;

  // The name of one on SQLite's own, which stays.
  static const char* Default();

 private:
  const std::string name_;
  sqlite3_vfs vfs_;
};

}  // namespace assay
