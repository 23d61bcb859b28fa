// Reads what /proc tells about other processes. Parsing is separate from reading so that it can be
// tested; every function takes "gone" for an answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidemark::collector {

struct ProcStat {
  char state = '?';         // R S D Z X …
  uint64_t start_time = 0;  // ticks since boot: tells a recycled pid
};
// The text of /proc/<pid>/stat; the command in it may hold spaces and parentheses.
std::optional<ProcStat> parse_proc_stat(std::string_view text);

// Nothing when the process is gone. A zombie has ended: state 'Z'.
std::optional<ProcStat> read_proc_stat(int32_t pid);
bool process_has_ended(int32_t pid);
bool thread_has_ended(int32_t pid, int32_t tid);

// The kernel's name of a thread; "" when it is gone.
std::string thread_name(int32_t pid, int32_t tid);

// The rank that torchrun, MPI or Slurm gave the process, by the environment it was started with;
// -1 none.
int32_t rank_of_process(int32_t pid);
// `environment`: NUL-separated.
int32_t parse_rank(std::string_view environment);

// "" when it cannot be read. At most `limit` bytes.
std::string read_small_file(const std::string& path, size_t limit = size_t{1} << 20);

}  // namespace tidemark::collector
