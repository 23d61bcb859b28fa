// The one interpreter of this process whose frames are read. Set once by look_at(), published by
// the pointer.
#pragma once

#include <atomic>
#include <cstdint>

#include "python_layout.h"
#include "tidemark/stack/python.h"

namespace tidemark::stack::python {

struct Interpreter {
  Layout layout;
  uint64_t module_start;
  uint64_t runtime;                 // _PyRuntime
  uint64_t code_type;               // PyCode_Type
  uint64_t (*this_thread_state)();  // PyGILState_GetThisThreadState
  // 3.8, 3.9, and 3.14 for what lies inside: code of the eval loop.
  uint64_t loop_start, loop_end;
  uint64_t cold_start, cold_end;  // what the compiler moved out of it; empty: nothing
  uint64_t check_start, check_end;
  bool handler_frames;
};

extern std::atomic<const Interpreter*> g_interpreter;  // nullptr: none
extern Host g_host;

inline uint64_t load(uint64_t address) { return *reinterpret_cast<const uint64_t*>(address); }
inline int32_t load_int(uint64_t address) { return *reinterpret_cast<const int32_t*>(address); }
inline uint8_t load_byte(uint64_t address) { return *reinterpret_cast<const uint8_t*>(address); }

inline uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9fb21c651e98df25ULL;
  return hash ^ (hash >> 32);
}

}  // namespace tidemark::stack::python
