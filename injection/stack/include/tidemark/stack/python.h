// Python frames of the calling thread, read from the interpreter's own memory inside an allocation
// hook: CPython 3.8 to 3.14. No GIL, no lock, no reference count, no heap.
//
// Why that is sound: a thread's frames are changed by that thread alone, and inside a hook it is
// here. The thread state comes from PyGILState_GetThisThreadState(), which reads a thread-local key
// and so finds a thread's frames also while it does not hold the GIL. What could make it wrong is
// refused: a thread state that is not of this thread, and every other thread once the interpreter
// has begun to finalize (it then deletes their states while they sleep).
//
// Thread-safe and allowed inside allocators; not in a signal handler, which may have interrupted
// the interpreter half-way through pushing a frame (mixed.h sees to that).
//
//   a stack, innermost first              anchors
//   0x7f…  bytearray_init                 An invocation of the eval loop runs one Python frame (3.8
//   word   inner()   ┐ one invocation     to 3.10) or many (3.11 on: Python calling Python). The
//   word   outer()   ┘ of the eval loop   outermost frame of an invocation carries an anchor, an
//   0x7f…  PyObject_Call                  address inside the loop's native frame, which tells where
//   word   <module>                       among native frames the Python frames belong.
#pragma once

#include <atomic>
#include <cstdint>

#include "tidemark/stack/modules.h"

namespace tidemark::stack::python {

// A Python frame as one word beside return addresses, which have bit 63 clear:
//   bit 63 set | 39 bits key of the code object | 24 bits instruction (code units of two bytes)
// wire/records.h says the same to the collector.
inline constexpr uint64_t kWordBit = uint64_t{1} << 63;
inline constexpr unsigned kInstructionBits = 24;
inline constexpr unsigned kKeyBits = 39;
inline constexpr uint64_t kUnknownInstruction = (uint64_t{1} << kInstructionBits) - 1;
// A Python frame whose code object could not be told. Keys are never 0.
inline constexpr uint64_t kUnknownWord = kWordBit | kUnknownInstruction;

// A code object for the collector, valid during the call. Text is UTF-8.
struct Code {
  uint64_t key;  // hash of all the rest: the same in every process
  uint32_t first_line;
  uint32_t line_format;  // minor version of the Python 3 that wrote `lines`
  const char* file;
  const char* function;  // qualified name; before 3.11 the plain name
  const uint8_t* lines;  // co_lnotab (3.8, 3.9) or co_linetable, as it is
  uint32_t file_bytes;
  uint32_t function_bytes;
  uint32_t lines_bytes;
};

// What was found of an interpreter in this process.
struct Finding {
  bool supported;
  char version[16];    // "3.11.2"; "3.9" before 3.11, which does not tell the rest as data
  const char* reason;  // why not supported, otherwise ""
};

// How this library reaches its host.
struct Host {
  // False: it could not be published now; it will be offered again.
  bool (*publish_code)(const Code& code);
  // Once for each interpreter, on the thread that found it.
  void (*report)(const Finding& finding);
};
// Once, before any other function here.
void connect(const Host& host);

// From the module observer.
void on_module(const Module& module, bool loaded);
// Is there an interpreter, or a module that might be one? Until then nothing else here is worth a
// call.
extern std::atomic<uint32_t> g_attention;
inline bool wanted() { return g_attention.load(std::memory_order_relaxed) != 0; }
// Is there an interpreter whose frames can be read? If not, look_at() must see the native stacks.
bool active();
// Code at these addresses is running, so the modules they lie in are loaded completely: looks for
// an interpreter in them. True when one was found and can be read.
bool look_at(const uint64_t* addresses, uint32_t count);

// A place in the calling thread's chain of frames. Stays valid while the thread is inside the hook.
struct Cursor {
  uint64_t frame = 0;  // 0: no more frames
  uint64_t entry = 0;  // 3.10, 3.11: the C stack's record of the eval loop that runs `frame`
};

struct Frame {
  uint64_t code;         // PyCodeObject
  uint32_t instruction;  // in code units, kUnknownInstruction when it does not fit
  bool hidden;           // the interpreter does not show it in tracebacks: not begun, or its own
  uint64_t anchor;       // of the outermost frame of an eval loop's invocation, otherwise 0;
                         // always 0 in 3.8 and 3.9, see is_eval_loop()
};

// Whether the calling thread is one of the interpreter's at all. Also in a signal handler.
bool attached();
// A frame with what its memory held when it was read, to tell at the next look whether it is as it
// was. An outer frame stays at its instruction while an inner one runs.
struct Reading {
  Cursor at;
  Frame frame;
  uint64_t code;         // the word, tag included
  uint64_t instruction;  // pointer or number
  uint64_t previous;
  uint64_t lines;  // of the code object, 0 unknown
  uint64_t link;   // with an anchor: what led from there to the caller; kNoLink: not told
  uint32_t marks;
};
inline constexpr uint64_t kNoLink = ~uint64_t{0};
// As next(), with all that first_changed() needs. False at the end.
bool read(Cursor& cursor, Reading* reading);
// The innermost of the frames [0, last], outermost first, of which read() would not give the same
// again; −1: there is none. Reads only the frames, and what they are linked to.
int32_t first_changed(const Reading* readings, int32_t last);

// The innermost frame of the calling thread; frame 0 when it has none.
Cursor current();
// Reads the frame under the cursor and moves outwards. False at the end.
bool next(Cursor& cursor, Frame* frame);

// 3.8 and 3.9: no anchors; each Python frame is one native frame of the eval loop.
bool pairs_by_address();
// Whether the code at a return address is the eval loop.
bool is_eval_loop(uint64_t return_address);
// Whether it is what raises RecursionError, before the eval loop that called it has its frame.
bool is_recursion_check(uint64_t return_address);
// 3.14 may be built so that the eval loop's native frame has a frame of an instruction's handler
// inside it, which is as much the eval loop as itself.
bool has_handler_frames();

// The word of a frame. Publishes the code object when it is new. 0: cannot be told.
uint64_t word_of(const Frame& frame);

}  // namespace tidemark::stack::python
