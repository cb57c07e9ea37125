#include "tools/cli/log.h"

#include "tools/cli/verbs.h"

namespace assay {

void AddLog(CommandLine& line) {
  CLI::App* log =
      line.AddFamily({"log", "Read the log: who changed what, when", "assay log ls --table public.products --key 17"});
  for (AddedLogVerb* add : {AddLogLs, AddLogShow, AddLogTail}) add(line, log);
}

}  // namespace assay
