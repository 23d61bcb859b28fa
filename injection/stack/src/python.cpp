// Walking the calling thread's frames: python.h has the rules, python_layout.h the figures.
#include "tidemark/stack/python.h"

#include "python_interpreter.h"

namespace tidemark::stack::python {
namespace {

// What is followed must at least look like an object's address.
bool plausible(uint64_t address) {
  return (address & 7) == 0 && address >= 4096 && address < uint64_t{1} << 47;
}

uint32_t instruction_of(int64_t units) {
  if (units < 0) return 0;  // not begun: the first
  return units < static_cast<int64_t>(kUnknownInstruction)
             ? static_cast<uint32_t>(units)
             : static_cast<uint32_t>(kUnknownInstruction);
}

// The instruction of a frame of 3.11 on, which points into bytecode.
int64_t units_from_start(const Layout& layout, uint64_t frame, uint64_t code) {
  uint64_t start = code + layout.code_instructions;
  if (layout.code_bytecodes != 0) {  // the thread's own copy
    const uint64_t copies = load(code + layout.code_bytecodes);
    const auto index = static_cast<uint32_t>(load_int(frame + layout.frame_bytecode_index));
    if (!plausible(copies) || index >= load(copies)) return int64_t{kUnknownInstruction};
    start = load(copies + 8 + uint64_t{index} * 8);
  }
  return static_cast<int64_t>(load(frame + layout.frame_instruction) - start) >> 1;
}

bool is_shim(const Layout& layout, uint64_t frame) {
  return load_byte(frame + layout.frame_owner) >= kOwnerCStack;
}
// The next frame that may be a Python function's. Several shims follow each other where an eval
// loop has already dropped its last frame, whose destruction runs Python.
uint64_t past_shims(const Layout& layout, uint64_t frame) {
  while (plausible(frame) && is_shim(layout, frame)) frame = load(frame + layout.frame_previous);
  return frame;
}

bool next_frame_object(const Layout& layout, Cursor& cursor, Frame* frame) {
  const uint64_t at = cursor.frame;
  frame->code = load(at + layout.frame_code);
  const int32_t last = load_int(at + layout.frame_instruction);
  // A byte offset until 3.9.
  frame->instruction = instruction_of(layout.minor < 10 ? last / 2 : last);
  frame->hidden = false;
  frame->anchor = 0;
  if (layout.chain == Chain::kFrameEntries && plausible(cursor.entry)) {
    frame->anchor = cursor.entry;
    cursor.entry = load(cursor.entry + layout.entry_previous);
  }
  cursor.frame = load(at + layout.frame_previous);
  return plausible(frame->code);
}

bool next_interpreter_frame(const Interpreter& python, Cursor& cursor, Frame* frame) {
  const Layout& layout = python.layout;
  const uint64_t at = cursor.frame;
  frame->code = load(at + layout.frame_code) & ~uint64_t{7};  // 3.14: tagged
  frame->anchor = 0;
  cursor.frame = load(at + layout.frame_previous);
  if (layout.chain == Chain::kEntryFlags) {
    if (load_byte(at + layout.frame_is_entry) != 0 && plausible(cursor.entry)) {
      frame->anchor = cursor.entry;
      cursor.entry = load(cursor.entry + layout.entry_previous);
    }
  } else if (plausible(cursor.frame) && is_shim(layout, cursor.frame)) {
    frame->anchor = cursor.frame;
    cursor.frame = past_shims(layout, cursor.frame);
  }
  if (!plausible(frame->code) || load(frame->code + layout.object_type) != python.code_type) {
    frame->hidden = true;
    frame->instruction = 0;
    return true;
  }
  const int64_t units = units_from_start(layout, at, frame->code);
  frame->instruction = instruction_of(units);
  frame->hidden = load_byte(at + layout.frame_owner) != kOwnerGenerator &&
                  units < load_int(frame->code + layout.code_first_traceable);
  return true;
}

// The thread state of the calling thread, 0 when it has none that can be trusted.
uint64_t thread_state(const Interpreter& python) {
  const Layout& layout = python.layout;
  // Nothing has been set up yet, or all is gone.
  if (load(python.runtime + layout.runtime_interpreters) == 0) return 0;
  const uint64_t state = python.this_thread_state();
  if (!plausible(state)) return 0;
  const uint64_t finalizing = load(python.runtime + layout.runtime_finalizing);
  if (finalizing != 0 && finalizing != state) return 0;
  // pthread_self(): the interpreter keeps it as the thread's identity.
  if (load(state + layout.thread_id) != reinterpret_cast<uint64_t>(__builtin_thread_pointer())) {
    return 0;
  }
  return state;
}

}  // namespace

std::atomic<const Interpreter*> g_interpreter{nullptr};
std::atomic<uint32_t> g_attention{0};
Host g_host{};

void connect(const Host& host) { g_host = host; }
bool active() { return g_interpreter.load(std::memory_order_acquire) != nullptr; }

bool attached() {
  const Interpreter* python = g_interpreter.load(std::memory_order_acquire);
  return python != nullptr && thread_state(*python) != 0;
}

Cursor current() {
  const Interpreter* python = g_interpreter.load(std::memory_order_acquire);
  if (python == nullptr) return {};
  const uint64_t state = thread_state(*python);
  if (state == 0) return {};
  const Layout& layout = python->layout;
  Cursor cursor;
  if (layout.chain != Chain::kFrameObjects && layout.chain != Chain::kThreadShims) {
    cursor.entry = load(state + layout.thread_entry);
    if (!plausible(cursor.entry)) return {};
  }
  const bool in_entry = layout.chain == Chain::kEntryFlags || layout.chain == Chain::kEntryShims;
  cursor.frame =
      in_entry ? load(cursor.entry + layout.entry_frame) : load(state + layout.thread_frame);
  if (layout.chain == Chain::kEntryShims || layout.chain == Chain::kThreadShims) {
    cursor.frame = past_shims(layout, cursor.frame);
  }
  if (!plausible(cursor.frame)) cursor.frame = 0;
  return cursor;
}

bool next(Cursor& cursor, Frame* frame) {
  const Interpreter* python = g_interpreter.load(std::memory_order_relaxed);
  if (python == nullptr || cursor.frame == 0) return false;
  const bool objects =
      python->layout.chain == Chain::kFrameObjects || python->layout.chain == Chain::kFrameEntries;
  const bool read = objects ? next_frame_object(python->layout, cursor, frame)
                            : next_interpreter_frame(*python, cursor, frame);
  if (!plausible(cursor.frame)) cursor.frame = 0;
  return read;
}

namespace {

bool has_objects(const Layout& layout) {
  return layout.chain == Chain::kFrameObjects || layout.chain == Chain::kFrameEntries;
}
bool has_bytecodes(const Layout& layout) { return layout.code_bytecodes != 0; }

// What a frame of the interpreter consists of, for each kind of chain by itself: all outer frames
// are looked at with every stack.
enum class Shape : uint8_t { kObject, kFlagged, kPlain, kOwnBytecode };
Shape shape_of(const Layout& layout) {
  if (has_objects(layout)) return Shape::kObject;
  if (layout.chain == Chain::kEntryFlags) return Shape::kFlagged;
  return has_bytecodes(layout) ? Shape::kOwnBytecode : Shape::kPlain;
}

template <Shape kShape>
[[gnu::always_inline]] inline uint64_t instruction_word(const Layout& layout, uint64_t frame) {
  if constexpr (kShape == Shape::kObject) {
    return static_cast<uint32_t>(load_int(frame + layout.frame_instruction));
  }
  return load(frame + layout.frame_instruction);
}
template <Shape kShape>
[[gnu::always_inline]] inline uint32_t marks_of(const Layout& layout, uint64_t frame) {
  if constexpr (kShape == Shape::kObject) return 0;
  uint32_t marks = load_byte(frame + layout.frame_owner);
  if constexpr (kShape == Shape::kFlagged) {
    marks |= static_cast<uint32_t>(load_byte(frame + layout.frame_is_entry)) << 8;
  }
  if constexpr (kShape == Shape::kOwnBytecode) {
    marks |= static_cast<uint32_t>(load_int(frame + layout.frame_bytecode_index)) << 16;
  }
  return marks;
}
// Calls `use` with the shape of the frames as a constant.
template <class Use>
[[gnu::always_inline]] inline auto with_shape(const Layout& layout, Use use) {
  switch (shape_of(layout)) {
    case Shape::kObject:
      return use.template operator()<Shape::kObject>();
    case Shape::kFlagged:
      return use.template operator()<Shape::kFlagged>();
    case Shape::kOwnBytecode:
      return use.template operator()<Shape::kOwnBytecode>();
    default:
      return use.template operator()<Shape::kPlain>();
  }
}

// Where, seen from an anchor, lies what leads on to the caller.
uint16_t link_offset(const Layout& layout) {
  const bool entry = layout.chain == Chain::kFrameEntries || layout.chain == Chain::kEntryFlags;
  return entry ? layout.entry_previous : layout.frame_previous;
}

}  // namespace

bool read(Cursor& cursor, Reading* reading) {
  const Interpreter* python = g_interpreter.load(std::memory_order_relaxed);
  if (python == nullptr || cursor.frame == 0) return false;
  const Layout& layout = python->layout;
  const uint64_t at = cursor.frame;
  reading->at = cursor;
  if (!next(cursor, &reading->frame)) return false;
  reading->code = load(at + layout.frame_code);
  reading->previous = load(at + layout.frame_previous);
  with_shape(layout, [&]<Shape kShape>() {
    reading->instruction = instruction_word<kShape>(layout, at);
    reading->marks = marks_of<kShape>(layout, at);
  });
  const uint64_t code = reading->frame.code;
  const bool is_code = plausible(code) && load(code + layout.object_type) == python->code_type;
  reading->lines = is_code ? load(code + layout.code_lines) : 0;
  reading->link = 0;
  if (reading->frame.anchor != 0) {
    reading->link = load(reading->frame.anchor + link_offset(layout));
    const bool shims = layout.chain == Chain::kEntryShims || layout.chain == Chain::kThreadShims;
    if (shims && reading->link != cursor.frame) reading->link = kNoLink;  // several in a row
  }
  return true;
}

namespace {

template <Shape kShape>
int32_t first_changed_of(const Layout& layout, const Reading* readings, int32_t last) {
  const uint64_t lines = layout.code_lines;
  const uint64_t link = link_offset(layout);
  for (int32_t i = last; i >= 0; --i) {
    const Reading& reading = readings[i];
    const uint64_t at = reading.at.frame;
    if (load(at + layout.frame_code) != reading.code ||
        instruction_word<kShape>(layout, at) != reading.instruction ||
        load(at + layout.frame_previous) != reading.previous ||
        marks_of<kShape>(layout, at) != reading.marks) {
      return i;
    }
    if (reading.lines != 0 && load(reading.frame.code + lines) != reading.lines) return i;
    if (reading.frame.anchor == 0) continue;
    if (reading.link == kNoLink || load(reading.frame.anchor + link) != reading.link) return i;
  }
  return -1;
}

}  // namespace

int32_t first_changed(const Reading* readings, int32_t last) {
  const Interpreter* python = g_interpreter.load(std::memory_order_relaxed);
  if (python == nullptr) return last;
  const Layout& layout = python->layout;
  return with_shape(
      layout, [&]<Shape kShape>() { return first_changed_of<kShape>(layout, readings, last); });
}

bool pairs_by_address() {
  const Interpreter* python = g_interpreter.load(std::memory_order_relaxed);
  return python != nullptr && python->layout.chain == Chain::kFrameObjects;
}
bool has_handler_frames() {
  const Interpreter* python = g_interpreter.load(std::memory_order_relaxed);
  return python != nullptr && python->handler_frames;
}

// A return address may already belong to the next function.
bool is_eval_loop(uint64_t return_address) {
  const Interpreter* python = g_interpreter.load(std::memory_order_relaxed);
  const uint64_t call = return_address - 1;
  return python != nullptr && (call - python->loop_start < python->loop_end - python->loop_start ||
                               call - python->cold_start < python->cold_end - python->cold_start);
}
bool is_recursion_check(uint64_t return_address) {
  const Interpreter* python = g_interpreter.load(std::memory_order_relaxed);
  return python != nullptr &&
         return_address - 1 - python->check_start < python->check_end - python->check_start;
}

}  // namespace tidemark::stack::python
