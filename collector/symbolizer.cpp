#include "symbolizer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "symbolize_module.h"

namespace tidemark::collector {
namespace {

constexpr uint32_t kNoModule = UINT32_MAX;
constexpr unsigned kMaxThreads = 8;

struct Location {
  uint32_t module = kNoModule;
  uint64_t address = 0;  // in the file
};

struct ModuleWork {
  ModuleFile file;
  std::vector<uint64_t> addresses;
  ModuleFrames result;

  [[nodiscard]] const std::vector<trace::Frame>& frames(uint64_t address) const {
    const auto at = std::lower_bound(addresses.begin(), addresses.end(), address);
    return result.frames[static_cast<size_t>(at - addresses.begin())];
  }
};

class Symbolizer {
 public:
  // Which file each address of each stack lies in. Parallel to ProcessState::addresses.
  void locate(const ProcessState& process) {
    std::vector<Location>& locations = locations_.emplace_back(process.addresses.size());
    std::map<const LoadedModule*, uint32_t> seen;
    for (const StackEntry& stack : process.stack_entries) {
      for (size_t i = 0; i < stack.address_count; ++i) {
        const size_t index = stack.first_address + i;
        // The call lies before the address that it returns to.
        const uint64_t address = process.addresses[index] - 1;
        const LoadedModule* module = process.modules.find(address, stack.first_use_ns);
        if (module == nullptr) continue;
        auto known = seen.find(module);
        if (known == seen.end()) known = seen.emplace(module, work_for(*module)).first;
        locations[index] = {known->second, address - module->base};
        work_[known->second].addresses.push_back(address - module->base);
      }
    }
  }

  void name_all(const std::function<void(uint64_t, uint64_t)>& progress) {
    uint64_t total = 0;
    for (ModuleWork& work : work_) {
      std::sort(work.addresses.begin(), work.addresses.end());
      work.addresses.erase(std::unique(work.addresses.begin(), work.addresses.end()),
                           work.addresses.end());
      total += work.addresses.size();
    }
    const unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads);
    std::vector<std::thread> workers;
    for (unsigned i = 0; i < threads; ++i) workers.emplace_back([this] { run(); });
    if (progress) {
      std::unique_lock lock(mutex_);
      while (finished_ < work_.size()) {
        progress(done_, total);
        changed_.wait_for(lock, std::chrono::milliseconds(100));
      }
      progress(total, total);
    }
    for (std::thread& worker : workers) worker.join();
  }

  void define(const ProcessState& process, size_t process_index, trace::Writer& writer) const {
    const std::vector<Location>& locations = locations_[process_index];
    std::vector<trace::Frame> frames;
    for (const StackEntry& stack : process.stack_entries) {
      frames.clear();
      bool ours =
          true;  // frames of the injected libraries come before the hooked function's caller
      for (size_t i = 0; i < stack.address_count; ++i) {
        const Location& location = locations[stack.first_address + i];
        if (location.module == kNoModule) {
          ours = false;
          frames.emplace_back();
          continue;
        }
        const ModuleWork& work = work_[location.module];
        ours = ours && base_name(work.file.path).starts_with("libtidemark_");
        if (ours) continue;
        const auto& named = work.frames(location.address);
        frames.insert(frames.end(), named.begin(), named.end());
      }
      writer.define_stack(stack.id, frames);
    }
  }

  void count_losses(Losses& losses) const {
    for (const ModuleWork& work : work_) {
      if (work.result.state == ModuleState::kChanged) {
        losses.add("modules_changed", trace::Severity::kInfo);
      } else if (work.result.state == ModuleState::kMissing) {
        losses.add("modules_unreadable", trace::Severity::kInfo);
      }
    }
  }

 private:
  uint32_t work_for(const LoadedModule& module) {
    const ModuleFile file{module.path, module.build_id};
    const auto [it, fresh] = by_file_.emplace(file, static_cast<uint32_t>(work_.size()));
    if (fresh) work_.push_back({file, {}, {}});
    return it->second;
  }

  void run() {
    for (size_t i = next_++; i < work_.size(); i = next_++) {
      work_[i].result = symbolize_module(work_[i].file, work_[i].addresses);
      const std::lock_guard lock(mutex_);
      ++finished_;
      done_ += work_[i].addresses.size();
      changed_.notify_one();
    }
  }

  std::map<ModuleFile, uint32_t> by_file_;
  std::vector<ModuleWork> work_;
  std::vector<std::vector<Location>> locations_;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t finished_ = 0;
  uint64_t done_ = 0;
};

}  // namespace

void symbolize(const std::vector<std::unique_ptr<ProcessState>>& processes, trace::Writer& writer,
               Losses& losses, const std::function<void(uint64_t, uint64_t)>& progress) {
  Symbolizer symbolizer;
  for (const auto& process : processes) symbolizer.locate(*process);
  symbolizer.name_all(progress);
  for (size_t i = 0; i < processes.size(); ++i) symbolizer.define(*processes[i], i, writer);
  symbolizer.count_losses(losses);
}

}  // namespace tidemark::collector
