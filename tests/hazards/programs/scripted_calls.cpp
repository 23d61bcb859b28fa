// Makes a known number of calls of every kind, from several threads and in children, with frees on
// other threads, and keeps its own books: one line on stdout per process and kind, and one line per
// checkpoint with the bytes that it holds. The innermost frame of every counted call is a function
// scripted::do_…, so that the books can be compared with a trace call by call.
//
//   count PID KIND CALLS BYTES
//   live PID LAYER TIME_NS BYTES
#include <malloc.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

namespace scripted {

constexpr size_t kPage = 4096;

struct Tally {
  uint64_t calls = 0;
  uint64_t bytes = 0;
};
std::map<std::string, Tally> g_tally;
std::mutex g_tally_mutex;
std::atomic<int64_t> g_heap_live{0};
std::atomic<int64_t> g_mapped_live{0};

void count(const char* kind, size_t bytes) {
  const std::lock_guard lock(g_tally_mutex);
  Tally& tally = g_tally[kind];
  ++tally.calls;
  tally.bytes += bytes;
}

#define NOINLINE [[gnu::noinline]]
// Keeps a call from being the last thing a function does, so that its frame is on the stack.
#define KEEP(value) asm volatile("" : "+r"(value) : : "memory")
#define STAY() asm volatile("" : : : "memory")

NOINLINE void* do_malloc(size_t n) {
  void* p = std::malloc(n);
  KEEP(p);
  return p;
}
NOINLINE void* do_calloc(size_t n) {
  void* p = std::calloc(n, 1);
  KEEP(p);
  return p;
}
NOINLINE void* do_realloc(void* o, size_t n) {
  void* p = std::realloc(o, n);
  KEEP(p);
  return p;
}
NOINLINE void* do_reallocarray(void* o, size_t n) {
  void* p = reallocarray(o, n, 1);
  KEEP(p);
  return p;
}
NOINLINE void* do_posix_memalign(size_t n) {
  void* p = nullptr;
  if (posix_memalign(&p, 256, n) != 0) std::abort();
  KEEP(p);
  return p;
}
NOINLINE void* do_aligned_alloc(size_t n) {
  void* p = std::aligned_alloc(64, n);
  KEEP(p);
  return p;
}
NOINLINE void* do_memalign(size_t n) {
  void* p = memalign(128, n);
  KEEP(p);
  return p;
}
NOINLINE void* do_valloc(size_t n) {
  void* p = valloc(n);
  KEEP(p);
  return p;
}
NOINLINE void* do_pvalloc(size_t n) {
  void* p = pvalloc(n);
  KEEP(p);
  return p;
}
NOINLINE void* do_new(size_t n) {
  void* p = ::operator new(n);
  KEEP(p);
  return p;
}
NOINLINE void* do_new_array(size_t n) {
  void* p = ::operator new[](n);
  KEEP(p);
  return p;
}
NOINLINE void* do_new_nothrow(size_t n) {
  void* p = ::operator new(n, std::nothrow);
  KEEP(p);
  return p;
}
NOINLINE void* do_new_aligned(size_t n) {
  void* p = ::operator new (n, std::align_val_t{128});
  KEEP(p);
  return p;
}
NOINLINE void* do_new_array_aligned(size_t n) {
  void* p = ::operator new[](n, std::align_val_t{64});
  KEEP(p);
  return p;
}
NOINLINE void do_free(void* p) {
  std::free(p);
  STAY();
}
NOINLINE void do_delete(void* p) {
  ::operator delete(p);
  STAY();
}
NOINLINE void do_delete_array(void* p) {
  ::operator delete[](p);
  STAY();
}
NOINLINE void do_delete_aligned(void* p) {
  ::operator delete (p, std::align_val_t{128});
  STAY();
}
NOINLINE void do_delete_array_aligned(void* p) {
  ::operator delete[](p, std::align_val_t{64});
  STAY();
}
NOINLINE void* do_mmap(size_t n) {
  void* p = mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) std::abort();
  KEEP(p);
  return p;
}
NOINLINE void* do_mremap(void* o, size_t old_bytes, size_t n) {
  void* p = mremap(o, old_bytes, n, MREMAP_MAYMOVE);
  if (p == MAP_FAILED) std::abort();
  KEEP(p);
  return p;
}
NOINLINE void do_munmap(void* p, size_t n) {
  if (munmap(p, n) != 0) std::abort();
  STAY();
}

struct Block {
  void* address;
  size_t size;
  void (*release)(void*);
};

template <class Function>
Block allocate(const char* kind, Function function, size_t size, void (*release)(void*)) {
  void* p = function(size);
  if (p == nullptr) std::abort();
  count(kind, size);
  g_heap_live += static_cast<int64_t>(size);
  return {p, size, release};
}

void release(const Block& block) {
  g_heap_live -= static_cast<int64_t>(block.size);
  block.release(block.address);
  count("release", block.size);
}

Block grow(const char* kind, void* (*function)(void*, size_t), const Block& old, size_t size) {
  void* p = function(old.address, size);
  if (p == nullptr) std::abort();
  count(kind, size);
  count("release", old.size);
  g_heap_live += static_cast<int64_t>(size) - static_cast<int64_t>(old.size);
  return {p, size, do_free};
}

// One round: each kind once, sizes from a small generator; what is returned is freed by someone
// else.
std::vector<Block> round_of_calls(uint32_t& random) {
  const auto size = [&random] {
    random = random * 1664525U + 1013904223U;
    return size_t{1} + (random >> 8) % 5000U;
  };
  std::vector<Block> blocks;
  blocks.reserve(16);
  blocks.push_back(allocate("malloc", do_malloc, size(), do_free));
  blocks.push_back(allocate("calloc", do_calloc, size(), do_free));
  blocks.push_back(allocate("posix_memalign", do_posix_memalign, size(), do_free));
  blocks.push_back(allocate("aligned_alloc", do_aligned_alloc, size() * 64, do_free));
  blocks.push_back(allocate("memalign", do_memalign, size(), do_free));
  blocks.push_back(allocate("valloc", do_valloc, size(), do_free));
  blocks.push_back(allocate("pvalloc", do_pvalloc, size(), do_free));
  blocks.push_back(allocate("operator new", do_new, size(), do_delete));
  blocks.push_back(allocate("operator new", do_new_nothrow, size(), do_delete));
  blocks.push_back(allocate("operator new[]", do_new_array, size(), do_delete_array));
  blocks.push_back(allocate("operator new(align)", do_new_aligned, size(), do_delete_aligned));
  blocks.push_back(
      allocate("operator new[](align)", do_new_array_aligned, size(), do_delete_array_aligned));
  blocks[0] = grow("realloc", do_realloc, blocks[0], size() + 3000);
  blocks[1] = grow("reallocarray", do_reallocarray, blocks[1], size());
  Block from_null{nullptr, 0, do_free};
  from_null.address = do_realloc(nullptr, 100);
  from_null.size = 100;
  count("realloc", 100);
  g_heap_live += 100;
  blocks.push_back(from_null);
  return blocks;
}

void map_round(uint32_t pages) {
  const size_t bytes = pages * kPage;
  auto* p = static_cast<char*>(do_mmap(bytes));
  count("mmap", bytes);
  g_mapped_live += static_cast<int64_t>(bytes);
  p = static_cast<char*>(do_mremap(p, bytes, 2 * bytes));
  count("mremap", 2 * bytes);
  g_mapped_live += static_cast<int64_t>(bytes);
  // A hole in the middle, then the rest in one go.
  do_munmap(p + kPage, kPage);
  g_mapped_live -= kPage;
  count("munmap call", kPage);
  do_munmap(p, 2 * bytes);
  g_mapped_live -= static_cast<int64_t>(2 * bytes - kPage);
  count("munmap call", 2 * bytes);
}

void checkpoint(const char* layer, int64_t bytes) {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  std::printf("live %d %s %" PRId64 " %" PRId64 "\n", getpid(), layer,
              int64_t{time.tv_sec} * 1000000000 + time.tv_nsec, bytes);
}

void run(int threads, int rounds) {
  std::vector<std::vector<Block>> left(static_cast<size_t>(threads));
  for (int phase = 0; phase < 3; ++phase) {
    std::vector<std::thread> workers;
    for (int t = 0; t < threads; ++t) {
      workers.emplace_back([&left, t, threads, rounds, phase] {
        uint32_t random = static_cast<uint32_t>(t * 977 + phase + 1);
        // Frees what another thread left behind in the phase before.
        std::vector<Block> mine;
        if (phase > 0) mine.swap(left[static_cast<size_t>((t + 1) % threads)]);
        for (const Block& block : mine) release(block);
        std::vector<Block> kept;
        for (int r = 0; r < rounds; ++r) {
          std::vector<Block> blocks = round_of_calls(random);
          for (size_t i = 0; i < blocks.size(); ++i) {
            if ((i + static_cast<size_t>(r)) % 3 == 0) {
              kept.push_back(blocks[i]);
            } else {
              release(blocks[i]);
            }
          }
          map_round(1U + static_cast<uint32_t>(r % 5) + 1U);
        }
        // Only this thread's own slot of this phase; the one it emptied belongs to its neighbour.
        static std::mutex mutex;
        const std::lock_guard lock(mutex);
        static std::vector<std::vector<Block>> next;
        next.resize(static_cast<size_t>(threads));
        next[static_cast<size_t>(t)] = std::move(kept);
        static int arrived = 0;
        if (++arrived == threads) {
          arrived = 0;
          left.swap(next);
          next.clear();
        }
      });
    }
    for (std::thread& worker : workers) worker.join();
    checkpoint("heap", g_heap_live);
    checkpoint("os", g_mapped_live);
  }
  for (const auto& blocks : left) {
    for (const Block& block : blocks) release(block);
  }
  // What fails changes nothing: not from nothing, and not a block that stays as it was.
  volatile size_t impossible = SIZE_MAX / 2;
  if (do_realloc(nullptr, impossible) != nullptr) std::abort();
  const Block stays = allocate("malloc", do_malloc, 4321, do_free);
  if (do_realloc(stays.address, impossible) != nullptr) std::abort();
  checkpoint("heap", g_heap_live);
  release(stays);
  checkpoint("heap", g_heap_live);
}

void print_books() {
  for (const auto& [kind, tally] : g_tally) {
    std::printf("count %d %s\t%" PRIu64 "\t%" PRIu64 "\n", getpid(), kind.c_str(), tally.calls,
                tally.bytes);
  }
  std::fflush(stdout);
}

}  // namespace scripted

// scripted_calls THREADS ROUNDS [children]
int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: scripted_calls THREADS ROUNDS [children]\n");
    return 2;
  }
  const int threads = std::atoi(argv[1]);
  const int rounds = std::atoi(argv[2]);
  const bool children = argc > 3;
  scripted::run(threads, rounds);
  scripted::print_books();
  if (children) {
    // One child by fork, one by fork and exec with every descriptor above 2 closed and an empty
    // environment.
    const pid_t forked = fork();
    if (forked == 0) {
      scripted::g_tally.clear();
      scripted::run(2, rounds);
      scripted::print_books();
      std::exit(0);
    }
    const pid_t executed = fork();
    if (executed == 0) {
      for (int fd = 3; fd < 1024; ++fd) close(fd);
      char* arguments[] = {argv[0], argv[1], argv[2], nullptr};
      char* environment[] = {nullptr};
      execve("/proc/self/exe", arguments, environment);
      std::_Exit(127);
    }
    for (const pid_t child : {forked, executed}) {
      int status = 0;
      if (waitpid(child, &status, 0) != child || status != 0) return 1;
    }
  }
  return 0;
}
