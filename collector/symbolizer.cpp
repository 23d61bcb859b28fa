#include "symbolizer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

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

  std::vector<std::vector<trace::FrameId>> ids;  // of result.frames, once written

  [[nodiscard]] size_t index_of(uint64_t address) const {
    const auto at = std::lower_bound(addresses.begin(), addresses.end(), address);
    return static_cast<size_t>(at - addresses.begin());
  }
};

class Symbolizer {
 public:
  explicit Symbolizer(const PythonCodes& python_codes) : python_codes_(python_codes) {}

  // Which file each address of a process lies in. Parallel to StackTree::addresses().
  void locate(const ProcessState& process) {
    const auto& addresses = process.stack_tree.addresses();
    std::vector<Location>& locations = locations_.emplace_back(addresses.size());
    std::map<const LoadedModule*, uint32_t> seen;
    for (size_t i = 0; i < addresses.size(); ++i) {
      const StackTree::Address& address = addresses[i];
      if (address.written == trace::AddressId{} || wire::is_python_word(address.word)) continue;
      // The call lies before the address that it returns to.
      const uint64_t call = address.word - 1;
      const LoadedModule* module = process.modules.find(call, address.time_ns);
      if (module == nullptr) continue;
      auto known = seen.find(module);
      if (known == seen.end()) known = seen.emplace(module, work_for(*module)).first;
      locations[i] = {known->second, call - module->base};
      work_[known->second].addresses.push_back(call - module->base);
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

  // Tells the Writer what the addresses of a process mean.
  void tell(const ProcessState& process, size_t process_index, trace::Writer& writer) {
    const auto& addresses = process.stack_tree.addresses();
    const std::vector<Location>& locations = locations_[process_index];
    for (size_t i = 0; i < addresses.size(); ++i) {
      const StackTree::Address& address = addresses[i];
      if (address.written == trace::AddressId{}) continue;
      const std::vector<trace::FrameId>& frames = wire::is_python_word(address.word)
                                                      ? python_frame_ids(address.word, writer)
                                                      : frame_ids(locations[i], writer);
      // Frames of the injected libraries come before the hooked function's caller.
      writer.name_address(address.written, frames, is_ours(locations[i]));
    }
  }

  void count_losses(Losses& losses) const {
    losses.add("python_code_missing", trace::Severity::kDataLoss, python_code_missing_);
    for (const ModuleWork& work : work_) {
      if (work.result.state == ModuleState::kChanged) {
        losses.add("modules_changed", trace::Severity::kInfo);
      } else if (work.result.state == ModuleState::kMissing) {
        losses.add("modules_unreadable", trace::Severity::kInfo);
      }
    }
  }

 private:
  [[nodiscard]] bool is_ours(const Location& location) const {
    return location.module != kNoModule &&
           base_name(work_[location.module].file.path).starts_with("libtidemark_");
  }

  // Innermost first, at least one: an address in no module is a frame of which nothing is known.
  const std::vector<trace::FrameId>& frame_ids(const Location& location, trace::Writer& writer) {
    if (location.module == kNoModule) {
      if (unknown_frame_.empty()) unknown_frame_.push_back(writer.add_frame({}));
      return unknown_frame_;
    }
    ModuleWork& work = work_[location.module];
    work.ids.resize(work.addresses.size());
    const size_t index = work.index_of(location.address);
    std::vector<trace::FrameId>& ids = work.ids[index];
    if (ids.empty()) {
      for (const trace::Frame& frame : work.result.frames[index]) {
        ids.push_back(writer.add_frame(frame));
      }
    }
    return ids;
  }

  const std::vector<trace::FrameId>& python_frame_ids(uint64_t word, trace::Writer& writer) {
    std::vector<trace::FrameId>& ids = python_ids_[word];
    if (ids.empty()) {
      if (!python_codes_.knows(word)) ++python_code_missing_;
      ids.push_back(writer.add_frame(python_codes_.frame(word)));
    }
    return ids;
  }

  uint32_t work_for(const LoadedModule& module) {
    const ModuleFile file{module.path, module.build_id};
    const auto [it, fresh] = by_file_.emplace(file, static_cast<uint32_t>(work_.size()));
    if (fresh) work_.push_back({file, {}, {}, {}});
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
  std::vector<trace::FrameId> unknown_frame_;
  const PythonCodes& python_codes_;
  std::unordered_map<uint64_t, std::vector<trace::FrameId>> python_ids_;  // by word
  uint64_t python_code_missing_ = 0;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t finished_ = 0;
  uint64_t done_ = 0;
};

}  // namespace

void symbolize(const std::vector<std::unique_ptr<ProcessState>>& processes,
               const PythonCodes& python_codes, trace::Writer& writer, Losses& losses,
               const std::function<void(uint64_t, uint64_t)>& progress) {
  Symbolizer symbolizer(python_codes);
  for (const auto& process : processes) symbolizer.locate(*process);
  symbolizer.name_all(progress);
  for (size_t i = 0; i < processes.size(); ++i) symbolizer.tell(*processes[i], i, writer);
  symbolizer.count_losses(losses);
}

}  // namespace tidemark::collector
