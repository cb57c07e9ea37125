#include "tools/cli/cli.h"

#include <iostream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"
#include "tools/cli/terminal.h"
#include "tools/config/secret_files.h"

namespace assay {
namespace {

std::string JsonLine(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  return google::protobuf::util::MessageToJsonString(message, &text, options).ok() ? text : "{}";
}

void PrintError(const CliContext& context, absl::StatusCode code, const std::string& message,
                const std::string& command) {
  if (!context.json) {
    std::cerr << "assay: " << message << "\n";
    if (!command.empty()) std::cerr << "  do: " << command << "\n";
    return;
  }
  google::protobuf::Struct error;
  auto& fields = *error.mutable_fields();
  fields["code"] = JsonText(absl::AsciiStrToLower(absl::StatusCodeToString(code)));
  fields["message"] = JsonText(message);
  if (!command.empty()) fields["do"] = JsonText(command);
  std::cerr << JsonLine(error) << std::endl;
}

}  // namespace

absl::StatusOr<Config> CliConfig(const CliContext& context) {
  return LoadConfig(context.config_path, ProcessEnvironment());
}

absl::StatusOr<std::unique_ptr<admin::v1::Admin::Stub>> CliConnect(const CliContext& context) {
  ClientOptions options;
  options.address = context.socket;
  const bool is_path = absl::StartsWith(options.address, "/") || absl::StartsWith(options.address, "unix:");
  if (!is_path) {  // Whose certificates stand in the config, also of an address from the command line.
    absl::StatusOr<Config> config = CliConfig(context);
    if (!config.ok()) return config.status();
    if (options.address.empty()) options.address = config->admin.listen;
    options.tls_ca = config->admin.tls_client_ca;
    options.tls_cert = config->admin.tls_cert;
    options.tls_key = config->admin.tls_key;
  } else if (options.address[0] == '/') {
    options.address = absl::StrCat("unix:", options.address);
  }
  return ConnectAdmin(options);
}

int CliFail(const CliContext& context, const absl::Status& status, int exit_code, const std::string& command) {
  PrintError(context, status.code(), std::string(status.message()), command);
  return exit_code;
}

int CliNoDaemon(const CliContext& context, const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return CliFail(context, status, kExitUsage);
  const bool installed = context.config_path == CliContext().config_path;
  return CliFail(context, status, kExitNoDaemon,
                 installed ? "systemctl start assayd" : absl::StrCat("assayd --config ", context.config_path));
}

absl::Status RefusePassword(const std::string& url, const std::string& option, const std::string& instead) {
  if (url.empty()) return absl::OkStatus();
  const absl::StatusOr<std::map<std::string, std::string>> parts = ParseConnection(url);
  if (!parts.ok()) return absl::InvalidArgumentError(absl::StrCat(option, ": ", parts.status().message()));
  if (parts->count("password") == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(option, " has a password in it, and everyone on this machine can read a command line: use ", instead,
                   " or ~/.pgpass"));
}

int CliFail(const CliContext& context, const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    // Is the daemon gone, or does it say of something else that it is?
    const absl::Status there = CliConnect(context).status();
    if (absl::IsUnavailable(there)) return CliNoDaemon(context, there);
  }
  const auto code = static_cast<absl::StatusCode>(status.error_code());  // The same numbers by design.
  PrintError(context, code, status.error_message(), "");
  // Of our own requests: what the words asked for makes no sense.
  return status.error_code() == grpc::StatusCode::INVALID_ARGUMENT ? kExitUsage : kExitProblem;
}

void PrintJson(const google::protobuf::Message& message) { std::cout << JsonLine(message) << std::endl; }

google::protobuf::Value JsonText(std::string text) {
  google::protobuf::Value value;
  value.set_string_value(std::move(text));
  return value;
}

google::protobuf::Value JsonTexts(const std::vector<std::string>& texts) {
  google::protobuf::Value value;
  google::protobuf::ListValue* list = value.mutable_list_value();
  for (const std::string& text : texts) *list->add_values() = JsonText(text);
  return value;
}

google::protobuf::Value JsonFlag(bool flag) {
  google::protobuf::Value value;
  value.set_bool_value(flag);
  return value;
}

google::protobuf::Value JsonCount(double count) {
  google::protobuf::Value value;
  value.set_number_value(count);
  return value;
}

bool OnTerminal() { return Screen().live; }

void DrawProgress(const std::string& text) {
  // What would wrap could not be redrawn.
  std::cout << "\r\033[K" << text.substr(0, static_cast<size_t>(Screen().width) - 1) << std::flush;
}

void EndProgress() { std::cout << "\r\033[K" << std::flush; }

}  // namespace assay
