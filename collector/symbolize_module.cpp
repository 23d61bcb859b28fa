#include "symbolize_module.h"

#include "demangle.h"
#include "dwarf_info.h"
#include "elf_file.h"
#include "elf_symbols.h"

namespace tidemark::collector {
namespace {

constexpr std::string_view kDeleted = " (deleted)";

std::unique_ptr<ElfFile> open_module(const ModuleFile& module) {
  if (module.path.find("vdso") != std::string::npos &&
      (module.path.front() == '[' || module.path.find('/') == std::string::npos)) {
    return ElfFile::vdso();
  }
  std::string path = module.path;
  if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  return ElfFile::open(path);
}

std::vector<trace::Frame> compose(const ModuleFile& module, const std::vector<DwarfFrame>& dwarf,
                                  const std::string& symbol) {
  std::vector<trace::Frame> frames;
  for (const DwarfFrame& known : dwarf) {
    trace::Frame frame;
    const bool mangled = known.function.starts_with("_Z");
    // C++ functions without a linkage name have only a bare name there: the symbol says more.
    const bool use_symbol = !known.inlined && !mangled && !symbol.empty();
    frame.function = demangle(use_symbol ? symbol : known.function);
    frame.file = known.file;
    frame.line = known.line;
    frame.module = module.path;
    frame.inlined = known.inlined;
    frames.push_back(std::move(frame));
  }
  if (frames.empty()) {
    trace::Frame frame;
    frame.function = demangle(symbol);
    frame.module = module.path;
    frames.push_back(std::move(frame));
  }
  return frames;
}

}  // namespace

ModuleFrames symbolize_module(const ModuleFile& module, std::span<const uint64_t> addresses) {
  ModuleFrames result;
  result.frames.reserve(addresses.size());
  const auto file = open_module(module);
  std::unique_ptr<ElfFile> debug;
  std::unique_ptr<DwarfInfo> dwarf;
  ElfSymbols symbols;
  if (file != nullptr) {
    const bool same = module.build_id.empty() || file->build_id() == module.build_id;
    result.state = same ? ModuleState::kRead : ModuleState::kChanged;
  }
  if (result.state == ModuleState::kRead) {
    const bool has_dwarf = file->has_section(".debug_info");
    const bool has_symbols = file->has_section(".symtab");
    if (!has_dwarf || !has_symbols) debug = file->find_debug_file();
    if (has_dwarf) {
      dwarf = DwarfInfo::open(file->elf());
    } else if (debug != nullptr && debug->has_section(".debug_info")) {
      dwarf = DwarfInfo::open(debug->elf());
    }
    if (!symbols.add(file->elf(), false) && !(debug && symbols.add(debug->elf(), false))) {
      symbols.add(file->elf(), true);
    }
    symbols.sort();
  }
  std::vector<std::vector<DwarfFrame>> lines(addresses.size());
  if (dwarf != nullptr) lines = dwarf->resolve(addresses);
  for (size_t i = 0; i < addresses.size(); ++i) {
    result.frames.push_back(compose(module, lines[i], symbols.find(addresses[i])));
  }
  return result;
}

}  // namespace tidemark::collector
