// The verbs of `assay`, in the order in which its help lists them.
//
// A verb is a file: its options, its words for CLI11 with their help and example, and what it does. A new verb is such
// a file, and its name in the two lists here. A family, as `hub` and `log`, is one verb whose own file lists those
// below it.
#pragma once

namespace assay {

class CommandLine;

// Adds a verb's words, and what they run, to `line`.
using AddedVerb = void(CommandLine& line);

AddedVerb AddStatus, AddSync, AddBranches, AddParked, AddConflicts, AddVerify, AddLog;  // These ask a running daemon.
AddedVerb AddAudit, AddHub, AddDoctor, AddInit, AddTables, AddRepair, AddLeave;         // These need none.

inline constexpr AddedVerb* kVerbs[] = {AddStatus, AddSync, AddBranches, AddParked, AddConflicts, AddVerify, AddLog,
                                        AddAudit,  AddHub,  AddDoctor,   AddInit,   AddTables,    AddRepair, AddLeave};

}  // namespace assay
