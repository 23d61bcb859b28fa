// Sums lifetimes by allocating stack and API. Not shared between threads.
#pragma once

#include <unordered_map>
#include <vector>

#include "tidemark/analyzer/live.h"

namespace tidemark::analyzer {

class LiveGroups {
 public:
  void add(const trace::Allocation& allocation) {
    add(allocation.alloc_stack, allocation.api, allocation.size, 1);
  }
  void add(trace::StackId stack, trace::StringId api, uint64_t bytes, uint64_t count) {
    Sum& sum = sums_[{stack, api}];
    sum.bytes += bytes;
    sum.count += count;
    total_.bytes += bytes;
    total_.count += count;
  }
  // Sorted as LiveSet::groups promises.
  LiveSet take(const Series& series, int64_t time_ns);

 private:
  struct Key {
    trace::StackId stack;
    trace::StringId api;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const {
      constexpr uint64_t odd = 0x9e3779b97f4a7c15;
      return (static_cast<uint64_t>(key.stack) * odd) ^ static_cast<uint64_t>(key.api);
    }
  };
  struct Sum {
    uint64_t bytes = 0;
    uint64_t count = 0;
  };
  std::unordered_map<Key, Sum, Hash> sums_;
  Sum total_;
};

}  // namespace tidemark::analyzer
