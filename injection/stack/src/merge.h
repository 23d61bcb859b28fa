// Where Python frames belong among native ones. Pure: knows neither threads nor interpreters, so
// that the order can be tested with made-up stacks.
#pragma once

#include <cstdint>

#include "tidemark/stack/mixed.h"

namespace tidemark::stack {

struct PythonStack {
  const uint64_t* words;  // innermost first, run by run
  PythonRun* runs;        // innermost first
  uint32_t run_count;
  // The eval loop's native frame has a frame of an instruction's handler inside it (python.h).
  bool handler_frames = false;
};

// The frame of `native` that an address of the stack lies in, −1: none. Frame 0 is the outermost;
// frame i lies in [sp(i), sp(i − 1)); how far frame 0 reaches is not known.
template <class Native>
int32_t frame_of(const Native& native, uint64_t address) {
  uint32_t low = 0;
  uint32_t high = native.count();
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (native.sp(middle) <= address) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low == 0 || low == native.count() ? -1 : static_cast<int32_t>(low);
}

// Calls `emit(word)` for each frame of the mixed stack, outermost first. The native frame that an
// anchor lies in is replaced by its run. A run that no native frame holds, and all that are further
// out, come first: they are beyond where native frames could be followed, or on the stack from
// which this one was entered.
template <class Native, class Emit>
void merge(const Native& native, const PythonStack& python, Emit emit) {
  auto placed = static_cast<int32_t>(python.run_count);
  auto last = static_cast<int32_t>(native.count());
  for (int32_t i = 0; i < placed; ++i) {
    PythonRun& run = python.runs[i];
    run.place = run.anchor == 0 ? -1 : frame_of(native, run.anchor);
    if (run.place < 0 || run.place > last) {
      placed = i;
      break;
    }
    last = run.place;
  }
  const auto emit_run = [&](const PythonRun& run) {
    for (uint32_t i = run.count; i-- > 0;) emit(python.words[run.first + i]);
  };
  for (auto i = static_cast<int32_t>(python.run_count); i-- > placed;) emit_run(python.runs[i]);
  int32_t next = placed - 1;
  bool inside_loop = false;
  for (uint32_t frame = 0; frame < native.count(); ++frame) {
    bool replaced = false;
    for (; next >= 0 && python.runs[next].place == static_cast<int32_t>(frame); --next) {
      emit_run(python.runs[next]);
      replaced |= python.runs[next].count != 0;
    }
    if (!replaced && !(inside_loop && python.handler_frames)) emit(native.word(frame));
    inside_loop = replaced;
  }
}

}  // namespace tidemark::stack
