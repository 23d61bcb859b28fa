// From a code object to the word that stands for it in a stack. A code object that was seen before
// costs a look into a cache; a new one is read, hashed and handed to the host.
//
// The slow path copies with the kernel's help (sys::copy_memory): should the interpreter be in the
// middle of taking a code object apart, an address that is no longer mapped is an answer, not a
// crash.
#include <cstring>

#include "python_interpreter.h"
#include "tidemark/stack/python.h"
#include "tidemark/stack/syscalls.h"

namespace tidemark::stack::python {
namespace {

// --- the cache: direct mapped, shared by all threads without a lock

// What a code object consists of is behind pointers that stay while it lives. When it is gone,
// another may come to lie at its address, and even its parts at theirs (exec() in a loop): hence
// the sizes too.
// A sum of products: they are computed side by side, for this is done for every frame of a stack.
uint64_t signature_of(const Layout& layout, uint64_t code) {
  const uint64_t lines = load(code + layout.code_lines);
  uint64_t sum =
      code * 0x9fb21c651e98df25ULL + lines * 0xd6e8feb86659fd93ULL +
      load(code + layout.code_file) * 0xa0761d6478bd642fULL +
      load(code + layout.code_name) * 0xe7037ed1a0b428dbULL +
      static_cast<uint32_t>(load_int(code + layout.code_first_line)) * 0x8ebc6af09c88c6e3ULL;
  if (layout.code_qualified_name != 0) {
    sum += load(code + layout.code_qualified_name) * 0x589965cc75374cc3ULL;
  }
  // ob_size: of the code itself (3.11 on: its bytecode's length) …
  if (layout.code_instructions != 0) {
    sum += load(code + layout.bytes_size) * 0x1d8e4e27c47d124fULL;
  }
  // … and of its line table, with the table's beginning.
  if (lines >= 4096) {
    sum += load(lines + layout.bytes_size) * 0xeb44accab455d165ULL +
           load(lines + layout.bytes_data) * 0x9e3779b97f4a7c15ULL;
  }
  return sum ^ sum >> 32;
}

// An entry holds the key and (signature XOR key): halves of two different entries give the
// signature of neither.
struct Entry {
  std::atomic<uint64_t> check;
  std::atomic<uint64_t> key;
};
constexpr size_t kEntries = size_t{1} << 14;
Entry g_cache[kEntries];

// --- memory for the slow path: one block kept for the next caller

struct Scratch {
  char file[16 * 1024];
  char function[8 * 1024];
  uint8_t lines[32 * 1024];
};
static_assert(sizeof(Scratch) <= 60 * 1024, "all of it must fit one record (wire/records.h)");
std::atomic<Scratch*> g_scratch{nullptr};

class ScratchHolder {
 public:
  ScratchHolder() : scratch_(g_scratch.exchange(nullptr, std::memory_order_acquire)) {
    if (scratch_ == nullptr) {
      scratch_ = static_cast<Scratch*>(sys::map_anonymous(sizeof(Scratch)));
    }
  }
  ~ScratchHolder() {
    if (scratch_ == nullptr) return;
    Scratch* kept = g_scratch.exchange(scratch_, std::memory_order_release);
    if (kept != nullptr) sys::unmap(kept, sizeof(Scratch));
  }
  ScratchHolder(const ScratchHolder&) = delete;
  ScratchHolder& operator=(const ScratchHolder&) = delete;
  Scratch* get() const { return scratch_; }

 private:
  Scratch* scratch_;
};

// --- reading objects

bool copy_word(uint64_t address, uint64_t* word) {
  return sys::copy_memory(word, address, sizeof *word);
}

uint32_t put_utf8(uint32_t point, char* at) {
  if (point < 0x80) {
    at[0] = static_cast<char>(point);
    return 1;
  }
  if (point < 0x800) {
    at[0] = static_cast<char>(0xc0 | point >> 6);
    at[1] = static_cast<char>(0x80 | (point & 0x3f));
    return 2;
  }
  // Surrogates stand for bytes of file names that are no text (PEP 383).
  if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) point = 0xfffd;
  if (point < 0x10000) {
    at[0] = static_cast<char>(0xe0 | point >> 12);
    at[1] = static_cast<char>(0x80 | (point >> 6 & 0x3f));
    at[2] = static_cast<char>(0x80 | (point & 0x3f));
    return 3;
  }
  at[0] = static_cast<char>(0xf0 | point >> 18);
  at[1] = static_cast<char>(0x80 | (point >> 12 & 0x3f));
  at[2] = static_cast<char>(0x80 | (point >> 6 & 0x3f));
  at[3] = static_cast<char>(0x80 | (point & 0x3f));
  return 4;
}

// A str as UTF-8, cut at `capacity`.
bool read_text(const Layout& layout, uint64_t object, char* text, uint32_t capacity,
               uint32_t* bytes) {
  uint64_t length = 0;
  uint32_t state = 0;
  if (!copy_word(object + layout.text_length, &length) ||
      !sys::copy_memory(&state, object + layout.text_state, sizeof state)) {
    return false;
  }
  if ((state & layout.text_compact_mask) == 0 || length >= uint64_t{1} << 32) return false;
  const bool ascii = (state & layout.text_ascii_mask) != 0;
  const auto kind = (state & layout.text_kind_mask) >>
                    static_cast<unsigned>(__builtin_ctz(layout.text_kind_mask));
  if (kind != 1 && kind != 2 && kind != 4) return false;
  uint64_t from = object + (ascii ? layout.text_narrow : layout.text_wide);
  *bytes = 0;
  if (ascii) {
    *bytes = static_cast<uint32_t>(length < capacity ? length : capacity);
    return sys::copy_memory(text, from, *bytes);
  }
  constexpr uint64_t kAtOnce = 64;
  uint8_t points[kAtOnce * 4];
  while (length > 0) {
    const uint64_t count = length < kAtOnce ? length : kAtOnce;
    if (!sys::copy_memory(points, from, count * kind)) return false;
    for (uint64_t i = 0; i < count; ++i) {
      if (*bytes + 4 > capacity) return true;
      uint32_t point = 0;
      std::memcpy(&point, points + i * kind, kind);
      *bytes += put_utf8(point, text + *bytes);
    }
    from += count * kind;
    length -= count;
  }
  return true;
}

bool read_bytes(const Layout& layout, uint64_t object, uint8_t* data, uint32_t capacity,
                uint32_t* bytes) {
  uint64_t size = 0;
  if (!copy_word(object + layout.bytes_size, &size) || size >= uint64_t{1} << 32) return false;
  *bytes = static_cast<uint32_t>(size < capacity ? size : capacity);
  return *bytes == 0 || sys::copy_memory(data, object + layout.bytes_data, *bytes);
}

uint64_t hash_of(uint64_t hash, const void* data, uint32_t bytes) {
  hash = mix(hash, bytes);
  const auto* at = static_cast<const uint8_t*>(data);
  for (; bytes > 0; at += 8) {
    uint64_t word = 0;
    const uint32_t part = bytes < 8 ? bytes : 8;
    std::memcpy(&word, at, part);
    hash = mix(hash, word);
    bytes -= part;
  }
  return hash;
}

// Reads and publishes; 0 when either failed.
uint64_t define(const Layout& layout, uint64_t object) {
  const ScratchHolder holder;
  Scratch* scratch = holder.get();
  uint64_t file = 0;
  uint64_t name = 0;
  uint64_t lines = 0;
  uint32_t first_line = 0;
  const uint16_t named =
      layout.code_qualified_name != 0 ? layout.code_qualified_name : layout.code_name;
  if (scratch == nullptr || !copy_word(object + layout.code_file, &file) ||
      !copy_word(object + named, &name) || !copy_word(object + layout.code_lines, &lines) ||
      !sys::copy_memory(&first_line, object + layout.code_first_line, sizeof first_line)) {
    return 0;
  }
  Code code{};
  code.first_line = first_line;
  code.line_format = layout.minor;
  code.file = scratch->file;
  code.function = scratch->function;
  code.lines = scratch->lines;
  if (!read_text(layout, file, scratch->file, sizeof scratch->file, &code.file_bytes) ||
      !read_text(layout, name, scratch->function, sizeof scratch->function, &code.function_bytes) ||
      !read_bytes(layout, lines, scratch->lines, sizeof scratch->lines, &code.lines_bytes)) {
    return 0;
  }
  uint64_t hash = mix(first_line, layout.minor);
  hash = hash_of(hash, code.file, code.file_bytes);
  hash = hash_of(hash, code.function, code.function_bytes);
  hash = hash_of(hash, code.lines, code.lines_bytes);
  code.key = hash >> (64 - kKeyBits);
  if (code.key == 0) code.key = 1;
  return g_host.publish_code != nullptr && g_host.publish_code(code) ? code.key : 0;
}

}  // namespace

uint64_t word_of(const Frame& frame) {
  const Interpreter* python = g_interpreter.load(std::memory_order_relaxed);
  if (python == nullptr) return 0;
  const uint64_t signature = signature_of(python->layout, frame.code);
  Entry& entry = g_cache[signature & (kEntries - 1)];
  uint64_t key = entry.key.load(std::memory_order_relaxed);
  if ((entry.check.load(std::memory_order_relaxed) ^ key) != signature || key == 0) {
    key = define(python->layout, frame.code);
    if (key == 0) return 0;
    entry.key.store(key, std::memory_order_relaxed);
    entry.check.store(signature ^ key, std::memory_order_relaxed);
  }
  return kWordBit | key << kInstructionBits | frame.instruction;
}

}  // namespace tidemark::stack::python
