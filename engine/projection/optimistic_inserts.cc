#include "engine/projection/optimistic_inserts.h"

namespace assay {

void OptimisticInserts::OnTable(TableId table, const ReadReply::Table& read) {
  if (!read.answers.empty()) {
    shapes_.erase(table);  // Always looked at.
    return;
  }
  std::shared_ptr<const TableShape>& known = shapes_[table];
  if (known == nullptr || !(*known == *read.shape)) known = std::make_shared<const TableShape>(*read.shape);
}

std::optional<ReadReply> OptimisticInserts::Tables(const std::vector<TargetRow>& targets) const {
  ReadReply reply;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i].read) return std::nullopt;
    if (i > 0 && targets[i].ref.table == targets[i - 1].ref.table) continue;
    const auto shape = shapes_.find(targets[i].ref.table);
    if (shape == shapes_.end()) return std::nullopt;
    reply.tables.push_back({.shape = *shape->second});
  }
  return reply;
}

}  // namespace assay
