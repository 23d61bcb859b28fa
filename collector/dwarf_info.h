// Lines and inlined calls of one file's addresses, from its DWARF. Reads only the compilation units
// and functions that the addresses fall into.
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tidemark::collector {

struct DwarfFrame {
  std::string function;  // mangled where the compiler says so; "" unknown
  std::string file;
  int32_t line = 0;
  bool inlined = false;
};

class DwarfInfo {
 public:
  // Null when there is none. `elf` must outlive it.
  static std::unique_ptr<DwarfInfo> open(Elf* elf);
  ~DwarfInfo();
  DwarfInfo(const DwarfInfo&) = delete;
  DwarfInfo& operator=(const DwarfInfo&) = delete;

  // For each of the ascending addresses its frames, innermost first; empty: nothing known.
  std::vector<std::vector<DwarfFrame>> resolve(std::span<const uint64_t> addresses);

 private:
  explicit DwarfInfo(Dwarf* dwarf) : dwarf_(dwarf) {}
  Dwarf* dwarf_;
};

}  // namespace tidemark::collector
