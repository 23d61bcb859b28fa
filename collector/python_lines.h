// Line tables of CPython code objects: from the index of an instruction to the line in the source.
// Pure. The tables come from a target: every read is bounded, and nonsense gives some line, not a
// crash.
#pragma once

#include <cstdint>
#include <span>

namespace tidemark::collector {

// `table` as the Python 3.`minor` interpreter keeps it: co_lnotab (8, 9), co_linetable of PEP 626
// (10), location table of PEP 657 (11 and later). `instruction` counts code units of two bytes.
// 0: the instruction belongs to no line (code that the compiler made up).
int32_t python_line(uint32_t minor, std::span<const uint8_t> table, int32_t first_line,
                    uint32_t instruction);

}  // namespace tidemark::collector
