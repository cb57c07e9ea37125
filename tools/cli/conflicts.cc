#include <algorithm>
#include <iostream>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/cli/command_line.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

namespace assay {
namespace {

constexpr int kPage = 1000;  // More are not in one answer.

struct ConflictsOptions {
  std::string table;
  uint32_t limit = 100;  // 0: all.
  int64_t before = 0;
};

std::string SideText(const admin::v1::ConflictSide& side) {
  std::string text = side.has_value() ? (side.value().is_null() ? "NULL" : side.value().text()) : side.operation();
  absl::StrAppend(&text, " (", side.branch(), "/", side.sequence(),
                  side.who().empty() ? "" : absl::StrCat(", ", side.who()), ")");
  return text;
}

// Asks for page after page, until there are as many as were asked for.
grpc::Status Collect(admin::v1::Admin::Stub& stub, const ConflictsOptions& options,
                     admin::v1::ListConflictsReply* reply) {
  const auto wanted = static_cast<int>(std::min<uint32_t>(options.limit, std::numeric_limits<int>::max()));
  admin::v1::ListConflictsRequest request;
  request.set_table(options.table);
  request.set_before_id(options.before);
  while (wanted == 0 || reply->conflicts_size() < wanted) {
    request.set_limit(wanted == 0 ? kPage : std::min(kPage, wanted - reply->conflicts_size()));
    grpc::ClientContext call;
    admin::v1::ListConflictsReply page;
    if (grpc::Status answer = stub.ListConflicts(&call, request, &page); !answer.ok()) return answer;
    reply->set_total(page.total());
    if (page.conflicts().empty()) break;
    request.set_before_id(page.conflicts().rbegin()->id());
    reply->MergeFrom(page);
  }
  return grpc::Status::OK;
}

int Conflicts(const CliContext& context, const ConflictsOptions& options) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  admin::v1::ListConflictsReply reply;
  if (grpc::Status answer = Collect(**stub, options, &reply); !answer.ok()) return CliFail(context, answer);
  if (context.json) {
    PrintJson(reply);
    return kExitOk;
  }
  if (reply.conflicts().empty()) {
    std::cout << (options.before > 0
                      ? "No older conflict."
                      : Wrapped("No conflict: no change has replaced one that its writer had not seen.", 0, 0))
              << "\n";
    return kExitOk;
  }
  TextTable table(
      {{"FOUND"}, {"ROW", Fit::kMiddle}, {"COLUMN", Fit::kEnd}, {"KEPT", Fit::kEnd}, {"SET ASIDE", Fit::kEnd}});
  for (const admin::v1::Conflict& conflict : reply.conflicts()) {
    table.Add({When(conflict.has_found(), conflict.found()),
               absl::StrCat(conflict.table(), " ", absl::StrJoin(conflict.key(), ", ")),
               conflict.column().empty() ? "(the row)" : conflict.column(), SideText(conflict.winner()),
               SideText(conflict.loser())});
  }
  std::cout << TitleLine(absl::StrCat(Count(static_cast<uint64_t>(reply.total()), "conflict"),
                                      options.table.empty() ? "." : " in all tables."))
            << table.ToString() << std::flush;
  std::cerr << "What was set aside is in the log: assay log show BRANCH/NUMBER\n";
  if (options.limit != 0 && reply.conflicts_size() >= static_cast<int64_t>(options.limit))
    std::cerr << "More: --before " << reply.conflicts().rbegin()->id() << ", or --limit 0 for all\n";
  return kExitOk;
}

}  // namespace

void AddConflicts(CommandLine& line) {
  auto options = std::make_shared<ConflictsOptions>();
  CLI::App* verb = line.AddVerb(
      {"conflicts", "Changes that lost to one that had not seen them", "assay conflicts --table public.products"},
      [options](const CliContext& context) { return Conflicts(context, *options); });
  verb->add_option("--table", options->table, "Only this table, schema.table");
  verb->add_option("--before", options->before, "Only older ones than that of this number: for the next page");
  verb->add_option("--limit", options->limit, "At most so many; 0: all")->capture_default_str();
}

}  // namespace assay
