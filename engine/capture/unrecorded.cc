#include "engine/capture/unrecorded.h"

#include "log/annotate.h"

namespace assay {

absl::Status Unrecorded::Load() {
  noted_.clear();
  ASSAY_ASSIGN_OR_RETURN(tables_, state_->Read(kUnrecordedNote));
  return absl::OkStatus();
}

void Unrecorded::Note(const std::string& table, uint64_t rows, absl::string_view cause) {
  UnrecordedRows& noted = noted_[table];
  noted.rows += rows;
  noted.cause = std::string(cause);
}

absl::Status Unrecorded::Missed(const UnrecordedTables& tables) {
  return Add(tables) ? state_->Write(kUnrecordedNote, tables_) : absl::OkStatus();
}

bool Unrecorded::Add(const UnrecordedTables& tables) {
  bool news = false;
  for (const auto& [table, missed] : tables) {
    const auto [kept, added] = tables_.try_emplace(table, missed);
    news |= added || (missed.made_anew && !kept->second.made_anew);
    kept->second.made_anew |= missed.made_anew;
  }
  return news;
}

absl::StatusOr<bool> Unrecorded::Commit() {
  if (noted_.empty()) return false;
  for (const auto& [table, noted] : noted_) {
    UnrecordedRows& kept = tables_[table];
    kept.rows += noted.rows;
    kept.cause = noted.cause;
  }
  noted_.clear();
  ASSAY_RETURN_IF_ERROR(state_->Write(kUnrecordedNote, tables_));
  return true;
}

}  // namespace assay
