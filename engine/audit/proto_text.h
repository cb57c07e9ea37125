// Times, durations and values as the admin messages carry them.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "log/types.h"

namespace assay {

// Clamped to the years protobuf can print (1 to 9999).
google::protobuf::Timestamp ToProto(absl::Time time);
google::protobuf::Duration ToProto(absl::Duration duration);
absl::Time FromProto(const google::protobuf::Timestamp& timestamp);
// Zero when the message makes no sense.
absl::Duration FromProto(const google::protobuf::Duration& duration);
absl::Time TimeOf(HlcStamp stamp);

// Sets the field `setter` only for a time that happened (or will): absent means never.
template <typename Message>
void SetTime(absl::Time time, Message* timestamp_owner, google::protobuf::Timestamp* (Message::*mutable_field)()) {
  if (time > absl::UnixEpoch() && time < absl::InfiniteFuture()) *(timestamp_owner->*mutable_field)() = ToProto(time);
}

// `bytes` as valid UTF-8 (anything else becomes U+FFFD) of at most `size_max` bytes, cut between characters.
std::string CleanText(absl::string_view bytes, size_t size_max);

}  // namespace assay
