#include "python_lines.h"

#include <cstddef>

namespace tidemark::collector {
namespace {

int32_t add(int32_t line, int64_t delta) { return static_cast<int32_t>(line + delta); }

// Objects/lnotab_notes.txt of 3.9: pairs of (bytes of code, lines), the second signed.
int32_t line_in_lnotab(std::span<const uint8_t> table, int32_t line, uint64_t offset) {
  uint64_t at = 0;
  for (size_t i = 0; i + 1 < table.size(); i += 2) {
    at += table[i];
    if (at > offset) break;
    line = add(line, static_cast<int8_t>(table[i + 1]));
  }
  return line;
}

// Objects/lnotab_notes.txt of 3.10: pairs of (bytes of code, lines); the lines are added before the
// bytes are covered, and −128 means that they belong to no line.
int32_t line_in_pairs(std::span<const uint8_t> table, int32_t line, uint64_t offset) {
  uint64_t end = 0;
  for (size_t i = 0; i + 1 < table.size(); i += 2) {
    const auto delta = static_cast<int8_t>(table[i + 1]);
    constexpr int8_t kNoLine = -128;
    if (delta != kNoLine) line = add(line, delta);
    end += table[i];
    if (offset < end) return delta == kNoLine ? 0 : line;
  }
  return 0;
}

// Objects/locations.md of 3.11: entries of a head byte (1, four bits of kind, three of length − 1
// in code units) and what the kind says; only a head has its highest bit set.
class Locations {
 public:
  explicit Locations(std::span<const uint8_t> table) : table_(table) {}

  int32_t line_of(int32_t line, uint32_t instruction) {
    uint64_t end = 0;
    while (at_ < table_.size()) {
      const uint8_t head = table_[at_++];
      if ((head & 0x80) == 0) continue;
      const unsigned kind = head >> 3 & 15U;
      end += (head & 7U) + 1;
      line = add(line, lines_of(kind));
      if (instruction < end) return kind == kNone ? 0 : line;
    }
    return 0;
  }

 private:
  static constexpr unsigned kOneLine = 10;  // to 12: so many lines further
  static constexpr unsigned kNoColumns = 13;
  static constexpr unsigned kLong = 14;
  static constexpr unsigned kNone = 15;

  int64_t lines_of(unsigned kind) {
    if (kind == kNone) return 0;
    if (kind == kLong || kind == kNoColumns) return signed_number();
    return kind >= kOneLine ? kind - kOneLine : 0;
  }

  // Six bits a byte, lowest first; bit 6: another byte follows. The lowest bit of all is the sign.
  int64_t signed_number() {
    uint64_t value = 0;
    for (unsigned shift = 0; at_ < table_.size() && shift < 36; shift += 6) {
      const uint8_t byte = table_[at_++];
      value |= uint64_t{byte & 63U} << shift;
      if ((byte & 64) == 0) break;
    }
    const auto magnitude = static_cast<int64_t>(value >> 1);
    return (value & 1) != 0 ? -magnitude : magnitude;
  }

  std::span<const uint8_t> table_;
  size_t at_ = 0;
};

}  // namespace

int32_t python_line(uint32_t minor, std::span<const uint8_t> table, int32_t first_line,
                    uint32_t instruction) {
  if (minor < 10) return line_in_lnotab(table, first_line, uint64_t{instruction} * 2);
  if (minor == 10) return line_in_pairs(table, first_line, uint64_t{instruction} * 2);
  return Locations(table).line_of(first_line, instruction);
}

}  // namespace tidemark::collector
