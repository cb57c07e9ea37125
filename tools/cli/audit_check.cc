#include <fstream>
#include <iostream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/audit/event_proof.h"
#include "proto/event.pb.h"
#include "tools/cli/audit.h"
#include "tools/cli/text.h"

namespace assay {
namespace {

// What the event says in words that need no other event: its table and columns are named in the declaration before it.
std::string EventText(const std::string& bytes) {
  v1::Event event;
  if (!event.ParseFromString(bytes)) return "It is no event that this program knows.\n";
  if (event.has_origin_opened())
    return absl::StrCat("It opens the chain of branch ", Printable(event.origin_opened().branch_name()), ".\n");
  if (event.has_schema())
    return absl::StrCat("It declares table ", Printable(event.schema().schema_name()), ".",
                        Printable(event.schema().table_name()), ".\n");
  if (!event.has_row()) return "It changes no row.\n";
  const v1::RowChange& row = event.row();
  std::string text = absl::StrCat(v1::RowChange::Operation_Name(row.operation()), " of row [",
                                  Printable(absl::StrJoin(row.key(), ", ")), "] of the table that event ", row.schema(),
                                  " declares\n");
  const auto shown = [](bool has, const std::string& value, bool is_null) {
    return has ? absl::StrCat("'", Printable(value), "'") : is_null ? "NULL" : "-";
  };
  for (const v1::ColumnChange& column : row.columns()) {
    absl::StrAppend(&text, "  column ", column.ordinal() + 1, ": ",
                    shown(column.has_old_value(), column.old_value(), column.old_is_null()), " -> ",
                    shown(column.has_value(), column.value(), column.is_null()), "\n");
  }
  return text;
}

int Check(const CliContext& context, const std::string& path, const std::string& key) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream proof;
  if (!file || !(proof << file.rdbuf()))
    return CliFail(context, absl::NotFoundError(absl::StrCat("cannot read ", path)), kExitUsage);
  const absl::StatusOr<ProvenEvent> proven = CheckProof(proof.str(), key);
  if (absl::IsInvalidArgument(proven.status())) return CliFail(context, proven.status(), kExitUsage);
  if (!proven.ok()) return CliFail(context, proven.status());
  if (context.json) {
    google::protobuf::Struct object;
    (*object.mutable_fields())["origin"] = JsonText(proven->checkpoint.origin.Hex());
    (*object.mutable_fields())["sequence"] = JsonText(absl::StrCat(proven->sequence.value));
    (*object.mutable_fields())["checkpoint_events"] = JsonText(absl::StrCat(proven->checkpoint.size));
    PrintJson(object);
  } else {
    std::cout << "It holds: event " << proven->sequence.value << " of chain " << proven->checkpoint.origin.Hex()
              << ", among the " << Grouped(proven->checkpoint.size) << " that its key has signed.\n"
              << EventText(proven->bytes) << std::flush;
  }
  return kExitOk;
}

}  // namespace

void AddAuditCheck(CommandLine& line, CLI::App* audit) {
  auto path = std::make_shared<std::string>(), key = std::make_shared<std::string>();
  CLI::App* verb = line.AddVerb(
      {"check", "Check a proof: exit code 0 it holds, 1 it does not, 2 it is none",
       "assay audit check sale.tlog-proof --key KEY"},
      [path, key](const CliContext& context) { return Check(context, *path, *key); }, audit);
  verb->add_option("proof", *path, "As `assay audit prove` wrote it")->required();
  verb->add_option("--key", *key, "The branch's public key, as `assay audit verify` prints it, from somebody you trust")
      ->required();
}

}  // namespace assay
