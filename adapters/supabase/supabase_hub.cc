#include "adapters/supabase/supabase_hub.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/libpq/steady_time.h"
#include "adapters/supabase/json.h"
#include "log/annotate.h"
#include "log/merkle_tree.h"

namespace assay {
namespace {

// How long the pieces of a large value have the line to themselves. A push has it for itself anyway, and reads the
// value again for each turn; pulls go on with others' news and heartbeats.
constexpr absl::Duration kPushTurn = absl::Minutes(1), kPullTurn = absl::Seconds(5);

TurnIsOver Turn(absl::Duration turn) {
  return [until = SteadyNow() + turn] { return SteadyNow() >= until; };
}

absl::StatusOr<HubHead> ReadHead(const JsonObject& json) {
  HubHead head;
  ASSAY_ASSIGN_OR_RETURN(head.last.value, NumberField(json, "last"));
  head.complete = head.last;  // As a rule, and then it is left out.
  if (Field(json, "complete") != nullptr) {
    ASSAY_ASSIGN_OR_RETURN(head.complete.value, NumberField(json, "complete"));
  }
  head.checkpoint = TextField(json, "checkpoint");
  head.set_aside = BoolField(json, "set_aside");
  return head;
}

absl::Status Fork(const JsonObject& fork, const PushRequest& request) {
  ASSAY_ASSIGN_OR_RETURN(const uint64_t sequence, NumberField(fork, "sequence"));
  const bool root = TextField(fork, "what") == "root";
  return absl::DataLossError(absl::StrCat(
      "hub: fork: ", root ? "it has another root for the first " : "it has another content under ",
      root ? absl::StrCat(sequence, " events of ", request.origin.Hex()) : EventName(request.origin, {sequence}), " (",
      TextField(fork, "held").substr(0, 16), "…, and was given ", TextField(fork, "pushed").substr(0, 16),
      "…): two logs write as one origin, or this log was restored or rewritten. Nothing was stored; the hub keeps both "
      "as evidence"));
}

absl::StatusOr<SessionAnswer> AnswerNamed(absl::string_view name) {
  if (name == "opened") return SessionAnswer::kOpened;
  if (name == "show") return SessionAnswer::kShow;
  if (name == "unknown") return SessionAnswer::kUnknown;
  if (name == "hub-has-more") return SessionAnswer::kHubHasMore;
  if (name == "hub-has-another") return SessionAnswer::kHubHasAnother;
  if (name == "set-aside") return SessionAnswer::kSetAside;
  if (name == "replaced") return SessionAnswer::kReplaced;
  return absl::InvalidArgumentError(absl::StrCat("hub: open_session: it answered \"", absl::CHexEscape(name), "\""));
}

absl::StatusOr<LivingChain> ReadLiving(const JsonObject& json) {
  LivingChain living{.heard = TimeField(json, "heard")};
  const absl::StatusOr<OriginId> origin = OriginId::FromHex(TextField(json, "origin"));
  if (!origin.ok()) return absl::InvalidArgumentError("the hub's answer names a branch's chain by a malformed origin");
  living.origin = *origin;
  return living;
}

absl::StatusOr<std::string> ReportJson(const BranchReport& report, absl::Time since) {
  JsonObject json;
  SetText(&json, "name", report.name);
  SetText(&json, "number", absl::StrCat(report.number));
  SetText(&json, "origin", report.origin.Hex());
  SetText(&json, "head", absl::StrCat(report.head.value));
  SetText(&json, "parked", absl::StrCat(report.parked));
  SetText(&json, "state", report.state);
  SetText(&json, "version", report.version);
  SetText(&json, "session", HexEncode(report.session));
  SetText(&json, "written", absl::StrCat(report.written));
  SetText(&json, "since", since == absl::InfinitePast() ? "" : absl::StrCat(absl::ToUnixMicros(since)));
  JsonObject* refused = (*json.mutable_fields())["refused"].mutable_struct_value();
  for (const auto& [origin, held] : report.refused) SetText(refused, origin.Hex(), absl::StrCat(held.value));
  return ToJson(json);
}

// What other branches have said of themselves: fields that make no sense are left at their defaults, or one of them
// could keep everybody from seeing the rest.
BranchPresence ReadPresence(const JsonObject& json) {
  BranchPresence presence;
  presence.active = BoolField(json, "active");
  presence.retired = BoolField(json, "retired");
  presence.last_seen = TimeField(json, "last_seen");
  const JsonValue* value = Field(json, "report");
  const JsonObject& report = value == nullptr ? JsonObject::default_instance() : value->struct_value();
  presence.report.name = TextField(json, "name");
  presence.report.number = static_cast<uint32_t>(NumberField(json, "number").value_or(0));
  presence.report.origin = OriginId::FromHex(TextField(report, "origin")).value_or(OriginId{});
  presence.report.head = {NumberField(report, "head").value_or(0)};
  presence.report.parked = static_cast<int64_t>(NumberField(report, "parked").value_or(0));
  presence.report.state = TextField(report, "state");
  presence.report.version = TextField(report, "version");
  presence.report.written = NumberField(report, "written").value_or(0);
  return presence;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SupabaseHub>> SupabaseHub::Create(HubOptions options) {
  ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<HubSession> session, HubSession::Create(std::move(options)));
  return std::unique_ptr<SupabaseHub>(new SupabaseHub(std::move(session)));
}

absl::StatusOr<std::string> SupabaseHub::Call(absl::string_view sql, absl::Span<const absl::string_view> parameters) {
  if (!met_) {
    ASSAY_RETURN_IF_ERROR(session_->WhoAmI().status());
    met_ = true;
  }
  absl::StatusOr<std::string> answer = session_->Call(sql, parameters);
  if (!answer.ok()) met_ = false;  // It may have been upgraded meanwhile.
  return answer;
}

absl::StatusOr<HubHeads> SupabaseHub::Heads() {
  ASSAY_ASSIGN_OR_RETURN(const std::string text, Call("SELECT assay_hub.heads()::text", {}));
  ASSAY_ASSIGN_OR_RETURN(const JsonObject json, ParseJsonObject(text, "heads"));
  HubHeads heads{.hub_time = TimeField(json, "hub_time")};
  if (const JsonValue* living = Field(json, "living"); living != nullptr && living->has_struct_value()) {
    ASSAY_ASSIGN_OR_RETURN(heads.living, ReadLiving(living->struct_value()));
  }
  const JsonValue* origins = Field(json, "origins");
  if (origins == nullptr) return absl::InvalidArgumentError("the hub's answer to heads has no origins");
  for (const auto& [hex, value] : origins->struct_value().fields()) {
    const absl::StatusOr<OriginId> origin = OriginId::FromHex(hex);
    if (!origin.ok()) return absl::InvalidArgumentError("the hub's answer to heads has a malformed origin");
    ASSAY_ASSIGN_OR_RETURN(heads.heads[*origin], ReadHead(value.struct_value()));
  }
  return heads;
}

absl::StatusOr<PushReply> SupabaseHub::Push(const PushRequest& request) {
  const auto large = std::find_if(request.segments.begin(), request.segments.end(),
                                  [](const Segment& segment) { return LargePart(segment).has_value(); });
  if (large == request.segments.end()) return Push(request, /*staged=*/nullptr);
  if (large == request.segments.begin()) return PushInPieces(request);
  ASSAY_ASSIGN_OR_RETURN(PushReply reply, Push({request.origin, {request.segments.begin(), large}, {}, request.session},
                                               /*staged=*/nullptr));
  reply.last = std::min(reply.last, std::prev(large)->last);  // Of more, nothing was compared.
  return reply;
}

absl::StatusOr<PushReply> SupabaseHub::PushInPieces(const PushRequest& request) {
  const Segment& segment = request.segments.front();
  StagedPart staged{.part = LargePart(segment).value_or(0)};
  const std::string& payload = segment.parts[staged.part].payload;
  staged.content = Sha256(payload);
  const auto stage = [this](const std::string& frame) -> absl::StatusOr<uint32_t> {
    ASSAY_ASSIGN_OR_RETURN(const std::string text, Call("SELECT assay_hub.stage($1)::text", {frame}));
    ASSAY_ASSIGN_OR_RETURN(const JsonObject json, ParseJsonObject(text, "stage"));
    ASSAY_ASSIGN_OR_RETURN(const uint64_t pieces, NumberField(json, "pieces"));
    return static_cast<uint32_t>(std::min<uint64_t>(pieces, UINT32_MAX));
  };
  ASSAY_ASSIGN_OR_RETURN(const bool whole, StagePayload(request, staged.content, payload, stage, Turn(kPushTurn)));
  if (!whole) return PushReply{{segment.first.value - 1}, /*arriving=*/true};
  return Push(request, &staged);
}

absl::StatusOr<PushReply> SupabaseHub::Push(const PushRequest& request, const StagedPart* staged) {
  ASSAY_ASSIGN_OR_RETURN(const std::string frame, EncodePush(request, staged));
  ASSAY_ASSIGN_OR_RETURN(const std::string text, Call("SELECT assay_hub.push($1)::text", {frame}));
  ASSAY_ASSIGN_OR_RETURN(const JsonObject json, ParseJsonObject(text, "push"));
  if (const JsonValue* fork = Field(json, "fork"); fork != nullptr) return Fork(fork->struct_value(), request);
  PushReply reply;
  ASSAY_ASSIGN_OR_RETURN(reply.last.value, NumberField(json, "last"));
  return reply;
}

absl::StatusOr<PullReply> SupabaseHub::Pull(const PullRequest& request) {
  ASSAY_ASSIGN_OR_RETURN(const std::string bytes, Call("SELECT assay_hub.pull($1)", {EncodePull(request)}));
  ASSAY_ASSIGN_OR_RETURN(PulledFrame pulled, DecodePullReply(bytes, request));
  const auto fetch = [this](const std::string& frame) { return Call("SELECT assay_hub.piece($1)", {frame}); };
  ASSAY_ASSIGN_OR_RETURN(PullReply reply, arriving_.Complete(std::move(pulled), fetch, Turn(kPullTurn)));
  // Here, while the engine is at work on what came before. What does not decode is the engine's to judge.
  for (Segment& segment : reply.segments) {
    absl::StatusOr<DecodedSegment> decoded = DecodedSegment::Decode(segment);
    if (decoded.ok()) segment.decoded = std::make_shared<const DecodedSegment>(*std::move(decoded));
  }
  return reply;
}

absl::StatusOr<SessionReply> SupabaseHub::OpenSession(const SessionRequest& request) {
  JsonObject json;
  SetText(&json, "origin", request.origin.Hex());
  SetText(&json, "counter", absl::StrCat(request.counter));
  SetText(&json, "session", HexEncode(request.session));
  SetText(&json, "known", absl::StrJoin(request.known, " ", [](std::string* out, const std::string& nonce) {
    absl::StrAppend(out, HexEncode(nonce));
  }));
  SetText(&json, "last", absl::StrCat(request.last.value));
  SetText(&json, "shown", absl::StrCat(request.shown.value));
  SetText(&json, "leaf", HexEncode(request.leaf));
  SetText(&json, "replaces", request.replaces == OriginId{} ? "" : request.replaces.Hex());
  ASSAY_ASSIGN_OR_RETURN(const std::string body, ToJson(json));
  ASSAY_ASSIGN_OR_RETURN(const std::string text, Call("SELECT assay_hub.open_session($1::text::jsonb)::text", {body}));
  ASSAY_ASSIGN_OR_RETURN(const JsonObject answer, ParseJsonObject(text, "open_session"));
  SessionReply reply;
  ASSAY_ASSIGN_OR_RETURN(reply.answer, AnswerNamed(TextField(answer, "answer")));
  ASSAY_ASSIGN_OR_RETURN(reply.counter, NumberField(answer, "counter"));
  ASSAY_ASSIGN_OR_RETURN(reply.last.value, NumberField(answer, "last"));
  if (reply.answer == SessionAnswer::kReplaced) {
    const JsonValue* living = Field(answer, "living");
    ASSAY_ASSIGN_OR_RETURN(reply.living,
                           ReadLiving(living == nullptr ? JsonObject::default_instance() : living->struct_value()));
  }
  return reply;
}

absl::StatusOr<HeartbeatReply> SupabaseHub::Heartbeat(const BranchReport& report, absl::Time since) {
  ASSAY_ASSIGN_OR_RETURN(const std::string body, ReportJson(report, since));
  ASSAY_ASSIGN_OR_RETURN(const std::string text, Call("SELECT assay_hub.heartbeat($1::text::jsonb)::text", {body}));
  ASSAY_ASSIGN_OR_RETURN(const JsonObject json, ParseJsonObject(text, "heartbeat"));
  HeartbeatReply reply{.hub_time = TimeField(json, "hub_time"), .whole = BoolField(json, "whole")};
  if (const JsonValue* granted = Field(json, "granted"); granted != nullptr && granted->has_list_value()) {
    reply.granted.emplace();
    for (const JsonValue& table : granted->list_value().values()) reply.granted->tables.insert(table.string_value());
  }
  if (const JsonValue* chains = Field(json, "set_aside"); chains != nullptr && chains->has_list_value()) {
    reply.set_aside.emplace();
    for (const JsonValue& chain : chains->list_value().values()) {
      const absl::StatusOr<OriginId> origin = OriginId::FromHex(TextField(chain.struct_value(), "origin"));
      if (!origin.ok()) continue;
      reply.set_aside->push_back(
          {*origin, {NumberField(chain.struct_value(), "after").value_or(0)}, TextField(chain.struct_value(), "name")});
    }
  }
  if (const JsonValue* branches = Field(json, "branches"); branches != nullptr) {
    for (const JsonValue& branch : branches->list_value().values())
      reply.branches.push_back(ReadPresence(branch.struct_value()));
  }
  return reply;
}

}  // namespace assay
