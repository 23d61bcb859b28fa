// The unwinder against libunwind, frame by frame, from places that real programs allocate in.
#include <gtest/gtest.h>

#define UNW_LOCAL_ONLY
#include <dlfcn.h>
#include <libunwind.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "rules.h"
#include "tidemark/stack/modules.h"
#include "tidemark/stack/recent_ids.h"
#include "tidemark/stack/seen_set.h"
#include "tidemark/stack/unwind.h"

namespace tidemark::stack {
namespace {

struct Stacks {
  std::vector<uint64_t> ours;
  std::vector<uint64_t> theirs;
  Ending ending = Ending::kOutermost;
};

// Both start at the caller of this function.
[[gnu::noinline]] Stacks take_both() {
  Stacks stacks;
  uint64_t addresses[512];
  const Unwound unwound = unwind(caller_context(), addresses, 512);
  stacks.ours.assign(addresses, addresses + unwound.count);
  stacks.ending = unwound.ending;
  void* frames[512];
  const int count = unw_backtrace(frames, 512);
  for (int i = 1; i < count; ++i) stacks.theirs.push_back(reinterpret_cast<uint64_t>(frames[i]));
  return stacks;
}

// The first of theirs is in take_both's caller, as ours, but at another instruction.
void expect_same(Stacks stacks) {
  ASSERT_GE(stacks.ours.size(), 3U);
  ASSERT_GE(stacks.theirs.size(), 2U);
  while (!stacks.theirs.empty() && stacks.theirs.back() == 0) stacks.theirs.pop_back();
  EXPECT_EQ(stacks.ours, stacks.theirs);
  EXPECT_EQ(stacks.ending, Ending::kOutermost);
}

TEST(Unwind, agrees_with_libunwind_in_a_plain_call_chain) { expect_same(take_both()); }

[[gnu::noinline]] Stacks recurse(int depth) {
  volatile char ballast[64];
  ballast[0] = static_cast<char>(depth);
  Stacks stacks = depth == 0 ? take_both() : recurse(depth - 1);
  ballast[1] = ballast[0];
  return stacks;
}

TEST(Unwind, agrees_through_deep_recursion) {
  const Stacks stacks = recurse(200);
  EXPECT_GT(stacks.ours.size(), 200U);
  expect_same(stacks);
}

TEST(Unwind, agrees_in_another_thread_down_to_its_start) {
  Stacks stacks;
  std::thread([&] { stacks = recurse(5); }).join();
  expect_same(stacks);
}

Stacks g_from_callback;
int compare_and_take(const void* a, const void* b) {
  g_from_callback = take_both();
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

TEST(Unwind, agrees_through_libc_and_back) {
  int numbers[] = {3, 1, 2};
  qsort(numbers, 3, sizeof(int), compare_and_take);
  expect_same(g_from_callback);
}

void on_signal(int /*signal*/) { g_from_callback = take_both(); }

TEST(Unwind, agrees_through_a_signal_handler) {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  raise(SIGUSR1);
  // libunwind reports the interrupted instruction as it is, ours one further, so that "address − 1"
  // is right for all frames alike.
  Stacks stacks = g_from_callback;
  ASSERT_EQ(stacks.ours.size(), stacks.theirs.size());
  size_t different = 0;
  for (size_t i = 0; i < stacks.ours.size(); ++i) {
    if (stacks.ours[i] == stacks.theirs[i]) continue;
    EXPECT_EQ(stacks.ours[i], stacks.theirs[i] + 1);
    ++different;
  }
  EXPECT_EQ(different, 1U);
  EXPECT_EQ(stacks.ending, Ending::kOutermost);
}

TEST(Unwind, agrees_on_an_alternate_signal_stack) {
  std::vector<char> memory(256 * 1024);
  stack_t alternate{};
  alternate.ss_sp = memory.data();
  alternate.ss_size = memory.size();
  ASSERT_EQ(sigaltstack(&alternate, nullptr), 0);
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_ONSTACK;
  ASSERT_EQ(sigaction(SIGUSR2, &action, nullptr), 0);
  raise(SIGUSR2);
  alternate.ss_flags = SS_DISABLE;
  sigaltstack(&alternate, nullptr);
  // The interrupted stack may lie below the alternate one: then it ends there, but never wrongly.
  const size_t common = std::min(g_from_callback.ours.size(), g_from_callback.theirs.size());
  EXPECT_GE(common, 2U);
  EXPECT_EQ(g_from_callback.ours[0], g_from_callback.theirs[0]);
}

// Realigned stacks (wide vectors) reach the caller through a saved base pointer.
struct alignas(64) Wide {
  double values[8];
};
[[gnu::noinline]] Stacks realigned(int n) {
  Wide wide[4];
  std::memset(static_cast<void*>(wide), n, sizeof wide);
  auto* dynamic = static_cast<char*>(__builtin_alloca(static_cast<size_t>(n) * 16 + 64));
  std::memset(dynamic, n, 64);
  Stacks stacks = take_both();
  asm volatile("" : : "r"(wide), "r"(dynamic) : "memory");
  return stacks;
}

TEST(Unwind, agrees_through_realigned_frames) { expect_same(realigned(3)); }

TEST(Unwind, stops_at_capacity_and_says_so) {
  uint64_t addresses[3];
  const Unwound unwound = unwind(caller_context(), addresses, 3);
  EXPECT_EQ(unwound.count, 3U);
  EXPECT_EQ(unwound.ending, Ending::kTruncated);
}

TEST(Unwind, says_so_when_it_passes_code_without_tables) {
  // call *%rdi with a frame that no table describes; returns what the callee returned.
  constexpr uint8_t kCode[] = {0x48, 0x83, 0xec, 0x08, 0xff, 0xd7, 0x48, 0x83, 0xc4, 0x08, 0xc3};
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  std::memcpy(page, kCode, sizeof kCode);
  ASSERT_EQ(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
  static Unwound unwound;
  static uint64_t addresses[64];
  const auto callee = +[] { unwound = unwind(caller_context(), addresses, 64); };
  reinterpret_cast<void (*)(void (*)())>(page)(callee);
  EXPECT_EQ(unwound.ending, Ending::kIncomplete);
  // Unoptimized, a lambda is called through one more function of the compiler's.
  const uint64_t unknown_code = reinterpret_cast<uint64_t>(page) + 6;
  EXPECT_TRUE(addresses[0] == unknown_code || addresses[1] == unknown_code);
  munmap(page, 4096);
}

TEST(Unwind, follows_frame_pointers_through_generated_code_to_the_program_and_beyond) {
  // push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret — and another that calls it with %rsi as
  // %rdi.
  constexpr uint8_t kInner[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
  constexpr uint8_t kOuter[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf0, 0xff, 0xd0, 0x5d, 0xc3};
  auto* page = static_cast<uint8_t*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(page, MAP_FAILED);
  std::memcpy(page, kInner, sizeof kInner);
  std::memcpy(page + 64, kOuter, sizeof kOuter);
  ASSERT_EQ(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
  static Stacks stacks;
  const auto callee = +[] { stacks = take_both(); };
  using Outer = void (*)(void (*)(), void*);
  const auto here = reinterpret_cast<uint64_t>(page);
  reinterpret_cast<Outer>(here + 64)(callee, page);
  EXPECT_EQ(stacks.ending, Ending::kIncomplete) << "a guess is not sold as a fact";
  const auto inner = std::find(stacks.ours.begin(), stacks.ours.end(), here + 6);
  ASSERT_NE(inner, stacks.ours.end());
  ASSERT_NE(inner + 1, stacks.ours.end());
  EXPECT_EQ(inner[1], here + 64 + 9);
  // Beyond it, the program's own frames down to the thread's start.
  const Stacks plain = take_both();
  ASSERT_GT(stacks.ours.size(), plain.ours.size());
  EXPECT_TRUE(std::equal(plain.ours.rbegin(), plain.ours.rend() - 1, stacks.ours.rbegin()));
  munmap(page, 4096);
}

TEST(Unwind, the_cache_forgets_and_comes_to_the_same_answer) {
  const Stacks before = recurse(3);
  forget_rules();
  invalidate_modules();
  const Stacks after = recurse(3);
  EXPECT_EQ(std::vector<uint64_t>(before.ours.begin(), before.ours.begin() + 4),
            std::vector<uint64_t>(after.ours.begin(), after.ours.begin() + 4));
}

TEST(Unwind, many_threads_share_the_cache) {
  std::vector<std::thread> threads;
  std::vector<Stacks> stacks(8);
  for (Stacks& mine : stacks) {
    threads.emplace_back([&mine] {
      for (int i = 0; i < 300; ++i) {
        if (i % 50 == 0) forget_rules();
        mine = recurse(10 + i % 3);
        ASSERT_EQ(mine.ending, Ending::kOutermost);
        ASSERT_EQ(mine.ours, mine.theirs);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Modules, finds_the_library_of_a_function_with_its_build_id) {
  const auto address = reinterpret_cast<uint64_t>(dlsym(RTLD_DEFAULT, "qsort"));
  const Module* module = find_module(address, true);
  ASSERT_NE(module, nullptr);
  EXPECT_NE(std::string(module->path, module->path_bytes).find("libc.so.6"), std::string::npos);
  EXPECT_GE(module->build_id_bytes, 8U);
  EXPECT_EQ(find_symbol(*module, "qsort"), address);
  EXPECT_EQ(find_symbol(*module, "no_such_function_anywhere"), 0U);
}

TEST(Modules, knows_nothing_of_anonymous_memory) {
  std::vector<char> heap(1 << 20);
  EXPECT_EQ(find_module(reinterpret_cast<uint64_t>(heap.data()), true), nullptr);
}

TEST(Modules, a_file_mapped_as_data_is_no_module) {
  FILE* self = fopen("/proc/self/exe", "r");
  ASSERT_NE(self, nullptr);
  void* data = mmap(nullptr, 64 * 1024, PROT_READ, MAP_PRIVATE, fileno(self), 0);
  ASSERT_NE(data, MAP_FAILED);
  invalidate_modules();
  EXPECT_EQ(find_module(reinterpret_cast<uint64_t>(data), true), nullptr);
  // … and does not hide the real one.
  EXPECT_NE(find_module(reinterpret_cast<uint64_t>(&on_signal), true), nullptr);
  munmap(data, 64 * 1024);
  fclose(self);
}

uint64_t spread(uint64_t i) {
  i = (i + 1) * 0x9e3779b97f4a7c15ULL;
  return (i ^ (i >> 29)) * 0xbf58476d1ce4e5b9ULL;
}

TEST(SeenSet, knows_what_was_inserted_and_nothing_else) {
  SeenSet set;
  ASSERT_TRUE(set.create());
  constexpr uint64_t kMany = 400000;  // through three levels
  for (uint64_t i = 0; i < kMany; ++i) {
    set.insert(spread(i));
    ASSERT_TRUE(set.contains(spread(i)));
  }
  for (uint64_t i = 0; i < kMany; ++i) {
    ASSERT_TRUE(set.contains(spread(i))) << i;
    ASSERT_FALSE(set.contains(spread(i + kMany))) << i;
  }
  // Alike in all but one bit, the lowest of which choose the place.
  for (uint64_t i = 0; i < kMany; ++i) {
    ASSERT_FALSE(set.contains(spread(i) ^ (uint64_t{1} << (24 + i % 40)))) << i;
  }
  ASSERT_TRUE(set.renew());
  EXPECT_FALSE(set.contains(spread(1)));
}

TEST(SeenSet, when_it_is_full_the_new_take_the_place_of_the_old) {
  SeenSet set;
  ASSERT_TRUE(set.create());
  constexpr uint64_t kMany = 2'600'000;  // some 500,000 more than there is room for
  for (uint64_t i = 0; i < kMany; ++i) set.insert(spread(i));
  constexpr uint64_t kLatest = 1000;
  uint64_t latest = 0;
  for (uint64_t i = kMany - kLatest; i < kMany; ++i) latest += set.contains(spread(i)) ? 1 : 0;
  EXPECT_GT(latest, kLatest * 99 / 100);
  uint64_t old = 0;
  for (uint64_t i = 0; i < kMany; i += 1000) old += set.contains(spread(i)) ? 1 : 0;
  EXPECT_GT(old, kMany / 1000 / 2) << "most are still there";
}

// A thread that is interrupted while a level gives way to the next may lose the one hash it is
// inserting and the four it is moving, which are then published twice.
TEST(SeenSet, keeps_what_threads_insert_at_once) {
  SeenSet set;
  ASSERT_TRUE(set.create());
  constexpr uint64_t kThreads = 4;
  constexpr uint64_t kEach = 40000;  // through three levels, that is, two changes
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&set, t] {
      for (uint64_t i = 0; i < kEach; ++i) set.insert(spread(t * kEach + i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  uint64_t lost = 0;
  for (uint64_t i = 0; i < kThreads * kEach; ++i) lost += set.contains(spread(i)) ? 0 : 1;
  EXPECT_LE(lost, kThreads * 2 * (1 + 4));
  for (uint64_t i = 0; i < kThreads * kEach; ++i) {
    ASSERT_FALSE(set.contains(spread(i + kThreads * kEach))) << i;
  }
}

struct Recent {
  std::unique_ptr<RecentIds> ids{new RecentIds()};  // zeroed
};

TEST(RecentIds, holds_what_was_inserted_and_nothing_else) {
  const Recent recent;
  recent.ids->clear();
  for (uint64_t i = 0; i < 100'000; ++i) {
    recent.ids->insert(spread(i));
    ASSERT_TRUE(recent.ids->holds(spread(i)));
    ASSERT_FALSE(recent.ids->holds(spread(i + 100'000)));
  }
  recent.ids->clear();
  for (uint64_t i = 0; i < 100'000; ++i) ASSERT_FALSE(recent.ids->holds(spread(i)));
}

TEST(RecentIds, remembers_nearly_all_that_a_training_step_brings_back) {
  const Recent recent;
  recent.ids->clear();
  constexpr uint64_t kStacks = 10'000;
  uint64_t lost = 0;
  for (int step = 0; step < 20; ++step) {
    lost = 0;
    for (uint64_t i = 0; i < kStacks; ++i) {
      if (recent.ids->holds(spread(i))) continue;
      ++lost;
      recent.ids->insert(spread(i));
    }
  }
  EXPECT_LT(lost, kStacks / 20);
}

TEST(Rules, the_near_cache_keeps_what_the_tables_say) {
  forget_rules();
  for (int round = 0; round < 3; ++round) expect_same(take_both());
  const uint64_t address = take_both().ours[0];
  EXPECT_EQ(kind_of(rule_at(address)), kind_of(far_rule_at(address)));
  EXPECT_EQ(rule_at(address).cfa_offset, far_rule_at(address).cfa_offset);
  EXPECT_EQ(rule_at(address).bp_offset, far_rule_at(address).bp_offset);
  ASSERT_NE(kind_of(rule_at(address)), RuleKind::kNone);
  // An entry tells 48 bits of the address; one with more is another.
  for (unsigned bit = 47; bit < 64; ++bit) {
    EXPECT_EQ(kind_of(rule_at(address ^ uint64_t{1} << bit)), RuleKind::kNone) << bit;
  }
  forget_rules();
  expect_same(take_both());
}

template <size_t kBytes>
[[gnu::noinline]] Stacks in_a_frame_of() {
  volatile char bytes[kBytes];
  bytes[0] = 1;
  const Stacks both = take_both();
  bytes[kBytes - 1] = bytes[0];
  return both;
}

TEST(Unwind, agrees_through_frames_of_all_sizes) {
  for (int round = 0; round < 3; ++round) {
    expect_same(in_a_frame_of<8000>());
    expect_same(in_a_frame_of<131000>());
    expect_same(in_a_frame_of<131072>());
    expect_same(in_a_frame_of<140000>());  // too large for the near cache
    expect_same(in_a_frame_of<1000000>());
  }
}

}  // namespace
}  // namespace tidemark::stack
