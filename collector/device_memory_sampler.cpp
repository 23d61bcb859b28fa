#include "device_memory_sampler.h"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "session.h"

namespace tidemark::collector {
namespace {

constexpr std::chrono::milliseconds kEvery{250};
constexpr std::chrono::seconds kPatience{1};  // with a driver that does not answer, at the end

}  // namespace

struct DeviceMemorySampler::Shared {
  struct News {
    trace::DeviceMemory row;
    std::string bus;
  };
  struct PowerNews {
    trace::DevicePower row;
    std::string bus;
  };
  Open open;
  std::mutex mutex;  // guards what follows
  std::condition_variable wake;
  std::map<int32_t, trace::ProcessId> processes;
  std::vector<News> news;
  std::vector<PowerNews> power_news;
  std::string error;
  bool stopping = false;
  bool finished = false;
  // The thread's own: the last figures written.
  std::map<std::pair<std::string, trace::ProcessId>, uint64_t> last;
  std::map<std::string, trace::DevicePower> last_power;

  // Under the mutex.
  void note(const DeviceUse& device, trace::ProcessId process, uint64_t used, uint64_t total,
            int64_t now_ns) {
    const auto [known, fresh] = last.try_emplace({device.bus, process}, used);
    if (!fresh && std::exchange(known->second, used) == used) return;
    news.push_back({{process, {}, now_ns, used, total}, device.bus});
  }
  void note_power(const DeviceUse& device, int64_t now_ns) {
    if (!device.power_mw) return;
    const trace::DevicePower row{
        {}, 0, *device.power_mw, device.energy_mj.value_or(trace::DevicePower::kUntold)};
    const auto [known, fresh] = last_power.try_emplace(device.bus, row);
    if (!fresh && std::exchange(known->second, row) == row) return;
    power_news.push_back({row, device.bus});
    power_news.back().row.time_ns = now_ns;
  }
  void note(const std::vector<DeviceUse>& devices, int64_t now_ns) {
    for (const DeviceUse& device : devices) {
      note_power(device, now_ns);
      note(device, {}, device.used_bytes, device.total_bytes, now_ns);
      // MIG: a process can have several entries on one device.
      std::map<trace::ProcessId, uint64_t> used;
      for (const DeviceUse::Process& process : device.processes) {
        const auto ours = processes.find(process.pid);
        if (ours != processes.end()) used[ours->second] += process.used_bytes;
      }
      // What was there and is no more holds nothing.
      for (const auto& [key, bytes] : last) {
        if (key.first == device.bus && key.second != trace::ProcessId{}) {
          used.try_emplace(key.second, 0);
        }
      }
      for (const auto& [process, bytes] : used) note(device, process, bytes, 0, now_ns);
    }
  }
};

DeviceMemorySampler::DeviceMemorySampler(Open open) : shared_(std::make_shared<Shared>()) {
  shared_->open = std::move(open);
}

DeviceMemorySampler::~DeviceMemorySampler() { stop(); }

void DeviceMemorySampler::begin() {
  if (std::exchange(begun_, true)) return;
  // Signals are for the recorder's main thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([shared = shared_] { run(shared); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void DeviceMemorySampler::watch(trace::ProcessId process, int32_t pid) {
  const std::lock_guard lock(shared_->mutex);
  shared_->processes[pid] = process;
}

void DeviceMemorySampler::stop() {
  if (!begun_ || std::exchange(stopped_, true)) return;
  std::unique_lock lock(shared_->mutex);
  shared_->stopping = true;
  shared_->wake.notify_all();
  shared_->wake.wait_for(lock, kPatience, [this] { return shared_->finished; });
  if (!shared_->finished) shared_->error = "the driver does not answer";
}

void DeviceMemorySampler::take(uint64_t zero_ns, trace::Writer& writer, Losses& losses) {
  std::vector<Shared::News> news;
  std::vector<Shared::PowerNews> power_news;
  std::string error;
  {
    const std::lock_guard lock(shared_->mutex);
    news.swap(shared_->news);
    power_news.swap(shared_->power_news);
    error.swap(shared_->error);
  }
  for (Shared::News& each : news) {
    each.row.time_ns -= static_cast<int64_t>(zero_ns);
    each.row.bus = writer.intern(each.bus);
    writer.add_device_memory(each.row);
  }
  for (Shared::PowerNews& each : power_news) {
    each.row.time_ns -= static_cast<int64_t>(zero_ns);
    each.row.bus = writer.intern(each.bus);
    writer.add_device_power(each.row);
  }
  if (error.empty()) return;
  losses.add("device_memory_not_sampled", trace::Severity::kInfo);
  writer.meta("device_memory", error);
}

void DeviceMemorySampler::run(const std::shared_ptr<Shared>& shared) {
  pthread_setname_np(pthread_self(), "device memory");
  const auto finish = [&shared](const std::string& error) {
    const std::lock_guard lock(shared->mutex);
    shared->error = error;
    shared->finished = true;
    shared->wake.notify_all();
  };
  auto nvml = shared->open();
  if (!nvml) return finish(nvml.error().message);
  for (;;) {
    const std::vector<DeviceUse> devices = (*nvml)->look();
    const auto now_ns = static_cast<int64_t>(monotonic_ns());
    std::unique_lock lock(shared->mutex);
    shared->note(devices, now_ns);
    if (shared->stopping) break;
    shared->wake.wait_for(lock, kEvery, [&shared] { return shared->stopping; });
  }
  nvml->reset();
  finish("");
}

}  // namespace tidemark::collector
