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
  // torchrun's first: what starts under mpirun or srun and then starts workers of its own is told
  // apart by it. Open MPI, PMIx, MPICH and Intel MPI, MVAPICH2, Slurm.
  constexpr std::string_view kNames[] = {"RANK=",     "OMPI_COMM_WORLD_RANK=", "PMIX_RANK=",
                                         "PMI_RANK=", "MV2_COMM_WORLD_RANK=",  "SLURM_PROCID="};
  constexpr size_t kNone = std::size(kNames);
  size_t best = kNone;
  int32_t found = -1;
  while (!environment.empty()) {
    const size_t end = std::min(environment.find('\0'), environment.size());
    const std::string_view entry = environment.substr(0, end);
    for (size_t i = 0; i < best; ++i) {
      if (!entry.starts_with(kNames[i])) continue;
      const std::string_view number = entry.substr(kNames[i].size());
      int32_t rank = -1;
      const auto [at, error] = std::from_chars(number.data(), number.data() + number.size(), rank);
      if (error != std::errc{} || at != number.data() + number.size() || rank < 0) continue;
      best = i;
      found = rank;
    }
    environment.remove_prefix(std::min(end + 1, environment.size()));
  }
  return found;
}

int32_t rank_of_process(int32_t pid) {
  return parse_rank(read_small_file(fmt::format("/proc/{}/environ", pid)));
}

}  // namespace tidemark::collector
