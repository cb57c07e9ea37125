#include "log/even_vfs.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "log/check.h"

namespace assay {
namespace {

struct File {
  sqlite3_file base;
  sqlite3_io_methods methods;  // Of the version that the file below has.
  sqlite3_int64 unsynced = 0;
};
constexpr size_t kFileBytes =
    (sizeof(File) + alignof(std::max_align_t) - 1) / alignof(std::max_align_t) * alignof(std::max_align_t);

sqlite3_file* Below(sqlite3_file* file) {
  return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(file) + kFileBytes);
}

template <auto Method, typename... Arguments>
auto Pass(sqlite3_file* file, Arguments... arguments) {
  return (Below(file)->pMethods->*Method)(Below(file), arguments...);
}

int Sync(sqlite3_file* file, int flags) {
  reinterpret_cast<File*>(file)->unsynced = 0;
  return Below(file)->pMethods->xSync(Below(file), flags);
}

int Write(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
  if (const int rc = Below(file)->pMethods->xWrite(Below(file), bytes, count, offset); rc != SQLITE_OK) return rc;
  File& of = *reinterpret_cast<File*>(file);
  of.unsynced += count;
  return of.unsynced < EvenVfs::kPiece ? SQLITE_OK : Sync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
}

int Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags, int* flags_out) {
  auto* below = static_cast<sqlite3_vfs*>(vfs->pAppData);
  file->pMethods = nullptr;
  const int rc = below->xOpen(below, path, Below(file), flags, flags_out);
  const sqlite3_io_methods* methods = Below(file)->pMethods;
  if (methods == nullptr) return rc;
  File& of = *reinterpret_cast<File*>(file);
  of.unsynced = 0;
  of.methods = {.iVersion = std::min(methods->iVersion, 3),
                .xClose = Pass<&sqlite3_io_methods::xClose>,
                .xRead = Pass<&sqlite3_io_methods::xRead, void*, int, sqlite3_int64>,
                .xWrite = Write,
                .xTruncate = Pass<&sqlite3_io_methods::xTruncate, sqlite3_int64>,
                .xSync = Sync,
                .xFileSize = Pass<&sqlite3_io_methods::xFileSize, sqlite3_int64*>,
                .xLock = Pass<&sqlite3_io_methods::xLock, int>,
                .xUnlock = Pass<&sqlite3_io_methods::xUnlock, int>,
                .xCheckReservedLock = Pass<&sqlite3_io_methods::xCheckReservedLock, int*>,
                .xFileControl = Pass<&sqlite3_io_methods::xFileControl, int, void*>,
                .xSectorSize = Pass<&sqlite3_io_methods::xSectorSize>,
                .xDeviceCharacteristics = Pass<&sqlite3_io_methods::xDeviceCharacteristics>,
                .xShmMap = Pass<&sqlite3_io_methods::xShmMap, int, int, int, void volatile**>,
                .xShmLock = Pass<&sqlite3_io_methods::xShmLock, int, int, int>,
                .xShmBarrier = Pass<&sqlite3_io_methods::xShmBarrier>,
                .xShmUnmap = Pass<&sqlite3_io_methods::xShmUnmap, int>,
                .xFetch = Pass<&sqlite3_io_methods::xFetch, sqlite3_int64, int, void**>,
                .xUnfetch = Pass<&sqlite3_io_methods::xUnfetch, sqlite3_int64, void*>};
  file->pMethods = &of.methods;
  return rc;
}

// What a vfs is asked beside opening files, is asked of the one below.
template <auto Method, typename... Arguments>
auto Ask(sqlite3_vfs* vfs, Arguments... arguments) {
  auto* below = static_cast<sqlite3_vfs*>(vfs->pAppData);
  return (below->*Method)(below, arguments...);
}

}  // namespace

EvenVfs::EvenVfs(std::string name, const char* below_name) : name_(std::move(name)) {
  sqlite3_vfs* below = sqlite3_vfs_find(below_name);
  ASSAY_CHECK(below != nullptr);
  vfs_ = {.iVersion = std::min(below->iVersion, 2),
          .szOsFile = static_cast<int>(kFileBytes) + below->szOsFile,
          .mxPathname = below->mxPathname,
          .zName = name_.c_str(),
          .pAppData = below,
          .xOpen = Open,
          .xDelete = Ask<&sqlite3_vfs::xDelete, const char*, int>,
          .xAccess = Ask<&sqlite3_vfs::xAccess, const char*, int, int*>,
          .xFullPathname = Ask<&sqlite3_vfs::xFullPathname, const char*, int, char*>,
          .xRandomness = Ask<&sqlite3_vfs::xRandomness, int, char*>,
          .xSleep = Ask<&sqlite3_vfs::xSleep, int>,
          .xCurrentTime = Ask<&sqlite3_vfs::xCurrentTime, double*>,
          .xGetLastError = Ask<&sqlite3_vfs::xGetLastError, int, char*>,
          .xCurrentTimeInt64 = Ask<&sqlite3_vfs::xCurrentTimeInt64, sqlite3_int64*>};
  ASSAY_CHECK(sqlite3_vfs_register(&vfs_, /*makeDflt=*/0) == SQLITE_OK);
}

EvenVfs::~EvenVfs() { sqlite3_vfs_unregister(&vfs_); }

const char* EvenVfs::Default() {
  static const EvenVfs* const vfs = new EvenVfs("assay-even", nullptr);
  return vfs->name_.c_str();
}

}  // namespace assay
