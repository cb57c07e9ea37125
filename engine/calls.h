// The calls that the engine asks its host to make, each in its lane. The engine makes no call itself.
#pragma once

#include <cstdint>
#include <variant>

#include "engine/database_calls.h"
#include "engine/remotes/hub_calls.h"

namespace assay {

// Each lane has at most one call under way. Pushes go on while a long pull does.
enum class Lane : uint8_t { kDatabase, kHubPush, kHubPull };

struct Call {
  Lane lane;
  std::variant<DatabaseCall, HubCall> call;
};

}  // namespace assay
