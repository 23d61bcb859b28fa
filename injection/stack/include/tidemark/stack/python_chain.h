// The last Python frames of one thread, kept so that reading them again costs what has changed. An
// outer frame stays at its instruction while an inner one runs, so almost all of them are as they
// were; whether they are is looked up in each frame (python.h: first_changed()), never assumed.
//
// One owner thread; no heap, no locks; the caller gives zeroed memory.
#pragma once

#include <cstdint>

#include "tidemark/stack/python.h"

namespace tidemark::stack {

class PythonChain {
 public:
  // A deeper chain loses its outermost frames.
  static constexpr uint32_t kCapacity = 1024;

  // Reads the calling thread's frames. Returns how many of the outermost are as they were.
  uint32_t update();

  // Frame 0 is the outermost.
  uint32_t count() const { return count_; }
  uint64_t word(uint32_t frame) const { return words_[frame]; }
  bool hidden(uint32_t frame) const { return readings_[frame].frame.hidden; }
  // An invocation of the eval loop begins here; 0: the frame goes on with the one before it.
  uint64_t anchor(uint32_t frame) const { return readings_[frame].frame.anchor; }
  bool cut() const { return cut_; }
  void clear() { count_ = 0; }

 private:
  int32_t find(int32_t candidate, const python::Cursor& cursor) const;

  uint32_t count_;
  bool cut_;
  python::Reading readings_[kCapacity];
  uint64_t words_[kCapacity];
};

}  // namespace tidemark::stack
