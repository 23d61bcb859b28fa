#include "tidemark/viewer/editor.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <sstream>
#include <thread>

#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

constexpr std::array<std::string_view, 3> kVariables = {"TIDEMARK_EDITOR", "VISUAL", "EDITOR"};
// How an editor is told a line.
constexpr std::array<std::string_view, 7> kWithG = {
    "code", "code-insiders", "codium", "vscodium", "cursor", "windsurf", "positron"};
constexpr std::array<std::string_view, 6> kColon = {"subl", "sublime_text", "zed",
                                                    "hx",   "helix",        "micro"};
constexpr std::array<std::string_view, 4> kLineOption = {"kate", "idea", "pycharm", "clion"};
constexpr std::array<std::string_view, 8> kInTerminal = {"vi", "vim",   "nvim",  "nano",
                                                         "hx", "helix", "micro", "joe"};

template <size_t N>
bool among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> result;
  for (std::string word; stream >> word;) result.push_back(word);
  return result;
}

}  // namespace

std::vector<std::string> editor_command(const Environment& environment, std::string_view file,
                                        int line) {
  std::vector<std::string> command;
  for (const std::string_view name : kVariables) {
    if (command.empty()) command = words(environment(name.data()));
  }
  if (command.empty()) command = {"code"};
  const std::string name(base_name(command[0]));
  const bool terminal =
      among(kInTerminal, name) ||
      (name == "emacs" && std::find(command.begin(), command.end(), "-nw") != command.end());
  const std::string place(file);
  if (line <= 0) {
    command.push_back(place);
  } else if (among(kWithG, name)) {
    command.insert(command.end(), {"-g", fmt::format("{}:{}", place, line)});
  } else if (among(kColon, name)) {
    command.push_back(fmt::format("{}:{}", place, line));
  } else if (among(kLineOption, name)) {
    command.insert(command.end(), {"--line", fmt::format("{}", line), place});
  } else {
    command.insert(command.end(), {fmt::format("+{}", line), place});
  }
  if (terminal) command.insert(command.begin(), {"x-terminal-emulator", "-e"});
  return command;
}

Result<void> open_in_editor(const std::string& file, int line, const Environment& environment) {
  // Names come from a trace: no option, no file that is not there, and no shell in between.
  if (!file.starts_with('/') || access(file.c_str(), R_OK) != 0) {
    return fail(fmt::format("{} is not on this machine: its place was copied instead", file));
  }
  std::vector<std::string> command = editor_command(environment, file, line);
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ);
  if (error != 0) {
    return fail(fmt::format("cannot start {}: {}; set TIDEMARK_EDITOR to an editor", command[0],
                            std::strerror(error)));
  }
  // Waited for only to be cleaned up after; it may run for hours.
  std::thread([child] { waitpid(child, nullptr, 0); }).detach();
  return {};
}

}  // namespace tidemark::viewer
