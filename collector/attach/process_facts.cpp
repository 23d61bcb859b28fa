#include "process_facts.h"

#include <elf.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "module_table.h"
#include "proc.h"

namespace tidemark::collector {
namespace {

constexpr size_t kMaxMapsBytes = size_t{64} << 20;

bool take_number(std::string_view& text, uint64_t& value, int base) {
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<size_t>(at - text.data()));
  return true;
}
bool take_char(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}
void skip_to_next_field(std::string_view& text) {
  text.remove_prefix(std::min(text.find(' '), text.size()));
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
}

// start-end perms offset device inode   path
bool parse_line(std::string_view line, MappedRange& range) {
  if (!take_number(line, range.start, 16) || !take_char(line, '-') ||
      !take_number(line, range.end, 16) || !take_char(line, ' ') || line.size() < 5) {
    return false;
  }
  range.writable = line[1] == 'w';
  range.executable = line[2] == 'x';
  line.remove_prefix(5);
  if (!take_number(line, range.offset, 16) || !take_char(line, ' ')) return false;
  skip_to_next_field(line);  // device
  if (!take_number(line, range.inode, 10)) return false;
  skip_to_next_field(line);
  range.path = line;
  return true;
}

template <class Visit>
void each_line(std::string_view text, const Visit& visit) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string user_name(uint32_t user) {
  const passwd* entry = getpwuid(user);
  return entry != nullptr ? entry->pw_name : fmt::to_string(user);
}

std::string link_text(const std::string& path) {
  char text[4096];
  const ssize_t bytes = readlink(path.c_str(), text, sizeof text);
  return bytes < 0 ? "" : std::string(text, static_cast<size_t>(bytes));
}

bool same_namespace(int32_t pid, const char* kind) {
  const std::string theirs = link_text(fmt::format("/proc/{}/ns/{}", pid, kind));
  return theirs.empty() || theirs == link_text(fmt::format("/proc/self/ns/{}", kind));
}

bool same_file(const std::string& a, const std::string& b) {
  struct stat first {};
  struct stat second {};
  return stat(a.c_str(), &first) == 0 && stat(b.c_str(), &second) == 0 &&
         first.st_ino == second.st_ino && first.st_dev == second.st_dev;
}

std::string command_of(int32_t pid) {
  std::string text = read_small_file(fmt::format("/proc/{}/cmdline", pid));
  while (!text.empty() && text.back() == 0) text.pop_back();
  std::replace(text.begin(), text.end(), char{0}, ' ');
  return text;
}

enum class Program : uint8_t { kFits, kForeign, kStatic, kUnknown };
Program program_of(int32_t pid) {
  const std::string bytes = read_small_file(fmt::format("/proc/{}/exe", pid), 4096);
  Elf64_Ehdr header{};
  if (bytes.size() < sizeof header) return Program::kUnknown;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64) {
    return Program::kForeign;
  }
  for (size_t i = 0; i < header.e_phnum; ++i) {
    const size_t offset = header.e_phoff + i * sizeof(Elf64_Phdr);
    if (offset + sizeof(Elf64_Phdr) > bytes.size()) break;
    Elf64_Phdr segment{};
    std::memcpy(&segment, bytes.data() + offset, sizeof segment);
    if (segment.p_type == PT_INTERP) return Program::kFits;
  }
  return Program::kStatic;
}

// "" when the status speaks against nothing.
std::string refuse_by_status(int32_t pid, const ProcessStatus& status) {
  const std::string who = fmt::format("process {} ({})", pid, status.name);
  if (status.thread_group != pid) {
    return fmt::format("{} is a thread of process {}: use --pid {}", pid, status.thread_group,
                       status.thread_group);
  }
  if (status.state == 'Z' || status.state == 'X') return who + " has ended already";
  if (!status.has_memory) return who + " is a thread of the kernel: it has no memory of its own";
  if (status.state == 'T') {
    return fmt::format("{} is stopped: let it go on first (kill -CONT {})", who, pid);
  }
  if (status.tracer != 0) {
    return fmt::format("{} is being traced by process {} (a debugger, strace): end that first", who,
                       status.tracer);
  }
  if (geteuid() != 0 && status.user != geteuid()) {
    return fmt::format("{} belongs to user {}: run tidemark as that user, or as root", who,
                       user_name(status.user));
  }
  if (status.shadow_stack) {
    return who + " runs with a shadow stack, which forbids attaching: start it under tidemark";
  }
  return "";
}

std::string refuse_by_place(int32_t pid, const std::string& library) {
  if (!same_namespace(pid, "pid") || !same_namespace(pid, "mnt")) {
    return fmt::format(
        "process {} runs in a container (another PID or mount namespace): run tidemark inside it",
        pid);
  }
  if (!same_file(library, fmt::format("/proc/{}/root{}", pid, library))) {
    return fmt::format(
        "process {} cannot see {} (it runs in a chroot?): install tidemark where it can", pid,
        library);
  }
  return "";
}

std::string refuse_by_program(int32_t pid, const ProcessFacts& facts) {
  const std::string who = fmt::format("process {} ({})", pid, facts.name);
  const Program program = program_of(pid);
  if (program == Program::kForeign) {
    return who + " is not a 64-bit x86 program: it cannot be recorded";
  }
  if (!facts.libc.path.empty()) return "";
  if (program == Program::kStatic) {
    return who + " is statically linked: it cannot be attached to";
  }
  return who + " does not use the GNU C library: it cannot be attached to";
}

}  // namespace

std::vector<MappedRange> parse_maps(std::string_view text) {
  std::vector<MappedRange> maps;
  each_line(text, [&](std::string_view line) {
    MappedRange range;
    if (parse_line(line, range)) maps.push_back(std::move(range));
  });
  return maps;
}

std::vector<MappedRange> read_maps(int32_t pid) {
  return parse_maps(read_small_file(fmt::format("/proc/{}/maps", pid), kMaxMapsBytes));
}

const MappedRange* range_at(const std::vector<MappedRange>& maps, uint64_t address) {
  for (const MappedRange& range : maps) {
    if (address >= range.start && address < range.end) return &range;
  }
  return nullptr;
}

ProcessStatus parse_status(std::string_view text) {
  ProcessStatus status;
  each_line(text, [&](std::string_view line) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    const std::string_view key = line.substr(0, colon);
    std::string_view value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    uint64_t number = 0;
    std::string_view digits = value;
    take_number(digits, number, 10);
    if (key == "Name") status.name = value;
    if (key == "State" && !value.empty()) status.state = value.front();
    if (key == "Tgid") status.thread_group = static_cast<int32_t>(number);
    if (key == "TracerPid") status.tracer = static_cast<int32_t>(number);
    if (key == "Uid") status.user = static_cast<uint32_t>(number);
    if (key == "VmSize") status.has_memory = true;
    if (key == "x86_Thread_features") {
      status.shadow_stack = value.find("shstk") != std::string_view::npos;
    }
  });
  return status;
}

MappedLibrary find_library(const std::vector<MappedRange>& maps, std::string_view file_name_start) {
  MappedLibrary library;
  for (const MappedRange& range : maps) {
    if (!library.path.empty() && range.path == library.path) library.end = range.end;
    if (library.path.empty() && base_name(range.path).starts_with(file_name_start)) {
      library = {range.path, range.start, range.end, range.inode};
    }
  }
  return library;
}

std::string ptrace_scope() { return read_small_file("/proc/sys/kernel/yama/ptrace_scope", 16); }

std::string explain_refusal(int32_t pid, int error, std::string_view scope) {
  if (error == ESRCH) return fmt::format("process {} has ended", pid);
  if (scope.starts_with('1')) {
    return fmt::format(
        "the system lets only a parent trace process {}: run tidemark as root, or allow it with "
        "'sysctl kernel.yama.ptrace_scope=0'",
        pid);
  }
  if (scope.starts_with('2')) {
    return fmt::format(
        "the system lets only root trace process {} (kernel.yama.ptrace_scope is 2): run tidemark "
        "as root",
        pid);
  }
  if (scope.starts_with('3')) {
    return fmt::format(
        "the system lets nobody trace process {} (kernel.yama.ptrace_scope is 3, until the next "
        "boot): start it with 'tidemark record --'",
        pid);
  }
  if (error == EPERM || error == EACCES) {
    return fmt::format(
        "the system does not let us trace process {} (it has more rights than we have, or a "
        "container forbids ptrace): run tidemark as root, or start it with 'tidemark record --'",
        pid);
  }
  return fmt::format("cannot trace process {}: {}", pid, std::strerror(error));
}

bool has_ended(int32_t pid) {
  const char state = parse_status(read_small_file(fmt::format("/proc/{}/status", pid))).state;
  return state == '?' || state == 'Z' || state == 'X';
}

Result<ProcessFacts> examine_process(int32_t pid, const std::string& library) {
  if (pid <= 0) return fail(fmt::format("{} is no process id", pid));
  if (pid == getpid()) return fail("tidemark cannot attach to itself");
  const std::string text = read_small_file(fmt::format("/proc/{}/status", pid));
  if (text.empty()) return fail(fmt::format("there is no process {}", pid));
  const ProcessStatus status = parse_status(text);
  if (std::string why = refuse_by_status(pid, status); !why.empty()) return fail(std::move(why));
  // Of a process that ends meanwhile all that follows may be missing.
  const auto refused = [&](std::string why) {
    return fail(has_ended(pid) ? fmt::format("process {} has ended", pid) : std::move(why));
  };
  errno = 0;
  const std::string program = link_text(fmt::format("/proc/{}/exe", pid));
  if (program.empty()) {
    return refused(explain_refusal(pid, errno == EACCES ? EPERM : errno, ptrace_scope()));
  }
  if (std::string why = refuse_by_place(pid, library); !why.empty()) {
    return refused(std::move(why));
  }
  ProcessFacts facts;
  facts.pid = pid;
  facts.name = status.name;
  facts.program = program;
  facts.command = command_of(pid);
  facts.maps = read_maps(pid);
  facts.libc = find_library(facts.maps, "libc.so.6");
  if (facts.libc.path.empty()) facts.libc = find_library(facts.maps, "libc-2.");
  facts.has_cuda = !find_library(facts.maps, "libcuda.so").path.empty();
  if (std::string why = refuse_by_program(pid, facts); !why.empty()) {
    return refused(std::move(why));
  }
  facts.ours = find_library(facts.maps, "libtidemark_preload.so");
  if (!facts.ours.path.empty() && facts.ours.path != library) {
    return fail(fmt::format(
        "process {} ({}) has been recorded by another installation of tidemark ({}): use that one",
        pid, facts.name, facts.ours.path));
  }
  return facts;
}

}  // namespace tidemark::collector
