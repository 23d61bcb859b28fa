#include "python_layout.h"

#include <cstddef>
#include <cstring>

namespace tidemark::stack::python {
namespace {

constexpr uint32_t kKind = 28;
constexpr uint32_t kCompact = 32;
constexpr uint32_t kAscii = 64;

constexpr Layout kFrom38{.minor = 8,
                         .chain = Chain::kFrameObjects,
                         .free_threaded = false,
                         .runtime_finalizing = 16,
                         .runtime_interpreters = 32,
                         .thread_id = 176,
                         .thread_frame = 24,
                         .thread_entry = 0,
                         .entry_previous = 0,
                         .entry_frame = 0,
                         .frame_previous = 24,
                         .frame_code = 32,
                         .frame_instruction = 104,
                         .frame_owner = 0,
                         .frame_is_entry = 0,
                         .frame_bytecode_index = 0,
                         .code_file = 104,
                         .code_name = 112,
                         .code_qualified_name = 0,
                         .code_first_line = 40,
                         .code_lines = 120,
                         .code_instructions = 0,
                         .code_first_traceable = 0,
                         .code_bytecodes = 0,
                         .object_type = 8,
                         .text_state = 32,
                         .text_length = 16,
                         .text_narrow = 48,
                         .text_wide = 72,
                         .bytes_size = 16,
                         .bytes_data = 32,
                         .text_kind_mask = kKind,
                         .text_compact_mask = kCompact,
                         .text_ascii_mask = kAscii};

constexpr Layout from39() {
  Layout layout = kFrom38;
  layout.minor = 9;
  return layout;
}

constexpr Layout from310() {
  Layout layout = from39();
  layout.minor = 10;
  layout.chain = Chain::kFrameEntries;
  layout.thread_entry = 48;
  layout.entry_previous = 8;
  layout.frame_instruction = 96;
  return layout;
}

constexpr Layout from311() {
  Layout layout = from310();
  layout.minor = 11;
  layout.chain = Chain::kEntryFlags;
  layout.runtime_finalizing = 24;
  layout.runtime_interpreters = 40;
  layout.thread_id = 152;
  layout.thread_frame = 0;
  layout.thread_entry = 56;
  layout.entry_previous = 16;
  layout.entry_frame = 8;
  layout.frame_previous = 48;
  layout.frame_code = 32;
  layout.frame_instruction = 56;
  layout.frame_owner = 69;
  layout.frame_is_entry = 68;
  layout.code_file = 112;
  layout.code_name = 120;
  layout.code_qualified_name = 128;
  layout.code_first_line = 72;
  layout.code_lines = 136;
  layout.code_instructions = 184;
  layout.code_first_traceable = 168;
  return layout;
}

constexpr Layout from312() {
  Layout layout = from311();
  layout.minor = 12;
  layout.chain = Chain::kEntryShims;
  layout.thread_id = 136;
  layout.entry_previous = 8;
  layout.entry_frame = 0;
  layout.frame_previous = 8;
  layout.frame_code = 0;
  layout.frame_owner = 70;
  layout.frame_is_entry = 0;
  layout.code_first_line = 68;
  layout.code_instructions = 192;
  layout.code_first_traceable = 176;
  layout.text_narrow = 40;
  layout.text_wide = 56;
  return layout;
}

// Of 3.13 on only what _Py_DebugOffsets does not tell.
constexpr Layout told(uint32_t minor, bool free_threaded) {
  Layout layout{};
  layout.minor = minor;
  layout.chain = Chain::kThreadShims;
  layout.free_threaded = free_threaded;
  // In free-threaded 3.14 the first byte of the state is `interned` alone.
  const unsigned moved = free_threaded && minor == 14 ? 6 : 0;
  layout.text_kind_mask = kKind << moved;
  layout.text_compact_mask = kCompact << moved;
  layout.text_ascii_mask = kAscii << moved;
  return layout;
}

constexpr Layout kFrom39 = from39();
constexpr Layout kFrom310 = from310();
constexpr Layout kFrom311 = from311();
constexpr Layout kFrom312 = from312();
constexpr Layout kFrom313 = told(13, false);
constexpr Layout kFrom313Free = told(13, true);
constexpr Layout kFrom314 = told(14, false);
constexpr Layout kFrom314Free = told(14, true);

// One table for both, so that reading and the test that compares it with the headers cannot differ.
// Where in _Py_DebugOffsets (3.13, 3.14; 0: not there), and which member of Layout it fills.
struct Told {
  const char* name;
  uint16_t in_313;
  uint16_t in_314;
  uint16_t Layout::*member;
};
constexpr uint16_t kPositionFreeThreaded = 16;
constexpr Told kTold[] = {
    {"free_threaded", kPositionFreeThreaded, kPositionFreeThreaded, nullptr},
    {"runtime_state_finalizing", 32, 32, &Layout::runtime_finalizing},
    {"runtime_state_interpreters_head", 40, 40, &Layout::runtime_interpreters},
    {"thread_state_current_frame", 184, 208, &Layout::thread_frame},
    {"thread_state_thread_id", 192, 216, &Layout::thread_id},
    {"interpreter_frame_previous", 232, 256, &Layout::frame_previous},
    {"interpreter_frame_executable", 240, 264, &Layout::frame_code},
    {"interpreter_frame_instr_ptr", 248, 272, &Layout::frame_instruction},
    {"interpreter_frame_owner", 264, 288, &Layout::frame_owner},
    {"code_object_filename", 280, 320, &Layout::code_file},
    {"code_object_name", 288, 328, &Layout::code_name},
    {"code_object_qualname", 296, 336, &Layout::code_qualified_name},
    {"code_object_linetable", 304, 344, &Layout::code_lines},
    {"code_object_firstlineno", 312, 352, &Layout::code_first_line},
    {"code_object_co_code_adaptive", 344, 384, &Layout::code_instructions},
    {"pyobject_ob_type", 360, 408, &Layout::object_type},
    {"bytes_object_ob_size", 520, 600, &Layout::bytes_size},
    {"bytes_object_ob_sval", 528, 608, &Layout::bytes_data},
    {"unicode_object_state", 544, 624, &Layout::text_state},
    {"unicode_object_length", 552, 632, &Layout::text_length},
    {"unicode_object_asciiobject_size", 560, 640, &Layout::text_narrow},
    {"interpreter_frame_tlbc_index", 0, 304, &Layout::frame_bytecode_index},
    {"code_object_co_tlbc", 0, 392, &Layout::code_bytecodes},
};
constexpr uint32_t kToldCount = sizeof kTold / sizeof kTold[0];

uint64_t word_at(const uint8_t* bytes, uint16_t position) {
  uint64_t word;
  std::memcpy(&word, bytes + position, sizeof word);
  return word;
}

// Beyond this no field of these structures lies; a larger figure is none.
constexpr uint64_t kMostBytes = 4096;

}  // namespace

const Layout* layout_of(uint32_t minor, bool free_threaded) {
  constexpr const Layout* kLayouts[] = {&kFrom38,  &kFrom39,  &kFrom310, &kFrom311,
                                        &kFrom312, &kFrom313, &kFrom314};
  if (minor < kOldest || minor > kNewest) return nullptr;
  if (!free_threaded) return kLayouts[minor - kOldest];
  return minor == 13 ? &kFrom313Free : minor == 14 ? &kFrom314Free : nullptr;
}

bool read_told(const uint8_t* runtime, uint32_t minor, Layout* layout, const char** reason) {
  if (std::memcmp(runtime, "xdebugpy", 8) != 0) {
    *reason = "it does not tell where things lie (no _Py_DebugOffsets)";
    return false;
  }
  constexpr uint16_t kVersion = 8;
  if ((word_at(runtime, kVersion) >> 16) != (0x0300U | minor)) {
    *reason = "its _Py_DebugOffsets are of another version";
    return false;
  }
  const bool free_threaded = word_at(runtime, kPositionFreeThreaded) != 0;
  const Layout* untold = layout_of(minor, free_threaded);
  if (untold == nullptr) {
    *reason = "this version is not known";
    return false;
  }
  *layout = *untold;
  for (const Told& field : kTold) {
    const uint16_t position = minor == 13 ? field.in_313 : field.in_314;
    if (position == 0 || field.member == nullptr) continue;
    const uint64_t value = word_at(runtime, position);
    if (value >= kMostBytes) {
      *reason = "its _Py_DebugOffsets make no sense";
      return false;
    }
    layout->*field.member = static_cast<uint16_t>(value);
  }
  const bool copies = layout->code_bytecodes != 0;
  if (layout->code_instructions < 24 || layout->text_narrow < 24 ||
      copies != (free_threaded && minor == 14)) {
    *reason = "its _Py_DebugOffsets make no sense";
    return false;
  }
  layout->code_first_traceable =
      static_cast<uint16_t>(layout->code_instructions - first_traceable_before(copies));
  layout->text_wide = static_cast<uint16_t>(layout->text_narrow + kTextWideBeyond);
  return true;
}

const ToldField* told_fields(uint32_t minor, uint32_t* count) {
  static ToldField fields[kToldCount];
  *count = 0;
  for (const Told& field : kTold) {
    const uint16_t position = minor == 13 ? field.in_313 : field.in_314;
    if (position != 0) fields[(*count)++] = {field.name, position};
  }
  return fields;
}

}  // namespace tidemark::stack::python
