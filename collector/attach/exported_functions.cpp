#include "exported_functions.h"

#include <fmt/format.h>
#include <gelf.h>

#include <algorithm>

#include "elf_file.h"

namespace tidemark::collector {
namespace {

constexpr uint64_t kPageMask = 4095;

uint64_t first_loaded_page(Elf* elf) {
  size_t count = 0;
  elf_getphdrnum(elf, &count);
  for (size_t i = 0; i < count; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(elf, static_cast<int>(i), &segment) != nullptr && segment.p_type == PT_LOAD) {
      return segment.p_vaddr & ~kPageMask;
    }
  }
  return 0;
}

template <class Visit>
void each_in_table(Elf* elf, Elf_Scn* section, const GElf_Shdr& header, const Visit& visit) {
  Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr || header.sh_entsize == 0) return;
  const size_t count = header.sh_size / header.sh_entsize;
  for (size_t i = 0; i < count; ++i) {
    GElf_Sym symbol;
    if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) break;
    const auto type = GELF_ST_TYPE(symbol.st_info);
    if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol.st_shndx == SHN_UNDEF) continue;
    const char* name = elf_strptr(elf, header.sh_link, symbol.st_name);
    if (name != nullptr) visit(name, symbol);
  }
}

template <class Visit>
void each_exported(Elf* elf, const Visit& visit) {
  Elf_Scn* section = nullptr;
  while ((section = elf_nextscn(elf, section)) != nullptr) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_DYNSYM) continue;
    each_in_table(elf, section, header, visit);
  }
}

}  // namespace

Result<ExportedFunctions> ExportedFunctions::read(const std::string& path) {
  const auto file = ElfFile::open(path);
  if (!file) return fail(fmt::format("cannot read {}", path));
  std::vector<ExportedFunction> functions;
  each_exported(file->elf(), [&](const char* name, const GElf_Sym& symbol) {
    functions.push_back({symbol.st_value, symbol.st_value + symbol.st_size, name});
  });
  return ExportedFunctions(std::move(functions), first_loaded_page(file->elf()));
}

ExportedFunctions::ExportedFunctions(std::vector<ExportedFunction> functions, uint64_t base)
    : functions_(std::move(functions)), base_(base) {
  std::sort(functions_.begin(), functions_.end(),
            [](const auto& a, const auto& b) { return a.start < b.start; });
}

const ExportedFunction* ExportedFunctions::find(std::string_view name) const {
  const auto found = std::find_if(functions_.begin(), functions_.end(),
                                  [&](const auto& function) { return function.name == name; });
  return found == functions_.end() ? nullptr : &*found;
}

bool ExportedFunctions::surroundings(std::string_view name, uint64_t& start, uint64_t& end) const {
  const ExportedFunction* function = find(name);
  if (function == nullptr) return false;
  start = base_;
  end = function->end;
  bool after = false;
  for (const ExportedFunction& other : functions_) {
    if (other.end <= function->start) start = std::max(start, other.end);
    if (other.start >= function->end && !after) {
      end = other.start;
      after = true;
    }
  }
  return true;
}

bool exports_function(const std::string& path, std::string_view name) {
  const auto file = ElfFile::open(path);
  bool found = false;
  if (file) {
    each_exported(file->elf(),
                  [&](const char* exported, const GElf_Sym&) { found |= name == exported; });
  }
  return found;
}

}  // namespace tidemark::collector
