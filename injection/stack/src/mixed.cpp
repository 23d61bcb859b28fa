#include "tidemark/stack/mixed.h"

#include "tidemark/wire/stack_id.h"

namespace tidemark::stack {
namespace {

// Recursion deeper than this is not followed to its end.
constexpr uint32_t kMaxPythonFrames = 100'000;

// Reads the thread's Python frames into runs. The innermost `capacity` words are kept.
uint32_t read_runs(uint64_t* words, PythonRun* runs, uint32_t capacity) {
  python::Cursor cursor = python::current();
  python::Frame frame;
  uint32_t word_count = 0;
  uint32_t run_count = 0;
  bool open = false;
  for (uint32_t i = 0; i < kMaxPythonFrames && python::next(cursor, &frame); ++i) {
    if (!open) {
      if (run_count == capacity) return run_count;
      runs[run_count++] = {0, word_count, 0};
      open = true;
    }
    PythonRun& run = runs[run_count - 1];
    if (!frame.hidden && word_count < capacity) {
      const uint64_t word = python::word_of(frame);
      words[word_count++] = word != 0 ? word : python::kUnknownWord;
      ++run.count;
    }
    run.anchor = frame.anchor;
    if (frame.anchor != 0 || python::pairs_by_address()) open = false;
  }
  return run_count;
}

// 3.8 and 3.9 leave no anchors: each Python frame is one native frame of the eval loop, and the
// innermost ones belong together. (Not the outermost: a greenlet's frames end before the stack
// does.)
void pair_by_address(const NativeFrame* native, uint32_t count, PythonRun* runs,
                     uint32_t run_count) {
  uint32_t run = 0;
  for (uint32_t i = 0; i < count && run < run_count; ++i) {
    if (!python::is_eval_loop(native[i].ip)) continue;
    if (i > 0 && python::is_recursion_check(native[i - 1].ip)) continue;
    runs[run++].anchor = native[i].sp;
  }
}

}  // namespace

uint32_t merge(const NativeFrame* native, uint32_t native_count, const PythonStack& python,
               uint64_t* words, uint32_t capacity, bool* truncated) {
  uint32_t count = 0;
  const auto put = [&](const uint64_t* from, uint32_t more) {
    if (more > capacity - count) {
      more = capacity - count;
      *truncated = true;
    }
    for (uint32_t i = 0; i < more; ++i) words[count++] = from[i];
  };
  uint32_t run = 0;
  for (uint32_t i = 0; i < native_count; ++i) {
    const NativeFrame& frame = native[i];
    const uint64_t bytes = frame.cfa > frame.sp ? frame.cfa - frame.sp : 0;
    bool replaced = false;
    while (run < python.run_count && python.runs[run].anchor - frame.sp < bytes) {
      const PythonRun& here = python.runs[run++];
      if (here.count == 0) continue;
      // The handler of an instruction is part of the eval loop that called it.
      if (!replaced && python.handler_frames && i > 0 && count > 0 &&
          words[count - 1] == native[i - 1].ip) {
        --count;
      }
      replaced = true;
      put(python.words + here.first, here.count);
    }
    if (!replaced) put(&frame.ip, 1);
  }
  // Beyond where native frames could be followed, or on the stack from which this one was entered.
  for (; run < python.run_count; ++run) {
    put(python.words + python.runs[run].first, python.runs[run].count);
  }
  return count;
}

// Innermost first. False when a signal handler runs on this stack: it may have interrupted the
// interpreter half-way through pushing a frame.
bool MixedStack::read_native(const StackCache& native) {
  const uint32_t count = native.count();
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t frame = count - 1 - i;
    if (native.is_signal(frame)) return false;
    native_[i] = {native.word(frame), native.sp(frame), frame == 0 ? 0 : native.sp(frame - 1)};
    merged_[i] = native.word(frame);
  }
  return true;
}

bool MixedStack::update(const StackCache& native) {
  if (native.count() == 0 || (python::active() && !python::attached()) || !read_native(native)) {
    return false;
  }
  if (!python::active() && !python::look_at(merged_, native.count())) return false;
  const uint32_t run_count = read_runs(python_words_, runs_, kCapacity);
  if (run_count == 0) return false;
  if (python::pairs_by_address()) pair_by_address(native_, native.count(), runs_, run_count);
  truncated_ = native.truncated();
  const uint32_t merged = merge(native_, native.count(),
                                {python_words_, runs_, run_count, python::has_handler_frames()},
                                merged_, kCapacity, &truncated_);
  complete_ = native.complete() && !truncated_;
  const wire::StackId root = wire::stack_root(native.unloads(), complete_);
  // The outer end that this stack has in common with the last one keeps its names.
  uint32_t shared = 0;
  if (root == root_) {
    const uint32_t most = merged < count_ ? merged : count_;
    while (shared < most && words_[shared] == merged_[merged - 1 - shared]) ++shared;
  }
  root_ = root;
  wire::StackId id = shared == 0 ? root : ids_[shared - 1];
  for (uint32_t i = shared; i < merged; ++i) {
    words_[i] = merged_[merged - 1 - i];
    ids_[i] = id = wire::stack_child(id, words_[i]);
    published_[i] = false;
  }
  count_ = merged;
  return true;
}

}  // namespace tidemark::stack
