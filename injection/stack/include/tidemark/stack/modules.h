// Which programs and libraries are mapped, found without the loader's lock: from /proc/self/maps
// and the ELF headers in memory. A lookup reads an immutable table through one atomic pointer; a
// refresh builds a new table and never frees an old one while the process lives (they are small and
// few).
//
// Safe from any thread and inside allocators. In a signal handler that interrupted a refresh on the
// same thread, a refresh does nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tidemark::stack {

inline constexpr uint32_t kMaxPathBytes = 512;

struct Module {
  uint64_t start;         // first mapped byte
  uint64_t end;           // one past the last
  uint64_t bias;          // address in memory − address in the file's program headers
  uint64_t eh_frame_hdr;  // 0: none
  uint64_t eh_frame_end;  // upper bound for reading unwind tables
  uint64_t dynamic;       // PT_DYNAMIC in memory, 0: none
  uint64_t inode;
  const char* path;
  uint32_t path_bytes;
  uint32_t build_id_bytes;
  uint8_t build_id[32];
};

// The module that covers `address`, or nullptr. Takes no lock. With `refresh`, an unknown address
// makes it read the mappings again (not for addresses that were unknown a moment ago: generated
// code).
const Module* find_module(uint64_t address, bool refresh);

// The first module whose file is called `name` or `name.…`: "libstdc++.so.6" finds
// libstdc++.so.6.0.30 too, as the kernel names files, not links to them. Reads the mappings again
// when it is not among the known ones.
const Module* find_module_by_name(const char* name);

// The address of a defined dynamic symbol of `module`, 0 when it has none. Reads the module's own
// hash table: no loader lock, no allocation.
uint64_t find_symbol(const Module& module, const char* name);
// The same with its size; start == end when there is none.
struct SymbolRange {
  uint64_t start = 0;
  uint64_t end = 0;
};
SymbolRange find_symbol_range(const Module& module, const char* name);

// Something was unloaded: the table is read again at the next unknown address or `refresh_modules`.
void invalidate_modules();
void refresh_modules();
// This thread had begun a refresh that a signal handler left for good.
void abandon_refresh();
// After fork: whoever held the refresh in the parent does not exist here.
void reset_modules_after_fork();

// Called under the refresh, for each module that appeared or went away: `announce` before anybody
// can take a stack by the new table, so that whoever reads the stacks hears of the modules first;
// `examine` once they can be found. Set before any other thread looks.
struct ModuleObserver {
  void (*announce)(const Module& module, bool loaded);
  void (*examine)(const Module& module, bool loaded);
};
void observe_modules(const ModuleObserver* observer);  // nullptr: nobody
// Calls both for all that are known (a forked child introduces itself).
void announce_modules();

}  // namespace tidemark::stack
