#include "lifetimes.h"

namespace tidemark::analyzer {

Lifetimes::Lifetimes(const trace::Reader& reader) {
  for (const trace::Process& process : reader.processes()) {
    const bool ended = process.end_ns != trace::kNever;
    const bool by_itself = ended && process.exit != kUnknownExit && signal_of(process.exit) == 0;
    ends_[static_cast<int32_t>(process.id)] = {process.end_ns, by_itself};
  }
}

int64_t Lifetimes::process_end(const trace::Allocation& allocation) const {
  const auto found = ends_.find(static_cast<int32_t>(allocation.process));
  return found == ends_.end() ? trace::kNever : found->second.time_ns;
}

bool Lifetimes::leaks(trace::ProcessId process) const {
  const auto found = ends_.find(static_cast<int32_t>(process));
  return found != ends_.end() && found->second.by_itself;
}

int signal_of(int32_t exit) {
  constexpr int32_t shell_offset = 128;
  constexpr int32_t last_signal = 64;
  return exit > shell_offset && exit <= shell_offset + last_signal ? exit - shell_offset : 0;
}

trace::AllocationFilter filter_for(const Series& series) {
  trace::AllocationFilter filter;
  filter.layer = series.layer;
  filter.space = series.space;
  if (series.space == trace::Space::kDevice) filter.device = series.device;
  return filter;
}

}  // namespace tidemark::analyzer
