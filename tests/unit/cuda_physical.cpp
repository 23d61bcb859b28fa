// Physical memory of cuMemCreate is freed when its last handle and its last mapping are gone.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <unordered_map>
#include <vector>

#include "imports.h"
#include "physical.h"

namespace tidemark::cuda {
namespace {

using Keys = std::vector<uint64_t>;

// The calls of a program, each with what it frees.
struct Program {
  std::unique_ptr<PhysicalMemory> memory = std::make_unique<PhysicalMemory>();

  static Keys keys(const FreedKeys& freed) { return Keys(freed.keys, freed.keys + freed.count); }
  Keys release(uint64_t handle, bool success = true) {
    FreedKeys before;
    memory->before_release(handle, before);
    FreedKeys after;
    memory->after_release(handle, success, after);
    EXPECT_EQ(after.count, 0U) << "a single thread always knows before the call";
    return keys(before);
  }
  Keys unmap(uint64_t address, uint64_t bytes, bool success = true) {
    FreedKeys before;
    memory->before_unmap(address, bytes, before);
    FreedKeys after;
    memory->after_unmap(address, bytes, success, after);
    EXPECT_EQ(after.count, 0U) << "a single thread always knows before the call";
    return keys(before);
  }
};

TEST(CudaPhysical, unmapped_then_released_is_freed_by_the_release) {
  Program program;
  EXPECT_EQ(program.memory->created(0x10), 0x10U);
  program.memory->mapped(0x1000, 0x100, 0x10);
  EXPECT_EQ(program.unmap(0x1000, 0x100), Keys{});
  EXPECT_EQ(program.release(0x10), Keys{0x10});
}

TEST(CudaPhysical, released_then_unmapped_is_freed_by_the_unmapping) {
  Program program;
  program.memory->created(0x10);
  program.memory->mapped(0x1000, 0x100, 0x10);
  EXPECT_EQ(program.release(0x10), Keys{});
  EXPECT_EQ(program.unmap(0x1000, 0x100), Keys{0x10});
  EXPECT_EQ(program.unmap(0x1000, 0x100), Keys{}) << "freed once";
}

TEST(CudaPhysical, one_unmapping_can_free_several_memories) {
  Program program;
  for (const uint64_t handle : {1U, 2U, 3U}) {
    program.memory->created(handle);
    program.memory->mapped(0x1000 * handle, 0x1000, handle);
    EXPECT_EQ(program.release(handle), Keys{});
  }
  EXPECT_EQ(program.unmap(0x1000, 0x3000), (Keys{1, 2, 3}));
}

TEST(CudaPhysical, a_memory_mapped_twice_lives_until_both_are_gone) {
  Program program;
  program.memory->created(9);
  program.memory->mapped(0x1000, 0x1000, 9);
  program.memory->mapped(0x2000, 0x1000, 9);
  program.release(9);
  EXPECT_EQ(program.unmap(0x1000, 0x1000), Keys{});
  EXPECT_EQ(program.unmap(0x2000, 0x1000), Keys{9});

  program.memory->created(9);
  program.memory->mapped(0x1000, 0x1000, 9);
  program.memory->mapped(0x2000, 0x1000, 9);
  program.release(9);
  EXPECT_EQ(program.unmap(0x1000, 0x2000), Keys{9}) << "both in one call";
}

TEST(CudaPhysical, a_retained_handle_must_be_released_twice) {
  Program program;
  program.memory->created(9);
  program.memory->retained(9);
  EXPECT_EQ(program.release(9), Keys{});
  EXPECT_EQ(program.release(9), Keys{9});
}

TEST(CudaPhysical, a_call_that_fails_frees_nothing) {
  Program program;
  program.memory->created(9);
  EXPECT_EQ(program.release(9, false), Keys{9}) << "said before the call, undone after it";
  EXPECT_EQ(program.release(9), Keys{9}) << "and so it can still be freed";

  program.memory->created(8);
  program.memory->mapped(0x1000, 0x1000, 8);
  program.release(8);
  EXPECT_EQ(program.unmap(0x1000, 0x1000, false), Keys{8});
  EXPECT_EQ(program.unmap(0x1000, 0x1000), Keys{8});
}

TEST(CudaPhysical, a_handle_value_that_comes_back_names_another_memory) {
  Program program;
  EXPECT_EQ(program.memory->created(0x50), 0x50U);
  program.memory->mapped(0x1000, 0x1000, 0x50);
  program.release(0x50);
  // The first memory lives on in its mapping; the driver gives its handle value to another.
  EXPECT_EQ(program.memory->created(0x50), 0x51U);
  EXPECT_EQ(program.unmap(0x1000, 0x1000), Keys{0x50});
  EXPECT_EQ(program.release(0x50), Keys{0x51});
}

TEST(CudaPhysical, imported_handles_are_not_ours) {
  Program program;
  program.memory->mapped(0x1000, 0x1000, 0x77);
  EXPECT_EQ(program.unmap(0x1000, 0x1000), Keys{});
  EXPECT_EQ(program.release(0x77), Keys{});
}

Keys closed_by(ImportedHandles& imports, uint64_t address, uint64_t bytes) {
  FreedKeys closed;
  imports.unmapped(address, bytes, closed);
  return Program::keys(closed);
}

TEST(CudaImports, are_where_imported_handles_are_mapped) {
  ImportedHandles imports;
  EXPECT_FALSE(imports.mapped(0x1000, 0x1000, 7)) << "created here, or unknown";
  EXPECT_FALSE(imports.any());
  imports.imported(7);
  EXPECT_TRUE(imports.any());
  EXPECT_TRUE(imports.mapped(0x1000, 0x1000, 7));
  EXPECT_TRUE(imports.mapped(0x2000, 0x2000, 7)) << "as often as one likes";
  imports.released(7);
  EXPECT_FALSE(imports.any());
  EXPECT_FALSE(imports.mapped(0x9000, 0x1000, 7)) << "its number may be another memory's now";
  EXPECT_EQ(closed_by(imports, 0x1000, 0x3000), (Keys{0x1000, 0x2000})) << "mappings stay";
  EXPECT_EQ(closed_by(imports, 0x1000, 0x3000), Keys{});
}

TEST(CudaImports, a_handle_is_known_until_its_last_reference_is_released) {
  ImportedHandles imports;
  imports.retained(7);
  EXPECT_FALSE(imports.mapped(0x1000, 0x1000, 7));
  imports.imported(7);
  imports.imported(7);
  imports.retained(7);
  imports.released(7);
  imports.released(7);
  EXPECT_TRUE(imports.mapped(0x1000, 0x1000, 7));
  imports.released(7);
  EXPECT_FALSE(imports.mapped(0x2000, 0x1000, 7));
  imports.released(7);
}

TEST(CudaImports, more_mappings_than_can_be_told_of_at_once_are_counted) {
  ImportedHandles imports;
  imports.imported(7);
  for (uint64_t i = 1; i <= FreedKeys::kMost + 2; ++i) imports.mapped(0x1000 * i, 0x1000, 7);
  FreedKeys closed;
  imports.unmapped(0x1000, 0x1000 * (FreedKeys::kMost + 2), closed);
  EXPECT_EQ(closed.count, FreedKeys::kMost);
  EXPECT_EQ(closed.left_out, 2U);
}

TEST(CudaPhysical, two_threads_that_free_together_free_once) {
  // Both look before either has acted: neither sees itself as the last.
  PhysicalMemory memory;
  memory.created(9);
  memory.mapped(0x1000, 0x1000, 9);
  FreedKeys freed;
  memory.before_release(9, freed);
  memory.before_unmap(0x1000, 0x1000, freed);
  EXPECT_EQ(freed.count, 0U);
  memory.after_release(9, true, freed);
  EXPECT_EQ(freed.count, 0U);
  memory.after_unmap(0x1000, 0x1000, true, freed);
  ASSERT_EQ(freed.count, 1U) << "said after the call, which is late but not lost";
  EXPECT_EQ(freed.keys[0], 9U);
}

TEST(CudaFlatTable, behaves_like_a_map) {
  FlatTable<uint64_t> table;
  std::unordered_map<uint64_t, uint64_t> model;
  std::mt19937_64 random(7);
  for (int step = 0; step < 200'000; ++step) {
    const uint64_t key = random() % 5000 + 1;
    if (random() % 5 < 3) {
      ASSERT_NE(table.insert(key, static_cast<uint64_t>(step)), nullptr);
      model[key] = static_cast<uint64_t>(step);
    } else {
      table.erase(key);
      model.erase(key);
    }
    ASSERT_EQ(table.size(), model.size());
  }
  for (uint64_t key = 1; key <= 5000; ++key) {
    const uint64_t* found = table.find(key);
    const auto expected = model.find(key);
    ASSERT_EQ(found != nullptr, expected != model.end()) << key;
    if (found != nullptr) {
      ASSERT_EQ(*found, expected->second);
    }
  }
  table.clear();
  EXPECT_EQ(table.find(1), nullptr);
}

}  // namespace
}  // namespace tidemark::cuda
