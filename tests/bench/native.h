// PostgreSQL's own logical replication in database `native` of the stand's servers: A to hub to B, or A to B direct.
//
//   ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<Native> native, Native::Start(stand, Native::Path::kChain));
//   ASSAY_RETURN_IF_ERROR(native->Disconnect(Node::kHub));   // A is offline: the hub's subscription is disabled.
//
// Subscriptions and slots live as long as the object: nobody decodes for them while others are measured. Not
// thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/stand.h"

namespace assay::bench {

class Native {
 public:
  enum class Path { kChain, kDirect };
  // As shipped; `apply_commit` is the subscriptions' synchronous_commit. Returns once a marker came through.
  static absl::StatusOr<std::unique_ptr<Native>> Start(Stand& stand, Path path,
                                                       const std::string& apply_commit = "off");
  ~Native();

  // The subscription at `at`. Disconnected once its worker has ended.
  absl::Status Disconnect(Node at);
  absl::Status Connect(Node at);
  // Every commit at A, in a session with synchronous_commit = remote_apply, waits until B shows it: A waits for the
  // hub's subscription, and the hub's worker, whose own commits are remote_apply, for B's.
  absl::Status WaitForApply(bool on);

 private:
  Native(Stand& stand, Path path) : stand_(stand), path_(path) {}
  absl::Status Subscribe(Node at, Node to, const std::string& apply_commit);
  bool chained() const { return path_ == Path::kChain; }

  Stand& stand_;
  Path path_;
  bool waits_ = false;
};

}  // namespace assay::bench
