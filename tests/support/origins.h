// Origins that tests make up.
#pragma once

#include <cstdint>

#include "log/types.h"

namespace assay::test {

// All of its bytes are `number`.
inline OriginId Origin(uint8_t number) {
  OriginId origin;
  origin.bytes.fill(number);
  return origin;
}

}  // namespace assay::test
