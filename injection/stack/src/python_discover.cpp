// Finds the interpreter among the modules, once its code runs: by its exported symbols, never by
// calling it.
#include <cstring>

#include "cfi.h"
#include "python_interpreter.h"
#include "tidemark/stack/modules.h"
#include "tidemark/stack/python.h"
#include "tidemark/stack/syscalls.h"

namespace tidemark::stack::python {
namespace {

// Modules that may be an interpreter: those called so, and the program itself (Blender, gdb and the
// like contain one).
struct Candidate {
  std::atomic<uint64_t> start{0};  // 0: free
  std::atomic<uint32_t> looking{0};
};
constexpr uint32_t kCandidates = 8;
Candidate g_candidates[kCandidates];
std::atomic<uint64_t> g_program{0};  // start of the first module seen
Interpreter g_found;
std::atomic<uint32_t> g_found_taken{0};

const char* base_name(const Module& module) {
  const char* slash = std::strrchr(module.path, '/');
  return slash == nullptr ? module.path : slash + 1;
}

// --- version

char* put_number(char* at, uint32_t number) {
  if (number >= 10) at = put_number(at, number / 10);
  *at++ = static_cast<char>('0' + number % 10);
  *at = 0;
  return at;
}

// "python3.6m", "libpython2.7.so.1.0" → "3.6", "2.7"; "" when the name tells none.
void version_of_name(const char* name, char (&version)[16]) {
  const char* at = std::strstr(name, "python");
  if (at == nullptr) return;
  at += 6;
  size_t bytes = std::strspn(at, "0123456789.");
  while (bytes > 0 && at[bytes - 1] == '.') --bytes;
  if (bytes >= sizeof version) return;
  std::memcpy(version, at, bytes);
  version[bytes] = 0;
}

// The minor version of Python 3, 0 when it is older than 3.8 or unknown. Py_Version is data since
// 3.11; before that, which functions there are tells.
uint32_t minor_of(const Module& module, char (&version)[16]) {
  const uint64_t number = find_symbol(module, "Py_Version");
  if (number != 0) {
    const auto hex = static_cast<uint32_t>(load(number));
    char* at = put_number(version, hex >> 24);
    *at++ = '.';
    at = put_number(at, hex >> 16 & 0xff);
    *at++ = '.';
    put_number(at, hex >> 8 & 0xff);
    return hex >> 24 == 3 ? hex >> 16 & 0xff : 0;
  }
  uint32_t minor = 0;
  if (find_symbol(module, "Py_NewRef") != 0) {
    minor = 10;
  } else if (find_symbol(module, "PyFrame_GetCode") != 0) {
    minor = 9;
  } else if (find_symbol(module, "PyConfig_InitPythonConfig") != 0) {
    minor = 8;
  }
  if (minor == 0) {
    version_of_name(base_name(module), version);
  } else {
    version[0] = '3';
    version[1] = '.';
    put_number(version + 2, minor);
  }
  return minor;
}

// --- the eval loop's code

// At a function's first instruction nothing but the return address is on its stack. A part that the
// compiler moved elsewhere begins with the whole frame there.
bool begins_inside_function(const Module& module, uint64_t start) {
  const Rule rule = find_rule(module, start);
  if (rule.kind == RuleKind::kStackPointer) return rule.cfa_offset != 8;
  return rule.kind == RuleKind::kBasePointer;
}

// Where a jump of five or six bytes at `at` leads, 0 when there is none.
uint64_t jump_target(uint64_t at) {
  const uint8_t first = load_byte(at);
  const bool conditional = first == 0x0f && (load_byte(at + 1) & 0xf0) == 0x80;
  if (!conditional && first != 0xe9) return 0;
  const uint64_t operand = at + (conditional ? 2 : 1);
  return operand + 4 + static_cast<uint64_t>(int64_t{load_int(operand)});
}

// Code that the compiler moved out of the loop because it seldom runs has unwind tables of its own:
// it is the part of a function to which the loop jumps most often. (Bytes that look like a jump but
// are none lead somewhere else each.)
void find_cold_part(const Module& module, Interpreter* python) {
  constexpr uint32_t kParts = 16;
  constexpr uint32_t kFewestJumps = 3;
  struct Part {
    CodeRange code;
    uint32_t jumps;
  } parts[kParts];
  uint32_t part_count = 0;
  uint32_t best = 0;
  for (uint64_t at = python->loop_start; at + 6 <= python->loop_end; ++at) {
    const uint64_t target = jump_target(at);
    if (target < module.start || target >= module.end ||
        target - python->loop_start < python->loop_end - python->loop_start) {
      continue;
    }
    uint32_t i = 0;
    while (i < part_count &&
           target - parts[i].code.start >= parts[i].code.end - parts[i].code.start) {
      ++i;
    }
    if (i == part_count) {
      const CodeRange code = find_code_range(module, target);
      if (part_count == kParts || code.start == code.end ||
          !begins_inside_function(module, code.start)) {
        continue;
      }
      parts[part_count++] = {code, 0};
    }
    if (++parts[i].jumps > parts[best].jumps) best = i;
  }
  if (part_count == 0 || parts[best].jumps < kFewestJumps) return;
  python->cold_start = parts[best].code.start;
  python->cold_end = parts[best].code.end;
}

void find_code(const Module& module, Interpreter* python) {
  const SymbolRange loop = find_symbol_range(module, "_PyEval_EvalFrameDefault");
  python->loop_start = loop.start;
  python->loop_end = loop.end;
  const SymbolRange check = find_symbol_range(module, "_Py_CheckRecursiveCall");
  python->check_start = check.start;
  python->check_end = check.end;
  python->cold_start = python->cold_end = 0;
  const bool may_tail_call = python->layout.minor >= 14;
  if (python->layout.chain == Chain::kFrameObjects || may_tail_call) find_cold_part(module, python);
  // As a chain of tail calls the loop itself is a few instructions: the rest is in the handlers.
  constexpr uint64_t kSmallLoop = 8192;
  const uint64_t bytes = loop.end - loop.start + (python->cold_end - python->cold_start);
  python->handler_frames = may_tail_call && bytes < kSmallLoop;
}

// --- the interpreter

// Data that a program not compiled position-independent refers to lies in the program.
uint64_t find_data(const Module& module, const char* name) {
  const Module* program = find_module(g_program.load(std::memory_order_relaxed), false);
  const uint64_t address = program == nullptr ? 0 : find_symbol(*program, name);
  return address != 0 ? address : find_symbol(module, name);
}

bool is_interpreter(const Module& module) {
  return find_symbol(module, "Py_GetVersion") != 0 && find_symbol(module, "PyEval_RestoreThread");
}

bool read_interpreter(const Module& module, Interpreter* python, Finding* finding) {
  const uint32_t minor = minor_of(module, finding->version);
  const Layout* layout = layout_of(minor, false);
  if (layout == nullptr) {
    finding->reason = "only 3.8 to 3.14 are known";
    return false;
  }
  python->layout = *layout;
  python->module_start = module.start;
  python->runtime = find_data(module, "_PyRuntime");
  python->code_type = find_data(module, "PyCode_Type");
  const uint64_t thread_state = find_symbol(module, "PyGILState_GetThisThreadState");
  if (python->runtime == 0 || python->code_type == 0 || thread_state == 0) {
    finding->reason = "it does not export _PyRuntime";
    return false;
  }
  std::memcpy(&python->this_thread_state, &thread_state, sizeof thread_state);
  if (layout->chain == Chain::kThreadShims) {
    uint8_t told[kToldBytes];
    if (!sys::copy_memory(told, python->runtime, sizeof told)) {
      finding->reason = "its _PyRuntime cannot be read";
      return false;
    }
    if (!read_told(told, minor, &python->layout, &finding->reason)) return false;
  }
  find_code(module, python);
  return true;
}

// True when frames can be read from now on.
bool examine(const Module& module) {
  if (!is_interpreter(module)) return false;
  Finding finding{};
  finding.reason = "";
  uint32_t none = 0;
  if (!g_found_taken.compare_exchange_strong(none, 1, std::memory_order_acquire)) {
    return false;  // a second interpreter in one process: the first one's frames are read
  }
  finding.supported = read_interpreter(module, &g_found, &finding);
  if (finding.supported) {
    g_interpreter.store(&g_found, std::memory_order_release);
    g_attention.fetch_add(1, std::memory_order_relaxed);
  } else {
    g_found_taken.store(0, std::memory_order_release);
  }
  if (g_host.report != nullptr) g_host.report(finding);
  return finding.supported;
}

}  // namespace

void on_module(const Module& module, bool loaded) {
  if (!loaded) {
    const Interpreter* python = g_interpreter.load(std::memory_order_relaxed);
    if (python != nullptr && python->module_start == module.start) {
      g_interpreter.store(nullptr, std::memory_order_release);
      g_attention.fetch_sub(1, std::memory_order_relaxed);
      g_found_taken.store(0, std::memory_order_release);
    }
    return;
  }
  uint64_t none = 0;
  const bool program =
      g_program.compare_exchange_strong(none, module.start) || none == module.start;
  if (!program && std::strstr(base_name(module), "python") == nullptr) return;
  if (active()) return;
  for (Candidate& candidate : g_candidates) {
    uint64_t free = 0;
    if (candidate.start.compare_exchange_strong(free, module.start)) {
      g_attention.fetch_add(1, std::memory_order_release);
      return;
    }
    if (free == module.start) return;
  }
}

bool look_at(const uint64_t* addresses, uint32_t count) {
  for (Candidate& candidate : g_candidates) {
    const uint64_t start = candidate.start.load(std::memory_order_acquire);
    if (start == 0 || candidate.looking.load(std::memory_order_relaxed) != 0) continue;
    const Module* module = find_module(start, false);
    bool runs = module == nullptr;  // gone again
    for (uint32_t i = 0; i < count && !runs; ++i) {
      runs = addresses[i] - 1 - module->start < module->end - module->start;
    }
    uint32_t nobody = 0;
    if (!runs || !candidate.looking.compare_exchange_strong(nobody, 1)) continue;
    if (module != nullptr) examine(*module);
    candidate.start.store(0, std::memory_order_relaxed);
    candidate.looking.store(0, std::memory_order_release);
    g_attention.fetch_sub(1, std::memory_order_relaxed);
  }
  return active();
}

}  // namespace tidemark::stack::python
