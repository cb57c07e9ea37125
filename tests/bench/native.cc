#include "tests/bench/native.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "log/annotate.h"

namespace assay::bench {
namespace {

// Slots are per server: B has the same name at A or at the hub.
std::string Name(Node at) { return at == Node::kHub ? "bench_hub" : "bench_b"; }

}  // namespace

absl::Status Native::Subscribe(Node at, Node to, const std::string& apply_commit) {
  ASSAY_ASSIGN_OR_RETURN(const std::string there, stand_.Value(to, kNative, "SELECT count(*) FROM pg_publication"));
  if (there == "0") ASSAY_RETURN_IF_ERROR(stand_.Run(to, kNative, "CREATE PUBLICATION bench FOR ALL TABLES"));
  return stand_.Run(
      at, kNative,
      absl::Substitute("CREATE SUBSCRIPTION $0 CONNECTION '$1' PUBLICATION bench WITH (copy_data = false, "
                       "synchronous_commit = '$2')",
                       Name(at), stand_.server(to).Url(kNative), apply_commit));
}

absl::StatusOr<std::unique_ptr<Native>> Native::Start(Stand& stand, Path path, const std::string& apply_commit) {
  std::unique_ptr<Native> native(new Native(stand, path));
  if (native->chained()) {
    ASSAY_RETURN_IF_ERROR(native->Subscribe(Node::kHub, Node::kA, apply_commit));
    // The last of the chain has nobody behind it to wait for.
    ASSAY_RETURN_IF_ERROR(
        native->Subscribe(Node::kB, Node::kHub, apply_commit == "remote_apply" ? "on" : apply_commit));
  } else {
    ASSAY_RETURN_IF_ERROR(native->Subscribe(Node::kB, Node::kA, apply_commit));
  }
  ASSAY_ASSIGN_OR_RETURN(const int64_t marker, stand.Mark(kNative));
  ASSAY_RETURN_IF_ERROR(stand.AwaitMarker(Node::kB, kNative, marker));
  return native;
}

Native::~Native() {
  WaitForApply(false).IgnoreError();
  for (const Node at : {Node::kB, Node::kHub}) {
    if (at == Node::kHub && !chained()) continue;
    if (const absl::Status status = stand_.Run(at, kNative, absl::StrCat("DROP SUBSCRIPTION IF EXISTS ", Name(at)));
        !status.ok()) {
      std::fprintf(stderr, "%s\n", status.ToString().c_str());
    }
  }
}

absl::Status Native::Disconnect(Node at) {
  ASSAY_RETURN_IF_ERROR(stand_.Run(at, kNative, absl::StrCat("ALTER SUBSCRIPTION ", Name(at), " DISABLE")));
  return Await("end of the subscription's worker", [&]() -> absl::StatusOr<bool> {
    const absl::StatusOr<std::string> gone =
        stand_.Value(at, kNative, "SELECT NOT EXISTS (SELECT FROM pg_stat_subscription WHERE pid IS NOT NULL)");
    return gone.ok() ? absl::StatusOr<bool>(*gone == "t") : gone.status();
  });
}

absl::Status Native::Connect(Node at) {
  return stand_.Run(at, kNative, absl::StrCat("ALTER SUBSCRIPTION ", Name(at), " ENABLE"));
}

absl::Status Native::WaitForApply(bool on) {
  if (on == waits_) return absl::OkStatus();
  waits_ = on;
  for (const auto& [node, standby] : {std::pair{Node::kA, Node::kHub}, {Node::kHub, Node::kB}}) {
    stand_.server(node).Configure("synchronous_standby_names", on ? Name(standby) : "");
    ASSAY_RETURN_IF_ERROR(stand_.server(node).Reload());
  }
  return absl::OkStatus();
}

}  // namespace assay::bench
