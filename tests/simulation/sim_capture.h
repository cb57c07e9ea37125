// The logical decoding of a SimDatabase: its WAL as a stream, through a slot that remembers what was confirmed.
//
//   SimCapture capture(&database, &random);
//   ASSAY_RETURN_IF_ERROR(capture.Start());
//   ASSAY_ASSIGN_OR_RETURN(CaptureBatch batch, capture.Next(absl::ZeroDuration()));
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "engine/database.h"
#include "tests/simulation/random.h"
#include "tests/simulation/sim_database.h"

namespace assay {

class SimCapture : public CaptureSource {
 public:
  SimCapture(const SimDatabase* database, SeededRandom* random) : database_(database), random_(random) {}

  absl::Status Start() override;
  DatabaseEvidence Evidence() const override;
  // A random number of items, which may end inside a transaction; a keepalive when all was sent.
  absl::StatusOr<CaptureBatch> Next(absl::Duration wait) override;
  // Ignored when this stream has not delivered `lsn`: the server would skip ahead to it without a word.
  void Confirm(Lsn lsn) override;

  // The stream breaks; the slot keeps what was confirmed.
  void Disconnect() { started_ = false; }
  bool IsStarted() const { return started_; }
  // PostgreSQL writes the slot to disk now and then; after a crash it goes on from there.
  void SaveSlot() { saved_ = confirmed_; }
  // How many of the portions have a few items only.
  void set_small_portions(double percent) { small_portions_ = percent; }
  Lsn confirmed() const { return confirmed_; }
  // End of the newest transaction that was delivered whole.
  Lsn delivered() const { return delivered_; }
  // Every transaction was delivered whole.
  bool AllSent() const { return started_ && transaction_ == database_->wal().size(); }

 private:
  void Deliver(const WalTransaction& transaction, size_t item, CaptureBatch* batch, std::string* buffer);
  // The shape as which the item's row comes. Where the stream has not described the table so before, it does now.
  std::shared_ptr<const TableShape> Describe(const WalTransaction& transaction, const WalItem& item,
                                             CaptureBatch* batch);
  void DeliverRow(const WalItem& item, CaptureItem* out, std::string* buffer) const;

  const SimDatabase* database_;
  SeededRandom* random_;
  bool started_ = false;
  double small_portions_ = 20;
  uint64_t crashes_ = 0;    // Of the server when the stream started.
  size_t transaction_ = 0;  // Next to send.
  size_t item_ = 0;         // Of that transaction: 0 is its begin, items() + 1 its commit.
  // What the stream has said of a table last, by OID.
  struct Described {
    std::shared_ptr<const TableShape> written;  // As it was when the row was.
    ReplicaIdentity identity = ReplicaIdentity::kFull;
    uint32_t published = 0;  // WalTransaction::published.
    std::shared_ptr<const TableShape> shape;
  };
  std::map<uint32_t, Described> described_;
  Lsn confirmed_, saved_;
  Lsn delivered_;  // End of the newest commit or keepalive sent.
};

}  // namespace assay
