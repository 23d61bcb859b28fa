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

// Writes the mixed stack, outermost first. As long as nothing differs from the last one, frames
// keep their ids and marks. Lives in registers while a merge is under way: one frame's id is made
// from the one before.
class MixedStack::Emitter {
 public:
  // After `at` words that are the last stack's. `last`: how many of its words hold; `cut`: so many
  // of the outermost words are left out.
  [[gnu::always_inline]] Emitter(MixedStack& stack, uint32_t at, uint32_t last, uint32_t cut)
      : stack_(stack),
        at_(at),
        last_(last),
        cut_(cut),
        id_(at == 0 ? stack.root_ : stack.ids_[at - 1]) {}

  [[gnu::always_inline]] void emit(uint64_t word) {
    if (__builtin_expect(cut_ != 0, 0)) {
      --cut_;
      return;
    }
    const uint32_t at = at_++;
    if (at < last_) {
      if (stack_.words_[at] == word) {
        id_ = stack_.ids_[at];
        return;
      }
      last_ = 0;
    }
    id_ = wire::stack_child(id_, word);
    stack_.words_[at] = word;
    stack_.ids_[at] = id_;
    stack_.published_[at] = false;
  }
  uint32_t count() const { return at_; }

 private:
  MixedStack& stack_;
  uint32_t at_;
  uint32_t last_;
  uint32_t cut_;
  wire::StackId id_;
};

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
[[gnu::noinline]] void MixedStack::merge_all(const StackCache& native, uint32_t last,
                                             uint32_t cut) {
  const uint32_t run_count = read_runs();
  if (python::pairs_by_address()) pair_by_address(native, runs_, run_count);
  Emitter emitter(*this, 0, last, cut);
  merge(native, {python_words_, runs_, run_count, python::has_handler_frames()},
        [&emitter](uint64_t word) { emitter.emit(word); });
  count_ = emitter.count();
}

// Python frame `frame` and those that go on with it, in place of native frame `place`. Returns the
// first of the next run.
[[gnu::always_inline]] inline uint32_t MixedStack::emit_run(Emitter& emitter, uint32_t frame,
                                                            uint32_t place) {
  do {
    if (!chain_.hidden(frame)) emitter.emit(chain_.word(frame));
    place_[frame] = place;
    end_[frame] = emitter.count();
    ++frame;
  } while (frame < chain_.count() && chain_.anchor(frame) == 0);
  return frame;
}

// The usual case: every run has its anchor, and its place further in than the one before. Goes on
// where the first native or Python frame has changed. False when the case is another; count_ says
// then how many of the words belong together.
bool MixedStack::merge_from(const StackCache& native, uint32_t kept_native, uint32_t kept_python,
                            uint32_t last) {
  uint32_t python = kept_python;
  while (python > 0 && place_[python - 1] >= kept_native) --python;
  // In [sp(frame), sp(frame − 1)), as frame_of() has it (merge.h); 0: there is no such run.
  const auto anchor_of = [&](uint32_t run) {
    return run < chain_.count() ? chain_.anchor(run) : 0;
  };
  const uint32_t count = native.count();
  // Most often only native frames have changed, behind the last Python frame.
  if (python != 0 && python == chain_.count() && python == tail_python_ &&
      kept_native >= tail_frame_) {
    Emitter emitter(*this, tail_word_ + (kept_native - tail_frame_), last, 0);
    for (uint32_t frame = kept_native; frame < count; ++frame) emitter.emit(native.word(frame));
    count_ = emitter.count();
    return true;
  }
  Emitter emitter(*this, python > 0 ? end_[python - 1] : 0, last, 0);
  uint32_t frame = 0;
  if (python > 0) {
    frame = place_[python - 1];
    if (anchor_of(python) == 0 && python < chain_.count()) {
      python = emit_run(emitter, python, frame);
    }
    // Another invocation may lie in the same native frame as the last of those that were kept.
    while (anchor_of(python) >= native.sp(frame) && anchor_of(python) < native.sp(frame - 1)) {
      python = emit_run(emitter, python, frame);
    }
  } else {
    emitter.emit(native.word(0));  // how far it reaches is not known, so nothing lies in it
  }
  for (;;) {
    const uint64_t anchor = anchor_of(python);
    if (python == chain_.count()) {
      tail_word_ = emitter.count();
      tail_frame_ = frame + 1;
      tail_python_ = python;
    }
    while (++frame < count && anchor < native.sp(frame)) emitter.emit(native.word(frame));
    if (frame == count || anchor >= native.sp(frame - 1)) break;
    const uint32_t before = emitter.count();
    do {
      python = emit_run(emitter, python, frame);
    } while (anchor_of(python) >= native.sp(frame) && anchor_of(python) < native.sp(frame - 1));
    // A loop that shows no frame of its own stays native.
    if (emitter.count() == before) emitter.emit(native.word(frame));
  }
  count_ = emitter.count();
  return python == chain_.count() && frame == count;
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
  uint32_t cut = 0;
  if (__builtin_expect(most > kCapacity, 0)) {
    cut = (most - kCapacity + kCutAtOnce - 1) / kCutAtOnce * kCutAtOnce;
  }
  truncated_ = native.truncated() || chain_.cut() || cut != 0;
  complete_ = native.complete() && !truncated_;
  const wire::StackId root = wire::stack_root(native.unloads(), complete_);
  uint32_t last = root == root_ ? count_ : 0;
  const bool goes_on = regular_ && root == root_;
  root_ = root;
  regular_ = false;
  if (cut == 0 && !python::pairs_by_address() && !python::has_handler_frames()) {
    regular_ = merge_from(native, goes_on ? kept_native : 0, goes_on ? kept_python : 0, last);
    if (!regular_) last = count_;  // what lies beyond belongs to what was before
  }
  if (!regular_) merge_all(native, last, cut);
  return count_ != 0;
}

}  // namespace tidemark::stack
