#include "proc.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>

namespace tidemark::collector {

std::optional<ProcStat> parse_proc_stat(std::string_view text) {
  const size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos || name_end + 2 >= text.size()) return std::nullopt;
  ProcStat stat;
  std::string_view rest = text.substr(name_end + 2);
  stat.state = rest[0];
  // Field 3 is the state, field 22 the start time.
  for (int field = 3; field < 22; ++field) {
    const size_t space = rest.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(space + 1);
  }
  std::from_chars(rest.data(), rest.data() + rest.size(), stat.start_time);
  return stat;
}

std::string read_small_file(const std::string& path, size_t limit) {
  std::string text;
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return text;
  char buffer[4096];
  while (text.size() < limit) {
    const ssize_t count = read(descriptor, buffer, sizeof buffer);
    if (count <= 0) break;
    text.append(buffer, static_cast<size_t>(count));
  }
  close(descriptor);
  return text;
}

std::optional<ProcStat> read_proc_stat(int32_t pid) {
  return parse_proc_stat(read_small_file(fmt::format("/proc/{}/stat", pid)));
}

bool process_has_ended(int32_t pid) {
  const auto stat = read_proc_stat(pid);
  return !stat || stat->state == 'Z' || stat->state == 'X';
}

bool thread_has_ended(int32_t pid, int32_t tid) {
  struct stat info {};
  return stat(fmt::format("/proc/{}/task/{}", pid, tid).c_str(), &info) != 0;
}

std::string thread_name(int32_t pid, int32_t tid) {
  std::string name = read_small_file(fmt::format("/proc/{}/task/{}/comm", pid, tid), 64);
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

int32_t parse_rank(std::string_view environment) {
  while (!environment.empty()) {
    const size_t end = std::min(environment.find('\0'), environment.size());
    const std::string_view entry = environment.substr(0, end);
    constexpr std::string_view kName = "RANK=";
    if (entry.starts_with(kName)) {
      int32_t rank = -1;
      const auto [at, error] =
          std::from_chars(entry.data() + kName.size(), entry.data() + entry.size(), rank);
      return error == std::errc{} && at == entry.data() + entry.size() && rank >= 0 ? rank : -1;
    }
    environment.remove_prefix(std::min(end + 1, environment.size()));
  }
  return -1;
}

int32_t rank_of_process(int32_t pid) {
  return parse_rank(read_small_file(fmt::format("/proc/{}/environ", pid)));
}

}  // namespace tidemark::collector
