#include "tidemark/stack/python_chain.h"

namespace tidemark::stack {

// The known frame under the cursor, among the next few outwards; −1: none.
int32_t PythonChain::find(int32_t candidate, const python::Cursor& cursor) const {
  constexpr int32_t kReturnsAtOnce = 16;
  const int32_t last = candidate < kReturnsAtOnce ? 0 : candidate - kReturnsAtOnce;
  for (; candidate >= last; --candidate) {
    const python::Cursor& at = readings_[candidate].at;
    if (at.frame == cursor.frame) return at.entry == cursor.entry ? candidate : -1;
  }
  return -1;
}

uint32_t PythonChain::update() {
  python::Cursor cursor = python::current();
  uint32_t first_new = kCapacity;
  auto candidate = static_cast<int32_t>(count_) - 1;
  while (cursor.frame != 0) {
    const int32_t found = find(candidate, cursor);
    if (found >= 0) {
      const int32_t changed = python::first_changed(readings_, found);
      candidate = changed < 0 ? found : changed - 1;
      if (changed < 0) break;
    }
    if (first_new == static_cast<uint32_t>(candidate + 1)) {
      candidate = -1;
      if (first_new == 0) break;
    }
    python::Reading& reading = readings_[first_new - 1];
    if (!python::read(cursor, &reading)) {
      cursor.frame = 0;
      break;
    }
    --first_new;
    words_[first_new] = 0;
    if (!reading.frame.hidden) {
      const uint64_t word = python::word_of(reading.frame);
      words_[first_new] = word != 0 ? word : python::kUnknownWord;
    }
  }
  if (cursor.frame == 0 || first_new == 0) candidate = -1;
  const auto kept = static_cast<uint32_t>(candidate + 1);
  if (kept == 0) cut_ = first_new == 0 && cursor.frame != 0;
  count_ = kept + (kCapacity - first_new);
  for (uint32_t i = kept, from = first_new; i < count_; ++i, ++from) {
    if (i == from) break;
    readings_[i] = readings_[from];
    words_[i] = words_[from];
  }
  return kept;
}

}  // namespace tidemark::stack
