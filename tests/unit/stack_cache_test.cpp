// The cached walk against the plain one, on stacks that change in every way a program changes them.
#include "tidemark/stack/stack_cache.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "tidemark/stack/unwind.h"
#include "tidemark/wire/stack_id.h"

namespace tidemark::stack {
namespace {

// Zeroed, as the kernel gives it.
struct Cache {
  struct alignas(StackCache) Memory {
    std::byte bytes[sizeof(StackCache)];
  };
  std::unique_ptr<Memory> memory{new Memory()};
  StackCache& operator*() const { return *reinterpret_cast<StackCache*>(memory.get()); }
};

uint64_t g_taken = 0;
uint64_t g_compared = 0;

// At one place both walks must see the same frames, and the ids must be those of their words.
[[gnu::noinline]] void compare(StackCache& cache) {
  const Context here = caller_context();
  static thread_local uint64_t plain[4096];
  const Unwound unwound = unwind(here, plain, 4096);
  cache.update(here, 0);
  // A stack whose ids nobody wants must not spoil those of the next.
  if (++g_taken % 3 == 0) return;
  cache.name_frames();
  ASSERT_GT(cache.count(), 0U);
  wire::StackId id = cache.root();
  for (uint32_t i = 0; i < cache.count(); ++i) {
    ASSERT_EQ(cache.word(i), plain[cache.count() - 1 - i]) << i << " of " << cache.count();
    id = wire::stack_child(id, cache.word(i));
    ASSERT_EQ(cache.id(i), id);
  }
  if (!cache.truncated()) {
    ASSERT_EQ(cache.count(), unwound.count);
    EXPECT_EQ(cache.root(), wire::stack_root(0, unwound.ending == Ending::kOutermost));
  } else {
    ASSERT_LT(cache.count(), unwound.count);
  }
  ++g_compared;
}

struct Walk {
  StackCache* cache;
  std::mt19937 random{1};
  int budget = 0;
};

// Functions of different shapes that call each other at random: plain frames, frames found by base
// pointer (a dynamic array), realigned ones, and two call sites in each, so that a frame may stay
// while its caller has moved on.
using Function = void (*)(Walk&, int);
extern Function g_functions[4];
void call_on(Walk& walk, int depth) { g_functions[walk.random() % 4](walk, depth); }

[[gnu::noinline]] void plain_frame(Walk& walk, int depth) {
  compare(*walk.cache);
  if (depth > 0 && walk.budget-- > 0) call_on(walk, depth - 1);
  compare(*walk.cache);
  if (depth > 0 && walk.budget-- > 0) call_on(walk, depth - 1);
  asm volatile("");
}
[[gnu::noinline]] void dynamic_frame(Walk& walk, int depth) {
  auto* bytes = static_cast<volatile char*>(__builtin_alloca(16 + walk.random() % 200));
  bytes[0] = 1;
  if (depth > 0 && walk.budget-- > 0) call_on(walk, depth - 1);
  compare(*walk.cache);
  if (depth > 0 && walk.budget-- > 0) call_on(walk, depth - 1);
  bytes[1] = bytes[0];
}
struct alignas(64) Wide {
  double values[8];
};
[[gnu::noinline]] void realigned_frame(Walk& walk, int depth) {
  Wide wide;
  std::memset(static_cast<void*>(&wide), depth, sizeof wide);
  asm volatile("" : : "r"(&wide) : "memory");
  if (depth > 0 && walk.budget-- > 0) call_on(walk, depth - 1);
  compare(*walk.cache);
  asm volatile("" : : "r"(&wide) : "memory");
}
int compare_in_sort(const void* a, const void* b, void* walk) {
  auto& mine = *static_cast<Walk*>(walk);
  compare(*mine.cache);
  if (mine.budget-- > 0) call_on(mine, 1);
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}
[[gnu::noinline]] void through_libc(Walk& walk, int depth) {
  int numbers[] = {3, 1, 2};
  qsort_r(numbers, 3, sizeof(int), compare_in_sort, &walk);
  if (depth > 0 && walk.budget-- > 0) call_on(walk, depth - 1);
  asm volatile("" : : "r"(numbers) : "memory");
}
Function g_functions[4] = {plain_frame, dynamic_frame, realigned_frame, through_libc};

TEST(StackCache, sees_what_a_plain_walk_sees_whatever_changed_in_between) {
  const Cache cache;
  for (unsigned seed = 1; seed <= 200; ++seed) {
    Walk walk{&*cache, std::mt19937(seed), 200};
    call_on(walk, static_cast<int>(seed % 30));
  }
  EXPECT_GT(g_compared, 10000U);
}

[[gnu::noinline]] void recurse(StackCache& cache, int depth) {
  if (depth % 7 == 0) compare(cache);
  if (depth > 0) recurse(cache, depth - 1);
  if (depth % 5 == 0) compare(cache);
  asm volatile("");
}

TEST(StackCache, keeps_the_inner_frames_of_a_recursion_deeper_than_it_holds) {
  const Cache cache;
  recurse(*cache, 3500);
  EXPECT_TRUE((*cache).truncated() || (*cache).count() < StackCache::kCapacity);
  // Once that is over the whole stack is there again.
  recurse(*cache, 20);
  EXPECT_FALSE((*cache).truncated());
}

// The stack ends in code that nobody describes, which calls through a frame pointer chain.
StackCache* g_signal_cache = nullptr;
void on_signal(int /*signal*/) { compare(*g_signal_cache); }

TEST(StackCache, is_right_before_in_and_after_a_signal_handler) {
  const Cache cache;
  g_signal_cache = &*cache;
  struct sigaction action {};
  action.sa_handler = on_signal;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  for (int i = 0; i < 20; ++i) {
    compare(*cache);
    raise(SIGUSR1);
  }
}

// Coroutines: the same cache sees one stack after another, also one whose memory was given to
// another.
ucontext_t g_main;
ucontext_t g_coroutine;
StackCache* g_coroutine_cache = nullptr;
void coroutine() {
  for (int i = 0;; ++i) {
    recurse(*g_coroutine_cache, i % 9);
    swapcontext(&g_coroutine, &g_main);
  }
}

TEST(StackCache, follows_a_thread_from_stack_to_stack) {
  const Cache cache;
  g_coroutine_cache = &*cache;
  for (int round = 0; round < 5; ++round) {
    std::vector<char> memory(256 * 1024);
    getcontext(&g_coroutine);
    g_coroutine.uc_stack.ss_sp = memory.data();
    g_coroutine.uc_stack.ss_size = memory.size();
    g_coroutine.uc_link = nullptr;
    makecontext(&g_coroutine, coroutine, 0);
    for (int i = 0; i < 20; ++i) {
      swapcontext(&g_main, &g_coroutine);
      recurse(*cache, i % 5);
    }
  }
}

TEST(StackCache, another_count_of_unloads_names_the_same_frames_anew) {
  const Cache cache;
  const Context here = caller_context();
  (*cache).update(here, 0);
  (*cache).name_frames();
  const uint32_t count = (*cache).count();
  const wire::StackId before = (*cache).id(count - 1);
  (*cache).set_published(count - 1);
  (*cache).update(here, 0);
  (*cache).name_frames();
  EXPECT_TRUE((*cache).published(count - 1));
  (*cache).update(here, 1);
  (*cache).name_frames();
  EXPECT_EQ((*cache).count(), count);
  EXPECT_NE((*cache).id(count - 1), before);
  EXPECT_FALSE((*cache).published(count - 1));
}

}  // namespace
}  // namespace tidemark::stack
