#include "tests/adapters/supabase/big_hub.h"

#include <string>
#include <utility>

#include "absl/strings/substitute.h"
#include "log/annotate.h"
#include "log/checkpoint.h"
#include "log/merkle_tree.h"
#include "tests/contract/test_chain.h"
#include "tests/support/sql.h"

namespace assay::test {
namespace {

// As superuser: the policies let a branch write for itself alone.
constexpr char kFill[] = R"(
  SET session_replication_role = replica;
  DO $$$$ BEGIN
    FOR n IN 4..$0 LOOP
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'assay_branch_' || n) THEN
        EXECUTE format('CREATE ROLE assay_branch_%s LOGIN IN ROLE assay_branch', n);
      END IF;
    END LOOP;
  END $$$$;
  INSERT INTO assay_hub.branch (number, name, login_role, changed_at)
  SELECT n, 'branch-' || n, 'assay_branch_' || n, now() - interval '1 day' FROM generate_series(4, $0) AS n;
  UPDATE assay_hub.branch SET changed_at = now() - interval '1 day';
  INSERT INTO assay_hub.read_grant SELECT n, '*' FROM generate_series(4, $0) AS n;
  CREATE TEMPORARY TABLE chain AS
    SELECT n, decode(lpad(to_hex(n), 32, '0'), 'hex') AS origin FROM generate_series(1, $0) AS n;
  INSERT INTO assay_hub.origin (origin, branch, last, complete, checkpoint, checkpoint_size)
  SELECT origin, n, $1, $1, assay_hub.checkpoint_text(origin, int8send($1) || sha256('root') || sha256('a') || sha256('b') || '\x00000000'), $1
  FROM chain;
  INSERT INTO assay_hub.session (branch, origin, counter, nonce) SELECT n, origin, 1, origin FROM chain;
  INSERT INTO assay_hub.presence (branch, report, last_seen, changed_at)
  SELECT n, jsonb_build_object('origin', encode(origin, 'hex'), 'head', '$1', 'written', '1', 'parked', '0', 'state', 'running',
                               'version', '0.1.0', 'refused', '{}'::jsonb), clock_timestamp(), now() - interval '1 day' FROM chain;
  INSERT INTO assay_hub.segment (origin, first, last, ends_transaction, bytes, layout, leaf_hashes, tables, event_counts, payloads, hub_time)
  SELECT c.origin, s, s, true, 400, decode(repeat('01', 30) || '00', 'hex'), sha256((c.n || ' ' || s)::bytea),
         ARRAY['public.t' || (c.n + s) % 40], ARRAY[1], ARRAY[decode(repeat(md5(c.n || ' ' || s), 10), 'hex')],
         now() - ($1 - s) * interval '1 s' + c.n * interval '1 ms'
  FROM generate_series(1, $1) AS s, chain AS c;
)";

}  // namespace

absl::Status Fill(SupabaseServer& supabase, const BigHub& big) {
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<SqlSession> session, SqlSession::Connect(supabase.SuperUrl()));
  ASSAY_RETURN_IF_ERROR(session->Run("SET statement_timeout = 0").status());
  ASSAY_RETURN_IF_ERROR(session->Run(absl::Substitute(kFill, big.branches, big.segments)).status());
  return session->Run("VACUUM ANALYZE").status();
}

OriginId BigHubOrigin(int branch) {
  OriginId origin;
  origin.bytes[14] = static_cast<uint8_t>(branch >> 8);
  origin.bytes[15] = static_cast<uint8_t>(branch);
  return origin;
}

std::string BigHubSession(int branch) { return std::string(BigHubOrigin(branch).AsBytes()); }

PullRequest BigHubRequest(const BigHub& big) {
  PullRequest request;
  for (int n = 1; n <= big.branches; ++n) request.have[BigHubOrigin(n)] = {static_cast<uint64_t>(big.segments)};
  return request;
}

std::string BigHubCheckpoint(const BigHub& big, int branch) {
  // Who signed it, the hub never asks.
  const Checkpoint checkpoint{
      .origin = BigHubOrigin(branch), .size = static_cast<uint64_t>(big.segments), .root = Sha256("root")};
  return CheckpointText(checkpoint, std::string(68, 'x'));
}

BranchReport BigHubReport(const BigHub& big, int branch) {
  return {.number = static_cast<uint32_t>(branch),
          .origin = BigHubOrigin(branch),
          .head = {static_cast<uint64_t>(big.segments)},
          .written = 1,
          .state = "running",
          .version = "0.1.0",
          .session = BigHubSession(branch)};
}

PushRequest BigHubPush(const BigHub& big, int branch) {
  TestChain chain(0xA1);
  chain.Transaction(1, 300);
  Segment segment = chain.Cut(2, 2);
  segment.origin = BigHubOrigin(branch);
  segment.first = segment.last = {static_cast<uint64_t>(big.segments) + 1};
  return {segment.origin, {std::move(segment)}, "", BigHubSession(branch)};
}

}  // namespace assay::test
