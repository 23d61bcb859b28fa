#include "host_operations.h"

#include <algorithm>

#include "autograd_stack.h"

namespace tidemark::analyzer {

HostOperations::HostOperations(const trace::Reader& reader)
    : reader_(reader), recorded_(reader.meta("option_host") == "full") {}

Result<void> HostOperations::read(trace::ProcessId process, std::vector<Window>& windows) {
  struct Row {
    int64_t time_ns;
    trace::ThreadId thread;
    trace::StackId stack;
  };
  if (windows.empty()) return {};
  std::vector<Row> rows;
  trace::AllocationFilter filter;
  filter.layer = trace::Layer::kHeap;
  filter.begin_ns = windows.front().begin_ns;
  filter.end_ns = windows.front().end_ns;
  for (const Window& window : windows) filter.end_ns = std::max(filter.end_ns, window.end_ns);
  auto read = reader_.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (row.process != process || row.alloc_stack == trace::StackId{} ||
          row.alloc_ns < filter.begin_ns) {
        continue;
      }
      rows.push_back({row.alloc_ns, row.thread, row.alloc_stack});
    }
  });
  if (!read) return read;
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.time_ns < b.time_ns; });
  for (Window& window : windows) {
    uint64_t python = 0;
    auto row = std::lower_bound(rows.begin(), rows.end(), window.begin_ns,
                                [](const Row& a, int64_t time) { return a.time_ns < time; });
    for (; row != rows.end() && row->time_ns < window.end_ns; ++row) {
      if (window.thread != trace::ThreadId{} && row->thread != window.thread) continue;
      const Known& of_stack = known(row->stack);
      if (of_stack.name < 0) continue;
      const bool same = !window.operations.empty() && python == of_stack.python &&
                        names_.of_one_call(window.operations.back().name, of_stack.name);
      if (!same) window.operations.push_back({row->time_ns, of_stack.name, row->stack});
      HostOperation& operation = window.operations.back();
      operation.name = names_.merged(operation.name, of_stack.name);
      python = of_stack.python;
    }
  }
  return {};
}

const HostOperations::Known& HostOperations::known(trace::StackId stack) {
  const auto [found, fresh] = stacks_.try_emplace(static_cast<int64_t>(stack));
  if (!fresh) return found->second;
  AutogradStack frames = autograd_stack(reader_.frames(stack));
  if (frames.kind != AutogradStack::Kind::kOperation) return found->second;
  found->second = {names_.number(frames.operations), frames.python};
  return found->second;
}

}  // namespace tidemark::analyzer
