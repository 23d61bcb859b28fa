// When a lifetime ends, and which series it belongs to: the rules that usage, live and report
// share. Pure; any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <unordered_map>

#include "tidemark/analyzer/usage.h"

namespace tidemark::analyzer {

// The exit status of a process whose end nobody saw.
inline constexpr int32_t kUnknownExit = std::numeric_limits<int32_t>::min();

class Lifetimes {
 public:
  explicit Lifetimes(const trace::Reader& reader);

  // free_ns, or the end of its process for what was never freed; kNever when neither is known.
  int64_t end_ns(const trace::Allocation& allocation) const {
    return allocation.free_ns != trace::kNever ? allocation.free_ns : process_end(allocation);
  }
  // Never freed, and its process ended by itself: returned, or called exit. What a killed process
  // still held is no leak, nor is what a process held whose end nobody saw.
  bool leaked(const trace::Allocation& allocation) const {
    return allocation.free_ns == trace::kNever && leaks(allocation.process);
  }
  // What this process did not free is leaked.
  bool leaks(trace::ProcessId process) const;

 private:
  struct End {
    int64_t time_ns = trace::kNever;
    bool by_itself = false;
  };
  int64_t process_end(const trace::Allocation& allocation) const;
  std::unordered_map<int32_t, End> ends_;
};

// The signal in an exit status as a shell shows it, or 0.
int signal_of(int32_t exit);

inline Series series_of(const trace::Allocation& allocation) {
  return {allocation.layer, allocation.space,
          allocation.space == trace::Space::kDevice ? allocation.device : trace::kNoDevice};
}

trace::AllocationFilter filter_for(const Series& series);

}  // namespace tidemark::analyzer
