// The functions of one ELF file by address: read and sorted once, so that a library of 1 GB without
// debug information costs a second and not one scan an address.
#pragma once

#include <libelf.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tidemark::collector {

class ElfSymbols {
 public:
  // Adds the functions of .symtab, or of .dynsym when there is no other. Keeps `elf`, which must
  // outlive it. False when there was no such table.
  bool add(Elf* elf, bool dynamic);
  // After the last add().
  void sort();
  // Mangled; "" when no function covers the address (as in the file).
  [[nodiscard]] std::string find(uint64_t address) const;
  [[nodiscard]] bool empty() const { return symbols_.empty(); }

 private:
  struct Symbol {
    uint64_t start;
    uint64_t end;   // == start: of unknown size
    uint64_t name;  // offset in its string table
    uint16_t table;
    uint8_t rank;  // greater is better among aliases
  };
  struct Table {
    Elf* elf;
    size_t strings;
  };
  std::vector<Symbol> symbols_;
  std::vector<Table> tables_;
};

}  // namespace tidemark::collector
