// Call frame information (DWARF 5, section 6.4, as .eh_frame has it) of x86-64 code, reduced to
// what it takes to step from a call site to its caller. Pure: reads the tables of one module,
// nothing else.
#pragma once

#include <cstdint>

#include "tidemark/stack/modules.h"

namespace tidemark::stack {

// How to find the caller's frame. CFA: the value of the stack pointer before the call.
enum class RuleKind : uint8_t {
  kNone = 0,         // no information
  kStackPointer,     // CFA = sp + cfa_offset
  kBasePointer,      // CFA = bp + cfa_offset
  kDereferenceBase,  // CFA = *(bp + cfa_offset): realigned stacks
  kSignalFrame,      // sp points to the interrupted context
  kOutermost,        // the return address is undefined: no caller
};

// The return address is at CFA − 8 in all of them.
struct Rule {
  RuleKind kind = RuleKind::kNone;
  bool bp_saved = false;          // the caller's bp is at *(CFA + bp_offset), or …
  bool bp_saved_at_base = false;  // … at *(bp + bp_offset)
  int32_t cfa_offset = 0;
  int32_t bp_offset = 0;
};

// The code that one entry of the tables describes: a function, or a part of one.
struct CodeRange {
  uint64_t start = 0;
  uint64_t end = 0;  // start == end: none
};
CodeRange find_code_range(const Module& module, uint64_t ip);

// The rule that holds at `ip` (the address of the instruction, not the return address).
Rule find_rule(const Module& module, uint64_t ip);

}  // namespace tidemark::stack
