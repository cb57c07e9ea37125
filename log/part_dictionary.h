// What zstd knows of small parts before it has read any: the shape of events, and which letters their values have.
//
// A part of one sale has too little to learn from: without this it hardly shrinks. The dictionary holds the bytes
// between the values of inserts and updates: column numbers, lengths, a transaction's header. It has a few words that
// most ERPs use for a state or a payment, and zstd's tables for texts that are mostly digits, times and UUIDs. It was
// made of invented rows, so it has nobody's data. Parts that are stored and sent need these very bytes: they never
// change. Better ones would be another dictionary, under another packing byte.
#pragma once

#include "absl/strings/string_view.h"

namespace assay {

absl::string_view PartDictionary();

}  // namespace assay
