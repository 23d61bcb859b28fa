#include <gtest/gtest.h>

#include <random>
#include <set>
#include <tuple>

#include "allocator/free_index.h"
#include "sizes.h"
#include "tidemark/analyzer/allocator_model.h"

namespace tidemark::analyzer {
namespace {

using Key = std::tuple<uint64_t, uint64_t, uint32_t>;  // size, address, block

struct Both {
  uint32_t insert(uint64_t bytes, uint64_t address) {
    const uint32_t id = blocks.create();
    blocks[id].bytes = bytes;
    blocks[id].address = address;
    index.insert(blocks, id);
    expected.emplace(bytes, address, id);
    return id;
  }
  void erase(std::set<Key>::iterator at) {
    index.erase(blocks, std::get<2>(*at));
    blocks.recycle(std::get<2>(*at));
    expected.erase(at);
  }
  Blocks blocks;
  FreeIndex index;
  std::set<Key> expected;
};

void expect_same_order(const Both& both) {
  uint32_t at = both.index.first(both.blocks);
  for (const auto& [bytes, address, id] : both.expected) {
    ASSERT_EQ(at, id);
    at = both.index.next(both.blocks, at);
  }
  ASSERT_EQ(at, kNoBlock);
  ASSERT_EQ(both.index.largest_bytes(both.blocks),
            both.expected.empty() ? 0 : std::get<0>(*both.expected.rbegin()));
}

TEST(FreeIndex, is_empty_at_first_and_again) {
  Both both;
  expect_same_order(both);
  EXPECT_EQ(both.index.lower_bound(both.blocks, 1, 0), kNoBlock);
  both.insert(512, 0);
  both.erase(both.expected.begin());
  expect_same_order(both);
  EXPECT_EQ(both.index.lower_bound(both.blocks, 0, 0), kNoBlock);
}

// No two blocks lie at one address.
TEST(FreeIndex, holds_any_size) {
  Both both;
  for (int bit = 0; bit < 64; ++bit) {
    for (const uint64_t beside : {uint64_t{0}, uint64_t{1}, (uint64_t{1} << bit) / 2}) {
      both.insert((uint64_t{1} << bit) + beside, both.expected.size());
    }
  }
  both.insert(~uint64_t{0}, 1000);
  expect_same_order(both);
}

TEST(FreeIndex, agrees_with_a_sorted_set) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    std::mt19937_64 random(seed);
    Both both;
    const auto some_bytes = [&] {
      // Of few sizes in some runs, of any in others.
      const uint64_t bits = 9 + random() % (seed % 2 == 0 ? 4 : 40);
      return seed % 3 == 0 ? uint64_t{1} << bits : (1 + random() % (uint64_t{1} << bits)) * 512;
    };
    for (int step = 0; step < 5000; ++step) {
      if (random() % 3 == 0 && !both.expected.empty()) {
        auto at = both.expected.lower_bound(Key{some_bytes(), 0, 0});
        if (at == both.expected.end()) at = both.expected.begin();
        both.erase(at);
      } else {
        both.insert(some_bytes(),
                    random() % (uint64_t{1} << 40) * 512 + static_cast<uint64_t>(step));
      }
      const uint64_t bytes = some_bytes();
      const uint64_t address = random() % (uint64_t{1} << 49);
      const auto at = both.expected.lower_bound(Key{bytes, address, 0});
      ASSERT_EQ(both.index.lower_bound(both.blocks, bytes, address),
                at == both.expected.end() ? kNoBlock : std::get<2>(*at));
    }
    ASSERT_NO_FATAL_FAILURE(expect_same_order(both)) << "seed " << seed;
  }
}

TEST(DescendingPlacer, gives_ranges_of_32_MiB_from_above_and_fills_the_lowest_first) {
  const auto placer = descending_placer(1000 * kMiB);
  // As recorded on an H100: 148, 20 and 2 MiB, the last behind the first one.
  const uint64_t first = placer->place(148 * kMiB, 0);
  EXPECT_EQ(first, 992 * kMiB - 160 * kMiB);
  const uint64_t second = placer->place(20 * kMiB, 0);
  EXPECT_EQ(second, first - 32 * kMiB);
  EXPECT_EQ(placer->place(2 * kMiB, 0), second + 20 * kMiB);
  placer->release(first, 148 * kMiB);
  EXPECT_EQ(placer->place(40 * kMiB, 0), first + 96 * kMiB);  // the top of the gap
  EXPECT_EQ(placer->place(200 * kMiB, 0), second - 224 * kMiB);
}

}  // namespace
}  // namespace tidemark::analyzer
