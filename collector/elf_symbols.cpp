#include "elf_symbols.h"

#include <gelf.h>

#include <algorithm>
#include <limits>

namespace tidemark::collector {
namespace {

// How far back a symbol may lie that covers an address behind smaller ones.
constexpr int kMaxSteps = 64;

uint8_t rank_of(const GElf_Sym& symbol) {
  const unsigned char type = GELF_ST_TYPE(symbol.st_info);
  if (type == STT_NOTYPE) return 0;
  switch (GELF_ST_BIND(symbol.st_info)) {
    case STB_GLOBAL:
      return 3;
    case STB_WEAK:
      return 2;
    default:
      return 1;
  }
}

bool is_code(const GElf_Sym& symbol) {
  const unsigned char type = GELF_ST_TYPE(symbol.st_info);
  return symbol.st_shndx != SHN_UNDEF && symbol.st_value != 0 &&
         (type == STT_FUNC || type == STT_GNU_IFUNC ||
          (type == STT_NOTYPE && symbol.st_shndx < SHN_LORESERVE));
}

}  // namespace

bool ElfSymbols::add(Elf* elf, bool dynamic) {
  const uint32_t wanted = dynamic ? SHT_DYNSYM : SHT_SYMTAB;
  for (Elf_Scn* it = elf_nextscn(elf, nullptr); it != nullptr; it = elf_nextscn(elf, it)) {
    GElf_Shdr header;
    if (gelf_getshdr(it, &header) == nullptr || header.sh_type != wanted) continue;
    Elf_Data* data = elf_getdata(it, nullptr);
    if (data == nullptr || header.sh_entsize == 0) return false;
    const auto table = static_cast<uint16_t>(tables_.size());
    tables_.push_back({elf, header.sh_link});
    const auto count = static_cast<int>(
        std::min<uint64_t>(data->d_size / header.sh_entsize, std::numeric_limits<int>::max()));
    for (int i = 0; i < count; ++i) {
      GElf_Sym symbol;
      if (gelf_getsym(data, i, &symbol) == nullptr || !is_code(symbol)) continue;
      symbols_.push_back({symbol.st_value, symbol.st_value + symbol.st_size, symbol.st_name, table,
                          rank_of(symbol)});
    }
    return true;
  }
  return false;
}

void ElfSymbols::sort() {
  std::sort(symbols_.begin(), symbols_.end(), [](const Symbol& a, const Symbol& b) {
    return a.start != b.start ? a.start < b.start : a.rank < b.rank;
  });
}

std::string ElfSymbols::find(uint64_t address) const {
  auto it = std::upper_bound(symbols_.begin(), symbols_.end(), address,
                             [](uint64_t wanted, const Symbol& s) { return wanted < s.start; });
  const Symbol* best = nullptr;
  const Symbol* sizeless = nullptr;  // written in assembly: reaches to the next symbol
  for (int step = 0; it != symbols_.begin() && step < kMaxSteps && best == nullptr; ++step) {
    --it;
    if (it->end == it->start) {
      if (step == 0) sizeless = &*it;
    } else if (address < it->end) {
      best = &*it;
    }
  }
  if (best == nullptr) best = sizeless;
  if (best == nullptr) return "";
  const Table& table = tables_[best->table];
  const char* name = elf_strptr(table.elf, table.strings, best->name);
  return name != nullptr ? name : "";
}

}  // namespace tidemark::collector
