// Capture: the committed changes of the enrolled tables, streamed by a walsender from the slot `assay` with pgoutput.
//
//   PostgresCapture capture({.conninfo = url, .interrupt = interrupt});
//   ASSAY_RETURN_IF_ERROR(capture.Start());
//   for (;;) { batch = capture.Next(absl::Seconds(1)); … capture.Confirm(engine->ConfirmedLsn()); }
//
// Two sessions: the stream, and an ordinary one in which the catalog is asked what a table's columns and key are.
// Start, Next and KeepAlive belong to one thread, the host's capture thread; Confirm may come from any. A thread that
// waits for room before it can call Next again must call KeepAlive now and then (once a second is plenty), or the
// server takes the daemon for dead after wal_sender_timeout and closes the stream.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapters/libpq/connection.h"
#include "adapters/postgres/pgoutput.h"
#include "adapters/postgres/stream_relation.h"
#include "engine/database.h"
#include "log/types.h"

namespace assay {

struct CaptureOptions {
  std::string conninfo;
  std::string slot = "assay";
  std::string publication = "assay";
  std::shared_ptr<Interrupt> interrupt;  // May be null.
  // A batch ends at the first of these, or when nothing more has arrived. One larger row passes all the same.
  size_t batch_bytes = 1 << 20;
  size_t batch_items = 2'000;
};

class PostgresCapture final : public CaptureSource {
 public:
  explicit PostgresCapture(CaptureOptions options);
  ~PostgresCapture() override;

  absl::Status Start() override;
  DatabaseEvidence Evidence() const override { return evidence_; }
  void Stop() override { End(absl::OkStatus()).IgnoreError(); }
  absl::StatusOr<CaptureBatch> Next(absl::Duration wait) override;
  // Ignored when this stream has not delivered `lsn` yet: after a restart or a restore the engine may know a position
  // that means something else, or nothing, here, and the server would skip ahead to it without a word.
  void Confirm(Lsn lsn) override;

  // Tells the server that we are there, when that is due. Never waits. An error is one that Next would return, too.
  absl::Status KeepAlive();

 private:
  absl::Status CheckServer();
  absl::Status CheckSlot();
  absl::Status Examine();
  absl::Status Take(absl::string_view message, CaptureBatch& batch);
  absl::Status TakeData(pgoutput::Message message, CaptureBatch& batch);
  absl::Status TakeRow(pgoutput::Message message, CaptureItem item, CaptureBatch& batch);
  absl::Status TakeRelation(pgoutput::Relation message, CaptureBatch& batch);
  absl::Status OpenCatalog();
  // As OpenCatalog, unless the session lives, while the stream runs: it must be the stream's server.
  absl::Status KeepCatalog();
  absl::StatusOr<const StreamRelation*> RelationOf(uint32_t oid) const;
  absl::Status SendStatus();
  absl::Status StreamEnded();
  absl::string_view Keep(absl::string_view bytes, CaptureBatch& batch);
  absl::Status End(absl::Status status);

  const CaptureOptions options_;
  std::unique_ptr<Connection> stream_;
  std::unique_ptr<Connection> catalog_;
  std::map<uint32_t, StreamRelation> relations_;  // By OID, as of the newest relation message.
  bool in_transaction_ = false;
  uint32_t xid_ = 0;  // The transaction that is being delivered.
  size_t batch_size_ = 0;
  absl::Duration status_interval_;
  absl::Time next_status_;
  Lsn reported_;
  int old_stream_ = 0;  // Server process of our stream before this one.
  int slot_user_ = 0;   // Server process that CheckSlot found using the slot.
  bool publication_there_ = false;
  std::string slot_plugin_, slot_database_, database_;
  DatabaseEvidence evidence_, examined_;
  std::atomic<uint64_t> delivered_{0};  // End of the newest commit or keepalive given to the host.
  std::atomic<uint64_t> confirmed_{0};
  Signal confirm_signal_;
};

}  // namespace assay
