// What PyTorch's allocator did on a card, replayed: to the byte and block by block.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "fake_reader.h"
#include "sizes.h"
#include "tidemark/analyzer/replay.h"

namespace tidemark::analyzer {
namespace {

using Kind = AllocatorEvent::Kind;

std::vector<RecordedPool> pools_of(const trace::Reader& reader) {
  auto pools = recorded_pools(reader);
  EXPECT_TRUE(pools) << (pools ? "" : pools.error().message);
  return pools.value_or(std::vector<RecordedPool>{});
}

class RecordedTrace : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto reader = trace::Reader::open(std::string(POOL_TRACES) + "/" + GetParam() + ".db");
    ASSERT_TRUE(reader) << reader.error().message;
    const auto pools = pools_of(**reader);
    ASSERT_EQ(pools.size(), 1U);
    pool = pools[0];
    settings.expandable_segments = pool.expandable;
  }
  RecordedPool pool;
  TorchAllocatorSettings settings;
};

TEST_P(RecordedTrace, replays_to_the_byte_and_block_by_block) {
  const auto model = torch_caching_allocator(settings);
  const ReplayCheck check = check_replay(pool, *model);
  EXPECT_FALSE(check.replay.out_of_memory_at);
  EXPECT_EQ(check.allocated_error_bytes, 0);
  EXPECT_EQ(check.reserved_error_bytes, 0);
  EXPECT_EQ(check.reserved_points_off, 0U);
  EXPECT_EQ(check.blocks_elsewhere, 0U);
  EXPECT_EQ(check.segments, check.recorded_segments);
  EXPECT_TRUE(check.same_segment_sizes);
  EXPECT_TRUE(check.exact());
  EXPECT_GT(pool.peak_allocated_bytes, 1000 * kMiB);  // there was something to replay
  EXPECT_GT(pool.reserved.size(), 10U);
  EXPECT_EQ(model->peak_reserved_bytes(), pool.peak_reserved_bytes);
}

// Which of two equal blocks is taken depends on where the driver put their segments, which nobody
// can foretell; by as much PyTorch's own peaks differ from run to run.
TEST_P(RecordedTrace, reserves_nearly_the_same_where_the_model_chooses_the_addresses) {
  const auto model = torch_caching_allocator(settings);
  const Replay result =
      replay(pool.events, *model, {.lifetimes = static_cast<uint32_t>(pool.lifetime.size())});
  const auto off = [](uint64_t replayed, uint64_t recorded) {
    return std::abs(static_cast<double>(replayed) / static_cast<double>(recorded) - 1);
  };
  EXPECT_LT(off(result.peak_allocated_bytes, pool.peak_allocated_bytes), 0.001);
  EXPECT_LT(off(result.peak_reserved_bytes, pool.peak_reserved_bytes), 0.01);
}

TEST_P(RecordedTrace, does_not_agree_with_an_allocator_that_it_was_not_recorded_with) {
  settings.expandable_segments = !settings.expandable_segments;
  EXPECT_FALSE(check_replay(pool, *torch_caching_allocator(settings)).exact());
  EXPECT_FALSE(check_replay(pool, *cuda_async_pool_allocator()).exact());
}

INSTANTIATE_TEST_SUITE_P(H100, RecordedTrace,
                         testing::Values("gpt2-ckpt", "gpt2-oom", "lstm", "resnet50-expandable",
                                         "vgg16"),
                         [](const auto& name) {
                           std::string text = name.param;
                           std::replace(text.begin(), text.end(), '-', '_');
                           return text;
                         });

TEST(Replay, of_a_limited_card_ends_where_the_recorded_one_did) {
  const auto reader = trace::Reader::open(std::string(POOL_TRACES) + "/gpt2-oom.db");
  ASSERT_TRUE(reader) << reader.error().message;
  const auto failed = (*reader)->out_of_memory();
  ASSERT_TRUE(failed);
  ASSERT_EQ(failed->size(), 1U);
  RecordedPool pool = pools_of(**reader).at(0);
  // The request that failed has no row of its own: it goes where it failed.
  const auto at = static_cast<std::ptrdiff_t>(
      std::lower_bound(pool.event_ns.begin(), pool.event_ns.end(), (*failed)[0].time_ns) -
      pool.event_ns.begin());
  const auto lifetime = static_cast<uint32_t>(pool.lifetime.size());
  pool.events.insert(pool.events.begin() + at,
                     {(*failed)[0].requested_bytes, lifetime, 0, Kind::kAllocate});
  const uint64_t card = std::stoull((*reader)->meta("cuda.device.0.total_memory_bytes"));
  TorchAllocatorSettings settings;
  settings.per_process_memory_fraction = 0.055;
  const auto model = torch_caching_allocator(settings, card);
  const Replay limited = replay(pool.events, *model, {.lifetimes = lifetime + 1});
  ASSERT_TRUE(limited.out_of_memory_at);
  EXPECT_EQ(*limited.out_of_memory_at, static_cast<uint32_t>(at));
  EXPECT_EQ(model->reserved_bytes(), (*failed)[0].reserved_bytes);
  EXPECT_EQ(model->allocated_bytes(), (*failed)[0].allocated_bytes);
}

TEST(Replay, tells_where_the_peaks_were_and_each_change_of_what_is_reserved) {
  const std::vector<AllocatorEvent> events = {{30 * kMiB, 0, 0, Kind::kAllocate},
                                              {40 * kMiB, 1, 0, Kind::kAllocate},
                                              {0, 0, 0, Kind::kFree},
                                              {0, 0, 0, Kind::kEmptyCache},
                                              {20 * kMiB, 2, 0, Kind::kAllocate},
                                              {0, 1, 0, Kind::kFree}};
  const auto model = torch_caching_allocator();
  const Replay result = replay(events, *model, {.curve = true, .addresses = true, .lifetimes = 3});
  EXPECT_EQ(result.peak_allocated_bytes, 70 * kMiB);
  EXPECT_EQ(result.peak_allocated_at, 1U);
  EXPECT_EQ(result.peak_reserved_at, 1U);
  ASSERT_EQ(result.reserved.size(), 4U);
  EXPECT_EQ(result.reserved[2].event, 3U);
  EXPECT_EQ(result.reserved[2].reserved_bytes, 40 * kMiB);
  EXPECT_EQ(result.reserved[3].reserved_bytes, 60 * kMiB);
  EXPECT_EQ(result.addresses.size(), 3U);
}

TEST(Replay, ends_where_memory_is_out) {
  const std::vector<AllocatorEvent> events = {{30 * kMiB, 0, 0, Kind::kAllocate},
                                              {40 * kMiB, 1, 0, Kind::kAllocate},
                                              {10 * kMiB, 2, 0, Kind::kAllocate}};
  const Replay result = replay(events, *torch_caching_allocator({}, 60 * kMiB), {.lifetimes = 3});
  EXPECT_EQ(result.out_of_memory_at, 1U);
  EXPECT_EQ(result.peak_allocated_bytes, 30 * kMiB);
}

TEST(RecordedPlacer, gives_recorded_addresses_in_order_and_none_twice_at_a_time) {
  RecordedPool pool;
  pool.segments = {{500 * kMiB, 20 * kMiB, 1, 5},
                   {300 * kMiB, 20 * kMiB, 2, trace::kNever},
                   {490 * kMiB, 40 * kMiB, 6, trace::kNever}};  // where the first had been
  const auto placer = recorded_placer(pool);
  EXPECT_EQ(placer->place(20 * kMiB, 0), 500 * kMiB);
  EXPECT_EQ(placer->place(20 * kMiB, 0), 300 * kMiB);
  const uint64_t elsewhere = placer->place(40 * kMiB, 0);
  EXPECT_GT(elsewhere, 520 * kMiB);
  placer->release(elsewhere, 40 * kMiB);
  placer->release(500 * kMiB, 20 * kMiB);
  EXPECT_EQ(placer->place(40 * kMiB, 0), 490 * kMiB);
  EXPECT_EQ(placer->place(40 * kMiB, 0), elsewhere);
}

// A trace of a program that empties its cache between two blocks.
TEST(RecordedPools, turn_driver_frees_into_emptied_caches) {
  tests::FakeReader reader;
  const trace::StringId torch = reader.intern("/opt/torch/lib/libc10_cuda.so");
  const trace::StringId other = reader.intern("libcublas.so.13");
  const auto row = [&](int64_t id, trace::Layer layer, uint64_t address, uint64_t bytes,
                       int64_t from, int64_t to, trace::StringId source) {
    trace::Allocation allocation;
    allocation.id = trace::AllocationId{id};
    allocation.process = trace::ProcessId{1};
    allocation.layer = layer;
    allocation.space = trace::Space::kDevice;
    allocation.device = 0;
    allocation.address = address;
    allocation.size = bytes;
    allocation.alloc_ns = from;
    allocation.free_ns = to;
    allocation.source = source;
    reader.allocation_rows.push_back(allocation);
  };
  row(1, trace::Layer::kDriver, 100 * kMiB, 30 * kMiB, 9, 50, torch);
  row(2, trace::Layer::kPool, 100 * kMiB, 30 * kMiB, 10, 40, torch);
  row(3, trace::Layer::kDriver, 500 * kMiB, 8 * kMiB, 12, 51, other);
  row(4, trace::Layer::kDriver, 200 * kMiB, 40 * kMiB, 59, trace::kNever, torch);
  row(5, trace::Layer::kPool, 200 * kMiB, 40 * kMiB, 60, trace::kNever, torch);
  for (const auto& [time_ns, bytes] :
       std::vector<std::pair<int64_t, uint64_t>>{{10, 30 * kMiB}, {60, 40 * kMiB}}) {
    reader.reserved_rows.push_back({trace::ProcessId{1}, 0, time_ns, bytes});
  }
  const auto pools = pools_of(reader);
  ASSERT_EQ(pools.size(), 1U);
  ASSERT_EQ(pools[0].events.size(), 4U);
  EXPECT_EQ(pools[0].events[2].kind, Kind::kEmptyCache);
  EXPECT_EQ(pools[0].event_ns[2], 50);
  EXPECT_EQ(pools[0].segments.size(), 2U);
  const auto model = torch_caching_allocator();
  const ReplayCheck check = check_replay(pools[0], *model);
  EXPECT_TRUE(check.exact());
  EXPECT_EQ(model->reserved_bytes(), 40 * kMiB);
}

TEST(RecordedPools, refuse_what_no_pool_can_have) {
  for (const auto& [bytes, free_ns] : std::vector<std::pair<uint64_t, int64_t>>{
           {~uint64_t{0} - 100, 50}, {uint64_t{1} << 60, trace::kNever}, {512, 5}}) {
    tests::FakeReader reader;
    trace::Allocation row;
    row.id = trace::AllocationId{7};
    row.layer = trace::Layer::kPool;
    row.space = trace::Space::kDevice;
    row.size = bytes;
    row.alloc_ns = 10;
    row.free_ns = free_ns;
    reader.allocation_rows = {row};
    const auto pools = recorded_pools(reader);
    ASSERT_FALSE(pools) << bytes;
    EXPECT_NE(pools.error().message.find("allocation 7"), std::string::npos);
  }
}

}  // namespace
}  // namespace tidemark::analyzer
