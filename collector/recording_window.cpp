#include "recording_window.h"

#include <algorithm>
#include <limits>

namespace tidemark::collector {
namespace {

using Kind = WindowSpec::Kind;

constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

// The end first: a target that reads between the two sees a window that is too long, never none.
void tell(wire::ArenaHeader& header, uint64_t begin_ns, uint64_t end_ns) {
  header.window_end_ns.store(end_ns, std::memory_order_release);
  header.window_begin_ns.store(begin_ns, std::memory_order_release);
}

}  // namespace

void RecordingWindow::begin(wire::ArenaHeader& header) {
  if (spec_.kind == Kind::kSignal) return tell(header, kNever, kNever);
  if (spec_.kind != Kind::kTime) return;
  const uint64_t begin_ns = start_ns_ + static_cast<uint64_t>(spec_.begin_ns);
  const uint64_t end_ns =
      spec_.end_ns == trace::kNever ? kNever : start_ns_ + static_cast<uint64_t>(spec_.end_ns);
  open_.push_back({begin_ns, end_ns});
  write({}, begin_ns, spec_.end_ns);
  tell(header, begin_ns, end_ns);
}

bool RecordingWindow::toggle(wire::ArenaHeader& header, uint64_t now_ns) {
  if (!open_.empty() && open_.back().end_ns == kNever) {
    open_.back().end_ns = now_ns;
    writer_.end_window(row_, trace_time(now_ns));
    tell(header, open_.back().begin_ns, now_ns);
    return false;
  }
  open_.push_back({now_ns, kNever});
  row_ = write({}, now_ns, trace::kNever);
  tell(header, now_ns, kNever);
  return true;
}

bool RecordingWindow::holds(const ProcessState& process, uint64_t time_ns) const {
  if (spec_.kind == Kind::kWhole) return true;
  const bool by_process = spec_.kind == Kind::kRange || spec_.kind == Kind::kIterations;
  const std::vector<WindowSpan>& spans = by_process ? process.window_spans : open_;
  // The last one that had begun.
  const auto after =
      std::upper_bound(spans.begin(), spans.end(), time_ns,
                       [](uint64_t time, const WindowSpan& span) { return time < span.begin_ns; });
  return after != spans.begin() && time_ns < std::prev(after)->end_ns;
}

void RecordingWindow::open(ProcessState& process, uint64_t time_ns) {
  process.window_spans.push_back({time_ns, kNever});
  process.window = write(process.id, time_ns, trace::kNever);
}

void RecordingWindow::close(ProcessState& process, uint64_t time_ns) {
  process.window_spans.back().end_ns = time_ns;
  writer_.end_window(process.window, trace_time(time_ns));
}

void RecordingWindow::range_began(ProcessState& process, trace::StringId name, trace::MarkerId id,
                                  uint64_t time_ns) {
  if (spec_.kind != Kind::kRange || name != range_) return;
  if (process.window_ranges.empty()) open(process, time_ns);
  process.window_ranges.push_back(id);
}

void RecordingWindow::range_ended(ProcessState& process, trace::MarkerId id, uint64_t time_ns) {
  const auto found = std::find(process.window_ranges.begin(), process.window_ranges.end(), id);
  if (found == process.window_ranges.end()) return;
  process.window_ranges.erase(found);
  if (process.window_ranges.empty()) close(process, time_ns);
}

void RecordingWindow::count_iterations(ProcessState& process, int32_t tid, uint64_t time_ns) {
  const int64_t before = process.iterations;
  if (before == 0) process.iterations = 1;
  if (process.backward_threads.contains(tid)) {
    process.in_backward = true;
  } else {
    process.main_thread_launches |= tid == process.pid;
    if (process.in_backward && (tid == process.pid || !process.main_thread_launches)) {
      process.in_backward = false;
      ++process.iterations;
    }
  }
  if (process.iterations == before) return;
  if (process.iterations == spec_.begin_iteration) open(process, time_ns);
  if (process.iterations == spec_.end_iteration) close(process, time_ns);
}

trace::WindowId RecordingWindow::write(trace::ProcessId process, uint64_t begin_ns,
                                       int64_t end_ns) {
  return writer_.add_window({{}, process, trace_time(begin_ns), end_ns});
}

}  // namespace tidemark::collector
