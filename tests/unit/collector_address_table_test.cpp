#include <gtest/gtest.h>

#include <random>
#include <unordered_map>

#include "address_table.h"

namespace tidemark::collector {
namespace {

TEST(AddressTable, an_empty_one_has_nothing_and_gives_up_nothing) {
  AddressTable<int> table;
  table.prefetch(5);
  EXPECT_EQ(table.find(5), nullptr);
  EXPECT_EQ(table.find(0), nullptr);
  EXPECT_FALSE(table.erase(5));
  EXPECT_FALSE(table.erase(0));
  EXPECT_EQ(table.size(), 0U);
}

TEST(AddressTable, what_is_there_is_kept_when_it_is_inserted_again) {
  AddressTable<int> table;
  for (const uint64_t key : {uint64_t{0}, uint64_t{16}, ~uint64_t{0}}) {
    EXPECT_TRUE(table.insert(key, 1).second);
    const auto [value, fresh] = table.insert(key, 2);
    EXPECT_FALSE(fresh);
    EXPECT_EQ(*value, 1);
    *value = 3;
    EXPECT_EQ(*table.find(key), 3);
  }
  EXPECT_EQ(table.size(), 3U);
}

// Against a map of the standard library, through growth and many erasures; keys that collide.
TEST(AddressTable, it_holds_what_a_map_holds_through_any_history) {
  for (const uint64_t step : {uint64_t{1}, uint64_t{16}, uint64_t{1} << 32, uint64_t{1} << 52}) {
    std::mt19937_64 random(step);
    AddressTable<uint64_t> table;
    std::unordered_map<uint64_t, uint64_t> truth;
    for (int i = 0; i < 200'000; ++i) {
      // Fills up in the first half, empties in the second.
      const uint64_t key = random() % 4096 * step;
      if (random() % 3 != (i < 100'000 ? 0U : 1U)) {
        const auto [value, fresh] = table.insert(key, static_cast<uint64_t>(i));
        const auto [at, added] = truth.try_emplace(key, i);
        ASSERT_EQ(fresh, added);
        ASSERT_EQ(*value, at->second);
      } else {
        ASSERT_EQ(table.erase(key), truth.erase(key) == 1);
      }
      ASSERT_EQ(table.size(), truth.size());
      if (i % 1000 != 0) continue;
      for (uint64_t other = 0; other < 4096; ++other) {
        const uint64_t* found = table.find(other * step);
        const auto at = truth.find(other * step);
        ASSERT_EQ(found != nullptr, at != truth.end());
        if (found != nullptr) {
          ASSERT_EQ(*found, at->second);
        }
      }
    }
  }
}

}  // namespace
}  // namespace tidemark::collector
