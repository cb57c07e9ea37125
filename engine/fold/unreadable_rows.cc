#include "engine/fold/unreadable_rows.h"

#include <cstddef>
#include <string>

#include "log/annotate.h"

namespace assay {
namespace {

constexpr size_t kTablesMax = 100;

}  // namespace

absl::Status NoteUnreadable(const StoredEvent& event, const absl::Status& why, LocalState* state) {
  ASSAY_ASSIGN_OR_RETURN(UnreadableTables unreadable, state->Read(kUnreadableNote));
  const auto [at, news] = unreadable.try_emplace({event.origin, std::string(event.table)});
  if (!news || unreadable.size() > kTablesMax) return absl::OkStatus();
  at->second = {event.sequence, std::string(why.message())};
  return state->Write(kUnreadableNote, unreadable);
}

}  // namespace assay
