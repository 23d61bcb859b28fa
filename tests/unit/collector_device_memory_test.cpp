// Device memory as the driver tells it: the real library's stand-in, and the sampler's rows.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "collector_fakes.h"
#include "device_memory_sampler.h"
#include "session.h"

namespace tidemark::collector {
namespace {

using namespace fakes;

TEST(Nvml, memory_of_devices_and_of_processes) {
  auto nvml = Nvml::open(TIDEMARK_TEST_FAKE_NVML);
  ASSERT_TRUE(nvml) << nvml.error().message;
  const std::vector<DeviceUse> devices = (*nvml)->look();
  ASSERT_EQ(devices.size(), 2U);
  EXPECT_EQ(devices[0].bus, "0000:1b:00.0");
  EXPECT_EQ(devices[1].bus, "0001:1c:00.0");
  EXPECT_EQ(devices[0].total_bytes, uint64_t{80} << 30);
  EXPECT_EQ(devices[0].used_bytes, uint64_t{1} << 30);
  // More than the first guess has room for; the last one's memory is not told.
  ASSERT_EQ(devices[0].processes.size(), 39U);
  EXPECT_EQ(devices[0].processes[38].pid, 138);
  EXPECT_EQ(devices[0].processes[38].used_bytes, uint64_t{38} << 20);
}

TEST(Nvml, power_and_energy_of_devices) {
  auto nvml = Nvml::open(TIDEMARK_TEST_FAKE_NVML);
  ASSERT_TRUE(nvml) << nvml.error().message;
  const std::vector<DeviceUse> devices = (*nvml)->look();
  ASSERT_EQ(devices.size(), 2U);
  EXPECT_EQ(devices[0].power_mw, 310'500);
  EXPECT_EQ(devices[0].energy_mj, 5'000'000'000);
  EXPECT_EQ(devices[1].power_mw, 62'000);
  EXPECT_FALSE(devices[1].energy_mj.has_value());
}

TEST(Nvml, a_library_that_is_missing_or_refuses) {
  EXPECT_FALSE(Nvml::open("libnothing-of-that-name.so.1"));
  setenv("FAKE_NVIDIA", "nvml=18", 1);
  const auto refused = Nvml::open(TIDEMARK_TEST_FAKE_NVML);
  unsetenv("FAKE_NVIDIA");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("version mismatch"), std::string::npos);
}

// Answers what the test has set, and counts how often it was asked.
struct Script {
  std::mutex mutex;
  std::vector<DeviceUse> devices;
  std::atomic<int> looks{0};
  std::atomic<bool> hangs{false};
};
class ScriptedNvml : public Nvml {
 public:
  explicit ScriptedNvml(std::shared_ptr<Script> script) : script_(std::move(script)) {}
  std::vector<DeviceUse> look() override {
    while (script_->hangs) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const std::lock_guard lock(script_->mutex);
    ++script_->looks;
    return script_->devices;
  }

 private:
  std::shared_ptr<Script> script_;
};

struct DeviceMemoryTest : testing::Test {
  void set(std::vector<DeviceUse> devices) {
    const std::lock_guard lock(script->mutex);
    script->devices = std::move(devices);
  }
  void wait_for_looks(int more) const {
    const int before = script->looks;
    while (script->looks < before + more) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  std::shared_ptr<Script> script = std::make_shared<Script>();
  RecordingWriter writer;
  Losses losses;
  DeviceMemorySampler sampler{[script = script]() -> Result<std::unique_ptr<Nvml>> {
    return std::make_unique<ScriptedNvml>(script);
  }};
  static constexpr auto kOurs = static_cast<trace::ProcessId>(1);
};

TEST_F(DeviceMemoryTest, a_row_for_each_change_of_what_is_ours) {
  sampler.watch(kOurs, 100);
  set({{"0000:1b:00.0", 3000, 8000, {{100, 700}, {999, 900}, {100, 50}}}});
  sampler.begin();
  wait_for_looks(3);
  set({{"0000:1b:00.0", 2000, 8000, {{999, 900}}}});
  wait_for_looks(2);
  sampler.stop();
  sampler.take(0, writer, losses);
  ASSERT_EQ(writer.device_memory.size(), 4U);
  const auto& rows = writer.device_memory;
  EXPECT_EQ(rows[0].process, trace::ProcessId{});
  EXPECT_EQ(rows[0].used_bytes, 3000U);
  EXPECT_EQ(rows[0].total_bytes, 8000U);
  EXPECT_EQ(writer.text(rows[0].bus), "0000:1b:00.0");
  EXPECT_EQ(rows[1].process, kOurs);
  EXPECT_EQ(rows[1].used_bytes, 750U);
  EXPECT_EQ(rows[2].used_bytes, 2000U);
  EXPECT_EQ(rows[3].process, kOurs);
  EXPECT_EQ(rows[3].used_bytes, 0U);
  EXPECT_GT(rows[2].time_ns, rows[0].time_ns);
}

TEST_F(DeviceMemoryTest, a_row_for_each_change_of_a_devices_power) {
  set({{"0000:1b:00.0", 3000, 8000, {}, 70'000, 1'000}, {"0000:1c:00.0", 1, 8000, {}, 60'000}});
  sampler.begin();
  wait_for_looks(3);
  set({{"0000:1b:00.0", 3000, 8000, {}, 310'500, 1'090}, {"0000:1c:00.0", 1, 8000, {}, 60'000}});
  wait_for_looks(2);
  sampler.stop();
  sampler.take(0, writer, losses);
  ASSERT_EQ(writer.power.size(), 3U);
  EXPECT_EQ(writer.text(writer.power[0].bus), "0000:1b:00.0");
  EXPECT_EQ(writer.power[0].power_mw, 70'000);
  EXPECT_EQ(writer.power[0].energy_mj, 1'000);
  EXPECT_EQ(writer.text(writer.power[1].bus), "0000:1c:00.0");
  EXPECT_EQ(writer.power[1].energy_mj, trace::DevicePower::kUntold);
  EXPECT_EQ(writer.power[2].power_mw, 310'500);
  EXPECT_EQ(writer.power[2].energy_mj, 1'090);
  EXPECT_GT(writer.power[2].time_ns, writer.power[0].time_ns);
}

TEST_F(DeviceMemoryTest, nothing_is_asked_before_a_device_is_used) {
  sampler.watch(kOurs, 100);
  sampler.stop();
  sampler.take(0, writer, losses);
  EXPECT_EQ(script->looks, 0);
  EXPECT_TRUE(writer.device_memory.empty());
}

TEST_F(DeviceMemoryTest, a_driver_that_hangs_does_not_hang_the_end) {
  script->hangs = true;
  sampler.begin();
  sampler.stop();
  sampler.take(0, writer, losses);
  losses.write_to(writer);
  EXPECT_EQ(writer.losses["device_memory_not_sampled"], 1U);
  EXPECT_EQ(writer.metas["device_memory"], "the driver does not answer");
  script->hangs = false;
  wait_for_looks(1);
}

TEST(DeviceMemory, without_the_library_the_trace_says_so) {
  RecordingWriter writer;
  Losses losses;
  DeviceMemorySampler sampler([]() -> Result<std::unique_ptr<Nvml>> { return fail("no library"); });
  sampler.begin();
  sampler.stop();
  sampler.take(0, writer, losses);
  losses.write_to(writer);
  EXPECT_EQ(writer.losses["device_memory_not_sampled"], 1U);
  EXPECT_EQ(writer.metas["device_memory"], "no library");
}

}  // namespace
}  // namespace tidemark::collector
