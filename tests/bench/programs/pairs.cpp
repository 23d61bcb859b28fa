// What the host benchmark times: pairs of malloc and free under C++ call stacks of about 17 frames.
//
//   pairs SHAPE PAIRS THREADS
//
// SHAPE says how the stack changes from one pair to the next:
//   constant  a chain of functions down to a loop with eight call sites: only the innermost frame
//             differs (flatters whoever remembers the last stack)
//   walk      depth first through a tree of calls, as programs run: depth 8 to 30, thousands of
//             distinct stacks, neighbours share all but a few frames
//   jump      from the root to a node of the same tree drawn at random, for each pair anew: the
//             worst that a program can do, next to nothing is shared
//
// Prints one line of JSON: the pairs made (exactly PAIRS for each thread), wall time of the loops,
// and the processor time of the whole process so far. With 0 pairs it does all but the pairs.
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace {

constexpr unsigned kFunctions = 16;  // distinct functions in the tree of calls
constexpr unsigned kNodes = 6000;    // distinct stacks in it
constexpr unsigned kMinDepth = 8;    // of frames of this program below the thread's start
constexpr unsigned kMaxDepth = 30;
constexpr unsigned kSites = 8;
constexpr unsigned kChain = 11;
constexpr unsigned kWindow = 32;  // blocks that live at once: a free meets another block's stack

struct Node {
  uint16_t parent = 0, first_child = 0, next_sibling = 0;
  uint8_t function = 0, depth = 0;
};
std::array<Node, kNodes> g_tree;

// xorshift: the same on every machine.
struct Random {
  uint64_t state;
  uint32_t below(uint32_t bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<uint32_t>((state >> 32) % bound);
  }
};

// A chain of kMinDepth nodes, from which branches grow where the last ones grew.
void grow_tree() {
  Random random{0x7469646d61726bULL};
  std::array<uint8_t, kNodes> children{};
  g_tree[0].depth = 1;
  for (unsigned i = 1; i < kNodes; ++i) {
    unsigned parent = i - 1;
    if (i >= kMinDepth) {
      // Mostly near the last one, now and then anywhere.
      const unsigned grown = i - kMinDepth + 1;
      unsigned reach = random.below(8) == 0 || grown < 12 ? grown : 12;
      do {
        parent = i - 1 - random.below(reach);
        reach = grown;
      } while (g_tree[parent].depth >= kMaxDepth || children[parent] >= kFunctions);
    }
    Node& node = g_tree[i];
    node.parent = static_cast<uint16_t>(parent);
    node.depth = static_cast<uint8_t>(g_tree[parent].depth + 1);
    // Siblings differ in function, so that every node is a stack of its own.
    node.function = static_cast<uint8_t>((parent * 7 + children[parent]++) % kFunctions);
    node.next_sibling = g_tree[parent].first_child;
    g_tree[parent].first_child = static_cast<uint16_t>(i);
  }
}

struct Worker {
  Random random{1};
  uint64_t left = 0;
  uint64_t made = 0;
  unsigned at = 0;
  void* window[kWindow] = {};
  const uint16_t* path = nullptr;  // jump: from the root to the node
  unsigned node = 0;
};

// The compiler may neither drop a pair nor see through the block.
[[gnu::always_inline]] inline void pair(Worker& worker, uint32_t size) {
  void* block = std::malloc(size);
  if (block == nullptr) std::abort();
  *static_cast<volatile char*>(block) = 1;
  void*& oldest = worker.window[worker.at++ % kWindow];
  std::free(oldest);
  oldest = block;
  --worker.left;
  ++worker.made;
}

// --- constant ---

template <unsigned kSite>
[[gnu::noinline]] void site(Worker& worker) {
  pair(worker, 16U + 8U * worker.random.below(worker.left % 16 == 0 ? 512 : 32));
  asm volatile("" ::"i"(kSite) : "memory");  // no two sites are folded into one
}
using Site = void (*)(Worker&);
template <unsigned... k>
constexpr std::array<Site, sizeof...(k)> sites(std::integer_sequence<unsigned, k...>) {
  return {site<k>...};
}
constexpr auto kSiteTable = sites(std::make_integer_sequence<unsigned, kSites>());

template <unsigned kDepth>
[[gnu::noinline]] void chain(Worker& worker) {
  // Locals of different sizes, as frames have.
  volatile char local[16 + 24 * (kDepth % 5)];
  local[0] = static_cast<char>(worker.left);
  if constexpr (kDepth == 0) {
    while (worker.left != 0) kSiteTable[worker.left % kSites](worker);
  } else {
    chain<kDepth - 1>(worker);
  }
  local[1] = local[0];  // no tail call
}

// --- walk and jump ---

// A place in a program asks for one size, or few. (heaptrack 1.4.0 needs that: from some 30,000
// pairs of stack and size its interpreter's hash table grows until there is no memory left.)
uint32_t size_at(unsigned node) { return 16U + 8U * (node * 2654435761U >> 26); }

using Visit = void (*)(Worker&, unsigned);
template <unsigned kFunction>
void visit(Worker& worker, unsigned node);
template <unsigned kFunction>
void descend(Worker& worker, unsigned step);
template <unsigned... k>
constexpr std::array<Visit, sizeof...(k)> visits(std::integer_sequence<unsigned, k...>) {
  return {visit<k>...};
}
template <unsigned... k>
constexpr std::array<Visit, sizeof...(k)> descents(std::integer_sequence<unsigned, k...>) {
  return {descend<k>...};
}
constexpr auto kVisitTable = visits(std::make_integer_sequence<unsigned, kFunctions>());
constexpr auto kDescentTable = descents(std::make_integer_sequence<unsigned, kFunctions>());

template <unsigned kFunction>
[[gnu::noinline]] void visit(Worker& worker, unsigned node) {
  volatile char local[16 + 16 * (kFunction % 7)];
  local[0] = static_cast<char>(node);
  // The outermost nodes only lead to the others.
  if (g_tree[node].depth >= kMinDepth && worker.left != 0) pair(worker, size_at(node));
  for (unsigned child = g_tree[node].first_child; child != 0 && worker.left != 0;
       child = g_tree[child].next_sibling) {
    kVisitTable[g_tree[child].function](worker, child);
    if (kFunction % 2 == 0 && worker.left != 0) pair(worker, size_at(child));
  }
  local[1] = local[0];
}

template <unsigned kFunction>
[[gnu::noinline]] void descend(Worker& worker, unsigned step) {
  volatile char local[16 + 16 * (kFunction % 7)];
  local[0] = static_cast<char>(step);
  const unsigned next = worker.path[step];
  if (next == 0) {
    pair(worker, size_at(worker.node));
  } else {
    kDescentTable[g_tree[next].function](worker, step + 1);
  }
  local[1] = local[0];
}

[[gnu::noinline]] void jump(Worker& worker) {
  uint16_t path[kMaxDepth + 1];
  while (worker.left != 0) {
    unsigned node = kMinDepth + worker.random.below(kNodes - kMinDepth);
    const unsigned depth = g_tree[node].depth - 1U;  // steps from the root
    path[depth] = 0;
    worker.node = node;
    for (unsigned i = depth; i-- > 0; node = g_tree[node].parent) {
      path[i] = static_cast<uint16_t>(node);
    }
    worker.path = path;
    kDescentTable[0](worker, 0);
  }
}

// --- the program ---

const char* g_shape = "";
uint64_t g_pairs = 0;

void* run(void* of) {
  Worker& worker = *static_cast<Worker*>(of);
  worker.left = g_pairs;
  if (std::strcmp(g_shape, "constant") == 0) {
    chain<kChain>(worker);
  } else if (std::strcmp(g_shape, "walk") == 0) {
    while (worker.left != 0) kVisitTable[0](worker, 0);
  } else {
    jump(worker);
  }
  for (void* block : worker.window) std::free(block);
  return nullptr;
}

uint64_t now_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  constexpr unsigned kMostThreads = 64;
  const auto known = [&] {
    for (const char* shape : {"constant", "walk", "jump"}) {
      if (std::strcmp(argv[1], shape) == 0) return true;
    }
    return false;
  };
  if (argc != 4 || !known()) {
    std::fprintf(stderr, "usage: pairs constant|walk|jump PAIRS THREADS\n");
    return 2;
  }
  g_shape = argv[1];
  g_pairs = std::strtoull(argv[2], nullptr, 10);
  const auto threads = static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10));
  if (threads == 0 || threads > kMostThreads) return 2;
  grow_tree();

  static Worker workers[kMostThreads];
  for (unsigned i = 0; i < threads; ++i) workers[i].random.state = 0x9e3779b97f4a7c15ULL * (i + 1);
  const uint64_t start = now_ns();
  pthread_t others[kMostThreads];
  for (unsigned i = 1; i < threads; ++i) {
    if (pthread_create(&others[i], nullptr, run, &workers[i]) != 0) return 1;
  }
  run(&workers[0]);
  for (unsigned i = 1; i < threads; ++i) pthread_join(others[i], nullptr);
  const uint64_t end = now_ns();

  uint64_t made = 0;
  for (unsigned i = 0; i < threads; ++i) made += workers[i].made;
  std::printf("{\"pairs\": %llu, \"wall_ns\": %llu, \"cpu_s\": %.3f}\n",
              static_cast<unsigned long long>(made), static_cast<unsigned long long>(end - start),
              cpu_seconds());
  return made == g_pairs * threads ? 0 : 1;
}
