// A table as the stream's next rows of it were written.
//
// The stream describes a table before its rows: columns and types as they were then. What it does not tell comes from
// the catalog, which may be ahead by now: the primary key, NOT NULL, and the columns' numbers.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/libpq/connection.h"
#include "adapters/postgres/pgoutput.h"
#include "engine/database.h"

namespace assay {

struct StreamRelation {
  std::shared_ptr<const TableShape> shape;
  ReplicaIdentity identity = ReplicaIdentity::kFull;
  // Of a partition whose identity is not full: the tables (OIDs) as whose its rows may come.
  std::vector<uint32_t> roots;
  // Some partition names this one as a root. PostgreSQL says then that an old tuple is whole, since this one's identity
  // is full, and sends NULL for all but the identity of the partition.
  bool partial = false;
  std::vector<bool> replica_key;  // Parallel to the shape's columns.
  // Parallel to the columns that the stream sends: true for generated ones, which are no columns of the shape. Empty
  // when there are none, as always before PostgreSQL 18.
  std::vector<bool> left_out;
};

// What `message` of transaction `xid` describes. `known` is the shape that the stream described last, or null: it is
// given back when nothing has changed, and tells what a table that was dropped meanwhile was like.
absl::StatusOr<StreamRelation> DescribeRelation(Connection& catalog, uint32_t xid, pgoutput::Relation message,
                                                const std::shared_ptr<const TableShape>& known);

}  // namespace assay
