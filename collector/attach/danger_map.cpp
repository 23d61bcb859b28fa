#include "danger_map.h"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>

#include "module_table.h"

namespace tidemark::collector {
namespace {

constexpr std::string_view kAllocator[] = {
    "malloc",  "free",          "calloc",         "realloc",           "memalign",  "valloc",
    "pvalloc", "aligned_alloc", "malloc_trim",    "mallinfo",          "mallinfo2", "malloc_stats",
    "mallopt", "malloc_info",   "posix_memalign", "malloc_usable_size"};
// Exactly these: what lies beside pthread_create is the beginning of every thread.
constexpr std::string_view kLockHolders[] = {"fork",
                                             "_Fork",
                                             "vfork",
                                             "pthread_create",
                                             "pthread_atfork",
                                             "__register_atfork",
                                             "dlopen",
                                             "dlclose",
                                             "dlsym",
                                             "dlvsym",
                                             "dlmopen",
                                             "dlerror",
                                             "dladdr",
                                             "dladdr1",
                                             "dlinfo",
                                             "dl_iterate_phdr",
                                             "__libc_dlopen_mode",
                                             "__libc_dlsym",
                                             "__libc_dlclose",
                                             "pthread_key_create"};

// Libraries with an allocator of their own, and ours, are dangerous as a whole.
bool is_allocator(const std::string& path) {
  return exports_function(path, "malloc") && exports_function(path, "free");
}

bool is_whole_danger(std::string_view file) {
  return file.starts_with("ld-linux") || file.starts_with("ld-2.") ||
         file.starts_with("libtidemark_") || file.starts_with("libdl.so") ||
         file.starts_with("libdl-2.");
}

}  // namespace

std::vector<CodeRange> allocator_in(const ExportedFunctions& file, uint64_t bias) {
  std::vector<CodeRange> ranges;
  for (const std::string_view name : kAllocator) {
    CodeRange range;
    if (!file.surroundings(name, range.start, range.end)) continue;
    ranges.push_back({range.start + bias, range.end + bias});
  }
  return ranges;
}

std::vector<CodeRange> dangerous_in_libc(const ExportedFunctions& libc, uint64_t bias) {
  std::vector<CodeRange> ranges = allocator_in(libc, bias);
  for (const std::string_view name : kLockHolders) {
    if (const ExportedFunction* function = libc.find(name)) {
      ranges.push_back({function->start + bias, function->end + bias});
    }
  }
  return ranges;
}

DangerMap::DangerMap(const ProcessFacts& facts, const ExportedFunctions& libc)
    : ranges_(dangerous_in_libc(libc, facts.libc.start - libc.base())),
      libc_{facts.libc.start, facts.libc.end} {
  std::set<std::string> allocators;
  std::set<std::string> seen = {facts.libc.path, facts.program};
  // A program that is an allocator too cannot be dangerous as a whole.
  const std::string program = fmt::format("/proc/{}/exe", facts.pid);
  if (is_allocator(program)) {
    const MappedLibrary mapped = find_library(facts.maps, base_name(facts.program));
    if (const auto functions = ExportedFunctions::read(program)) {
      for (const CodeRange& range : allocator_in(*functions, mapped.start - functions->base())) {
        ranges_.push_back(range);
      }
    }
  }
  for (const MappedRange& range : facts.maps) {
    if (!range.executable || range.path.empty() || range.path.front() != '/') continue;
    if (seen.insert(range.path).second &&
        is_allocator(fmt::format("/proc/{}/root{}", facts.pid, range.path))) {
      allocators.insert(range.path);
    }
    if (allocators.contains(range.path) || is_whole_danger(base_name(range.path))) {
      ranges_.push_back({range.start, range.end});
    }
  }
}

bool DangerMap::dangerous(uint64_t address) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const CodeRange& range) {
    return address >= range.start && address < range.end;
  });
}

bool DangerMap::in_libc(uint64_t address) const {
  return address >= libc_.start && address < libc_.end;
}

bool is_waiting_call(int64_t number) {
  constexpr int64_t kWaiting[] = {SYS_read,
                                  SYS_readv,
                                  SYS_pread64,
                                  SYS_write,
                                  SYS_writev,
                                  SYS_poll,
                                  SYS_ppoll,
                                  SYS_select,
                                  SYS_pselect6,
                                  SYS_epoll_wait,
                                  SYS_epoll_pwait,
                                  SYS_futex,
                                  SYS_nanosleep,
                                  SYS_clock_nanosleep,
                                  SYS_accept,
                                  SYS_accept4,
                                  SYS_connect,
                                  SYS_recvfrom,
                                  SYS_recvmsg,
                                  SYS_recvmmsg,
                                  SYS_sendto,
                                  SYS_sendmsg,
                                  SYS_wait4,
                                  SYS_waitid,
                                  SYS_pause,
                                  SYS_rt_sigsuspend,
                                  SYS_rt_sigtimedwait,
                                  SYS_msgrcv,
                                  SYS_semop,
                                  SYS_semtimedop,
                                  SYS_io_getevents,
                                  SYS_flock,
                                  SYS_fcntl,
                                  SYS_sched_yield,
                                  SYS_io_uring_enter,
                                  SYS_restart_syscall,
                                  SYS_mq_timedreceive,
                                  SYS_fsync,
                                  SYS_fdatasync};
  return std::find(std::begin(kWaiting), std::end(kWaiting), number) != std::end(kWaiting);
}

}  // namespace tidemark::collector
