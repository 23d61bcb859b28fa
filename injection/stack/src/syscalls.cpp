#include "tidemark/stack/syscalls.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace tidemark::sys {
namespace {

std::atomic<bool> g_quiet{false};

long call_anyway(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                 long f = 0) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  if (__builtin_expect(g_quiet.load(std::memory_order_relaxed), 0)) return -EPERM;
  return call_anyway(number, a, b, c, d, e, f);
}

long word(const void* pointer) { return reinterpret_cast<long>(pointer); }

bool is_error(long result) { return result < 0 && result > -4096; }

}  // namespace

long open_read_only(const char* path) {
  return call(SYS_openat, AT_FDCWD, word(path), O_RDONLY | O_CLOEXEC);
}
long open_read_write(const char* path) {
  return call(SYS_openat, AT_FDCWD, word(path), O_RDWR | O_CLOEXEC);
}
long read(int fd, void* buffer, size_t bytes) {
  return call(SYS_read, fd, word(buffer), static_cast<long>(bytes));
}
void close(int fd) { call(SYS_close, fd); }

void* map_anonymous(size_t bytes) {
  const long result = call(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return is_error(result) ? nullptr : reinterpret_cast<void*>(result);
}

void* map_shared(int fd, size_t bytes) {
  const long result = call(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_NORESERVE, fd, 0);
  return is_error(result) ? nullptr : reinterpret_cast<void*>(result);
}

void unmap(void* address, size_t bytes) {
  call(SYS_munmap, word(address), static_cast<long>(bytes));
}
bool replace_by_nothing(void* address, size_t bytes) {
  const long result =
      call(SYS_mmap, word(address), static_cast<long>(bytes), PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  return !is_error(result);
}
bool protect(void* address, size_t bytes, int protection) {
  return call(SYS_mprotect, word(address), static_cast<long>(bytes), protection) == 0;
}
int advise(void* address, size_t bytes, int advice) {
  return static_cast<int>(call(SYS_madvise, word(address), static_cast<long>(bytes), advice));
}
int32_t pid() { return static_cast<int32_t>(call(SYS_getpid)); }
int32_t parent_pid() { return static_cast<int32_t>(call(SYS_getppid)); }
int32_t tid() { return static_cast<int32_t>(call_anyway(SYS_gettid)); }
bool process_exists(int32_t pid) { return call(SYS_kill, pid, 0) != -ESRCH; }

void thread_name(char (&name)[16]) {
  std::memset(name, 0, sizeof name);
  call(SYS_prctl, PR_GET_NAME, word(name));
}

void futex_wait(const void* futex, uint32_t expected, uint32_t milliseconds) {
  if (quiet()) {
    // Awake, then: the other side looks around every few milliseconds without being called.
    constexpr uint32_t kPausesInAMillisecond = 20000;
    const auto* watched = static_cast<const uint32_t*>(futex);
    for (uint32_t i = 0; i < milliseconds * kPausesInAMillisecond; ++i) {
      if (__atomic_load_n(watched, __ATOMIC_RELAXED) != expected) return;
      __builtin_ia32_pause();
    }
    return;
  }
  const timespec timeout{milliseconds / 1000, static_cast<long>(milliseconds % 1000) * 1000000};
  call(SYS_futex, word(futex), FUTEX_WAIT, static_cast<long>(expected), word(&timeout));
}
void futex_wake(const void* futex, int waiters) {
  call(SYS_futex, word(futex), FUTEX_WAKE, waiters);
}

bool copy_memory(void* to, uint64_t from, size_t bytes) {
  const iovec local{to, bytes};
  const iovec remote{reinterpret_cast<void*>(from), bytes};
  const long result = call(SYS_process_vm_readv, pid(), word(&local), 1, word(&remote), 1, 0);
  if (result == static_cast<long>(bytes)) return true;
  if (result != -EPERM && result != -ENOSYS) return false;
  // Forbidden by a sandbox: read it directly. The caller saw it mapped a moment ago.
  std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
  return true;
}

uint64_t address_space_left() {
  uint64_t left = ~uint64_t{0};
  rlimit space{};
  rlimit data{};
  if (call(SYS_prlimit64, 0, RLIMIT_AS, 0, word(&space)) != 0) space.rlim_cur = RLIM_INFINITY;
  if (call(SYS_prlimit64, 0, RLIMIT_DATA, 0, word(&data)) != 0) data.rlim_cur = RLIM_INFINITY;
  if (space.rlim_cur == RLIM_INFINITY && data.rlim_cur == RLIM_INFINITY) return left;
  // size resident shared text lib data dirty, in pages
  char text[128] = {};
  const long fd = open_read_only("/proc/self/statm");
  if (fd < 0) return 0;
  const long got = read(static_cast<int>(fd), text, sizeof text - 1);
  close(static_cast<int>(fd));
  uint64_t fields[6] = {};
  const char* at = text;
  for (uint64_t& field : fields) {
    for (; at < text + got && *at >= '0' && *at <= '9'; ++at) {
      field = field * 10 + static_cast<uint64_t>(*at - '0');
    }
    ++at;
  }
  constexpr uint64_t kPage = 4096;
  const auto room = [&](uint64_t limit, uint64_t used) {
    if (limit == RLIM_INFINITY) return ~uint64_t{0};
    return limit > used ? limit - used : 0;
  };
  left = room(space.rlim_cur, fields[0] * kPage);
  const uint64_t data_left = room(data.rlim_cur, fields[5] * kPage);
  return left < data_left ? left : data_left;
}

bool readable(uint64_t address) {
  // The kernel reads the new set before it looks at `how`, which is none: a question without a
  // trace, and one that no sandbox forbids.
  constexpr long kNoWay = -1;
  return call(SYS_rt_sigprocmask, kNoWay, static_cast<long>(address), 0, 8) != -EFAULT;
}

bool accessible(const char* path, bool writable) {
  return call(SYS_faccessat, AT_FDCWD, word(path), writable ? R_OK | W_OK : R_OK) == 0;
}

bool read_link(const char* path, char* text, size_t bytes) {
  const long got = call(SYS_readlinkat, AT_FDCWD, word(path), word(text), static_cast<long>(bytes));
  if (got <= 0 || got >= static_cast<long>(bytes)) return false;
  text[got] = 0;
  return true;
}

void be_quiet(bool quiet) { g_quiet.store(quiet); }
bool quiet() { return g_quiet.load(std::memory_order_relaxed); }

}  // namespace tidemark::sys
