#include "tools/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tools/cli/text.h"

namespace assay {
namespace {

constexpr int kWidthMin = 20;  // Less is no width to write in.

Terminal& TheScreen() {
  static Terminal* const screen = new Terminal();
  return *screen;
}

bool IsSet(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

absl::string_view CodeOf(Paint paint) {
  switch (paint) {
    case Paint::kNone:
      return "";
    case Paint::kBold:
      return "1";
    case Paint::kDim:
      return "2";
    case Paint::kRed:
      return "31";
    case Paint::kGreen:
      return "32";
    case Paint::kYellow:
      return "33";
    case Paint::kBlue:
      return "34";
  }
  return "";
}

// The words of `text`, a command in backticks being one.
std::vector<std::string> Words(absl::string_view text) {
  std::vector<std::string> words;
  bool in_command = false;
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (in_command)
      absl::StrAppend(&words.back(), " ", word);
    else
      words.emplace_back(word);
    if (std::count(word.begin(), word.end(), '`') % 2 == 1) in_command = !in_command;
  }
  return words;
}

}  // namespace

Terminal TerminalOfStdout(const std::string& colour, bool utc, bool wide) {
  Terminal terminal;
  terminal.live = isatty(STDOUT_FILENO) == 1;
  terminal.wide = wide;
  if (utc) terminal.zone = absl::UTCTimeZone();
  const char* term = std::getenv("TERM");
  const bool dumb = term != nullptr && absl::string_view(term) == "dumb";
  terminal.colours = colour == "always" || (colour == "auto" && terminal.live && !IsSet("NO_COLOR") && !dumb);
  winsize size{};
  if (terminal.live && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    terminal.width = std::max<int>(size.ws_col, kWidthMin);
  return terminal;
}

const Terminal& Screen() { return TheScreen(); }
void SetScreen(const Terminal& terminal) { TheScreen() = terminal; }

std::string Painted(Paint paint, absl::string_view text) {
  if (!Screen().colours || paint == Paint::kNone || text.empty()) return std::string(text);
  return absl::StrCat("\033[", CodeOf(paint), "m", text, "\033[0m");
}

std::string Wrapped(absl::string_view text, size_t column, size_t indent) {
  return Screen().live ? Folded(text, static_cast<size_t>(Screen().width), column, indent) : std::string(text);
}

std::string Folded(absl::string_view text, size_t width, size_t column, size_t indent) {
  std::string out;
  size_t at = column;
  for (const std::string& word : Words(text)) {
    const size_t length = TextWidth(word);
    const bool first = out.empty();
    if (!first && at + 1 + length > width) {
      absl::StrAppend(&out, "\n", std::string(indent, ' '), word);
      at = indent + length;
    } else {
      absl::StrAppend(&out, first ? "" : " ", word);
      at += length + (first ? 0 : 1);
    }
  }
  return out;
}

}  // namespace assay
