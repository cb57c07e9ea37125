// CHECK for our own invariants, kept in release builds: a bug stops the process before it can write something wrong.
// For bytes from a disk or a peer use a Status instead. (Debian 12's Abseil has no absl/log/check.h.)
#pragma once

#include <cstdio>
#include <cstdlib>

#define ASSAY_CHECK(condition)                                                           \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
