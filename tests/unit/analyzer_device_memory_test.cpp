// What the driver counts of a device, beside what allocations explain.
#include <gtest/gtest.h>

#include <limits>

#include "fake_reader.h"
#include "sizes.h"
#include "tidemark/analyzer/render.h"
#include "tidemark/analyzer/report.h"

namespace tidemark::analyzer {
namespace {

using trace::Layer;
using trace::ProcessId;
using trace::Space;

constexpr ProcessId kEverybody{};
constexpr ProcessId kFirst{1};
constexpr ProcessId kSecond{2};

struct DeviceMemoryReport : testing::Test {
  DeviceMemoryReport() {
    reader.end = 1000;
    reader.meta_rows = {{"cuda.device.0.pci_bus", "0000:AF:00.0"}};
    bus = reader.intern("0000:af:00.0");
  }
  void sample(ProcessId process, int64_t time_ns, uint64_t used_mib) {
    reader.device_memory_rows.push_back(
        {process, bus, time_ns, used_mib * kMiB, process == kEverybody ? 1000 * kMiB : 0});
  }
  void block(Layer layer, int16_t device, int64_t alloc_ns, int64_t free_ns, uint64_t mib) {
    trace::Allocation row;
    row.process = kFirst;
    row.layer = layer;
    row.space = Space::kDevice;
    row.device = device;
    row.alloc_ns = alloc_ns;
    row.free_ns = free_ns;
    row.size = mib * kMiB;
    reader.allocation_rows.push_back(row);
  }
  Report built() const {
    auto report = build_report(reader, {});
    EXPECT_TRUE(report);
    return std::move(*report);
  }
  DeviceMemoryLine line() const {
    const Report report = built();
    EXPECT_EQ(report.device_memory.size(), 1U);
    return report.device_memory.at(0);
  }

  tests::FakeReader reader;
  trace::StringId bus;
};

TEST_F(DeviceMemoryReport, splits_up_the_moment_at_which_the_recorded_held_most) {
  sample(kEverybody, 10, 600);
  sample(kFirst, 10, 100);
  sample(kEverybody, 20, 500);
  sample(kFirst, 20, 250);
  sample(kSecond, 20, 150);
  sample(kEverybody, 30, 450);
  sample(kFirst, 30, 300);
  sample(kSecond, 30, 50);
  block(Layer::kDriver, 0, 5, trace::kNever, 200);
  block(Layer::kDriver, 0, 5, 20, 99);             // gone by then
  block(Layer::kDriver, 1, 5, trace::kNever, 98);  // of another device
  block(Layer::kPool, 0, 5, trace::kNever, 97);    // lies in what the driver gave
  reader.reserved_rows = {{kFirst, 0, 6, 120 * kMiB}, {kFirst, 0, 21, 130 * kMiB}};
  const DeviceMemoryLine peak = line();
  EXPECT_EQ(peak.device, 0);
  EXPECT_EQ(peak.at_ns, 20);
  EXPECT_EQ(peak.total_bytes, 1000 * kMiB);
  EXPECT_EQ(peak.used_bytes, 500 * kMiB);
  EXPECT_EQ(peak.recorded_bytes, 400 * kMiB);
  EXPECT_EQ(peak.allocated_bytes, 200 * kMiB);
  EXPECT_EQ(peak.pool_bytes, 120 * kMiB);
  EXPECT_EQ(peak.unexplained_bytes(), 200 * kMiB);
  EXPECT_EQ(peak.others_bytes(), 100 * kMiB);
}

TEST_F(DeviceMemoryReport, where_processes_are_not_told_apart_the_rest_is_everybodys) {
  sample(kEverybody, 10, 600);
  sample(kEverybody, 20, 700);
  sample(kEverybody, 30, 650);
  block(Layer::kDriver, 0, 5, trace::kNever, 200);
  const DeviceMemoryLine peak = line();
  EXPECT_EQ(peak.at_ns, 20);
  EXPECT_FALSE(peak.recorded_bytes);
  EXPECT_EQ(peak.unexplained_bytes(), 500 * kMiB);
  EXPECT_EQ(peak.others_bytes(), 0U);
  EXPECT_NE(report_text(built()).find("500 MiB  contexts, code, libraries and other processes"),
            std::string::npos);
}

TEST_F(DeviceMemoryReport, allocations_newer_than_the_sample_leave_nothing_negative) {
  sample(kEverybody, 10, 100);
  block(Layer::kDriver, 0, 5, trace::kNever, 200);
  EXPECT_EQ(line().unexplained_bytes(), 0U);
}

TEST_F(DeviceMemoryReport, a_device_that_nobody_recorded_used_is_left_out) {
  sample(kEverybody, 10, 100);
  bus = reader.intern("0000:b0:00.0");
  sample(kEverybody, 10, 900);
  EXPECT_EQ(line().bus, "0000:af:00.0");
}

TEST_F(DeviceMemoryReport, what_the_drivers_pools_hold_idle_is_explained) {
  sample(kEverybody, 20, 600);
  sample(kFirst, 20, 300);
  block(Layer::kDriver, 0, 5, trace::kNever, 60);
  reader.driver_pool_rows = {{kFirst, 0, 1, 19, 100 * kMiB, 60 * kMiB},
                             {kFirst, 0, 1, 10, 99 * kMiB, 0},  // told later, but older
                             {kFirst, 0, 1, 21, 98 * kMiB, 0},  // newer than the sample
                             {kFirst, 1, 2, 10, 97 * kMiB, 0},  // of another device
                             {kSecond, 0, 1, 10, 30 * kMiB, 20 * kMiB}};
  EXPECT_EQ(line().idle_bytes, 50 * kMiB);
  EXPECT_EQ(line().unexplained_bytes(), 190 * kMiB);
  EXPECT_NE(report_text(built()).find("50.0 MiB  the driver's memory pools, handed to nobody"),
            std::string::npos);
}

TEST_F(DeviceMemoryReport, the_drivers_pools_are_summed_up_at_their_peak) {
  reader.driver_pool_rows = {{kFirst, 0, 1, 30, 64 * kMiB, 10 * kMiB},
                             {kFirst, 0, 1, 10, 32 * kMiB, 32 * kMiB},
                             {kFirst, 0, 2, 20, 16 * kMiB, 4 * kMiB},
                             {kSecond, 0, 1, 40, 8 * kMiB, 8 * kMiB},
                             {kFirst, 0, 1, 50, 0, 0},  // destroyed
                             {kFirst, 1, 9, 10, 1 * kMiB, 0},
                             {kFirst, 2, 7, 10, 0, 0}};  // nobody used it
  const auto pools = built().driver_pools;
  ASSERT_EQ(pools.size(), 2U);
  EXPECT_EQ(pools[0].device, 0);
  EXPECT_EQ(pools[0].pools, 3U);
  EXPECT_EQ(pools[0].peak_held_bytes, 88 * kMiB);
  EXPECT_EQ(pools[0].peak_held_ns, 40);
  EXPECT_EQ(pools[0].used_then_bytes, 22 * kMiB);
  EXPECT_EQ(pools[0].peak_used_bytes, 36 * kMiB);
  EXPECT_EQ(pools[1].device, 1);
  EXPECT_EQ(pools[1].peak_held_bytes, 1 * kMiB);
  const std::string text = report_text(built());
  EXPECT_NE(text.find("The driver's memory pools (3) on device:0: held 88.0 MiB at most, at 40 ns, "
                      "of which 22.0 MiB were in use; in use at most 36.0 MiB\n"),
            std::string::npos)
      << text;
}

TEST_F(DeviceMemoryReport, managed_pages_are_summed_up_by_what_became_of_them) {
  using Kind = trace::MigrationKind;
  constexpr int16_t kHost = trace::kNoDevice;
  constexpr int64_t kLongAgo = std::numeric_limits<int64_t>::min();
  reader.migration_rows = {{1, kFirst, Kind::kHtoD, kHost, 0, 0, 2 * kMiB, 0, 10, 30},
                           {2, kFirst, Kind::kCpuFault, kHost, kHost, 0, 0, 1, 11, 11},
                           {3, kSecond, Kind::kHtoD, kHost, 0, 0, 1 * kMiB, 0, 20, 25},
                           {4, kFirst, Kind::kGpuFault, 0, kHost, 0, 0, 7, kLongAgo, 40}};
  const auto lines = built().migrations;
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0].kind, Kind::kHtoD);
  EXPECT_EQ(lines[0].count, 2U);
  EXPECT_EQ(lines[0].bytes, 3 * kMiB);
  EXPECT_EQ(lines[0].duration_ns, 25);
  EXPECT_EQ(lines[1].kind, Kind::kCpuFault);
  EXPECT_EQ(lines[1].faults, 1U);
  EXPECT_EQ(lines[1].duration_ns, 0);
  EXPECT_EQ(lines[2].faults, 7U);
  EXPECT_EQ(lines[2].duration_ns, trace::kNever) << "of a damaged trace: stops at the largest";
  const std::string text = report_text(built());
  EXPECT_NE(text.find("copied to a device                    2  3.00 MiB"), std::string::npos)
      << text;
}

TEST_F(DeviceMemoryReport, memory_of_other_processes_is_counted_by_itself) {
  const auto import = [&](int64_t open_ns, int64_t close_ns, uint64_t bytes) {
    trace::ImportedMemory row;
    row.process = kFirst;
    row.device = 0;
    row.open_ns = open_ns;
    row.close_ns = close_ns;
    row.size = bytes;
    reader.import_rows.push_back(row);
  };
  import(10, 30, 5 * kMiB);
  import(20, 40, 3 * kMiB);
  import(30, trace::kNever, 4 * kMiB);  // the first is closed by then
  import(35, trace::kNever, 0);
  const Report report = built();
  ASSERT_EQ(report.imports.size(), 1U);
  EXPECT_EQ(report.imports[0].count, 4U);
  EXPECT_EQ(report.imports[0].peak_bytes, static_cast<int64_t>(8 * kMiB));
  EXPECT_EQ(report.imports[0].never_closed, 2U);
  EXPECT_EQ(report.imports[0].of_unknown_size, 1U);
  EXPECT_TRUE(report.series.empty()) << "nobody's allocation here";
  const std::string text = report_text(report);
  EXPECT_NE(text.find("opened through IPC on device:0: 4 blocks, 8.00 MiB at most at once"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("the driver did not tell the size of 1 block\n"), std::string::npos) << text;
  EXPECT_NE(text.find("2 were never closed\n"), std::string::npos) << text;
}

struct PowerReport : DeviceMemoryReport {
  void look(int64_t time_ns, int64_t power_mw, int64_t energy_mj = trace::DevicePower::kUntold) {
    reader.device_power_rows.push_back({bus, time_ns, power_mw, energy_mj});
  }
  static constexpr int64_t kSecond = 1'000'000'000;
};

TEST_F(PowerReport, energy_is_the_drivers_counter_where_it_has_one) {
  look(1 * kSecond, 100'000, 5'000'000);
  look(2 * kSecond, 300'000, 5'200'000);
  look(5 * kSecond, 200'000, 6'000'000);
  const Report report = built();
  ASSERT_EQ(report.power.size(), 1U);
  const PowerLine& line = report.power.front();
  EXPECT_EQ(line.bus, "0000:af:00.0");
  EXPECT_EQ(line.device, 0);
  EXPECT_EQ(line.energy_mj, 1'000'000);
  EXPECT_EQ(line.mean_mw, 250'000);
  ASSERT_TRUE(line.peak.has_value());
  EXPECT_EQ(line.peak->mw, 300'000);
  EXPECT_EQ(line.peak->at_ns, 2 * kSecond);
  EXPECT_TRUE(line.counted);
  EXPECT_FALSE(line.iteration_mj.has_value());
  const std::string text = report_text(report);
  EXPECT_NE(
      text.find("Power of device:0, 0000:af:00.0: 250 W on average, 300 W at most, at 2.000 s\n"
                "  1.00 kJ in 4.000 s; the whole board's, by its own counter\n"),
      std::string::npos)
      << text;
  EXPECT_NE(report_json(report).find("\"energy_mj\": 1000000"), std::string::npos);
}

TEST_F(PowerReport, without_a_counter_each_look_holds_until_the_next) {
  look(2 * kSecond, 300'000);  // rows of a joined trace need not ascend
  look(0, 100'000);
  look(4 * kSecond, 1'000'000);
  const PowerLine line = built().power.at(0);
  EXPECT_EQ(line.energy_mj, 800'000);
  EXPECT_EQ(line.mean_mw, 200'000);
  EXPECT_FALSE(line.counted);
}

TEST_F(PowerReport, a_counter_that_falls_was_begun_anew) {
  look(0, 100'000, 9'000'000);
  look(1 * kSecond, 100'000, 9'100'000);
  look(2 * kSecond, 100'000, 50'000);
  look(3 * kSecond, 100'000, 150'000);
  EXPECT_EQ(built().power.at(0).energy_mj, 200'000);
}

TEST_F(PowerReport, another_device_and_figures_of_a_hostile_trace) {
  reader.device_power_rows.push_back({reader.intern("0000:01:00.0"), 5, 60'000, 1});
  EXPECT_TRUE(built().power.empty());
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  look(std::numeric_limits<int64_t>::min(), 1, 1);
  look(0, kMost, std::numeric_limits<int64_t>::min());
  look(kMost, kMost, kMost);
  EXPECT_EQ(built().power.at(0).peak.value().mw, kMost);
}

// As of a run of a tenth of a second: the driver's figures are averages of the idle second before.
TEST_F(PowerReport, no_peak_is_told_where_the_average_is_higher) {
  look(0, 90'000, 0);
  look(kSecond / 10, 103'000, 13'000);
  const Report report = built();
  EXPECT_EQ(report.power.at(0).mean_mw, 130'000);
  EXPECT_FALSE(report.power.at(0).peak.has_value());
  const std::string text = report_text(report);
  EXPECT_NE(text.find("Power of device:0, 0000:af:00.0: 130 W on average\n  13.0 J in 100.000 ms;"),
            std::string::npos)
      << text;
  EXPECT_NE(report_json(report).find("\"peak_mw\": null"), std::string::npos);
}

}  // namespace
}  // namespace tidemark::analyzer
