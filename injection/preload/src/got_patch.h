// Redirects the bindings of loaded modules: what the dynamic linker has written into their global
// offset tables for a function by name becomes the address of ours, and back. Reads the modules'
// own tables; takes no lock, allocates nothing. The caller keeps the modules from going away
// (dl_iterate_phdr does) and calls from one thread at a time; all other threads may run.
//
// Which slots of a module are redirected
//   JUMP_SLOT, GLOB_DAT and plain 64-bit relocations against a hooked name
//     that hold the real function                     yes
//     that are not bound yet (lazy)                   yes, when they would be bound to it
//     that hold something else                        no: another allocator's, or a copy of a slot
//                                                     that is redirected itself
// A module that has any function of a family bound to something else keeps the whole family: blocks
// must go back to the allocator that they came from.
#pragma once

#include <link.h>

#include <cstddef>
#include <cstdint>

#include "protection_map.h"

namespace tidemark::preload {

enum class Family : uint8_t { kHeap, kNew, kOther, kCount };

struct Binding {
  const char* name;
  Family family;
  uint64_t hook;   // ours
  uint64_t real;   // the first definition in the order of loading; 0: none yet
  uint32_t hash;   // of the name
  bool ambiguous;  // another definition was seen: what an unbound slot will be bound to is doubtful
};

// What the loader knows of one module, by address in memory.
struct LoadedImage {
  uint64_t bias = 0;
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t relro_start = 0;
  uint64_t relro_end = 0;
  const Elf64_Sym* symbols = nullptr;
  const char* strings = nullptr;
  const Elf64_Half* versions = nullptr;
  const uint32_t* hash = nullptr;  // DT_GNU_HASH
  const Elf64_Rela* plt = nullptr;
  size_t plt_count = 0;
  const Elf64_Rela* relocations = nullptr;
  size_t relocation_count = 0;
};
// False when there is nothing in it that could be redirected.
bool read_image(const dl_phdr_info& info, LoadedImage* image);

uint32_t gnu_hash(const char* name);
// The address of the default version of a function that the module itself defines; 0: none.
uint64_t find_definition(const LoadedImage& image, const char* name, uint32_t hash);

struct Patched {
  uint32_t slots = 0;    // that hold a hook now
  bool foreign = false;  // has an allocator of its own
  bool pending = false;  // the loader is not done with it
};
Patched redirect(const LoadedImage& image, const Binding* bindings, size_t count,
                 const ProtectionMap& protections);
// Every slot that holds a hook holds the real function again. Returns how many.
uint32_t restore(const LoadedImage& image, const Binding* bindings, size_t count);

}  // namespace tidemark::preload
