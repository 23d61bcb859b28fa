// Where things lie in the memory of one version of CPython. Offsets in bytes from the start of the
// object. 3.8 to 3.12: figures from the headers (tests/unit/python_layout compares them); 3.13 on:
// the interpreter tells most of them itself, in _Py_DebugOffsets at the start of _PyRuntime.
#pragma once

#include <cstdint>

namespace tidemark::stack::python {

// How frames hang together.
enum class Chain : uint8_t {
  kFrameObjects,  // 3.8, 3.9: PyFrameObject under tstate->frame
  kFrameEntries,  // 3.10: the same, and one CFrame on the C stack for each
  kEntryFlags,    // 3.11: under tstate->cframe; is_entry marks the outermost of an invocation
  kEntryShims,    // 3.12: under tstate->cframe; a frame on the C stack closes an invocation
  kThreadShims,   // 3.13 on: the same, under tstate->current_frame
};

// Layouts of Python minor version `minor`, 64-bit little-endian Linux.
struct Layout {
  uint32_t minor;
  Chain chain;
  bool free_threaded;
  // _PyRuntime
  uint16_t runtime_finalizing;
  uint16_t runtime_interpreters;
  // PyThreadState
  uint16_t thread_id;
  uint16_t thread_frame;  // innermost frame; kFrameObjects, kFrameEntries, kThreadShims
  uint16_t thread_entry;  // CFrame; kFrameEntries, kEntryFlags, kEntryShims
  // CFrame
  uint16_t entry_previous;
  uint16_t entry_frame;
  // PyFrameObject or _PyInterpreterFrame
  uint16_t frame_previous;
  uint16_t frame_code;
  uint16_t frame_instruction;
  uint16_t frame_owner;
  uint16_t frame_is_entry;
  uint16_t frame_bytecode_index;  // free-threaded 3.14
  // PyCodeObject
  uint16_t code_file;
  uint16_t code_name;
  uint16_t code_qualified_name;  // 0: there is none
  uint16_t code_first_line;
  uint16_t code_lines;
  uint16_t code_instructions;     // 0: bytecode lies elsewhere, instructions are numbers
  uint16_t code_first_traceable;  // int32: index of the instruction at which the frame counts
  uint16_t code_bytecodes;        // free-threaded 3.14: a thread's own copies of the bytecode
  // PyObject, str and bytes
  uint16_t object_type;
  uint16_t text_state;
  uint16_t text_length;
  uint16_t text_narrow;  // where the characters begin when all are ASCII …
  uint16_t text_wide;    // … and otherwise
  uint16_t bytes_size;
  uint16_t bytes_data;
  uint32_t text_kind_mask;
  uint32_t text_compact_mask;
  uint32_t text_ascii_mask;
};

// Frame owners, 3.11 on.
inline constexpr uint8_t kOwnerGenerator = 1;
inline constexpr uint8_t kOwnerCStack = 3;  // this one and above: no Python function's frame

// What no version tells. Two words stand between the fixed part of a string and its characters when
// they are not all ASCII; _co_firsttraceable, co_extra and, where threads have bytecode of their
// own, co_tlbc stand before the bytecode.
inline constexpr uint16_t kTextWideBeyond = 16;
constexpr uint16_t first_traceable_before(bool own_bytecode) { return own_bytecode ? 24 : 16; }

constexpr uint32_t kOldest = 8;
constexpr uint32_t kNewest = 14;

// For 3.8 to 3.12 complete; for 3.13 and 3.14 what the interpreter does not tell. nullptr: unknown.
const Layout* layout_of(uint32_t minor, bool free_threaded);

// The beginning of _PyRuntime in 3.13 and 3.14. Completes `layout`; false when what it says cannot
// be (`*reason` then says what).
constexpr uint32_t kToldBytes = 1024;  // of _PyRuntime to read: all that is looked at lies in there
bool read_told(const uint8_t* runtime, uint32_t minor, Layout* layout, const char** reason);

// Positions of what is read in _Py_DebugOffsets, for the test that compares them with the headers.
struct ToldField {
  const char* name;
  uint16_t position;
};
const ToldField* told_fields(uint32_t minor, uint32_t* count);

}  // namespace tidemark::stack::python
