// `assay`: the command line of a branch and of the head office. verbs.h lists what it can do.
#include "tools/cli/command_line.h"
#include "tools/cli/verbs.h"

int main(int argc, char** argv) {
  assay::CommandLine line;
  for (assay::AddedVerb* add : assay::kVerbs) add(line);
  return line.Run(argc, argv);
}
