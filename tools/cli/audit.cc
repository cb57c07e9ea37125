#include "tools/cli/audit.h"

#include "tools/cli/verbs.h"

namespace assay {

void AddAudit(CommandLine& line) {
  CLI::App* audit = line.AddFamily({"audit", "Copy and prove a log file, without a daemon, a database or a network",
                                    "assay audit verify --log /media/audit/log.db"});
  for (AddedAuditVerb* add : {AddAuditSnapshot, AddAuditVerify, AddAuditProve, AddAuditCheck}) add(line, audit);
}

}  // namespace assay
