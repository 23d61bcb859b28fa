// What the host benchmark measures memory with: THREADS threads that have all allocated under some
// hundred stacks and then stand still, while the process reads its own /proc/self/smaps_rollup.
//
//   threads THREADS
//
// Prints one line of JSON: resident and proportional set size in bytes.
#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr unsigned kMostThreads = 256;
constexpr unsigned kPairs = 20'000;
constexpr unsigned kDepth = 20;

pthread_barrier_t g_worked, g_measured;

[[gnu::noinline]] void work(unsigned depth, unsigned bits, unsigned number) {
  volatile char local[32];
  local[0] = static_cast<char>(depth);
  if (depth == 0) {
    void* block = std::malloc(16 + number % 500);
    if (block == nullptr) std::abort();
    *static_cast<volatile char*>(block) = 1;
    std::free(block);
  } else if ((bits & 1) != 0) {  // two call sites a level: 2^8 stacks
    work(depth - 1, bits >> 1, number);
  } else {
    work(depth - 1, bits >> 1, number + 1);
  }
  local[1] = local[0];
}

void* run(void*) {
  for (unsigned i = 0; i < kPairs; ++i) work(kDepth, i & 0xff, i);
  pthread_barrier_wait(&g_worked);
  pthread_barrier_wait(&g_measured);
  return nullptr;
}

// kB of a line "Name:   123 kB"; -1 when there is none.
long field_kb(const char* text, const char* name) {
  const char* line = std::strstr(text, name);
  return line == nullptr ? -1 : std::strtol(line + std::strlen(name), nullptr, 10);
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned long threads = argc == 2 ? std::strtoul(argv[1], nullptr, 10) : 0;
  if (threads == 0 || threads > kMostThreads) {
    std::fprintf(stderr, "usage: threads THREADS (1 to %u)\n", kMostThreads);
    return 2;
  }
  const auto parties = static_cast<unsigned>(threads) + 1;
  pthread_barrier_init(&g_worked, nullptr, parties);
  pthread_barrier_init(&g_measured, nullptr, parties);
  pthread_t all[kMostThreads];
  for (unsigned long i = 0; i < threads; ++i) {
    if (pthread_create(&all[i], nullptr, run, nullptr) != 0) return 1;
  }
  pthread_barrier_wait(&g_worked);
  FILE* file = std::fopen("/proc/self/smaps_rollup", "r");
  if (file == nullptr) return 1;
  char text[4096] = {};
  const size_t bytes = std::fread(text, 1, sizeof text - 1, file);
  std::fclose(file);
  pthread_barrier_wait(&g_measured);
  for (unsigned long i = 0; i < threads; ++i) pthread_join(all[i], nullptr);
  const long rss = field_kb(text, "Rss:");
  const long pss = field_kb(text, "Pss:");
  if (bytes == 0 || rss < 0 || pss < 0) return 1;
  std::printf("{\"rss_bytes\": %ld, \"pss_bytes\": %ld}\n", rss * 1024, pss * 1024);
  return 0;
}
