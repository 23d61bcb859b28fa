// Decides of each call that gives the device work whether it falls into the window of
// `record --window`, and writes down when the window was open. One thread, the collector's.
//
//   time    ────────[ begin ────────── end )────────    for all processes
//   signal  ──USR1──[ ──── USR1 )─────USR1─[ ───────    for all processes
//   nvtx    ──push "step"──[ ── pop )───────────────    for the process that has the range
//   iterations  ─pass─pass─[─pass─pass─)pass────────    for each process by itself
//
// Iterations are told by PyTorch's backward pass, which runs on threads of its own while the thread
// that asked for it waits: the pass is over when that one gives the device work again. It is the
// main thread where that gives the device any, since loaders, which fetch data ahead, do not wait.
//
// What counts is when the call was made, not when the device came to it: the end of a window cuts
// no kernel off. Windows of time and signal are also told to the targets (ArenaHeader), which then
// spare the stacks, arguments and records of what lies outside; they decide nothing else.
#pragma once

#include <cstdint>
#include <vector>

#include "process_state.h"
#include "tidemark/collector/window.h"
#include "tidemark/trace/writer.h"
#include "tidemark/wire/layout.h"

namespace tidemark::collector {

class RecordingWindow {
 public:
  // `start_ns`: the recording's zero, CLOCK_MONOTONIC, as are all times below.
  RecordingWindow(WindowSpec spec, uint64_t start_ns, trace::Writer& writer)
      : spec_(std::move(spec)),
        start_ns_(start_ns),
        writer_(writer),
        range_(writer.intern(spec_.range)) {}

  // Before the first target starts.
  void begin(wire::ArenaHeader& header);
  // A SIGUSR1 has come; true: the window is open now.
  bool toggle(wire::ArenaHeader& header, uint64_t now_ns);

  [[nodiscard]] bool limited() const { return spec_.kind != WindowSpec::Kind::kWhole; }
  // Whether targets keep quiet about calls that they make outside.
  [[nodiscard]] bool told_to_targets() const {
    return spec_.kind == WindowSpec::Kind::kTime || spec_.kind == WindowSpec::Kind::kSignal;
  }
  // Whether what was asked for, or began, then is kept.
  [[nodiscard]] bool holds(const ProcessState& process, uint64_t time_ns) const;

  // A range has begun, or one of these that are open has ended.
  void range_began(ProcessState& process, trace::StringId name, trace::MarkerId id,
                   uint64_t time_ns);
  void range_ended(ProcessState& process, trace::MarkerId id, uint64_t time_ns);
  // Before `holds` is asked of a launch: a thread has given the device work.
  void launched(ProcessState& process, int32_t tid, uint64_t time_ns) {
    if (counts_iterations()) count_iterations(process, tid, time_ns);
  }
  [[nodiscard]] bool counts_iterations() const {
    return spec_.kind == WindowSpec::Kind::kIterations;
  }

 private:
  void count_iterations(ProcessState& process, int32_t tid, uint64_t time_ns);
  void open(ProcessState& process, uint64_t time_ns);
  void close(ProcessState& process, uint64_t time_ns);
  trace::WindowId write(trace::ProcessId process, uint64_t begin_ns, int64_t end_ns);
  int64_t trace_time(uint64_t time_ns) const {
    return static_cast<int64_t>(time_ns) - static_cast<int64_t>(start_ns_);
  }

  WindowSpec spec_;
  uint64_t start_ns_;
  trace::Writer& writer_;
  trace::StringId range_;
  std::vector<WindowSpan> open_;  // of time and signal, oldest first
  trace::WindowId row_{};         // of the last one
};

}  // namespace tidemark::collector
