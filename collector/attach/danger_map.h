// In which code a thread must not be while it is made to call dlopen: where it may hold a lock that
// dlopen takes, or has half-changed what dlopen uses. Addresses are the process's.
//
// A thread may be used when no frame of its stack lies in such code, and it is either in code of
// the program or its libraries, or in libc only to wait in the kernel (is_waiting_call).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "exported_functions.h"
#include "process_facts.h"

namespace tidemark::collector {

struct CodeRange {
  uint64_t start = 0;
  uint64_t end = 0;
};

// The functions of an allocator with what lies around them.
std::vector<CodeRange> allocator_in(const ExportedFunctions& file, uint64_t bias);
// libc's allocator with all that it keeps to itself, and what holds locks of the loader's, of
// fork's, or of thread creation's. `bias`: address in memory − address in the file.
std::vector<CodeRange> dangerous_in_libc(const ExportedFunctions& libc, uint64_t bias);

class DangerMap {
 public:
  DangerMap(const ProcessFacts& facts, const ExportedFunctions& libc);
  [[nodiscard]] bool dangerous(uint64_t address) const;
  [[nodiscard]] bool in_libc(uint64_t address) const;

 private:
  std::vector<CodeRange> ranges_;
  CodeRange libc_;
};

// System calls in which a thread of libc's may be met holding nothing: those that wait for others.
bool is_waiting_call(int64_t number);

}  // namespace tidemark::collector
