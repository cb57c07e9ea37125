// One line of context per layer: same code, longer message, OK stays OK.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace assay {

inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace assay

// Leaves the enclosing function with the status of `expr` unless it is OK.
#define ASSAY_RETURN_IF_ERROR(expr)                                                     \
  do {                                                                                  \
    if (absl::Status assay_status_ = (expr); !assay_status_.ok()) return assay_status_; \
  } while (false)

#define ASSAY_CONCAT_INNER_(a, b) a##b
#define ASSAY_CONCAT_(a, b) ASSAY_CONCAT_INNER_(a, b)
// Declares or assigns `lhs` from the StatusOr `expr`, or leaves with its status.
#define ASSAY_ASSIGN_OR_RETURN(lhs, expr) ASSAY_ASSIGN_OR_RETURN_(ASSAY_CONCAT_(assay_statusor_, __LINE__), lhs, expr)
#define ASSAY_ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                            \
  if (!tmp.ok()) return tmp.status();           \
  lhs = *std::move(tmp)
