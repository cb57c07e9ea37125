// What the output is read on: a person's terminal, or a pipe.
//
// On a terminal times are short, tables fit its width, and one word or mark of a line has a colour. In a pipe times are
// whole, with their zone, nothing has a colour, and nothing is cut. One for the process, set before anything is
// printed.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace assay {

struct Terminal {
  bool live = false;  // A person's; else a pipe.
  bool colours = false;
  bool wide = false;  // Tables keep all of their columns, and whole values.
  int width = 80;     // Characters in a line.
  absl::TimeZone zone = absl::LocalTimeZone();
};

// Stdout's. `colour`: "always", "never", or "auto", which means a terminal without NO_COLOR and TERM=dumb.
Terminal TerminalOfStdout(const std::string& colour, bool utc, bool wide);

const Terminal& Screen();
void SetScreen(const Terminal& terminal);

enum class Paint { kNone, kBold, kDim, kRed, kGreen, kYellow, kBlue };
// `text` in that colour, where there are colours. Of the sixteen that each terminal has its own shades for.
std::string Painted(Paint paint, absl::string_view text);

// Broken into lines of `width` characters between words, the first after `column` of them, the others indented by
// `indent`. What stands in `backticks` is a command, and stays in one piece.
std::string Folded(absl::string_view text, size_t width, size_t column, size_t indent);
// The same for a terminal's width. In a pipe: `text`.
std::string Wrapped(absl::string_view text, size_t column, size_t indent);

}  // namespace assay
