#include "trace_consistency.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

namespace tidemark::testing {
namespace {

using nlohmann::json;
using trace::Allocation;
using trace::kNever;
using trace::Process;
using trace::ProcessId;
using trace::Severity;

constexpr size_t kShownProblems = 20;

struct Block {
  uint64_t address;
  uint64_t size;
  int64_t alloc_ns;
  int64_t free_ns;  // kNever: ends with its process
  int64_t id;
};

// One after the other in one space of addresses.
using SpaceKey = std::tuple<int32_t, int, int, int>;  // process, layer, space, device

class Problems {
 public:
  void add(const std::string& what) {
    ++count_;
    if (shown_.size() < kShownProblems) shown_.push_back(what);
  }
  [[nodiscard]] uint64_t count() const { return count_; }
  [[nodiscard]] const std::vector<std::string>& shown() const { return shown_; }

 private:
  uint64_t count_ = 0;
  std::vector<std::string> shown_;
};

std::string text(const SpaceKey& key, const Block& block) {
  char line[256];
  std::snprintf(line, sizeof line,
                "allocation %lld (process %d, %s, address 0x%llx, %llu bytes, %lld to %lld ns)",
                static_cast<long long>(block.id), std::get<0>(key),
                to_string(static_cast<trace::Layer>(std::get<1>(key))),
                static_cast<unsigned long long>(block.address),
                static_cast<unsigned long long>(block.size), static_cast<long long>(block.alloc_ns),
                block.free_ns == kNever ? -1LL : static_cast<long long>(block.free_ns));
  return line;
}

class Replay {
 public:
  Replay(const SpaceKey& key, const std::vector<Block>& blocks, Problems& problems)
      : key_(key), blocks_(blocks), problems_(problems) {}

  // Frees come before allocations of the same nanosecond: an address may go from hand to hand in
  // it. What began and ended in one nanosecond is left out (an undone unmapping looks so too).
  void run() {
    std::vector<uint32_t> begins(blocks_.size());
    std::iota(begins.begin(), begins.end(), 0U);
    std::erase_if(begins, [&](uint32_t i) { return blocks_[i].free_ns == blocks_[i].alloc_ns; });
    std::vector<uint32_t> ends = begins;
    std::erase_if(ends, [&](uint32_t i) { return blocks_[i].free_ns == kNever; });
    std::stable_sort(begins.begin(), begins.end(), [&](uint32_t a, uint32_t b) {
      return blocks_[a].alloc_ns < blocks_[b].alloc_ns;
    });
    std::sort(ends.begin(), ends.end(),
              [&](uint32_t a, uint32_t b) { return blocks_[a].free_ns < blocks_[b].free_ns; });
    size_t end = 0;
    for (const uint32_t i : begins) {
      for (; end < ends.size() && blocks_[ends[end]].free_ns <= blocks_[i].alloc_ns; ++end) {
        remove(ends[end]);
      }
      insert(i);
    }
    for (; end < ends.size(); ++end) remove(ends[end]);
  }
  [[nodiscard]] int64_t peak_bytes() const { return peak_; }

 private:
  // malloc(0) is a block too, at an address of its own.
  static uint64_t end_of(const Block& block) {
    return block.address + std::max<uint64_t>(block.size, 1);
  }

  void insert(uint32_t index) {
    const Block& block = blocks_[index];
    const auto next = live_.lower_bound(block.address);
    if (next != live_.end() && next->first < end_of(block)) overlap(block, blocks_[next->second]);
    if (next != live_.begin()) {
      const Block& before = blocks_[std::prev(next)->second];
      if (end_of(before) > block.address) overlap(block, before);
    }
    live_[block.address] = index;
    bytes_ += static_cast<int64_t>(block.size);
    peak_ = std::max(peak_, bytes_);
  }

  void remove(uint32_t index) {
    const Block& block = blocks_[index];
    bytes_ -= static_cast<int64_t>(block.size);
    if (bytes_ < 0) problems_.add("live bytes fall below zero at the end of " + text(key_, block));
    const auto found = live_.find(block.address);
    // Not there: another lies at its address, which has been said, or it ended before it began.
    if (found != live_.end() && found->second == index) live_.erase(found);
  }

  void overlap(const Block& block, const Block& other) {
    problems_.add(text(key_, block) + " lies in live " + text(key_, other));
  }

  const SpaceKey& key_;
  const std::vector<Block>& blocks_;
  Problems& problems_;
  std::map<uint64_t, uint32_t> live_;  // by address
  int64_t bytes_ = 0;
  int64_t peak_ = 0;
};

class Check {
 public:
  explicit Check(const trace::Reader& reader) : reader_(reader) {
    for (const Process& process : reader.processes()) {
      processes_[static_cast<int32_t>(process.id)] = process;
    }
  }

  Result<json> run() {
    const auto read = reader_.allocations({}, [&](std::span<const Allocation> rows) {
      for (const Allocation& row : rows) take(row);
    });
    if (!read) return tl::unexpected(read.error());
    json peaks = json::object();
    for (const auto& [key, blocks] : spaces_) {
      Replay replay(key, blocks, problems_);
      replay.run();
      json& peak = peaks[std::to_string(std::get<0>(key))]
                        [to_string(static_cast<trace::Layer>(std::get<1>(key)))];
      peak = peak.is_null() ? replay.peak_bytes() : peak.get<int64_t>() + replay.peak_bytes();
    }
    check_processes();
    json answer = check_losses();
    answer["allocations"] = allocations_;
    answer["frees"] = frees_;
    answer["processes"] = processes_.size();
    answer["threads"] = reader_.threads().size();
    answer["peak_bytes_by_process_and_layer"] = peaks;
    answer["problems"] = problems_.count();
    answer["shown_problems"] = problems_.shown();
    return answer;
  }

 private:
  void take(const Allocation& row) {
    ++allocations_;
    const SpaceKey key{static_cast<int32_t>(row.process), static_cast<int>(row.layer),
                       static_cast<int>(row.space), row.device};
    const Block block{row.address, row.size, row.alloc_ns, row.free_ns,
                      static_cast<int64_t>(row.id)};
    if (row.free_ns != kNever) ++frees_;
    if (row.free_ns < row.alloc_ns) problems_.add("ends before it begins: " + text(key, block));
    if (row.address + row.size < row.address) problems_.add("no such range: " + text(key, block));
    const auto process = processes_.find(std::get<0>(key));
    if (process == processes_.end()) {
      problems_.add("belongs to no process: " + text(key, block));
    } else {
      const int64_t last = row.free_ns == kNever ? row.alloc_ns : row.free_ns;
      if (row.alloc_ns < process->second.start_ns || last > process->second.end_ns) {
        problems_.add("happens outside the life of its process (" +
                      std::to_string(process->second.start_ns) + " to " +
                      std::to_string(process->second.end_ns) + " ns): " + text(key, block));
      }
    }
    spaces_[key].push_back(block);
  }

  void check_processes() {
    for (const auto& [id, process] : processes_) {
      const auto parent = processes_.find(static_cast<int32_t>(process.parent));
      const std::string who = "process " + std::to_string(id) + " (" + process.command + ")";
      if (process.end_ns < process.start_ns) problems_.add(who + " ends before it begins");
      if (process.parent != ProcessId{} && parent == processes_.end()) {
        problems_.add(who + " has a parent that the trace does not know");
      } else if (process.parent != ProcessId{} && parent->second.start_ns > process.start_ns) {
        problems_.add(who + " is older than its parent");
      }
    }
  }

  json check_losses() {
    json losses = json::object();
    for (const trace::Loss& loss : reader_.losses()) {
      if (loss.count == 0) continue;
      losses[loss.name] = {{"count", loss.count}, {"severity", to_string(loss.severity)}};
    }
    if (!reader_.finished()) problems_.add("the recording was not finished");
    return {{"losses", losses}};
  }

  const trace::Reader& reader_;
  std::map<int32_t, Process> processes_;
  std::map<SpaceKey, std::vector<Block>> spaces_;
  Problems problems_;
  uint64_t allocations_ = 0;
  uint64_t frees_ = 0;
};

}  // namespace

Result<json> check_consistency(const trace::Reader& reader) { return Check(reader).run(); }

}  // namespace tidemark::testing
