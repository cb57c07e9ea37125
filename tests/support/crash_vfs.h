// An SQLite file system in memory that fails as disks do: it forgets or tears what was not synced, fills up, flips a
// bit.
//
//   CrashVfs vfs(seed);
//   auto file = LogFile::Open("log.db", {.vfs = vfs.name()});
//   ...
//   vfs.PowerLoss();   // `file` is dead now: every call on it fails. Drop it,
//   file.reset();
//   file = LogFile::Open("log.db", {.vfs = vfs.name()});   // and see what is left.
//
// The model, after SQLite's own test6.c: what a sync covered stays. Of each write since then, whatever the order, the
// disk has all, nothing, some of its 512-byte sectors, or some and a sector of garbage; bytes next to a write are never
// harmed (SQLite's "powersafe overwrite", which its own file system assumes too). A file created or deleted since the
// directory was synced may be gone or back; the first sync of a new journal syncs the directory, as in SQLite's own
// file system. The same seed and the same calls give the same disk.
//
// Files live as long as the CrashVfs. Several connections of one process may share a file; calls may come from any
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace assay::test {

class CrashVfs {
 public:
  struct State;  // Inside.

  explicit CrashVfs(uint64_t seed);
  // No connection may be open.
  ~CrashVfs();
  CrashVfs(const CrashVfs&) = delete;
  CrashVfs& operator=(const CrashVfs&) = delete;

  // For LogFile::Options::vfs and sqlite3_open_v2.
  const std::string& name() const;

  // The machine stops: connections are dead, unsynced writes come out as above.
  void PowerLoss();
  // The process stops, the machine does not: connections are dead, every write is there.
  void Kill();
  // PowerLoss instead of the `count`-th sync from now, counted from 1. 0: never.
  void PowerLossAtSync(uint64_t count);
  // The `count`-th sync from now, counted from 1, fails and syncs nothing; everything else goes on. 0: none.
  void FailSync(uint64_t count);
  // So far, those that did nothing included.
  uint64_t sync_count() const;

  // Full: a write that makes a file longer fails; writing over what is there goes on working.
  void SetFull(bool full);
  // The disk is full after this many more bytes.
  void SetSpaceLeft(int64_t bytes);

  // False when there is no such file, or it is not that long.
  bool FlipBit(absl::string_view path, uint64_t bit_offset);
  // As the running system sees it, not as the disk has it. nullopt: no such file.
  std::optional<std::string> Content(absl::string_view path) const;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace assay::test
