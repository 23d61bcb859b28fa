// How many blocks of the heap were freed before their thread allocated again, by stack. Private to
// the analyzer. Sizes: bytes.
#pragma once

#include <span>
#include <unordered_map>
#include <utility>

#include "tidemark/trace/reader.h"

namespace tidemark::analyzer {

struct HeapChurn {
  struct Sum {
    uint64_t count = 0;
    uint64_t bytes = 0;
  };
  std::unordered_map<int64_t, Sum> stacks;  // by StackId
  uint64_t allocations = 0;                 // of all of the heap
};

// Gathers it from rows that somebody else reads; of a trace whose host was summed up while
// recording, from these sums. Owned by one thread.
class ChurnPass {
 public:
  [[nodiscard]] static Result<ChurnPass> begin(const trace::Reader& reader);
  bool by_rows() const { return by_rows_; }  // false: rows add nothing
  // All rows of the trace (of the heap are enough), in order of id.
  void add(std::span<const trace::Allocation> batch);
  HeapChurn take() { return std::move(churn_); }

 private:
  struct Last {
    int64_t free_ns = trace::kNever;  // nothing yet: never before another
    uint64_t size = 0;
    trace::StackId stack{};
  };
  HeapChurn churn_;
  bool by_rows_ = true;
  std::unordered_map<int32_t, Last> last_;  // block of each thread
  trace::ThreadId thread_id_{};
  Last* thread_ = nullptr;  // that of thread_id_: runs of one thread are long
};

// Reads all rows of the heap.
[[nodiscard]] Result<HeapChurn> heap_churn(const trace::Reader& reader);

}  // namespace tidemark::analyzer
