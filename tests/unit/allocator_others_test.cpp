// The allocators beside PyTorch's, and how they are asked for by name.
#include <gtest/gtest.h>

#include "sizes.h"
#include "tidemark/analyzer/allocator_model.h"

namespace tidemark::analyzer {
namespace {

BlockHandle must(const std::optional<BlockHandle>& block) {
  EXPECT_TRUE(block);
  return block.value_or(0);
}

TEST(ExactSum, holds_what_was_asked_for_and_no_more) {
  const auto model = exact_sum_allocator(1000);
  const BlockHandle block = must(model->allocate(600, 0));
  must(model->allocate(400, 1));
  EXPECT_FALSE(model->allocate(1, 0));
  model->free(block);
  must(model->allocate(599, 0));
  EXPECT_EQ(model->allocated_bytes(), 999U);
  EXPECT_EQ(model->reserved_bytes(), 999U);
  EXPECT_EQ(model->peak_reserved_bytes(), 1000U);
}

TEST(CudaMalloc, gives_large_blocks_whole_pages_and_takes_them_back_at_once) {
  const auto model = plain_cuda_malloc_allocator();
  const BlockHandle block = must(model->allocate(5 * kMiB, 0));
  EXPECT_EQ(model->reserved_bytes(), 6 * kMiB);
  model->free(block);
  EXPECT_EQ(model->reserved_bytes(), 0U);
}

TEST(CudaMalloc, packs_small_blocks_into_shared_pages) {
  const auto model = plain_cuda_malloc_allocator();
  std::vector<BlockHandle> blocks;
  for (int i = 0; i < 4096; ++i) blocks.push_back(must(model->allocate(1, 0)));
  EXPECT_EQ(model->reserved_bytes(), 2 * kMiB);
  blocks.push_back(must(model->allocate(1, 0)));
  EXPECT_EQ(model->reserved_bytes(), 4 * kMiB);
  for (const BlockHandle block : blocks) model->free(block);
  EXPECT_EQ(model->reserved_bytes(), 0U);
}

// What cudaMalloc returned to a C++ trainer on an H100, in distances from the first.
TEST(CudaMalloc, packs_as_the_driver_did) {
  const std::vector<std::pair<uint64_t, uint64_t>> recorded = {
      {147456, 0},      {147456, 147456},  {147456, 294912},   {2048, 442368},     {2048, 444416},
      {2048, 446464},   {1048576, 448512}, {1048576, 2097152}, {1048576, 3145728}, {2048, 1497088},
      {2048, 1499136},  {2048, 1501184},   {20480, 1503232},   {20480, 1523712},   {20480, 1544192},
      {40, 1564672},    {40, 1565184},     {40, 1565696},      {73728, 1566208},   {1024, 1639936},
      {73728, 1640960}, {1024, 1714688},   {80, 1715712},      {20480, 1716224},   {4000, 1736704}};
  const auto model = plain_cuda_malloc_allocator();
  std::optional<uint64_t> first;
  for (const auto& [bytes, distance] : recorded) {
    const uint64_t address = model->block_address(must(model->allocate(bytes, 0)));
    if (!first) first = address;
    EXPECT_EQ(address - *first, distance) << bytes << " bytes";
  }
  EXPECT_EQ(model->reserved_bytes(), 4 * kMiB);
}

TEST(CudaAsyncPool, keeps_what_was_freed_until_the_program_synchronizes_above_the_threshold) {
  const auto model = cuda_async_pool_allocator(32 * kMiB);
  const BlockHandle a = must(model->allocate(30 * kMiB, 0));
  const BlockHandle b = must(model->allocate(30 * kMiB, 1));
  EXPECT_EQ(model->reserved_bytes(), 64 * kMiB);
  model->free(a);
  model->free(b);
  must(model->allocate(kMiB, 0));
  EXPECT_EQ(model->reserved_bytes(), 64 * kMiB);
  model->empty_cache();
  EXPECT_EQ(model->reserved_bytes(), 32 * kMiB);
}

TEST(CudaAsyncPool, gives_everything_free_back_before_memory_is_out) {
  const auto model = cuda_async_pool_allocator(TorchAllocatorSettings::kNoLimit, 100 * kMiB);
  model->free(must(model->allocate(40 * kMiB, 0)));
  must(model->allocate(70 * kMiB, 0));
  EXPECT_EQ(model->reserved_bytes(), 96 * kMiB);
  EXPECT_EQ(model->retries(), 1U);
  EXPECT_FALSE(model->allocate(60 * kMiB, 0));
}

TEST(Bfc, regions_double_and_are_never_given_back) {
  const auto model = bfc_allocator();
  model->free(must(model->allocate(kMiB, 0)));
  EXPECT_EQ(model->reserved_bytes(), 2 * kMiB);
  model->free(must(model->allocate(3 * kMiB, 0)));
  EXPECT_EQ(model->reserved_bytes(), 6 * kMiB);
  must(model->allocate(5 * kMiB, 0));
  EXPECT_EQ(model->reserved_bytes(), 14 * kMiB);
  model->empty_cache();
  EXPECT_EQ(model->reserved_bytes(), 14 * kMiB);
}

TEST(Bfc, a_block_is_split_only_when_twice_as_large_as_the_request) {
  const auto model = bfc_allocator();
  EXPECT_EQ(model->block_bytes(must(model->allocate(kMiB + 1, 0))), 2 * kMiB);
  EXPECT_EQ(model->block_bytes(must(model->allocate(kMiB, 0))), kMiB);
  EXPECT_EQ(model->block_bytes(must(model->allocate(1, 0))), 256U);
}

TEST(Bfc, takes_what_is_left_of_the_card_when_it_cannot_double) {
  const auto model = bfc_allocator({}, 5 * kMiB);
  must(model->allocate(2 * kMiB, 0));
  must(model->allocate(3 * kMiB, 0));
  EXPECT_EQ(model->reserved_bytes(), 5 * kMiB);
  EXPECT_FALSE(model->allocate(1, 0));
}

TEST(MakeAllocator, knows_each_by_name_and_hands_on_its_settings) {
  for (const auto& [spec, reserved] : std::vector<std::pair<std::string, uint64_t>>{
           {"exact", 15 * kMiB},
           {"torch", 16 * kMiB},
           {"torch:expandable_segments:True,max_split_size_mb:128", 20 * kMiB},
           {"torch:backend:cudaMallocAsync", 32 * kMiB},
           {"cuda-malloc-async", 32 * kMiB},
           {"cuda-malloc-async:threshold=0", 32 * kMiB},
           {"cuda-malloc", 16 * kMiB},
           {"bfc", 16 * kMiB},
           {"bfc:whole", 100 * kMiB}}) {
    const auto model = make_allocator(spec, 100 * kMiB);
    ASSERT_TRUE(model) << spec << ": " << model.error().message;
    must((*model)->allocate(15 * kMiB, 0));
    EXPECT_EQ((*model)->reserved_bytes(), reserved) << spec;
  }
}

TEST(MakeAllocator, says_what_is_wrong_and_what_there_is) {
  for (const auto& [spec, said] : std::vector<std::pair<std::string, std::string>>{
           {"tcmalloc", "no allocator \"tcmalloc\": there are torch"},
           {"torch:x:1", "unknown allocator setting \"x\""},
           {"exact:1", "exact has no options"},
           {"bfc:half", "no option \"half\""},
           {"bfc:whole", "give a --capacity"},
           {"cuda-malloc-async:x", "no option \"x\""}}) {
    const auto model = make_allocator(spec);
    ASSERT_FALSE(model) << spec;
    EXPECT_NE(model.error().message.find(said), std::string::npos) << model.error().message;
  }
}

}  // namespace
}  // namespace tidemark::analyzer
