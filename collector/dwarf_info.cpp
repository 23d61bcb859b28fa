#include "dwarf_info.h"

#include <dwarf.h>

#include <algorithm>

namespace tidemark::collector {
namespace {

constexpr int kMaxDepth = 128;

// The functions around one address, outermost first: a subprogram, then inlined calls.
using Chain = std::vector<Dwarf_Die>;

// Indices into the ascending addresses of one unit.
using Selection = std::vector<uint32_t>;

Selection covered(Dwarf_Die& die, std::span<const uint64_t> addresses, const Selection& among) {
  Selection selected;
  Dwarf_Addr base = 0;
  Dwarf_Addr start = 0;
  Dwarf_Addr end = 0;
  for (ptrdiff_t at = 0; (at = dwarf_ranges(&die, at, &base, &start, &end)) > 0;) {
    auto it = std::lower_bound(among.begin(), among.end(), start,
                               [&](uint32_t i, uint64_t wanted) { return addresses[i] < wanted; });
    for (; it != among.end() && addresses[*it] < end; ++it) selected.push_back(*it);
  }
  std::sort(selected.begin(), selected.end());
  selected.erase(std::unique(selected.begin(), selected.end()), selected.end());
  return selected;
}

class Walk {
 public:
  Walk(std::span<const uint64_t> addresses, std::vector<Chain>& chains)
      : addresses_(addresses), chains_(chains) {}

  void children(Dwarf_Die& parent, const Selection& among, int depth) {
    Dwarf_Die child;
    if (depth > kMaxDepth || dwarf_child(&parent, &child) != 0) return;
    do {
      visit(child, among, depth);
    } while (dwarf_siblingof(&child, &child) == 0);
  }

 private:
  void visit(Dwarf_Die& die, const Selection& among, int depth) {
    switch (dwarf_tag(&die)) {
      case DW_TAG_subprogram:
      case DW_TAG_inlined_subroutine: {
        const Selection selected = covered(die, addresses_, among);
        if (selected.empty()) return;
        for (const uint32_t i : selected) chains_[i].push_back(die);
        children(die, selected, depth + 1);
        return;
      }
      case DW_TAG_lexical_block:
      case DW_TAG_namespace:
      case DW_TAG_module:
      case DW_TAG_try_block:
      case DW_TAG_catch_block:
        children(die, among, depth + 1);
        return;
      default:
        return;
    }
  }

  std::span<const uint64_t> addresses_;
  std::vector<Chain>& chains_;
};

std::string text_of(const char* text) { return text != nullptr ? text : ""; }

std::string function_name(Dwarf_Die& die) {
  Dwarf_Attribute attribute;
  for (const unsigned name : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    if (dwarf_attr_integrate(&die, name, &attribute) != nullptr) {
      return text_of(dwarf_formstring(&attribute));
    }
  }
  return text_of(dwarf_diename(&die));
}

void call_site(Dwarf_Die& unit, Dwarf_Die& die, DwarfFrame& caller) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (dwarf_attr(&die, DW_AT_call_line, &attribute) != nullptr &&
      dwarf_formudata(&attribute, &value) == 0) {
    caller.line = static_cast<int32_t>(std::min<Dwarf_Word>(value, INT32_MAX));
  }
  Dwarf_Files* files = nullptr;
  size_t count = 0;
  if (dwarf_attr(&die, DW_AT_call_file, &attribute) != nullptr &&
      dwarf_formudata(&attribute, &value) == 0 && dwarf_getsrcfiles(&unit, &files, &count) == 0 &&
      value < count) {
    caller.file = text_of(dwarf_filesrc(files, value, nullptr, nullptr));
  }
}

std::vector<DwarfFrame> frames_of(Dwarf_Die& unit, uint64_t address, Chain& chain) {
  DwarfFrame frame;
  if (Dwarf_Line* line = dwarf_getsrc_die(&unit, address)) {
    int number = 0;
    if (dwarf_lineno(line, &number) == 0) frame.line = number;
    frame.file = text_of(dwarf_linesrc(line, nullptr, nullptr));
  }
  std::vector<DwarfFrame> frames;
  for (size_t i = chain.size(); i-- > 0;) {
    frame.function = function_name(chain[i]);
    frame.inlined = i != 0;
    frames.push_back(frame);
    frame = DwarfFrame{};
    if (i != 0) call_site(unit, chain[i], frame);
  }
  if (frames.empty() && frame.line != 0) frames.push_back(frame);
  return frames;
}

}  // namespace

std::unique_ptr<DwarfInfo> DwarfInfo::open(Elf* elf) {
  Dwarf* dwarf = dwarf_begin_elf(elf, DWARF_C_READ, nullptr);
  if (dwarf == nullptr) return nullptr;
  return std::unique_ptr<DwarfInfo>(new DwarfInfo(dwarf));
}

DwarfInfo::~DwarfInfo() { dwarf_end(dwarf_); }

std::vector<std::vector<DwarfFrame>> DwarfInfo::resolve(std::span<const uint64_t> addresses) {
  std::vector<std::vector<DwarfFrame>> result(addresses.size());
  Selection all(addresses.size());
  for (uint32_t i = 0; i < all.size(); ++i) all[i] = i;
  std::vector<Chain> chains(addresses.size());
  Dwarf_CU* unit = nullptr;
  Dwarf_Die die;
  Dwarf_Die skeleton;
  uint8_t type = 0;
  while (dwarf_get_units(dwarf_, unit, &unit, nullptr, &type, &die, &skeleton) == 0) {
    if (type != DW_UT_compile && type != DW_UT_skeleton) continue;
    // With split DWARF the functions lie in another file, `skeleton`, when that could be found.
    const Selection selected = covered(die, addresses, all);
    if (selected.empty()) continue;
    const bool split = type == DW_UT_skeleton && dwarf_tag(&skeleton) != DW_TAG_invalid;
    Walk(addresses, chains).children(split ? skeleton : die, selected, 0);
    for (const uint32_t i : selected) {
      if (result[i].empty()) result[i] = frames_of(die, addresses[i], chains[i]);
      chains[i].clear();
    }
  }
  return result;
}

}  // namespace tidemark::collector
