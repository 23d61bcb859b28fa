// The laws of usage curves and live sets, against a model that adds everything up anew at every
// moment.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "fake_reader.h"
#include "tidemark/analyzer/live.h"
#include "tidemark/analyzer/usage.h"

namespace tidemark::analyzer {
namespace {

using tests::FakeReader;
using trace::Allocation;
using trace::Layer;
using trace::ProcessId;
using trace::Space;
using trace::StackId;
using trace::StringId;

constexpr Series kHeap{Layer::kHeap, Space::kHost};

Allocation host(uint64_t size, int64_t alloc_ns, int64_t free_ns = trace::kNever, int process = 1) {
  Allocation row;
  row.process = static_cast<ProcessId>(process);
  row.layer = Layer::kHeap;
  row.space = Space::kHost;
  row.size = size;
  row.alloc_ns = alloc_ns;
  row.free_ns = free_ns;
  return row;
}

trace::Process process(int id, int64_t end_ns, int32_t exit) {
  trace::Process row;
  row.id = static_cast<ProcessId>(id);
  row.end_ns = end_ns;
  row.exit = exit;
  return row;
}

UsageCurve only_curve(const FakeReader& reader) {
  auto curves = usage_curves(reader);
  EXPECT_TRUE(curves) << curves.error().message;
  EXPECT_EQ(curves->size(), 1U);
  const auto peaks = usage_peaks(reader);
  EXPECT_TRUE(peaks) << peaks.error().message;
  EXPECT_EQ(peaks->size(), 1U);
  EXPECT_EQ(peaks->at(0).peak_bytes, curves->at(0).peak_bytes);
  EXPECT_EQ(peaks->at(0).peak_ns, curves->at(0).peak_ns);
  EXPECT_EQ(peaks->at(0).allocations, curves->at(0).allocations);
  return curves->at(0);
}

std::vector<std::pair<int64_t, int64_t>> points(const UsageCurve& curve) {
  std::vector<std::pair<int64_t, int64_t>> result;
  for (const UsagePoint& point : curve.points) result.emplace_back(point.time_ns, point.bytes);
  return result;
}

using Points = std::vector<std::pair<int64_t, int64_t>>;

TEST(Usage, an_empty_trace_has_no_series) {
  const FakeReader reader;
  EXPECT_TRUE(usage_curves(reader)->empty());
}

TEST(Usage, a_block_given_back_and_taken_again_in_one_nanosecond_makes_no_false_peak) {
  FakeReader reader;
  reader.allocation_rows = {host(100, 10, 20), host(100, 20, 30)};
  const UsageCurve curve = only_curve(reader);
  EXPECT_EQ(curve.peak_bytes, 100);
  EXPECT_EQ(curve.peak_ns, 10);
  EXPECT_EQ(points(curve), (Points{{10, 100}, {30, 0}}));
  EXPECT_EQ(curve.allocations, 2U);
  EXPECT_EQ(curve.allocated_bytes, 200U);
}

TEST(Usage, the_peak_is_the_first_moment_that_reached_it) {
  FakeReader reader;
  reader.allocation_rows = {host(5, 1, 2), host(5, 3, 4)};
  EXPECT_EQ(only_curve(reader).peak_ns, 1);
}

TEST(Usage, what_was_never_freed_ends_with_its_process) {
  FakeReader reader;
  reader.process_rows = {process(1, 50, 0), process(2, trace::kNever, 0)};
  reader.allocation_rows = {host(10, 5), host(7, 6, trace::kNever, 2)};
  EXPECT_EQ(points(only_curve(reader)), (Points{{5, 10}, {6, 17}, {50, 7}}));
  EXPECT_EQ(live_at(reader, kHeap, 49)->bytes, 17U);
  EXPECT_EQ(live_at(reader, kHeap, 50)->bytes, 7U);
}

TEST(Usage, a_lifetime_that_ends_where_it_begins_was_never_live) {
  FakeReader reader;
  reader.allocation_rows = {host(10, 5, 5), host(10, 9, 3), host(0, 1, 9)};
  const UsageCurve curve = only_curve(reader);
  EXPECT_TRUE(curve.points.empty());
  EXPECT_EQ(curve.peak_bytes, 0);
  EXPECT_EQ(curve.allocations, 3U);
}

TEST(Usage, layers_and_spaces_and_devices_are_never_added_up) {
  FakeReader reader;
  const auto add = [&](Layer layer, Space space, int16_t device) {
    Allocation row = host(1, 1, 2);
    row.layer = layer;
    row.space = space;
    row.device = device;
    reader.allocation_rows.push_back(row);
  };
  add(Layer::kPool, Space::kDevice, 1);
  add(Layer::kPool, Space::kDevice, 0);
  add(Layer::kDriver, Space::kDevice, 0);
  add(Layer::kDriver, Space::kPinned, 0);
  add(Layer::kDriver, Space::kPinned, 1);  // pinned memory is the host's, whichever device asked
  add(Layer::kOs, Space::kHost, trace::kNoDevice);
  std::vector<std::string> names;
  const auto curves = usage_curves(reader);
  for (const UsageCurve& curve : *curves) names.push_back(series_text(curve.series));
  EXPECT_EQ(names, (std::vector<std::string>{"os host", "driver pinned", "driver device:0",
                                             "pool device:0", "pool device:1"}));
  EXPECT_EQ(curves->at(1).peak_bytes, 2);
}

TEST(Usage, sizes_that_cannot_be_are_an_error_and_not_a_wrong_sum) {
  FakeReader reader;
  const uint64_t huge = uint64_t{1} << 62;
  reader.allocation_rows = {host(huge, 1), host(huge, 2), host(huge, 3)};
  const auto curves = usage_curves(reader);
  ASSERT_FALSE(curves);
  EXPECT_NE(curves.error().message.find("heap host"), std::string::npos);
}

TEST(Usage, a_reading_error_is_passed_on) {
  FakeReader reader;
  reader.error = "damaged chunk";
  EXPECT_EQ(usage_curves(reader).error().message, "damaged chunk");
  EXPECT_EQ(live_at(reader, kHeap, 0).error().message, "damaged chunk");
  EXPECT_EQ(leaks(reader, kHeap).error().message, "damaged chunk");
}

TEST(Live, groups_are_by_stack_and_api_and_most_bytes_come_first) {
  FakeReader reader;
  const auto add = [&](int stack, int api, uint64_t size) {
    Allocation row = host(size, 1);
    row.alloc_stack = static_cast<StackId>(stack);
    row.api = static_cast<StringId>(api);
    reader.allocation_rows.push_back(row);
  };
  add(1, 1, 5);
  add(2, 1, 10);
  add(1, 1, 5);
  add(1, 2, 30);
  add(3, 1, 10);
  const LiveSet set = *live_at(reader, kHeap, 1);
  EXPECT_EQ(set.bytes, 60U);
  EXPECT_EQ(set.count, 5U);
  std::vector<std::pair<int, uint64_t>> order;
  for (const LiveGroup& group : set.groups) {
    order.emplace_back(static_cast<int>(group.stack), group.bytes);
  }
  // Equal bytes: more blocks first, then the lower stack.
  EXPECT_EQ(order, (std::vector<std::pair<int, uint64_t>>{{1, 30}, {1, 10}, {2, 10}, {3, 10}}));
}

TEST(Leaks, only_a_process_that_ended_by_itself_leaks) {
  constexpr int32_t unknown = std::numeric_limits<int32_t>::min();
  FakeReader reader;
  reader.process_rows = {process(1, 100, 0),       process(2, 100, 3),
                         process(3, 100, 137),     process(4, 100, 255),
                         process(5, 100, unknown), process(6, trace::kNever, 0)};
  for (int id = 1; id <= 6; ++id) {
    reader.allocation_rows.push_back(host(1U << id, 1, trace::kNever, id));
    reader.allocation_rows.push_back(host(1000, 1, 99, id));
  }
  EXPECT_EQ(leaks(reader, kHeap)->bytes, (1U << 1) + (1U << 2) + (1U << 4));
  EXPECT_EQ(leaks(reader, kHeap)->count, 3U);
}

// A random recording: few distinct times, so that many things happen in one nanosecond.
FakeReader random_reader(uint32_t seed) {
  std::mt19937 random(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  FakeReader reader;
  reader.batch_rows = static_cast<size_t>(pick(1, 50));
  for (int id = 1; id <= 3; ++id) {
    const int exits[] = {0, 1, 139};
    reader.process_rows.push_back(
        process(id, pick(0, 3) == 0 ? trace::kNever : pick(20, 60), exits[pick(0, 2)]));
  }
  const int rows = pick(1, 200);
  for (int i = 0; i < rows; ++i) {
    Allocation row =
        host(static_cast<uint64_t>(pick(0, 9)), pick(0, 40), trace::kNever, pick(1, 4));
    if (pick(0, 2) != 0) row.free_ns = row.alloc_ns + pick(0, 20);
    row.layer = static_cast<Layer>(pick(0, 3));
    row.space = static_cast<Space>(pick(0, 3));
    row.device = static_cast<int16_t>(pick(-1, 1));
    row.alloc_stack = static_cast<StackId>(pick(0, 5));
    reader.allocation_rows.push_back(row);
  }
  return reader;
}

bool belongs(const Allocation& row, const Series& series) {
  return row.layer == series.layer && row.space == series.space &&
         (row.space != Space::kDevice || row.device == series.device);
}

int64_t model_end(const FakeReader& reader, const Allocation& row) {
  if (row.free_ns != trace::kNever) return row.free_ns;
  for (const trace::Process& owner : reader.process_rows) {
    if (owner.id == row.process) return owner.end_ns;
  }
  return trace::kNever;
}

TEST(Usage, equals_a_brute_force_model_at_every_moment) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    const FakeReader reader = random_reader(seed);
    const auto curves = usage_curves(reader);
    ASSERT_TRUE(curves);
    uint64_t allocations = 0;
    for (const UsageCurve& curve : *curves) {
      allocations += curve.allocations;
      int64_t peak = 0;
      int64_t peak_ns = 0;
      Points expected;
      int64_t before = 0;
      for (int64_t now = -1; now <= 70; ++now) {
        int64_t live = 0;
        std::map<StackId, uint64_t> by_stack;
        for (const Allocation& row : reader.allocation_rows) {
          if (!belongs(row, curve.series)) continue;
          if (row.alloc_ns > now || now >= model_end(reader, row)) continue;
          live += static_cast<int64_t>(row.size);
          by_stack[row.alloc_stack] += row.size;
        }
        if (live != before) expected.emplace_back(now, live);
        before = live;
        if (live > peak) {
          peak = live;
          peak_ns = now;
        }
        ASSERT_EQ(bytes_at(curve, now), live) << "at " << now;
        if (now % 7 == 0) {
          const auto set = live_at(reader, curve.series, now);
          ASSERT_TRUE(set);
          EXPECT_EQ(set->bytes, static_cast<uint64_t>(live));
          EXPECT_EQ(set->groups.size(), by_stack.size());
          for (const LiveGroup& group : set->groups) EXPECT_EQ(by_stack[group.stack], group.bytes);
        }
      }
      EXPECT_EQ(points(curve), expected);
      EXPECT_EQ(curve.peak_bytes, peak);
      EXPECT_EQ(curve.peak_ns, peak_ns);
    }
    EXPECT_EQ(allocations, reader.allocation_rows.size());
  }
}

}  // namespace
}  // namespace tidemark::analyzer
