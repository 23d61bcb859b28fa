// Levels of detail: whatever a picture leaves out, it is never the largest; and what it adds up is
// exact. Against the plain way over random traces.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <set>

#include "tidemark/analyzer/live.h"
#include "tidemark/analyzer/report.h"
#include "tidemark/viewer/details.h"
#include "tidemark/viewer/flame.h"
#include "tidemark/viewer/forecast.h"
#include "tidemark/viewer/loader.h"
#include "tidemark/viewer/recent_files.h"
#include "tidemark/viewer/search.h"
#include "tidemark/viewer/stacked.h"
#include "tidemark/viewer/view_state.h"
#include "viewer_fixtures.h"

namespace tidemark::viewer {
namespace {

using testing::kPool;
using testing::MemoryReader;
using testing::MemoryTrace;

std::vector<Lifetime> random_lifetimes(uint64_t seed, int count) {
  std::mt19937_64 random(seed);
  std::vector<Lifetime> lives;
  for (int i = 1; i <= count; ++i) {
    const auto begin = static_cast<int64_t>(random() % 1'000'000);
    const auto duration = static_cast<int64_t>(1 + (random() >> (44 + random() % 20)));
    lives.push_back({trace::AllocationId{i}, trace::ProcessId{static_cast<int>(1 + random() % 2)},
                     random() % 4096 * 4096, 1 + random() % 65536, begin, begin + duration});
  }
  return lives;
}

TEST(viewer_levels, largest_of_a_run_is_the_first_of_the_largest) {
  std::mt19937_64 random(3);
  std::vector<uint64_t> values(1000);
  for (uint64_t& value : values) value = random() % 50;
  const MaxTree tree(values);
  for (int round = 0; round < 2000; ++round) {
    size_t first = random() % 1001;
    size_t last = random() % 1001;
    if (first > last) std::swap(first, last);
    const auto best = std::max_element(values.begin() + static_cast<std::ptrdiff_t>(first),
                                       values.begin() + static_cast<std::ptrdiff_t>(last));
    ASSERT_EQ(tree.largest(first, last), static_cast<size_t>(best - values.begin()));
  }
}

TEST(viewer_levels, of_too_many_blocks_the_largest_are_shown) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const std::vector<Lifetime> lives = random_lifetimes(seed, 3000);
    const BlockMap map(kPool, lives);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 20; ++round) {
      const auto begin = static_cast<int64_t>(random() % 1'100'000);
      const auto end = begin + 1 + static_cast<int64_t>(random() % 300'000);
      std::vector<uint64_t> alive;
      for (const Lifetime& life : lives) {
        if (life.begin_ns < end && life.end_ns > begin) alive.push_back(life.bytes);
      }
      std::sort(alive.rbegin(), alive.rend());
      std::vector<Bar> shown;
      EXPECT_EQ(map.query(begin, end, 50, &shown), alive.size() <= 50);
      alive.resize(std::min<size_t>(alive.size(), 50));
      std::vector<uint64_t> sizes;
      for (const Bar& bar : shown) sizes.push_back(bar.bytes);
      std::sort(sizes.rbegin(), sizes.rend());
      ASSERT_EQ(sizes, alive);
      map.query(begin, end, SIZE_MAX, &shown);
      ASSERT_GE(shown.size(), alive.size());
    }
  }
}

TEST(viewer_levels, addresses_keep_their_order_and_unused_ones_take_no_room) {
  const BlockMap map(kPool, {{trace::AllocationId{1}, trace::ProcessId{1}, 0x10000, 100, 0, 10},
                             {trace::AllocationId{2}, trace::ProcessId{1}, 0x10064, 50, 0, 10},
                             {trace::AllocationId{3}, trace::ProcessId{1}, 0x900000, 30, 5, 10},
                             {trace::AllocationId{4}, trace::ProcessId{2}, 0x10000, 7, 0, 10},
                             {trace::AllocationId{5}, trace::ProcessId{1}, 0x10032, 0, 0, 10},
                             {trace::AllocationId{6}, trace::ProcessId{1}, 0x10032, 9, 3, 3}});
  EXPECT_EQ(map.size(), 4U);  // without bytes or duration nothing is there to be seen
  EXPECT_EQ(map.height_bytes(), 187U);
  EXPECT_EQ(map.find(trace::AllocationId{1})->offset, 0U);
  EXPECT_EQ(map.find(trace::AllocationId{2})->offset, 100U);
  EXPECT_EQ(map.find(trace::AllocationId{3})->offset, 150U);
  EXPECT_EQ(map.find(trace::AllocationId{4})->offset, 180U);
  EXPECT_EQ(map.neighbour(*map.find(trace::AllocationId{1}), true)->id, trace::AllocationId{2});
  EXPECT_EQ(map.neighbour(*map.find(trace::AllocationId{1}), false), nullptr);
}

TEST(viewer_levels, what_is_too_much_to_keep_is_small_and_counted) {
  MemoryTrace trace;
  const trace::StackId stack = trace.stack({});
  std::mt19937_64 random(7);
  std::vector<uint64_t> sizes;
  for (int i = 0; i < 1000; ++i) {
    sizes.push_back(1 + random() % 100'000);
    trace.free(
        trace.allocate(trace::Layer::kHeap, trace::Space::kHost, sizes.back(), i, stack, "malloc"),
        i + 100);
  }
  const auto maps =
      load_maps(MemoryReader(std::make_shared<const MemoryTrace>(trace)), 100, nullptr);
  ASSERT_TRUE(maps.has_value());
  ASSERT_EQ(maps->size(), 1U);
  const BlockMap& map = maps->front();
  EXPECT_EQ(map.size(), 100U);
  EXPECT_EQ(map.unseen(), 900U);
  std::sort(sizes.rbegin(), sizes.rend());
  std::vector<Bar> bars;
  map.query(0, 2000, SIZE_MAX, &bars);
  uint64_t least = UINT64_MAX;
  for (const Bar& bar : bars) least = std::min(least, bar.bytes);
  EXPECT_EQ(least, sizes[99]);
  EXPECT_GE(map.unseen_up_to(), sizes[100]);
  EXPECT_LE(map.unseen_up_to(), least);
}

TEST(viewer_levels, folded_slices_count_all_and_know_the_longest) {
  std::mt19937_64 random(11);
  std::vector<Slice> slices;
  int64_t now = 0;
  for (int i = 0; i < 5000; ++i) {
    now += static_cast<int64_t>(random() % 200);
    const int64_t end = now + 1 + static_cast<int64_t>(random() % 300);
    slices.push_back({now, end, i, 0, SliceKind::kKernel});
    now = end;
  }
  const SliceLane lane(slices);
  TimeAxis axis(0, now);
  axis.set_width(700);
  for (const double zoom : {1.0, 3.0, 40.0, 900.0}) {
    axis.frame_all();
    axis.zoom_about(350, zoom);
    std::vector<SliceCell> cells;
    lane.cells(axis, &cells);
    EXPECT_LE(cells.size(), 701U);
    size_t covered = 0;
    for (const SliceCell& cell : cells) covered += cell.count;
    size_t visible = 0;
    for (const Slice& slice : slices) {
      visible += static_cast<double>(slice.end_ns) > axis.begin_ns() &&
                         axis.to_pixel(static_cast<double>(slice.begin_ns)) < axis.width()
                     ? 1
                     : 0;
    }
    // A folded cell may reach over the picture's right edge.
    EXPECT_GE(covered, visible);
    EXPECT_LE(covered, visible + 60);
    // Whatever is three pixels wide is there by itself.
    std::set<int64_t> single;
    for (const SliceCell& cell : cells) {
      if (cell.count == 1) single.insert(lane.slices()[cell.longest].id);
    }
    for (const Slice& slice : slices) {
      const double x0 = axis.to_pixel(static_cast<double>(slice.begin_ns));
      const double x1 = axis.to_pixel(static_cast<double>(slice.end_ns));
      if (x1 <= 0 || x0 >= axis.width() || x1 - x0 < 3.001) continue;
      ASSERT_TRUE(single.contains(slice.id)) << zoom;
    }
  }
}

TEST(viewer_levels, ranges_within_ranges_lie_in_lanes_below_them) {
  const auto lanes = nest({{0, 100, 1, 0, SliceKind::kRange},
                           {10, 40, 2, 0, SliceKind::kRange},
                           {20, 30, 3, 0, SliceKind::kRange},
                           {50, 60, 4, 0, SliceKind::kRange},
                           {100, 120, 5, 0, SliceKind::kRange}},
                          6);
  ASSERT_EQ(lanes.size(), 3U);
  EXPECT_EQ(lanes[0].slices().size(), 2U);
  EXPECT_EQ(lanes[1].slices().size(), 2U);
  EXPECT_EQ(lanes[2].slices().size(), 1U);
  EXPECT_EQ(lanes[1].at(55), 1U);
  EXPECT_EQ(lanes[1].at(45), SliceLane::npos);
}

TEST(viewer_levels, stacked_categories_add_up_to_the_exact_peak_of_every_column) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 12; ++round) {
    CategoryCurves categories{kPool, {}};
    std::vector<std::pair<int64_t, std::array<int64_t, 3>>> steps;
    std::array<int64_t, 3> now{};
    int64_t time = 0;
    for (int i = 0; i < 4000; ++i) {
      time += 1 + static_cast<int64_t>(random() % 50);
      now.at(random() % 3) = static_cast<int64_t>(random() % 1000);
      steps.emplace_back(time, now);
    }
    std::vector<analyzer::UsagePoint> usage;
    for (size_t k = 0; k < 3; ++k) {
      categories.curves.push_back({static_cast<analyzer::Category>(k), {}});
    }
    for (const auto& [when, values] : steps) {
      usage.push_back({when, values[0] + values[1] + values[2]});
      for (size_t k = 0; k < 3; ++k) categories.curves[k].points.push_back({when, values.at(k)});
    }
    const PeakPyramid pyramid(usage);
    TimeAxis axis(0, time + 10);
    axis.set_width(333);
    axis.zoom_about(static_cast<double>(random() % 333), 1.0 + static_cast<double>(round));
    std::vector<StackedColumn> columns;
    Curves curves;
    for (const auto& curve : categories.curves) curves.push_back(&curve.points);
    stacked_columns(pyramid, curves, axis, &columns);
    ASSERT_EQ(columns.size(), 333U);
    for (int c = 0; c < 333; ++c) {
      const int64_t exact = pyramid.over(axis.column_begin_ns(c), axis.column_begin_ns(c + 1)).max;
      ASSERT_EQ(columns[static_cast<size_t>(c)][2], exact) << c;
    }
  }
}

TEST(viewer_levels, history_goes_back_and_forward_and_forgets_what_lay_ahead) {
  History history;
  EXPECT_FALSE(history.back().has_value());
  Place a;
  a.cursor_ns = 1;
  Place b;
  b.cursor_ns = 2;
  Place c;
  c.cursor_ns = 3;
  history.visit(a);
  history.visit(a);
  history.visit(b);
  EXPECT_EQ(history.back()->cursor_ns, 1);
  EXPECT_FALSE(history.can_back());
  EXPECT_EQ(history.forward()->cursor_ns, 2);
  history.back();
  history.visit(c);
  EXPECT_FALSE(history.can_forward());
  EXPECT_EQ(history.back()->cursor_ns, 1);
  for (int i = 0; i < 1000; ++i) {
    a.cursor_ns = i;
    history.visit(a);
  }
  EXPECT_EQ(history.back()->cursor_ns, 998);
}

TEST(viewer_levels, a_search_knows_sizes_addresses_and_words_apart) {
  using Kind = SearchQuery::Kind;
  EXPECT_EQ(parse_search("  ").kind, Kind::kNothing);
  EXPECT_EQ(parse_search("0x7f00").kind, Kind::kAddress);
  EXPECT_EQ(parse_search("0x7f00").value, 0x7f00U);
  EXPECT_EQ(parse_search("> 100 MiB").kind, Kind::kAtLeast);
  EXPECT_EQ(parse_search(">100MiB").value, uint64_t{100} << 20);
  EXPECT_EQ(parse_search("<4096").kind, Kind::kAtMost);
  EXPECT_EQ(parse_search("1.50 GiB").kind, Kind::kSize);
  EXPECT_GT(parse_search("1.50 GiB").slack, uint64_t{5} << 20);  // half of its last digit
  EXPECT_EQ(parse_search("4096").slack, uint64_t{5});
  EXPECT_EQ(parse_search("Softmax").words, "softmax");
  EXPECT_EQ(parse_search("0xhello").kind, Kind::kWords);
}

uint64_t peak_of(const std::vector<analyzer::UsagePoint>& points) {
  int64_t most = 0;
  for (const auto& point : points) most = std::max(most, point.bytes);
  return static_cast<uint64_t>(most);
}

TEST(viewer_levels, an_untouched_forecast_is_the_recorded_run) {
  const auto reader = trace::Reader::open(TIDEMARK_SAMPLE_TRACE);
  ASSERT_TRUE(reader.has_value()) << reader.error().message;
  const auto schedule = analyzer::build_schedule(**reader, kPool);
  ASSERT_TRUE(schedule.has_value()) << schedule.error().message;
  for (const char* allocator : {"", "torch", "torch:expandable_segments:True", "cuda-malloc"}) {
    WhatIfChoice choice;
    choice.allocator = allocator;
    const Forecast forecast = viewer::forecast(*schedule, choice);
    ASSERT_EQ(forecast.error, "");
    EXPECT_EQ(peak_of(forecast.allocated), forecast.prediction.predicted.allocated) << allocator;
    EXPECT_EQ(peak_of(forecast.reserved), forecast.prediction.predicted.reserved) << allocator;
    for (size_t i = 1; i < forecast.allocated.size(); ++i) {
      ASSERT_LT(forecast.allocated[i - 1].time_ns, forecast.allocated[i].time_ns);
    }
    if (std::string_view(allocator).empty()) {
      EXPECT_EQ(peak_of(forecast.allocated), forecast.prediction.recorded.allocated);
    }
  }
}

TEST(viewer_levels, a_forecasts_curve_has_the_predicted_peak) {
  analyzer::Schedule schedule;
  constexpr int64_t kStride = analyzer::Schedule::kStride;
  for (int64_t event = 0; event < 12; ++event) schedule.event_ns.push_back(event * 1000);
  for (int i = 0; i < 6; ++i) {  // parameters stay, activations of one step come and go
    analyzer::ScheduledBlock block;
    block.bytes = block.recorded_bytes = uint64_t{8} << 20;
    block.origin = trace::AllocationId{i + 1};
    block.begin = i * kStride;
    if (i >= 2) {
      block.end = (12 - i) * kStride;
      block.law = analyzer::BatchLaw::kPerSample;
      block.iteration = 1;
    }
    schedule.blocks.push_back(block);
  }
  schedule.iterations.push_back(
      {2 * kStride, 6 * kStride, 10 * kStride, 11 * kStride, 2000, 11000});
  for (const auto& [batch, megabytes] : {std::pair{1.0, 48U}, {2.0, 80U}, {0.5, 32U}}) {
    WhatIfChoice choice;
    choice.batch = batch;
    const Forecast forecast = viewer::forecast(schedule, choice);
    ASSERT_EQ(forecast.error, "");
    EXPECT_EQ(peak_of(forecast.allocated), uint64_t{megabytes} << 20);
    EXPECT_EQ(forecast.prediction.predicted.allocated, uint64_t{megabytes} << 20);
    EXPECT_EQ(peak_of(forecast.reserved), forecast.prediction.predicted.reserved);
    // The step's last activation is born when it was recorded to be.
    EXPECT_EQ(forecast.allocated_pyramid.peak_moment(0, 20'000), 5000);
  }
}

TEST(viewer_levels, pieces_come_one_after_the_other_and_errors_come_as_words) {
  const auto trace = std::make_shared<const MemoryTrace>(testing::training_trace());
  Loader loader([trace]() -> Result<std::unique_ptr<trace::Reader>> {
    return std::make_unique<MemoryReader>(trace);
  });
  loader.wait();
  const Loaded loaded = loader.loaded();
  EXPECT_EQ(loaded.error, "");
  ASSERT_NE(loaded.document, nullptr);
  ASSERT_NE(loaded.activity, nullptr);
  ASSERT_NE(loaded.insight, nullptr);
  EXPECT_NE(loaded.activity->map_of(kPool), nullptr);
  Loader broken([]() -> Result<std::unique_ptr<trace::Reader>> { return fail("no such trace"); });
  broken.wait();
  EXPECT_EQ(broken.loaded().error, "no such trace");
  // Closing while it loads: the destructor of a loader that has just begun.
  const Loader closing([trace]() -> Result<std::unique_ptr<trace::Reader>> {
    return std::make_unique<MemoryReader>(trace);
  });
}

TEST(viewer_levels, peaks_and_categories_are_those_of_the_report_and_of_sql) {
  const auto opened = trace::Reader::open(TIDEMARK_SAMPLE_TRACE);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  const trace::Reader& reader = **opened;
  const auto report = analyzer::build_report(reader, {});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  const auto document = load_document(reader);
  ASSERT_TRUE(document.has_value());
  const Insight insight = find_insight(reader, *document);
  ASSERT_EQ(document->tracks.size(), report->series.size());
  for (const analyzer::SeriesReport& series : report->series) {
    const Track* track = document->find(series.series);
    ASSERT_NE(track, nullptr);
    EXPECT_EQ(track->curve.peak_bytes, series.peak_bytes);
    EXPECT_EQ(track->pyramid.over(document->begin_ns, document->end_ns).max, series.peak_bytes);
    std::string live;
    const std::string at = std::to_string(series.peak_ns);
    const auto asked = reader.query(
        "select sum(size) from allocation where layer = '" +
            std::string(trace::to_string(series.series.layer)) + "' and space = '" +
            trace::to_string(series.series.space) + "' and alloc_ns <= " + at +
            " and (free_ns is null or free_ns > " + at + ")",
        [](std::span<const std::string>) {},
        [&](std::span<const trace::Cell> row) {
          live = row[0].text;
          return true;
        });
    ASSERT_TRUE(asked.has_value()) << asked.error().message;
    EXPECT_EQ(live, std::to_string(series.peak_bytes));
    const CategoryCurves* curves = insight.categories_of(series.series);
    if (curves == nullptr || series.series.layer != trace::Layer::kPool) continue;
    for (const CategoryCurves::Curve& curve : curves->curves) {
      const int64_t shown = PeakPyramid(curve.points).value_at(series.peak_ns);
      int64_t reported = 0;
      for (const analyzer::CategoryBytes& category : series.categories) {
        if (category.category == analyzer::to_string(curve.category)) reported = category.bytes;
      }
      EXPECT_EQ(shown, reported) << category_text(curve.category);
    }
  }
}

TEST(viewer_levels, boxes_of_a_treemap_fill_it_in_proportion_to_their_bytes) {
  std::mt19937_64 random(2);
  std::vector<TreeItem> items;
  uint64_t all = 0;
  for (int i = 0; i < 200; ++i) {
    items.push_back({"group " + std::to_string(random() % 7), "item " + std::to_string(i),
                     random() % 1'000'000, 1});
    all += items.back().bytes;
  }
  const std::vector<TreeBox> boxes = treemap(items, 2.5);
  double area = 0;
  for (const TreeBox& box : boxes) {
    EXPECT_NEAR(box.width * box.height, static_cast<double>(box.bytes) / static_cast<double>(all),
                1e-9);
    EXPECT_GE(box.x, -1e-9);
    EXPECT_LE(box.x + box.width, 1 + 1e-9);
    EXPECT_LE(box.y + box.height, 1 + 1e-9);
    if (box.group < 0) {
      area += box.width * box.height;
      continue;
    }
    const TreeBox& outer = boxes[static_cast<size_t>(box.group)];
    EXPECT_GE(box.x, outer.x - 1e-9);
    EXPECT_LE(box.y + box.height, outer.y + outer.height + 1e-9);
  }
  EXPECT_NEAR(area, 1.0, 1e-9);
  EXPECT_TRUE(treemap({}, 1.0).empty());
}

TEST(viewer_levels, files_looked_at_last_are_remembered_newest_first) {
  const std::string file = ::testing::TempDir() + "tidemark-recent-" + std::to_string(getpid());
  {
    RecentFiles recent(file);
    for (int i = 0; i < 20; ++i) recent.add("/data/run" + std::to_string(i) + ".db");
    recent.add("/data/run15.db");
  }
  const RecentFiles again(file);
  ASSERT_EQ(again.paths().size(), RecentFiles::kMost);
  EXPECT_EQ(again.paths()[0], "/data/run15.db");
  EXPECT_EQ(again.paths()[1], "/data/run19.db");
  EXPECT_EQ(std::count(again.paths().begin(), again.paths().end(), "/data/run15.db"), 1);
  std::remove(file.c_str());
  RecentFiles none("");
  none.add("/data/a.db");
  EXPECT_EQ(none.paths().size(), 1U);
}

TEST(viewer_levels, a_range_grows_by_what_the_curve_says) {
  const auto trace = std::make_shared<const MemoryTrace>(testing::training_trace());
  const MemoryReader reader(trace);
  const auto document = load_document(reader);
  ASSERT_TRUE(document.has_value());
  std::mt19937_64 random(9);
  for (const Track& track : document->tracks) {
    for (int round = 0; round < 20; ++round) {
      TimeRange range{static_cast<int64_t>(random() % static_cast<uint64_t>(trace->end_ns)),
                      static_cast<int64_t>(random() % static_cast<uint64_t>(trace->end_ns))};
      if (range.begin_ns > range.end_ns) std::swap(range.begin_ns, range.end_ns);
      const auto details = range_details(reader, *document, track.curve.series, range);
      ASSERT_TRUE(details.has_value());
      ASSERT_EQ(details->all.growth(), details->after_bytes - details->before_bytes);
      int64_t rows = 0;
      for (const RangeRow& row : details->rows) rows += row.growth();
      ASSERT_EQ(rows, details->all.growth());
    }
  }
}

}  // namespace
}  // namespace tidemark::viewer
