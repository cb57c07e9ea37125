#include "tests/torture/torture.h"

#include <signal.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "absl/time/clock.h"
#include "log/annotate.h"
#include "tests/fleet/log_reader.h"

namespace assay::test {

absl::StatusOr<std::unique_ptr<Torture>> Torture::Create(int branches, uint64_t seed) {
  ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<Fleet> fleet, Fleet::Create(branches, {.schema = kTillSchema}));
  ASSAY_RETURN_IF_ERROR(
      Sql(fleet->branch(0).Url(),
          absl::Substitute("INSERT INTO products SELECT 'p' || g FROM generate_series(0, $0) g", kTortureProducts - 1))
          .status());
  ASSAY_RETURN_IF_ERROR(fleet->WaitConverged(absl::Seconds(60)));
  std::unique_ptr<Torture> torture(new Torture(std::move(fleet), seed));
  torture->SellAgain();
  return torture;
}

void Torture::SellAgain() {
  tills_.clear();
  ++round_;
  for (int i = 0; i < fleet_->size(); ++i) {
    for (int till = 0; till < 2; ++till) {
      const std::string name = absl::StrCat(fleet_->branch(i).name(), "-", round_, "-till-", till);
      tills_.push_back(
          std::make_unique<Till>(fleet_->branch(i).Url(), name, absl::StrCat(directory_.path(), "/", name), random_()));
    }
  }
}

absl::Status Torture::Run(absl::Duration time, const std::function<Fault(std::mt19937_64&)>& next) {
  const absl::Time end = absl::Now() + time;
  while (absl::Now() < end) {
    const Fault fault = next(random_);
    ++counts_[static_cast<size_t>(fault)];
    ASSAY_RETURN_IF_ERROR(Do(fault));
    absl::SleepFor(absl::Milliseconds(random_() % 600));
  }
  return absl::OkStatus();
}

absl::Status Torture::Do(Fault fault) {
  Branch& branch = fleet_->branch(static_cast<int>(random_() % static_cast<uint64_t>(fleet_->size())));
  const absl::Duration pause = absl::Milliseconds(random_() % 300);
  switch (fault) {
    case Fault::kDaemon:
      if (branch.StopDaemon(SIGKILL) != 128 + SIGKILL)
        return absl::InternalError("assayd had ended by itself:\n" + branch.DaemonLog());
      absl::SleepFor(pause);
      return branch.StartDaemon();
    case Fault::kPostgres:
    case Fault::kHub: {
      PostgresServer& server = fault == Fault::kHub ? fleet_->hub() : branch.server();
      ASSAY_RETURN_IF_ERROR(server.Kill());
      absl::SleepFor(pause);
      return server.Start();
    }
    default:
      // Any of them: the stream, the projection, its fences, the tills.
      return Sql(branch.AdminUrl(),
                 "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
                 "backend_type IN ('client backend', 'walsender') ORDER BY random() LIMIT 1")
          .status();
  }
}

absl::Status Torture::Judge(absl::Duration patience) {
  for (auto& till : tills_) till->Stop();
  const absl::Time healed = absl::Now();
  ASSAY_RETURN_IF_ERROR(fleet_->WaitConverged(patience));
  healed_in_ = absl::Now() - healed;
  for (int i = 0; i < fleet_->size(); ++i) {
    if (!fleet_->branch(i).DaemonRunning())
      return absl::InternalError(fleet_->branch(i).name() + ": assayd ended by itself");
  }
  ASSAY_RETURN_IF_ERROR(JudgeLog());
  return JudgeTables();
}

absl::Status Torture::JudgeLog() {
  ASSAY_ASSIGN_OR_RETURN(const std::vector<LoggedRow> log, ReadLog(fleet_->branch(0).state_directory()));
  // How often each deed is in the log, by what it wrote; and the transactions it is spread over.
  std::map<std::string, int64_t> sales, lines, voids, voided_lines, prices, tags;
  std::map<std::string, std::set<std::pair<OriginId, uint64_t>>> transactions;
  for (const LoggedRow& row : log) {
    const auto note = [&](std::map<std::string, int64_t>& count, const std::string& deed) {
      ++count[deed];
      transactions[deed].insert({row.version.origin, row.transaction_first});
    };
    const auto text = [&](const char* column) {
      auto it = row.written.find(column);
      return it == row.written.end() || !it->second ? std::string() : *it->second;
    };
    const bool deleted = row.operation == v1::RowChange::DELETE;
    if (row.table == "public.products") {
      if (!text("price").empty()) note(prices, text("price"));
      if (!text("tag").empty()) note(tags, text("tag"));
    } else if (deleted) {
      ++(row.table == "public.invoices" ? voids : voided_lines)[row.key[0]];
    } else {
      note(row.table == "public.invoices" ? sales : lines, row.key[0]);
    }
  }
  for (const auto& till : tills_) {
    for (const Deed& deed : till->deeds()) {
      (deed.acknowledged ? acknowledged_ : in_doubt_) += 1;
      const auto wrong = [&](absl::string_view what) {
        return absl::InternalError(
            absl::StrCat(deed.name, deed.acknowledged ? " (acknowledged) " : " (in doubt) ", what));
      };
      const int64_t times = deed.kind == Deed::Kind::kSale    ? sales[deed.name]
                            : deed.kind == Deed::Kind::kPrice ? prices[deed.name]
                                                              : voids[deed.voids];
      if (times > 1) return wrong("is in the log twice");
      if (times == 0 && deed.acknowledged) return wrong("is not in the log");
      if (transactions[deed.name].size() > 1) return wrong("is spread over several transactions");
      if (deed.kind == Deed::Kind::kSale && (lines[deed.name] != times * deed.lines || tags[deed.name] != times)) {
        return wrong("is torn in the log");
      }
      if (deed.kind == Deed::Kind::kVoid && voided_lines[deed.voids] != times * deed.lines)
        return wrong("is torn in the log");
    }
  }
  return absl::OkStatus();
}

absl::Status Torture::JudgeTables() {
  for (const char* table : {"products", "invoices", "invoice_lines"}) {
    // Each value by the type's binary form.
    const std::string digest =
        absl::Substitute(table == std::string("products")
                             ? "textsend(id) || coalesce(textsend(price), '\\xff') || coalesce(textsend(tag), '\\xff')"
                         : table == std::string("invoices")
                             ? "textsend(id) || int4send(lines) || numeric_send(total) || timestamptz_send(at)"
                             : "textsend(invoice) || int4send(line) || textsend(product) || float8send(weight)");
    const std::string query = absl::Substitute(
        "SELECT count(*) || ' ' || coalesce(md5(string_agg(md5($0), '' ORDER BY md5($0))), '') FROM $1", digest, table);
    ASSAY_ASSIGN_OR_RETURN(const Rows expected, Sql(fleet_->branch(0).AdminUrl(), query));
    for (int i = 1; i < fleet_->size(); ++i) {
      ASSAY_ASSIGN_OR_RETURN(const Rows found, Sql(fleet_->branch(i).AdminUrl(), query));
      if (found != expected)
        return absl::InternalError(absl::StrCat(table, " differs in its bytes at ", fleet_->branch(i).name()));
    }
  }
  // Every sale that stands is there, with its lines.
  std::set<std::string> voided;
  for (const auto& till : tills_) {
    for (const Deed& deed : till->deeds()) voided.insert(deed.voids);
  }
  ASSAY_ASSIGN_OR_RETURN(
      const Rows rows,
      Sql(fleet_->branch(0).AdminUrl(),
          "SELECT i.id, i.lines = (SELECT count(*) FROM invoice_lines l WHERE l.invoice = i.id) FROM invoices i"));
  std::map<std::string, std::string> whole;
  for (const auto& row : rows) whole[row[0]] = row[1];
  for (const auto& till : tills_) {
    for (const Deed& deed : till->deeds()) {
      if (deed.kind != Deed::Kind::kSale || !deed.acknowledged || voided.count(deed.name) > 0) continue;
      if (whole[deed.name] != "t")
        return absl::InternalError(deed.name + " was acknowledged, and is not in the tables with all its lines");
    }
  }
  return absl::OkStatus();
}

std::string Torture::Report() const {
  double slowest_ms = 0;
  for (const auto& till : tills_) slowest_ms = std::max(slowest_ms, till->slowest_ms());
  return absl::StrCat("killed: assayd ", count(Fault::kDaemon), ", PostgreSQL ", count(Fault::kPostgres), ", backends ",
                      count(Fault::kBackend), ", hub ", count(Fault::kHub), "; ", acknowledged_,
                      " changes acknowledged, ", in_doubt_, " in doubt; slowest ", static_cast<int64_t>(slowest_ms),
                      " ms; converged ", absl::FormatDuration(healed_in_), " after the last");
}

}  // namespace assay::test
