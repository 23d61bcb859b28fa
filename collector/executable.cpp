#include "tidemark/collector/executable.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "proc.h"

namespace tidemark::collector {
namespace {

constexpr int kMaxScriptDepth = 5;  // the kernel's own limit

tl::unexpected<RecordError> start_error(int code, std::string message) {
  RecordError error;
  error.message = std::move(message);
  error.exit_code = code;
  return tl::unexpected<RecordError>(std::move(error));
}

bool is_file(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

tl::expected<std::string, RecordError> locate(const std::string& command) {
  if (command.find('/') != std::string::npos) {
    struct stat info {};
    if (stat(command.c_str(), &info) != 0) {
      return start_error(errno == EACCES ? 126 : 127,
                         fmt::format("{}: {}", command, std::strerror(errno)));
    }
    if (S_ISDIR(info.st_mode)) return start_error(126, command + ": is a directory");
    if (access(command.c_str(), X_OK) != 0) {
      return start_error(126, fmt::format("{}: {}", command, std::strerror(errno)));
    }
    return command;
  }
  const char* variable = std::getenv("PATH");
  std::string_view path = variable != nullptr ? variable : "/bin:/usr/bin";
  std::string refused;
  for (;;) {
    const size_t colon = path.find(':');
    const std::string_view folder = path.substr(0, colon);
    std::string candidate = folder.empty() ? "./" + command : std::string(folder) + "/" + command;
    if (!command.empty() && is_file(candidate)) {
      if (access(candidate.c_str(), X_OK) == 0) return candidate;
      refused = candidate;
    }
    if (colon == std::string_view::npos) break;
    path.remove_prefix(colon + 1);
  }
  if (!refused.empty()) return start_error(126, refused + ": permission denied");
  return start_error(127, command + ": command not found");
}

// Whether the kernel starts it with more rights than ours, which makes ld.so ignore LD_PRELOAD.
bool gains_rights(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return false;
  if ((info.st_mode & S_ISUID) != 0 && info.st_uid != getuid()) return true;
  if ((info.st_mode & S_ISGID) != 0 && info.st_gid != getgid()) return true;
  return geteuid() != 0 && getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
}

Injectable inspect_elf(std::string_view bytes) {
  Elf64_Ehdr header{};
  if (bytes.size() < sizeof header) return Injectable::kForeign;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64) {
    return Injectable::kForeign;
  }
  for (size_t i = 0; i < header.e_phnum; ++i) {
    const size_t offset = header.e_phoff + i * sizeof(Elf64_Phdr);
    if (offset > bytes.size() || bytes.size() - offset < sizeof(Elf64_Phdr)) break;
    Elf64_Phdr segment{};
    std::memcpy(&segment, bytes.data() + offset, sizeof segment);
    if (segment.p_type == PT_INTERP) return Injectable::kYes;
  }
  return Injectable::kStatic;
}

// "/usr/bin/env" of "#!/usr/bin/env python3"; /bin/sh for a script without such a line.
std::string interpreter_of(std::string_view bytes) {
  if (!bytes.starts_with("#!")) return "/bin/sh";
  bytes = bytes.substr(2, bytes.find('\n') - 2);
  const size_t first = bytes.find_first_not_of(" \t");
  if (first == std::string_view::npos) return "/bin/sh";
  bytes.remove_prefix(first);
  return std::string(bytes.substr(0, bytes.find_first_of(" \t\r")));
}

}  // namespace

tl::expected<Executable, RecordError> find_executable(const std::string& command) {
  auto path = locate(command);
  if (!path) return tl::unexpected<RecordError>(path.error());
  Executable found;
  found.path = *path;
  found.program = *path;
  const std::string name = found.path.substr(found.path.rfind('/') + 1);
  if (name == "valgrind" || name == "valgrind.bin") {
    found.injectable = Injectable::kValgrind;
    return found;
  }
  for (int depth = 0; depth < kMaxScriptDepth; ++depth) {
    const std::string bytes = read_small_file(found.program, 4096);
    if (bytes.empty()) break;  // executable but not readable: nothing to be known
    if (bytes.starts_with(ELFMAG)) {
      found.injectable = gains_rights(found.program) ? Injectable::kSetuid : inspect_elf(bytes);
      break;
    }
    found.program = interpreter_of(bytes);
  }
  return found;
}

}  // namespace tidemark::collector
