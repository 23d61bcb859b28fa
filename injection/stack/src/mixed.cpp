#include "tidemark/stack/mixed.h"

#include "merge.h"
#include "tidemark/wire/stack_id.h"

namespace tidemark::stack {
namespace {

// A stack that does not fit loses its outermost frames, so many at a time, so that a deep recursion
// does not get new names at each level.
constexpr uint32_t kCutAtOnce = 256;

// 3.8 and 3.9 leave no anchors: each Python frame is one native frame of the eval loop, and the
// innermost ones belong together. (Not the outermost: a greenlet's frames end before the stack
// does.)
void pair_by_address(const StackCache& native, PythonRun* runs, uint32_t run_count) {
  uint32_t run = 0;
  for (uint32_t i = native.count(); i-- > 0 && run < run_count;) {
    if (!python::is_eval_loop(native.word(i))) continue;
    if (i + 1 < native.count() && python::is_recursion_check(native.word(i + 1))) continue;
    runs[run++].anchor = native.sp(i);
  }
}

}  // namespace

// Code at these addresses is running: if it is an interpreter's, that one is loaded completely.
[[gnu::noinline]] bool MixedStack::find_interpreter(const StackCache& native) {
  for (uint32_t i = 0; i < native.count(); ++i) {
    python_words_[i] = native.word(native.count() - 1 - i);
  }
  return python::look_at(python_words_, native.count());
}

// As long as nothing differs from the last stack, frames keep their ids and marks.
[[gnu::always_inline]] inline void MixedStack::emit(uint64_t word) {
  if (__builtin_expect(cut_ != 0, 0)) {
    --cut_;
    return;
  }
  if (shared_ && at_ < last_ && words_[at_] == word) {
    ++at_;
    return;
  }
  shared_ = false;
  words_[at_] = word;
  ids_[at_] = wire::stack_child(at_ == 0 ? root_ : ids_[at_ - 1], word);
  published_[at_] = false;
  ++at_;
}

// The Python frames as runs, innermost first. Returns how many.
uint32_t MixedStack::read_runs() {
  const bool one_by_one = python::pairs_by_address();
  uint32_t words = 0;
  uint32_t run_count = 0;
  bool open = false;
  for (uint32_t i = chain_.count(); i-- > 0;) {
    if (!open) runs_[run_count++] = {0, words, 0, -1};
    PythonRun& run = runs_[run_count - 1];
    if (!chain_.hidden(i)) {
      python_words_[words++] = chain_.word(i);
      ++run.count;
    }
    run.anchor = chain_.anchor(i);
    open = run.anchor == 0 && !one_by_one;
  }
  return run_count;
}

// From the outermost frame, whatever the stacks look like.
[[gnu::noinline]] void MixedStack::merge_all(const StackCache& native) {
  const uint32_t run_count = read_runs();
  if (python::pairs_by_address()) pair_by_address(native, runs_, run_count);
  at_ = 0;
  shared_ = true;
  merge(native, {python_words_, runs_, run_count, python::has_handler_frames()},
        [this](uint64_t word) { emit(word); });
}

// Python frame `frame` and those that go on with it, in place of native frame `place`. Returns the
// first of the next run.
[[gnu::always_inline]] inline uint32_t MixedStack::emit_run(uint32_t frame, uint32_t place) {
  do {
    if (!chain_.hidden(frame)) emit(chain_.word(frame));
    place_[frame] = place;
    end_[frame] = at_;
    ++frame;
  } while (frame < chain_.count() && chain_.anchor(frame) == 0);
  return frame;
}

// The usual case: every run has its anchor, and its place further in than the one before. Goes on
// where the first native or Python frame has changed. False when the case is another.
bool MixedStack::merge_from(const StackCache& native, uint32_t kept_native, uint32_t kept_python) {
  uint32_t python = kept_python;
  while (python > 0 && place_[python - 1] >= kept_native) --python;
  at_ = 0;
  shared_ = true;
  uint32_t frame = 0;
  if (python > 0) {
    const uint32_t place = place_[python - 1];
    at_ = end_[python - 1];
    frame = place + 1;
    if (python < chain_.count() && chain_.anchor(python) == 0) python = emit_run(python, place);
  }
  const auto place_of = [&](uint32_t run) {
    return run == chain_.count() ? -1 : frame_of(native, chain_.anchor(run));
  };
  int32_t next = place_of(python);
  // Another invocation may lie in the same native frame as the last of those that were kept.
  while (frame > 0 && next == static_cast<int32_t>(frame - 1)) {
    python = emit_run(python, frame - 1);
    next = place_of(python);
  }
  for (; frame < native.count(); ++frame) {
    const uint32_t before = at_;
    while (next == static_cast<int32_t>(frame)) {
      python = emit_run(python, frame);
      next = place_of(python);
    }
    // A loop that shows no frame of its own stays native.
    if (at_ == before) emit(native.word(frame));
  }
  return python == chain_.count();
}

bool MixedStack::update(StackCache& native) {
  const uint32_t kept_native = native.take_kept();
  // A signal handler may have interrupted the interpreter half-way through pushing a frame.
  if (native.count() == 0 || native.in_signal_handler() ||
      (__builtin_expect(!python::active(), 0) && !find_interpreter(native))) {
    regular_ = false;
    return false;
  }
  const uint32_t kept_python = chain_.update();
  if (chain_.count() == 0) {
    regular_ = false;
    return false;
  }
  const uint32_t most = native.count() + chain_.count();
  cut_ = 0;
  if (__builtin_expect(most > kCapacity, 0)) {
    cut_ = (most - kCapacity + kCutAtOnce - 1) / kCutAtOnce * kCutAtOnce;
  }
  truncated_ = native.truncated() || chain_.cut() || cut_ != 0;
  complete_ = native.complete() && !truncated_;
  const wire::StackId root = wire::stack_root(native.unloads(), complete_);
  last_ = root == root_ ? count_ : 0;
  const bool goes_on = regular_ && root == root_;
  root_ = root;
  regular_ = false;
  if (cut_ == 0 && !python::pairs_by_address() && !python::has_handler_frames()) {
    regular_ = merge_from(native, goes_on ? kept_native : 0, goes_on ? kept_python : 0);
    if (!regular_) last_ = at_;  // what lies beyond belongs to what was before
  }
  if (!regular_) merge_all(native);
  count_ = at_;
  return count_ != 0;
}

}  // namespace tidemark::stack
