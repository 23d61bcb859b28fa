#include "arena.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>
#include <utility>

namespace tidemark::collector {
namespace {

uint64_t random_nonce() {
  uint64_t nonce = 0;
  if (getrandom(&nonce, sizeof nonce, 0) != static_cast<ssize_t>(sizeof nonce)) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    nonce =
        static_cast<uint64_t>(now.tv_nsec) * 0x9e3779b97f4a7c15U ^ static_cast<uint64_t>(getpid());
  }
  return nonce;
}

template <class Function>
class ScopeExit {
 public:
  explicit ScopeExit(Function function) : function_(std::move(function)) {}
  ~ScopeExit() { function_(); }
  ScopeExit(const ScopeExit&) = delete;
  ScopeExit& operator=(const ScopeExit&) = delete;

 private:
  Function function_;
};

uint32_t pid_namespace() {
  struct stat info {};
  return stat("/proc/self/ns/pid", &info) == 0 ? static_cast<uint32_t>(info.st_ino) : 0;
}

// When this thread dies, however it dies, the kernel sets FUTEX_OWNER_DIED in `word`, which must
// hold its tid: the one sign of our end that a target can see in any pid namespace, without a
// system call, and that a zombie gives too. The list is ours alone; only the word lies in shared
// memory. A thread has one such list, and libc's is of no use here: we hold no robust mutexes.
struct DeathNotice {
  robust_list_head head{};
  robust_list node{};
};
thread_local DeathNotice t_death_notice;

void mark_our_death(int32_t* word) {
  DeathNotice& notice = t_death_notice;
  notice.head.list.next = &notice.head.list;
  notice.head.list_op_pending = nullptr;
  if (word == nullptr || *word != static_cast<int32_t>(syscall(SYS_gettid))) return;
  notice.node.next = &notice.head.list;
  notice.head.futex_offset = reinterpret_cast<char*>(word) - reinterpret_cast<char*>(&notice.node);
  notice.head.list.next = &notice.node;
  syscall(SYS_set_robust_list, &notice.head, sizeof notice.head);
}

}  // namespace

void futex_wake_all(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

Result<Arena> Arena::create(const ArenaOptions& options) {
  // A limit on file sizes should be an error, not our end (SIGXFSZ).
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  struct sigaction before {};
  sigaction(SIGXFSZ, &ignore, &before);
  const ScopeExit restore([&before] { sigaction(SIGXFSZ, &before, nullptr); });
  const int descriptor = memfd_create("tidemark", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) {
    return fail(fmt::format("cannot create shared memory: {}", std::strerror(errno)));
  }
  if (ftruncate(descriptor, static_cast<off_t>(wire::kArenaBytes)) != 0 ||
      fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    const int error = errno;
    close(descriptor);
    return fail(
        fmt::format("cannot size shared memory to {} bytes: {}; is a file-size limit set? "
                    "(ulimit -f)",
                    wire::kArenaBytes, std::strerror(error)));
  }
  void* memory = mmap(nullptr, wire::kArenaBytes, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_NORESERVE, descriptor, 0);
  if (memory == MAP_FAILED) {
    const int error = errno;
    close(descriptor);
    return fail(
        fmt::format("cannot map {} bytes of shared memory: {}; is an address-space limit "
                    "set? (ulimit -v)",
                    wire::kArenaBytes, std::strerror(error)));
  }
  auto* header = new (memory) wire::ArenaHeader{};
  header->version = wire::kWireVersion;
  header->header_bytes = sizeof(wire::ArenaHeader);
  header->nonce = random_nonce();
  header->ring_count = wire::kRingCount;
  header->ring_data_bytes = wire::kRingDataBytes;
  header->collector_pid = getpid();
  header->pid_namespace = pid_namespace();
  header->stacks = options.stacks;
  header->on_full = options.on_full;
  header->record_host = options.record_host;
  header->clock = options.clock;
  header->record_device = options.record_device;
  header->record_access = options.record_access ? 1 : 0;
  header->magic = wire::kArenaMagic;
  mark_our_death(&header->collector_pid);
  return Arena(descriptor, static_cast<std::byte*>(memory));
}

Arena::Arena(Arena&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      memory_(std::exchange(other.memory_, nullptr)),
      touched_(std::move(other.touched_)),
      is_touched_(std::move(other.is_touched_)) {}

Arena::~Arena() {
  if (memory_ != nullptr) {
    mark_our_death(nullptr);
    munmap(memory_, wire::kArenaBytes);
  }
  if (descriptor_ >= 0) close(descriptor_);
}

std::string Arena::environment_value() const {
  return fmt::format("/proc/{}/fd/{}:{:016x}", getpid(), descriptor_, header().nonce);
}

wire::ArenaHeader& Arena::header() const {
  return *std::launder(reinterpret_cast<wire::ArenaHeader*>(memory_));
}

wire::RingHeader& Arena::ring(uint32_t slot) const {
  return *reinterpret_cast<wire::RingHeader*>(memory_ + wire::ring_offset(slot));
}

const std::byte* Arena::ring_data(uint32_t slot) const {
  return memory_ + wire::ring_offset(slot) + wire::kPageBytes;
}

std::span<const uint32_t> Arena::touched_slots() {
  is_touched_.resize(wire::kRingCount, false);
  bool grew = false;
  for (uint32_t slot = 0; slot < wire::kRingCount; ++slot) {
    if (is_touched_[slot]) continue;
    const auto offset = static_cast<off_t>(wire::ring_offset(slot));
    const off_t data = lseek(descriptor_, offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // only holes from here to the end
    // A file system that cannot tell counts every slot as touched: slower, never wrong.
    const uint64_t found = data < 0 ? static_cast<uint64_t>(offset) : static_cast<uint64_t>(data);
    slot = static_cast<uint32_t>((found - wire::kPageBytes) / wire::kRingSlotBytes);
    if (is_touched_[slot]) continue;
    is_touched_[slot] = true;
    touched_.push_back(slot);
    grew = true;
  }
  if (grew) std::sort(touched_.begin(), touched_.end());
  return touched_;
}

void Arena::free_slot(uint32_t slot) {
  // The whole slot at once: a hole reads as zero, which is kFree with head and tail at 0. Until
  // then the state is not kFree, so nobody can have claimed it on the page that goes.
  const bool punched = fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 static_cast<off_t>(wire::ring_offset(slot)),
                                 static_cast<off_t>(wire::kRingSlotBytes)) == 0;
  if (punched) {
    if (slot < is_touched_.size() && is_touched_[slot]) {
      is_touched_[slot] = false;
      touched_.erase(std::lower_bound(touched_.begin(), touched_.end(), slot));
    }
    return;
  }
  wire::RingHeader& header = ring(slot);
  header.head.store(0, std::memory_order_relaxed);
  header.tail.store(0, std::memory_order_relaxed);
  header.waiting.store(0, std::memory_order_relaxed);
  header.state.store(wire::RingState::kFree, std::memory_order_release);
}

void Arena::wait_doorbell(uint32_t seen, int64_t timeout_ns) const {
  timespec timeout{};
  timeout.tv_sec = timeout_ns / 1'000'000'000;
  timeout.tv_nsec = timeout_ns % 1'000'000'000;
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&header().doorbell), FUTEX_WAIT, seen, &timeout,
          nullptr, 0);
}

void Arena::close_to_targets() {
  std::atomic_ref<int32_t>(header().collector_pid).store(0, std::memory_order_seq_cst);
  for (const uint32_t slot : touched_slots()) {
    wire::RingHeader& header = ring(slot);
    header.released.fetch_add(1, std::memory_order_seq_cst);
    futex_wake_all(header.released);
  }
}

}  // namespace tidemark::collector
