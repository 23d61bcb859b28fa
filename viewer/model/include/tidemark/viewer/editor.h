// Which program opens a file at a line, and how it is told to: from what the user's environment
// names. Pure, but for open_in_editor.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tidemark/trace/result.h"
#include "tidemark/viewer/environment.h"

namespace tidemark::viewer {

// Of TIDEMARK_EDITOR, VISUAL and EDITOR the first that is set, else `code`. Its words, then what
// opens `file` at `line` (0: at its beginning) in an editor of its name; one that needs a terminal
// gets one (x-terminal-emulator).
std::vector<std::string> editor_command(const Environment& environment, std::string_view file,
                                        int line);

// Starts it and does not wait. Errors: the file is not on this machine; no such program.
[[nodiscard]] Result<void> open_in_editor(const std::string& file, int line,
                                          const Environment& environment = environment_variable);

}  // namespace tidemark::viewer
