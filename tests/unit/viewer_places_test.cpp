// Where blocks lie: in the segments of their pool at a moment, and packed by size over time; and
// where a finding leads to. By hand, over random lifetimes, and on recordings of an H100.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tidemark/viewer/loader.h"
#include "tidemark/viewer/navigation.h"
#include "tidemark/viewer/process_view.h"
#include "tidemark/viewer/segments.h"
#include "viewer_fixtures.h"

namespace tidemark::viewer {
namespace {

using testing::kPool;
using testing::MemoryReader;
using testing::MemoryTrace;
using trace::Layer;
using trace::Space;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kBase = 0x7000'0000'0000;

size_t place(MemoryTrace* trace, Layer layer, uint64_t address, uint64_t bytes, int64_t alloc_ns,
             int64_t free_ns, const char* api) {
  const size_t index = trace->allocate(layer, Space::kDevice, bytes, alloc_ns, {}, api);
  trace->allocations[index].address = address;
  trace->free(index, free_ns);
  return index;
}

Result<SegmentMap> segments(MemoryTrace trace, int64_t time_ns) {
  return segments_at(MemoryReader(std::make_shared<const MemoryTrace>(std::move(trace))), 0,
                     time_ns);
}

// Two segments of the pool and one allocation that is none of its own:
//   0 MiB  |# block 8|. 12|# 4|. 8|    at 32 MiB, 2 MiB |. 2|     library's at 64 MiB
MemoryTrace two_segments() {
  MemoryTrace trace;
  trace.end_ns = 1000;
  trace::Process process;
  process.id = testing::kTrainer;
  trace.processes = {process};
  const auto of_torch = [&](size_t index) {
    trace.allocations[index].source = trace.intern("/opt/torch/lib/libc10_cuda.so");
  };
  of_torch(place(&trace, Layer::kDriver, kBase, 32 * kMiB, 10, trace::kNever, "cudaMalloc"));
  of_torch(
      place(&trace, Layer::kDriver, kBase + 32 * kMiB, 2 * kMiB, 11, trace::kNever, "cudaMalloc"));
  place(&trace, Layer::kDriver, kBase + 64 * kMiB, 32 * kMiB, 12, trace::kNever, "cudaMalloc");
  place(&trace, Layer::kPool, kBase, 8 * kMiB, 20, trace::kNever, "c10");
  place(&trace, Layer::kPool, kBase + 8 * kMiB, 12 * kMiB, 20, 50, "c10");
  place(&trace, Layer::kPool, kBase + 20 * kMiB, 4 * kMiB, 20, 80, "c10");
  return trace;
}

TEST(viewer_places, segments_hold_blocks_and_the_holes_between_them) {
  const auto map = segments(two_segments(), 60);
  ASSERT_TRUE(map.has_value()) << map.error().message;
  ASSERT_EQ(map->segments.size(), 2U) << "the library's own allocation is not of the pool";
  const auto& pieces = map->segments[0].pieces;
  ASSERT_EQ(pieces.size(), 4U);
  const std::array<std::pair<uint64_t, bool>, 4> expected = {
      {{8 * kMiB, false}, {12 * kMiB, true}, {4 * kMiB, false}, {8 * kMiB, true}}};
  uint64_t at = kBase;
  for (size_t i = 0; i < pieces.size(); ++i) {
    EXPECT_EQ(pieces[i].address, at);
    EXPECT_EQ(pieces[i].bytes, expected.at(i).first);
    EXPECT_EQ(pieces[i].is_hole(), expected.at(i).second);
    at += pieces[i].bytes;
  }
  EXPECT_EQ(map->bytes, 34 * kMiB);
  EXPECT_EQ(map->live_bytes, 12 * kMiB);
  EXPECT_EQ(map->live_count, 2U);
  EXPECT_EQ(map->holes, 3U);
  EXPECT_EQ(map->largest_hole, 12 * kMiB);
  EXPECT_NEAR(map->fragmentation(), 1 - 12.0 / 22.0, 1e-9);
  EXPECT_EQ(sorted_segments(*map, SegmentOrder::kFree).front(), 0U);
  // Before the third block goes the hole is smaller, before the pool has any it is not there.
  EXPECT_EQ(segments(two_segments(), 30)->largest_hole, 8 * kMiB);
  EXPECT_EQ(segments(two_segments(), 5)->segments.size(), 0U);
  // After the last block the segment is still held.
  EXPECT_EQ(segments(two_segments(), 10)->free_bytes(), 32 * kMiB);
}

TEST(viewer_places, pages_without_a_place_become_the_ranges_that_blocks_have_reached) {
  MemoryTrace trace = two_segments();
  std::erase_if(trace.allocations,
                [](const trace::Allocation& row) { return row.layer == Layer::kDriver; });
  for (int page = 0; page < 20; ++page) {
    place(&trace, Layer::kDriver, 0x1000U + static_cast<uint64_t>(page), 2 * kMiB, 10,
          trace::kNever, "cuMemCreate");
  }
  const auto map = segments(trace, 60);
  ASSERT_TRUE(map.has_value());
  EXPECT_TRUE(map->inferred);
  ASSERT_EQ(map->segments.size(), 1U);
  EXPECT_EQ(map->segments[0].address, kBase);
  EXPECT_EQ(map->segments[0].bytes, 24 * kMiB);
  EXPECT_EQ(map->live_bytes, 12 * kMiB);
  EXPECT_EQ(map->largest_hole, 12 * kMiB);
}

TEST(viewer_places, blocks_that_overlap_or_reach_too_far_stay_within_their_segment) {
  MemoryTrace trace = two_segments();
  place(&trace, Layer::kPool, kBase + 4 * kMiB, UINT64_MAX, 20, trace::kNever, "c10");
  const auto map = segments(trace, 60);
  ASSERT_TRUE(map.has_value());
  for (const PoolSegment& segment : map->segments) {
    uint64_t at = segment.address;
    for (const SegmentPiece& piece : segment.pieces) {
      EXPECT_EQ(piece.address, at);
      at += piece.bytes;
    }
    EXPECT_EQ(at, segment.address + segment.bytes);
  }
}

// The segments add up to what the pool said that it held, and their blocks to what was live.
TEST(viewer_places, segments_of_an_h100_add_up_to_what_was_reserved_and_live) {
  for (const char* path : {TIDEMARK_SAMPLE_TRACE, TIDEMARK_EXPANDABLE_TRACE}) {
    const auto reader = trace::Reader::open(path);
    ASSERT_TRUE(reader.has_value()) << reader.error().message;
    const auto document = load_document(**reader);
    ASSERT_TRUE(document.has_value());
    const Track* pool = document->find(kPool);
    ASSERT_NE(pool, nullptr);
    const auto& points = pool->curve.points;
    for (const size_t at : {points.size() / 3, points.size() / 2, points.size() - 1}) {
      const int64_t time_ns = points[at].time_ns;
      const auto map = segments_at(**reader, 0, time_ns);
      ASSERT_TRUE(map.has_value());
      EXPECT_EQ(map->live_bytes, static_cast<uint64_t>(points[at].bytes)) << path;
      if (!map->inferred) {
        EXPECT_EQ(map->bytes, static_cast<uint64_t>(pool->reserved_pyramid.value_at(time_ns)));
      }
    }
  }
}

std::vector<Lifetime> random_lifetimes(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Lifetime> lives;
  for (int i = 1; i <= 400; ++i) {
    const auto begin = static_cast<int64_t>(random() % 10'000);
    const auto duration = static_cast<int64_t>(1 + random() % 3000);
    lives.push_back({trace::AllocationId{i}, testing::kTrainer, random() % 4096 * 4096,
                     512 * (1 + random() % 6), begin, begin + duration});
  }
  return lives;
}

TEST(viewer_places, packed_blocks_never_overlap_and_equal_sizes_waste_no_lane) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const BlockMap map(kPool, random_lifetimes(seed));
    std::vector<Bar> bars;
    ASSERT_TRUE(map.query(INT64_MIN, INT64_MAX, 1000, &bars));
    ASSERT_EQ(bars.size(), 400U);
    uint64_t lanes = 0;
    for (uint64_t size = 512; size <= 512 * 6; size += 512) {
      uint64_t most = 0;  // of this size at once
      for (const Bar& moment : bars) {
        most = std::max(most, static_cast<uint64_t>(
                                  std::count_if(bars.begin(), bars.end(), [&](const Bar& bar) {
                                    return bar.bytes == size && bar.begin_ns <= moment.begin_ns &&
                                           bar.end_ns > moment.begin_ns;
                                  })));
      }
      lanes += most * size;
    }
    EXPECT_EQ(map.packed_bytes(), lanes);
    for (const Bar& a : bars) {
      EXPECT_LE(a.packed + a.bytes, map.packed_bytes());
      EXPECT_EQ(map.find(a.id, a.begin_ns)->id, a.id);
      EXPECT_EQ(map.find(a.id, a.begin_ns + 1), nullptr);
      for (const Bar& b : bars) {
        const bool at_once = a.begin_ns < b.end_ns && b.begin_ns < a.end_ns;
        const bool touch = a.packed < b.packed + b.bytes && b.packed < a.packed + a.bytes;
        EXPECT_FALSE(a.id != b.id && at_once && touch);
        if (a.bytes > b.bytes) {
          EXPECT_LT(a.packed, b.packed) << "the largest lie lowest";
        }
      }
    }
  }
}

TEST(viewer_places, every_finding_leads_to_a_block_or_copy_that_is_there) {
  for (const char* path : {TIDEMARK_WASTEFUL_TRACE}) {
    Loader loader([&] { return trace::Reader::open(path); });
    loader.wait();
    const Loaded loaded = loader.loaded();
    ASSERT_EQ(loaded.error, "");
    ASSERT_FALSE(loaded.insight->findings.empty());
    size_t blocks = 0;
    size_t copies = 0;
    for (const analyzer::Finding& finding : loaded.insight->findings) {
      if (!finding.example) continue;
      ViewState state(*loaded.document);
      show_finding(state, *loaded.document, loaded.activity.get(), finding);
      EXPECT_EQ(state.selected, finding.series);
      EXPECT_GE(static_cast<double>(state.cursor_ns), state.axis.begin_ns());
      EXPECT_LE(static_cast<double>(state.cursor_ns), state.axis.end_ns());
      const auto span = chosen_span(state, loaded.activity.get());
      ASSERT_TRUE(span.has_value()) << analyzer::pattern_text(finding.pattern);
      if (state.choice.block != trace::AllocationId{}) {
        ++blocks;
        EXPECT_LE(span->begin_ns, finding.example->begin_ns);
      } else {
        ++copies;
        EXPECT_EQ(span->begin_ns, finding.example->begin_ns);
      }
      EXPECT_TRUE(state.back()) << "the way back is kept";
    }
    EXPECT_GT(blocks, 0U);
    EXPECT_GT(copies, 0U);
  }
}

TEST(viewer_places, of_one_process_alone_nothing_of_another_is_told) {
  const auto trace = std::make_shared<const MemoryTrace>(testing::two_ranks_trace());
  const auto usage = [](const trace::Reader& reader) {
    const auto curves = analyzer::usage_curves(reader);
    return curves && curves->size() == 1 ? curves->front().peak_bytes : -1;
  };
  EXPECT_EQ(usage(MemoryReader(trace)), static_cast<int64_t>(96 * kMiB));
  for (int64_t rank = 0; rank < 2; ++rank) {
    const auto one = only_process(std::make_unique<MemoryReader>(trace),
                                  trace::ProcessId{static_cast<int32_t>(rank + 1)});
    EXPECT_EQ(usage(*one), static_cast<int64_t>((rank == 0 ? 64 : 32) * kMiB));
    ASSERT_EQ(one->processes().size(), 1U);
    EXPECT_EQ(one->processes()[0].rank, rank);
    EXPECT_EQ(one->threads().size(), 1U);
    std::vector<int64_t> kernels;
    ASSERT_TRUE(one->kernels([&](std::span<const trace::Kernel> rows) {
      for (const trace::Kernel& row : rows) kernels.push_back(row.id);
    }));
    EXPECT_EQ(kernels, std::vector<int64_t>{rank + 1});
    std::vector<int64_t> accesses;
    ASSERT_TRUE(one->accesses({}, [&](std::span<const trace::Access> rows) {
      for (const trace::Access& row : rows) accesses.push_back(row.kernel);
    }));
    EXPECT_EQ(accesses, std::vector<int64_t>{rank + 1});
  }
  const auto all = only_process(std::make_unique<MemoryReader>(trace), {});
  EXPECT_EQ(usage(*all), static_cast<int64_t>(96 * kMiB));
  EXPECT_EQ(process_text(trace->processes[1]), "rank 1 python3 (501)");
}

}  // namespace
}  // namespace tidemark::viewer
