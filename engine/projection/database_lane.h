// The lane on which the host makes the database's calls: one at a time, each answered.
//
// After a rollback whoever asked is gone. The call that is under way is waited for, its answer dropped, and the locks
// that its read may hold are let go. Not thread-safe.
#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "engine/database_calls.h"

namespace assay {

class DatabaseLane {
 public:
  void OnReply(DatabaseReply reply) {
    busy_ = false;
    if (std::exchange(stale_, false)) {
      abandon_ = true;
    } else {
      reply_ = std::move(reply);
    }
  }
  // Whoever asked has forgotten it.
  void Forget() {
    reply_.reset();
    stale_ = busy_;
  }

  // A call is under way.
  bool busy() const { return busy_; }
  bool has_reply() const { return reply_.has_value(); }
  std::optional<DatabaseReply> TakeReply() { return std::exchange(reply_, std::nullopt); }
  // DatabaseAbandon is to be called, before anything else.
  bool must_abandon() const { return abandon_; }
  bool TakeAbandon() { return std::exchange(abandon_, false); }

  // `next` may be made now. `early`: before the log is durable, which is for what rests on nothing (a read without
  // locks), or what the host holds back by itself (a projection).
  bool May(const DatabaseCall& next, bool early) const {
    if (busy_) return false;
    if (!early) return true;
    const auto* read = std::get_if<DatabaseRead>(&next);
    return !abandon_ && (std::holds_alternative<DatabaseProject>(next) || (read != nullptr && !read->request.lock));
  }
  // `call` is made: it is answered, unless it is DatabaseAbandon.
  void Begin(const DatabaseCall& call) { busy_ = !std::holds_alternative<DatabaseAbandon>(call); }

 private:
  bool busy_ = false;
  bool stale_ = false;
  bool abandon_ = false;
  std::optional<DatabaseReply> reply_;
};

}  // namespace assay
