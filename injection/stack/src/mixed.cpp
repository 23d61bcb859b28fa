#include "tidemark/stack/mixed.h"

#include "merge.h"
#include "tidemark/wire/stack_id.h"

namespace tidemark::stack {
namespace {

// Recursion deeper than this is not followed to its end.
constexpr uint32_t kMaxPythonFrames = 100'000;
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

// Reads the thread's Python frames into runs. The innermost words are kept.
uint32_t MixedStack::read_runs(uint32_t* word_count) {
  python::Cursor cursor = python::current();
  python::Frame frame;
  const bool one_by_one = python::pairs_by_address();
  uint32_t words = 0;
  uint32_t run_count = 0;
  bool open = false;
  for (uint32_t i = 0; i < kMaxPythonFrames && python::next(cursor, &frame); ++i) {
    if (!open) {
      if (run_count == kCapacity) break;
      runs_[run_count++] = {0, words, 0, -1};
      open = true;
    }
    PythonRun& run = runs_[run_count - 1];
    if (!frame.hidden && words < kCapacity) {
      const uint64_t word = python::word_of(frame);
      python_words_[words++] = word != 0 ? word : python::kUnknownWord;
      ++run.count;
    }
    run.anchor = frame.anchor;
    if (frame.anchor != 0 || one_by_one) open = false;
  }
  *word_count = words;
  return run_count;
}

bool MixedStack::update(const StackCache& native) {
  // A signal handler may have interrupted the interpreter half-way through pushing a frame.
  if (native.count() == 0 || native.in_signal_handler()) return false;
  if (__builtin_expect(!python::active(), 0) && !find_interpreter(native)) return false;
  uint32_t python_count = 0;
  const uint32_t run_count = read_runs(&python_count);
  if (run_count == 0) return false;
  if (python::pairs_by_address()) pair_by_address(native, runs_, run_count);

  uint32_t cut = 0;
  const uint32_t most = native.count() + python_count;
  if (__builtin_expect(most > kCapacity, 0)) {
    cut = (most - kCapacity + kCutAtOnce - 1) / kCutAtOnce * kCutAtOnce;
  }
  truncated_ = native.truncated() || cut != 0;
  complete_ = native.complete() && !truncated_;
  const wire::StackId root = wire::stack_root(native.unloads(), complete_);
  // As long as nothing differs, frames keep their ids and marks.
  bool shared = root == root_;
  root_ = root;
  uint32_t at = 0;
  wire::StackId id = root;
  merge(native, {python_words_, runs_, run_count, python::has_handler_frames()},
        [&](uint64_t word) {
          if (__builtin_expect(cut != 0, 0)) {
            --cut;
            return;
          }
          if (shared && at < count_ && words_[at] == word) {
            ++at;
            return;
          }
          if (shared) {
            shared = false;
            if (at != 0) id = ids_[at - 1];
          }
          id = wire::stack_child(id, word);
          words_[at] = word;
          ids_[at] = id;
          published_[at] = false;
          ++at;
        });
  count_ = at;
  return count_ != 0;
}

}  // namespace tidemark::stack
