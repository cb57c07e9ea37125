#include "tests/support/crash_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <random>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"

namespace assay::test {
namespace {

constexpr uint64_t kSectorBytes = 512;
constexpr int kPathBytesMax = 512;

// A change the disk may not have yet. Enough is kept to undo it and to do it again in part.
struct Pending {
  bool is_truncate = false;
  uint64_t offset = 0;  // Truncate: the new size.
  std::string now;      // Written.
  std::string before;   // What was there of it; truncate: what was cut off.
  uint64_t size_before = 0;
};

struct File {
  std::string content;
  std::vector<Pending> pending;
  bool exists = true;
  bool entry_synced = false;  // The directory has what `exists` says.
  // Locks on the file itself, as sqlite3.h has them.
  int shared = 0;
  const void* reserved = nullptr;
  const void* exclusive = nullptr;
  // The shared memory beside it: SQLite's WAL index.
  std::vector<std::unique_ptr<char[]>> regions;
  int shm_shared[SQLITE_SHM_NLOCK] = {};
  const void* shm_exclusive[SQLITE_SHM_NLOCK] = {};

  void Unlock() {
    shared = 0;
    reserved = exclusive = nullptr;
    regions.clear();
    std::fill(std::begin(shm_shared), std::end(shm_shared), 0);
    std::fill(std::begin(shm_exclusive), std::end(shm_exclusive), nullptr);
  }
};

}  // namespace

struct CrashVfs::State {
  mutable std::mutex mutex;
  std::string name;
  sqlite3_vfs vfs{};
  std::mt19937_64 random;
  std::map<std::string, std::shared_ptr<File>, std::less<>> files;
  uint64_t life = 1;  // Connections of an earlier life are dead.
  uint64_t syncs = 0;
  uint64_t power_loss_at = 0;
  uint64_t fail_at = 0;
  std::optional<int64_t> space_left;

  void PowerLoss();
  void EndLife();
  void SyncDirectory();
};

namespace {

using State = CrashVfs::State;

struct Handle {
  sqlite3_file base;  // First: SQLite sees only this.
  State* state;
  std::shared_ptr<File> file;
  uint64_t life;
  bool syncs_directory;  // As SQLite's own file system does with the first sync of a new journal.
  int lock;
  int shm_shared_mask;
};

Handle* Of(sqlite3_file* file) { return reinterpret_cast<Handle*>(file); }
State* Of(sqlite3_vfs* vfs) { return static_cast<State*>(vfs->pAppData); }
bool Dead(const Handle* handle) { return handle->life != handle->state->life; }

void Overwrite(std::string* content, uint64_t offset, absl::string_view bytes) {
  if (bytes.empty()) return;
  if (content->size() < offset + bytes.size()) content->resize(offset + bytes.size(), '\0');
  content->replace(offset, bytes.size(), bytes.data(), bytes.size());
}

enum class Fate { kKept, kLost, kTorn, kTrashed };

// Does `write` to `content` again as a disk that lost power might have.
void Redo(const Pending& write, Fate fate, std::mt19937_64& random, std::string* content) {
  if (fate == Fate::kLost) return;
  if (write.is_truncate) {
    if (fate == Fate::kKept) content->resize(std::min<uint64_t>(content->size(), write.offset));
    return;
  }
  if (fate == Fate::kKept) return Overwrite(content, write.offset, write.now);
  bool trash = fate == Fate::kTrashed;
  for (uint64_t at = 0; at < write.now.size();) {
    const uint64_t sector_end = (write.offset + at) / kSectorBytes * kSectorBytes + kSectorBytes;
    std::string sector = write.now.substr(at, sector_end - write.offset - at);
    const uint64_t size = sector.size();
    if (random() % 2 == 0) {
      Overwrite(content, write.offset + at, sector);
    } else if (trash) {
      for (char& c : sector) c = static_cast<char>(random());
      Overwrite(content, write.offset + at, sector);
      trash = false;
    }
    at += size;
  }
}

int Close(sqlite3_file* base) {
  Handle* handle = Of(base);
  handle->~Handle();
  return SQLITE_OK;
}

int Read(sqlite3_file* base, void* out, int count, sqlite3_int64 offset) {
  Handle* handle = Of(base);
  const std::lock_guard<std::mutex> lock(handle->state->mutex);
  if (Dead(handle)) return SQLITE_IOERR_READ;
  const std::string& content = handle->file->content;
  const size_t start = std::min<size_t>(content.size(), offset);
  const size_t got = std::min<size_t>(count, content.size() - start);
  std::memcpy(out, content.data() + start, got);
  std::memset(static_cast<char*>(out) + got, 0, count - got);
  return got == static_cast<size_t>(count) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

int Write(sqlite3_file* base, const void* bytes, int count, sqlite3_int64 offset) {
  Handle* handle = Of(base);
  State* state = handle->state;
  const std::lock_guard<std::mutex> lock(state->mutex);
  if (Dead(handle)) return SQLITE_IOERR_WRITE;
  std::string& content = handle->file->content;
  const int64_t growth = std::max<int64_t>(0, offset + count - static_cast<int64_t>(content.size()));
  if (state->space_left && growth > 0) {
    if (*state->space_left < growth) return SQLITE_FULL;
    *state->space_left -= growth;
  }
  Pending write;
  write.offset = offset;
  write.now.assign(static_cast<const char*>(bytes), count);
  write.size_before = content.size();
  if (write.offset < content.size()) write.before = content.substr(write.offset, count);
  Overwrite(&content, write.offset, write.now);
  handle->file->pending.push_back(std::move(write));
  return SQLITE_OK;
}

int Truncate(sqlite3_file* base, sqlite3_int64 size) {
  Handle* handle = Of(base);
  const std::lock_guard<std::mutex> lock(handle->state->mutex);
  if (Dead(handle)) return SQLITE_IOERR_TRUNCATE;
  std::string& content = handle->file->content;
  if (static_cast<uint64_t>(size) >= content.size()) return SQLITE_OK;
  Pending cut;
  cut.is_truncate = true;
  cut.offset = size;
  cut.before = content.substr(size);
  cut.size_before = content.size();
  if (handle->state->space_left) *handle->state->space_left += cut.before.size();
  content.resize(size);
  handle->file->pending.push_back(std::move(cut));
  return SQLITE_OK;
}

int Sync(sqlite3_file* base, int) {
  Handle* handle = Of(base);
  State* state = handle->state;
  const std::lock_guard<std::mutex> lock(state->mutex);
  if (Dead(handle)) return SQLITE_IOERR_FSYNC;
  if (++state->syncs == state->power_loss_at) {
    state->PowerLoss();
    return SQLITE_IOERR_FSYNC;
  }
  if (state->syncs == state->fail_at) return SQLITE_IOERR_FSYNC;
  handle->file->pending.clear();
  if (handle->syncs_directory) state->SyncDirectory();
  handle->syncs_directory = false;
  return SQLITE_OK;
}

int FileSize(sqlite3_file* base, sqlite3_int64* size) {
  Handle* handle = Of(base);
  const std::lock_guard<std::mutex> lock(handle->state->mutex);
  if (Dead(handle)) return SQLITE_IOERR_FSTAT;
  *size = static_cast<sqlite3_int64>(handle->file->content.size());
  return SQLITE_OK;
}

int Lock(sqlite3_file* base, int level) {
  Handle* handle = Of(base);
  const std::lock_guard<std::mutex> lock(handle->state->mutex);
  if (Dead(handle)) return SQLITE_IOERR_LOCK;
  if (handle->lock >= level) return SQLITE_OK;
  File& file = *handle->file;
  if (file.exclusive != nullptr && file.exclusive != handle) return SQLITE_BUSY;
  if (level == SQLITE_LOCK_SHARED) ++file.shared;
  if (level >= SQLITE_LOCK_RESERVED) {
    if (file.reserved != nullptr && file.reserved != handle) return SQLITE_BUSY;
    file.reserved = handle;
  }
  if (level == SQLITE_LOCK_EXCLUSIVE) {
    if (file.shared > 1) return SQLITE_BUSY;
    file.exclusive = handle;
  }
  handle->lock = level;
  return SQLITE_OK;
}

int Unlock(sqlite3_file* base, int level) {
  Handle* handle = Of(base);
  const std::lock_guard<std::mutex> lock(handle->state->mutex);
  if (Dead(handle) || handle->lock <= level) return SQLITE_OK;
  File& file = *handle->file;
  if (file.reserved == handle) file.reserved = nullptr;
  if (file.exclusive == handle) file.exclusive = nullptr;
  if (level == SQLITE_LOCK_NONE && handle->lock >= SQLITE_LOCK_SHARED) --file.shared;
  handle->lock = level;
  return SQLITE_OK;
}

int CheckReservedLock(sqlite3_file* base, int* reserved) {
  Handle* handle = Of(base);
  const std::lock_guard<std::mutex> lock(handle->state->mutex);
  *reserved = !Dead(handle) && handle->file->reserved != nullptr;
  return SQLITE_OK;
}

int FileControl(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int SectorSize(sqlite3_file*) { return kSectorBytes; }
int DeviceCharacteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

int ShmMap(sqlite3_file* base, int region, int bytes, int extend, void volatile** out) {
  Handle* handle = Of(base);
  const std::lock_guard<std::mutex> lock(handle->state->mutex);
  *out = nullptr;
  if (Dead(handle)) return SQLITE_IOERR_SHMMAP;
  auto& regions = handle->file->regions;
  while (extend && regions.size() <= static_cast<size_t>(region)) regions.push_back(std::make_unique<char[]>(bytes));
  if (static_cast<size_t>(region) < regions.size()) *out = regions[region].get();
  return SQLITE_OK;
}

int ShmLock(sqlite3_file* base, int first, int count, int flags) {
  Handle* handle = Of(base);
  const std::lock_guard<std::mutex> lock(handle->state->mutex);
  if (Dead(handle)) return flags & SQLITE_SHM_UNLOCK ? SQLITE_OK : SQLITE_IOERR_SHMLOCK;
  File& file = *handle->file;
  if (flags & SQLITE_SHM_LOCK) {
    for (int i = first; i < first + count; ++i) {
      const bool ours = handle->shm_shared_mask >> i & 1;
      if (file.shm_exclusive[i] != nullptr && file.shm_exclusive[i] != handle) return SQLITE_BUSY;
      if (flags & SQLITE_SHM_EXCLUSIVE && file.shm_shared[i] > (ours ? 1 : 0)) return SQLITE_BUSY;
    }
  }
  for (int i = first; i < first + count; ++i) {
    const int bit = 1 << i;
    if (flags & SQLITE_SHM_EXCLUSIVE) {
      file.shm_exclusive[i] = flags & SQLITE_SHM_LOCK ? handle : nullptr;
    } else if (flags & SQLITE_SHM_LOCK) {
      if (!(handle->shm_shared_mask & bit)) ++file.shm_shared[i];
      handle->shm_shared_mask |= bit;
    } else {
      if (handle->shm_shared_mask & bit) --file.shm_shared[i];
      handle->shm_shared_mask &= ~bit;
    }
  }
  return SQLITE_OK;
}

void ShmBarrier(sqlite3_file*) { std::atomic_thread_fence(std::memory_order_seq_cst); }

int ShmUnmap(sqlite3_file* base, int remove) {
  Handle* handle = Of(base);
  const std::lock_guard<std::mutex> lock(handle->state->mutex);
  if (Dead(handle)) return SQLITE_OK;
  for (int i = 0; i < SQLITE_SHM_NLOCK; ++i) {
    if (handle->shm_shared_mask >> i & 1) --handle->file->shm_shared[i];
    if (handle->file->shm_exclusive[i] == handle) handle->file->shm_exclusive[i] = nullptr;
  }
  handle->shm_shared_mask = 0;
  if (remove) handle->file->regions.clear();
  return SQLITE_OK;
}

const sqlite3_io_methods kMethods = {2,
                                     Close,
                                     Read,
                                     Write,
                                     Truncate,
                                     Sync,
                                     FileSize,
                                     Lock,
                                     Unlock,
                                     CheckReservedLock,
                                     FileControl,
                                     SectorSize,
                                     DeviceCharacteristics,
                                     ShmMap,
                                     ShmLock,
                                     ShmBarrier,
                                     ShmUnmap,
                                     nullptr,
                                     nullptr};

int Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* base, int flags, int* out_flags) {
  State* state = Of(vfs);
  const std::lock_guard<std::mutex> lock(state->mutex);
  base->pMethods = nullptr;
  std::shared_ptr<File> file;
  bool is_new_journal = false;
  if (path == nullptr) {
    file = std::make_shared<File>();  // A temporary one: nobody else sees it.
  } else {
    const auto found = state->files.find(path);
    if (found != state->files.end() && found->second->exists) {
      if (flags & SQLITE_OPEN_CREATE && flags & SQLITE_OPEN_EXCLUSIVE) return SQLITE_CANTOPEN;
      file = found->second;
    } else {
      if (!(flags & SQLITE_OPEN_CREATE)) return SQLITE_CANTOPEN;
      file = std::make_shared<File>();
      state->files[path] = file;
      is_new_journal = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL)) != 0;
    }
  }
  Handle* handle = new (base) Handle{{}, state, std::move(file), state->life, is_new_journal, SQLITE_LOCK_NONE, 0};
  handle->base.pMethods = &kMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int Delete(sqlite3_vfs* vfs, const char* path, int sync_directory) {
  State* state = Of(vfs);
  const std::lock_guard<std::mutex> lock(state->mutex);
  const auto found = state->files.find(path);
  if (found == state->files.end() || !found->second->exists) return SQLITE_IOERR_DELETE_NOENT;
  File& file = *found->second;
  if (state->space_left) *state->space_left += file.content.size();
  file.exists = false;
  file.entry_synced = false;
  if (sync_directory) state->SyncDirectory();
  return SQLITE_OK;
}

int Access(sqlite3_vfs* vfs, const char* path, int, int* result) {
  State* state = Of(vfs);
  const std::lock_guard<std::mutex> lock(state->mutex);
  const auto found = state->files.find(path);
  *result = found != state->files.end() && found->second->exists;
  return SQLITE_OK;
}

int FullPathname(sqlite3_vfs*, const char* path, int size, char* out) {
  std::snprintf(out, size, "%s", path);
  return SQLITE_OK;
}

int Randomness(sqlite3_vfs* vfs, int count, char* out) {
  State* state = Of(vfs);
  const std::lock_guard<std::mutex> lock(state->mutex);
  for (int i = 0; i < count; ++i) out[i] = static_cast<char>(state->random());
  return count;
}

int Sleep(sqlite3_vfs*, int microseconds) {
  return microseconds;
}  // Nobody else runs meanwhile: waiting would not help.

int CurrentTime(sqlite3_vfs*, double* julian_day) {
  *julian_day = 2460000.5;
  return SQLITE_OK;
}

int GetLastError(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

void CrashVfs::State::EndLife() {
  ++life;
  for (auto& [path, file] : files) file->Unlock();
}

void CrashVfs::State::SyncDirectory() {
  for (auto it = files.begin(); it != files.end();) {
    it->second->entry_synced = true;
    it = it->second->exists ? std::next(it) : files.erase(it);
  }
}

void CrashVfs::State::PowerLoss() {
  power_loss_at = 0;
  // Some losses take all, some nothing: those are the cases a mixture would hardly ever give.
  const uint64_t kind = random() % 6;
  for (auto it = files.begin(); it != files.end();) {
    File& file = *it->second;
    // The old object stays with its dead connections; what survives is a new one.
    auto survivor = std::make_shared<File>();
    survivor->content = file.content;
    for (auto write = file.pending.rbegin(); write != file.pending.rend(); ++write) {
      survivor->content.resize(write->size_before, '\0');
      Overwrite(&survivor->content, write->offset, write->before);
    }
    for (const Pending& write : file.pending) {
      const Fate fate = kind == 0 ? Fate::kLost : kind == 1 ? Fate::kKept : static_cast<Fate>(random() % 4);
      Redo(write, fate, random, &survivor->content);
    }
    const bool there = file.entry_synced ? file.exists : random() % 2 == 0;
    survivor->entry_synced = true;
    if (there) {
      it->second = std::move(survivor);
      ++it;
    } else {
      it = files.erase(it);
    }
  }
  ++life;
}

CrashVfs::CrashVfs(uint64_t seed) : state_(std::make_unique<State>()) {
  static std::atomic<uint64_t> count{0};
  state_->name = absl::StrCat("crash-", ++count);
  state_->random.seed(seed);
  sqlite3_vfs& vfs = state_->vfs;
  vfs.iVersion = 1;
  vfs.szOsFile = sizeof(Handle);
  vfs.mxPathname = kPathBytesMax;
  vfs.zName = state_->name.c_str();
  vfs.pAppData = state_.get();
  vfs.xOpen = Open;
  vfs.xDelete = Delete;
  vfs.xAccess = Access;
  vfs.xFullPathname = FullPathname;
  vfs.xRandomness = Randomness;
  vfs.xSleep = Sleep;
  vfs.xCurrentTime = CurrentTime;
  vfs.xGetLastError = GetLastError;
  if (sqlite3_vfs_register(&vfs, /*makeDflt=*/0) != SQLITE_OK) std::abort();
}

CrashVfs::~CrashVfs() { sqlite3_vfs_unregister(&state_->vfs); }

const std::string& CrashVfs::name() const { return state_->name; }

void CrashVfs::PowerLoss() {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->PowerLoss();
}

void CrashVfs::Kill() {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->EndLife();
}

void CrashVfs::PowerLossAtSync(uint64_t count) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->power_loss_at = count == 0 ? 0 : state_->syncs + count;
}

void CrashVfs::FailSync(uint64_t count) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->fail_at = count == 0 ? 0 : state_->syncs + count;
}

uint64_t CrashVfs::sync_count() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->syncs;
}

void CrashVfs::SetFull(bool full) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->space_left = full ? std::optional<int64_t>(0) : std::nullopt;
}

void CrashVfs::SetSpaceLeft(int64_t bytes) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->space_left = bytes;
}

bool CrashVfs::FlipBit(absl::string_view path, uint64_t bit_offset) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  const auto found = state_->files.find(path);
  if (found == state_->files.end() || !found->second->exists || bit_offset / 8 >= found->second->content.size())
    return false;
  found->second->content[bit_offset / 8] ^= static_cast<char>(1 << bit_offset % 8);
  return true;
}

std::optional<std::string> CrashVfs::Content(absl::string_view path) const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  const auto found = state_->files.find(path);
  if (found == state_->files.end() || !found->second->exists) return std::nullopt;
  return found->second->content;
}

}  // namespace assay::test
