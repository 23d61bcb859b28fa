// One test for each rule of PyTorch's caching allocator.
#include <gtest/gtest.h>

#include <algorithm>

#include "sizes.h"
#include "tidemark/analyzer/allocator_model.h"

namespace tidemark::analyzer {
namespace {

constexpr uint64_t kKiB = uint64_t{1} << 10;

TorchAllocatorSettings settings(std::string_view text) {
  const auto parsed = TorchAllocatorSettings::parse(text);
  EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message);
  return parsed.value_or(TorchAllocatorSettings{});
}

struct Torch {
  explicit Torch(std::string_view text = "", Capacity capacity = {})
      : model(torch_caching_allocator(settings(text), capacity)) {}
  BlockHandle allocate(uint64_t bytes, uint32_t stream = 0) const {
    const auto block = model->allocate(bytes, stream);
    EXPECT_TRUE(block) << bytes << " bytes";
    return block.value_or(0);
  }
  uint64_t block_bytes(uint64_t bytes) const { return model->block_bytes(allocate(bytes)); }
  std::unique_ptr<AllocatorModel> model;
};

TEST(TorchAllocator, requests_are_rounded_to_512_bytes) {
  const Torch torch;
  EXPECT_EQ(torch.block_bytes(0), 512U);
  EXPECT_EQ(torch.block_bytes(1), 512U);
  EXPECT_EQ(torch.block_bytes(512), 512U);
  EXPECT_EQ(torch.block_bytes(513), 1024U);
  EXPECT_EQ(torch.model->allocated_bytes(), 2560U);
}

TEST(TorchAllocator, small_requests_share_segments_of_2_MiB) {
  const Torch torch;
  torch.allocate(kMiB);
  torch.allocate(kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 2 * kMiB);
  torch.allocate(1);
  EXPECT_EQ(torch.model->reserved_bytes(), 4 * kMiB);
}

TEST(TorchAllocator, segments_of_large_requests_have_20_MiB_or_the_request_rounded_to_2_MiB) {
  const Torch torch;
  torch.allocate(kMiB + 1);
  EXPECT_EQ(torch.model->reserved_bytes(), 20 * kMiB);
  torch.allocate(10 * kMiB);  // from the rest of it
  EXPECT_EQ(torch.model->reserved_bytes(), 20 * kMiB);
  torch.allocate(10 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 30 * kMiB);
  torch.allocate(30 * kMiB + 1);
  EXPECT_EQ(torch.model->reserved_bytes(), 62 * kMiB);
}

TEST(TorchAllocator, large_requests_never_use_the_small_pool_nor_small_ones_the_large) {
  const Torch torch;
  torch.model->free(torch.allocate(20 * kMiB));
  torch.allocate(kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 22 * kMiB);
  torch.allocate(kMiB + 512);
  EXPECT_EQ(torch.model->reserved_bytes(), 22 * kMiB);
}

TEST(TorchAllocator, a_rest_of_up_to_1_MiB_stays_with_a_large_block) {
  const Torch torch;
  EXPECT_EQ(torch.block_bytes(11 * kMiB), 12 * kMiB);              // of a segment of 12 MiB
  EXPECT_EQ(torch.block_bytes(11 * kMiB - 512), 11 * kMiB - 512);  // split: 1 MiB and 512 remain
  EXPECT_EQ(torch.model->reserved_bytes(), 24 * kMiB);
}

TEST(TorchAllocator, the_smallest_block_that_is_large_enough_serves_a_request) {
  const Torch torch;
  const BlockHandle large = torch.allocate(40 * kMiB);
  const BlockHandle fitting = torch.allocate(24 * kMiB);
  const uint64_t address = torch.model->block_address(fitting);
  torch.model->free(large);
  torch.model->free(fitting);
  EXPECT_EQ(torch.model->block_address(torch.allocate(22 * kMiB)), address);
}

TEST(TorchAllocator, of_equal_blocks_the_one_at_the_lowest_address_serves) {
  const Torch torch;
  std::vector<BlockHandle> blocks;
  for (int i = 0; i < 5; ++i) blocks.push_back(torch.allocate(24 * kMiB));
  uint64_t lowest = ~uint64_t{0};
  for (const BlockHandle block : blocks) {
    lowest = std::min(lowest, torch.model->block_address(block));
    torch.model->free(block);
  }
  EXPECT_EQ(torch.model->block_address(torch.allocate(24 * kMiB)), lowest);
}

TEST(TorchAllocator, freed_neighbours_join) {
  const Torch torch;
  const BlockHandle a = torch.allocate(256 * kKiB);
  const BlockHandle b = torch.allocate(256 * kKiB);
  const BlockHandle c = torch.allocate(256 * kKiB);
  torch.allocate(256 * kKiB);
  torch.model->free(a);
  torch.model->free(c);
  torch.model->free(b);
  ASSERT_EQ(torch.model->segments().size(), 1U);
  EXPECT_EQ(torch.model->segments()[0].blocks.size(), 3U);
  EXPECT_EQ(torch.model->segments()[0].blocks[0].bytes, 768 * kKiB);
  EXPECT_EQ(torch.model->largest_free_bytes(), kMiB);
}

TEST(TorchAllocator, streams_do_not_share_blocks) {
  const Torch torch;
  torch.model->free(torch.allocate(30 * kMiB, 0));
  torch.allocate(30 * kMiB, 7);
  EXPECT_EQ(torch.model->reserved_bytes(), 60 * kMiB);
  torch.allocate(30 * kMiB, 0);
  EXPECT_EQ(torch.model->reserved_bytes(), 60 * kMiB);
}

TEST(TorchAllocator, a_block_that_another_stream_uses_counts_as_freed_but_is_not_handed_out) {
  const Torch torch;
  const BlockHandle block = torch.allocate(30 * kMiB);
  const uint64_t ticket = torch.model->free_in_use(block);
  EXPECT_EQ(torch.model->allocated_bytes(), 0U);
  torch.allocate(30 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 60 * kMiB);
  torch.model->uses_ended(ticket);
  torch.allocate(30 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 60 * kMiB);
}

TEST(TorchAllocator, a_ticket_has_no_effect_once_the_cache_was_emptied) {
  const Torch torch;
  const uint64_t old = torch.model->free_in_use(torch.allocate(30 * kMiB));
  torch.model->empty_cache();
  EXPECT_EQ(torch.model->reserved_bytes(), 0U);
  torch.model->free_in_use(torch.allocate(30 * kMiB));  // most likely the same handle
  torch.model->uses_ended(old);
  torch.allocate(30 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 60 * kMiB);
}

TEST(TorchAllocator, emptying_the_cache_gives_back_segments_without_blocks) {
  const Torch torch;
  const BlockHandle kept = torch.allocate(2 * kMiB);  // splits its 20 MiB
  torch.model->free(torch.allocate(30 * kMiB));
  torch.model->free(torch.allocate(100));
  EXPECT_EQ(torch.model->reserved_bytes(), 52 * kMiB);
  torch.model->empty_cache();
  EXPECT_EQ(torch.model->reserved_bytes(), 20 * kMiB);
  torch.model->free(kept);
  torch.model->empty_cache();
  EXPECT_EQ(torch.model->reserved_bytes(), 0U);
  EXPECT_EQ(torch.model->peak_reserved_bytes(), 52 * kMiB);
  EXPECT_TRUE(torch.model->segments().empty());
}

TEST(TorchAllocator, on_a_full_card_all_that_is_cached_goes_back_before_memory_is_out) {
  const Torch torch("", 100 * kMiB);
  torch.model->free(torch.allocate(60 * kMiB));
  torch.allocate(80 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 80 * kMiB);
  EXPECT_EQ(torch.model->retries(), 1U);
  EXPECT_FALSE(torch.model->allocate(30 * kMiB, 0));
  EXPECT_EQ(torch.model->out_of_memory(), 1U);
  EXPECT_EQ(torch.model->retries(), 2U);
  torch.allocate(20 * kMiB);  // the card is full to the byte
}

TEST(TorchAllocator, a_full_card_waits_for_blocks_that_other_streams_use) {
  const Torch torch("", 100 * kMiB);
  torch.model->free_in_use(torch.allocate(60 * kMiB));
  torch.allocate(80 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 80 * kMiB);
}

TEST(TorchAllocator, small_requests_do_not_get_blocks_of_max_split_size) {
  const Torch torch("max_split_size_mb:64");
  torch.model->free(torch.allocate(64 * kMiB));
  torch.allocate(40 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 104 * kMiB);
}

TEST(TorchAllocator,
     blocks_of_max_split_size_are_not_split_and_serve_what_is_20_MiB_smaller_at_most) {
  const Torch torch("max_split_size_mb:64");
  torch.model->free(torch.allocate(100 * kMiB));
  const BlockHandle block = torch.allocate(80 * kMiB + 512);
  EXPECT_EQ(torch.model->block_bytes(block), 100 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 100 * kMiB);
  torch.model->free(block);
  torch.allocate(80 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 180 * kMiB);
}

TEST(TorchAllocator, with_max_split_size_a_miss_on_a_full_card_gives_back_only_as_much_as_needed) {
  const Torch torch("max_split_size_mb:64", 300 * kMiB);
  const BlockHandle a = torch.allocate(70 * kMiB);
  const BlockHandle b = torch.allocate(80 * kMiB);
  const BlockHandle c = torch.allocate(90 * kMiB);
  torch.model->free(a);
  torch.model->free(b);
  torch.model->free(c);
  torch.allocate(64 * kMiB);  // of 70 MiB, which are near enough
  torch.allocate(120 * kMiB);
  // None was as large: the largest went first, 90 were not enough, so 80 went too.
  EXPECT_EQ(torch.model->reserved_bytes(), 190 * kMiB);
  EXPECT_EQ(torch.model->retries(), 0U);
}

TEST(TorchAllocator, power_of_two_divisions_round_up_to_the_next_step) {
  const Torch four("roundup_power2_divisions:4");
  EXPECT_EQ(four.block_bytes(1200), 1536U);  // not above 512 * 4: as without
  EXPECT_EQ(four.block_bytes(5000), 5120U);
  EXPECT_EQ(four.block_bytes(4096), 4096U);
  EXPECT_EQ(four.block_bytes(kMiB - 512), kMiB);
  const Torch by_size("roundup_power2_divisions:[1:2,2:4,>:8]");
  const uint64_t odd = 512 * 1001;
  EXPECT_EQ(by_size.block_bytes(odd), 512 * 1024U);                       // 2 steps
  EXPECT_EQ(by_size.block_bytes(2 * kMiB + 512), 2 * kMiB + 512 * kKiB);  // 4 steps
  EXPECT_EQ(by_size.block_bytes(16 * kMiB + 512), 18 * kMiB);             // 8 steps
}

TEST(TorchAllocator, garbage_collection_gives_back_the_older_half_above_the_threshold) {
  const Torch torch("garbage_collection_threshold:0.5,per_process_memory_fraction:0.5", 400 * kMiB);
  torch.allocate(2 * kMiB);  // leaves 18 MiB of its segment
  const BlockHandle old = torch.allocate(40 * kMiB);
  const BlockHandle young = torch.allocate(44 * kMiB);
  torch.model->free(old);
  for (int i = 0; i < 10; ++i) torch.model->free(torch.allocate(2 * kMiB));
  torch.model->free(young);
  EXPECT_EQ(torch.model->reserved_bytes(), 104 * kMiB);  // above half of the 200 MiB allowed
  torch.allocate(50 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 20 * kMiB + 44 * kMiB + 50 * kMiB);
}

TEST(TorchAllocator, garbage_is_not_collected_without_a_fraction) {
  const Torch torch("garbage_collection_threshold:0.1", 400 * kMiB);
  torch.model->free(torch.allocate(100 * kMiB));
  torch.allocate(120 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 220 * kMiB);
}

TEST(TorchAllocator, a_fraction_is_a_limit_below_the_card) {
  const Torch torch("per_process_memory_fraction:0.25", 400 * kMiB);
  torch.allocate(60 * kMiB);
  EXPECT_FALSE(torch.model->allocate(41 * kMiB, 0));
  torch.allocate(40 * kMiB);
}

TEST(ExpandableSegments, grow_by_whole_pages_of_2_and_20_MiB) {
  const Torch torch("expandable_segments:True");
  torch.allocate(1);
  EXPECT_EQ(torch.model->reserved_bytes(), 2 * kMiB);
  torch.allocate(15 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 22 * kMiB);
  torch.allocate(15 * kMiB);  // 5 MiB of the first page and a second one
  EXPECT_EQ(torch.model->reserved_bytes(), 42 * kMiB);
  torch.allocate(100 * kMiB);
  EXPECT_EQ(torch.model->reserved_bytes(), 142 * kMiB);
  const auto segments = torch.model->segments();
  ASSERT_EQ(segments.size(), 2U);
  EXPECT_TRUE(segments[0].expandable);
}

TEST(ExpandableSegments, split_down_to_the_request) {
  const Torch torch("expandable_segments:True");
  EXPECT_EQ(torch.block_bytes(20 * kMiB - 512), 20 * kMiB - 512);
}

TEST(ExpandableSegments, the_part_that_can_grow_is_used_last) {
  const Torch torch("expandable_segments:True");
  const BlockHandle hole = torch.allocate(19 * kMiB);
  torch.allocate(2 * kMiB);
  const uint64_t address = torch.model->block_address(hole);
  torch.model->free(hole);
  // 19 MiB are free at the end too, and could grow: the hole, as large, is taken.
  EXPECT_EQ(torch.model->block_address(torch.allocate(18 * kMiB)), address);
}

TEST(ExpandableSegments, give_back_whole_free_pages_and_fill_the_gaps_again_from_below) {
  const Torch torch("expandable_segments:True");
  const BlockHandle low = torch.allocate(50 * kMiB);
  torch.allocate(5 * kMiB);
  const uint64_t address = torch.model->block_address(low);
  torch.model->free(low);
  EXPECT_EQ(torch.model->reserved_bytes(), 60 * kMiB);
  torch.model->empty_cache();
  EXPECT_EQ(torch.model->reserved_bytes(), 20 * kMiB);
  EXPECT_EQ(torch.model->block_address(torch.allocate(45 * kMiB)), address);
  EXPECT_EQ(torch.model->reserved_bytes(), 60 * kMiB);
}

TEST(ExpandableSegments, each_stream_has_its_own) {
  const Torch torch("expandable_segments:True");
  torch.model->free(torch.allocate(10 * kMiB, 0));
  torch.allocate(10 * kMiB, 1);
  EXPECT_EQ(torch.model->reserved_bytes(), 40 * kMiB);
}

TEST(ExpandableSegments, a_full_card_moves_pages_from_one_stream_to_another) {
  const Torch torch("expandable_segments:True", 100 * kMiB);
  torch.model->free(torch.allocate(100 * kMiB, 0));
  torch.allocate(60 * kMiB, 1);
  EXPECT_EQ(torch.model->reserved_bytes(), 60 * kMiB);
  EXPECT_EQ(torch.model->retries(), 1U);
}

TEST(TorchSettings, are_read_as_PyTorch_writes_them) {
  const auto all = settings(
      "max_split_size_mb:128, expandable_segments:True,garbage_collection_threshold:0.8,"
      "roundup_power2_divisions:[256:1,512:2,1024:4,>:8],max_non_split_rounding_mb:30,"
      "large_segment_size_mb:40,pinned_use_background_threads:True,backend:native");
  EXPECT_EQ(all.max_split_size_bytes, 128 * kMiB);
  EXPECT_TRUE(all.expandable_segments);
  EXPECT_EQ(all.garbage_collection_threshold, 0.8);
  EXPECT_EQ(all.max_non_split_rounding_bytes, 30 * kMiB);
  EXPECT_EQ(all.large_segment_bytes, 40 * kMiB);
  EXPECT_EQ(all.roundup_power2_divisions,
            (std::array<uint32_t, 16>{1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 8, 8, 8, 8}));
  EXPECT_EQ(settings("roundup_power2_divisions:4").roundup_power2_divisions[15], 4U);
}

TEST(TorchSettings, say_what_is_wrong_with_them) {
  for (const auto& [text, said] : std::vector<std::pair<std::string, std::string>>{
           {"max_split_size_mb:10", "max_split_size_mb:10 must be a whole number of MiB, 20"},
           {"max_split_size_mb", "\"max_split_size_mb\" is not of the form key:value"},
           {"expandable_segments:true", "must be True or False"},
           {"garbage_collection_threshold:1.5", "must be above 0 and at most 1"},
           {"roundup_power2_divisions:3", "must be a power of two"},
           {"roundup_power2_divisions:[256:1", "must be a list that ends with ]"},
           {"roundup_power2_divisions:[100:1]", "must be a power of two in MiB"},
           {"backend:mine", "there are native and cudaMallocAsync"},
           {"max_split_size:128", "unknown allocator setting \"max_split_size\""}}) {
    const auto parsed = TorchAllocatorSettings::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().message.find(said), std::string::npos) << parsed.error().message;
  }
}

}  // namespace
}  // namespace tidemark::analyzer
