#include "cfi.h"

#include <cstring>

namespace tidemark::stack {
namespace {

// DW_EH_PE_*: how a pointer in .eh_frame is written (LSB, "DWARF extensions").
constexpr uint8_t kOmit = 0xff;
constexpr uint8_t kFormatMask = 0x0f;
constexpr uint8_t kRelativeMask = 0x70;
constexpr uint8_t kPcRelative = 0x10;
constexpr uint8_t kDataRelative = 0x30;
constexpr uint8_t kTableOfSdata4DataRelative = 0x3b;

// DWARF numbers of x86-64 registers.
constexpr uint64_t kRegisterBp = 6;
constexpr uint64_t kRegisterSp = 7;
constexpr uint64_t kRegisterReturnAddress = 16;

constexpr uint8_t kOpBregFirst = 0x70;  // DW_OP_breg0
constexpr uint8_t kOpDeref = 0x06;

// A cursor that stops at `end`: tables of a damaged library end an unwind, never a process.
class Cursor {
 public:
  Cursor(uint64_t at, uint64_t end) : at_(at), end_(end) {}
  bool good() const { return good_; }
  bool more() const { return good_ && at_ < end_; }
  uint64_t at() const { return at_; }
  void skip(uint64_t bytes) { take(bytes); }

  template <class T>
  T fixed() {
    T value{};
    const uint64_t from = at_;
    if (from != 0 && take(sizeof(T)))
      std::memcpy(&value, reinterpret_cast<const void*>(from), sizeof(T));
    return value;
  }
  uint64_t uleb() {
    uint64_t value = 0;
    for (unsigned shift = 0; good_; shift += 7) {
      const auto byte = fixed<uint8_t>();
      if (shift < 64) value |= uint64_t{byte & 0x7fU} << shift;
      if ((byte & 0x80) == 0) break;
    }
    return value;
  }
  int64_t sleb() {
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte = 0;
    do {
      byte = fixed<uint8_t>();
      if (shift < 64) value |= uint64_t{byte & 0x7fU} << shift;
      shift += 7;
    } while (good_ && (byte & 0x80) != 0);
    if (shift < 64 && (byte & 0x40) != 0) value |= ~uint64_t{0} << shift;
    return static_cast<int64_t>(value);
  }
  // `data` is what data-relative pointers are relative to.
  uint64_t encoded(uint8_t encoding, uint64_t data) {
    if (encoding == kOmit) return 0;
    const uint64_t here = at_;
    uint64_t value = 0;
    switch (encoding & kFormatMask) {
      case 0x00:
      case 0x04:
      case 0x0c:
        value = fixed<uint64_t>();
        break;
      case 0x01:
        value = uleb();
        break;
      case 0x02:
        value = fixed<uint16_t>();
        break;
      case 0x03:
        value = fixed<uint32_t>();
        break;
      case 0x09:
        value = static_cast<uint64_t>(sleb());
        break;
      case 0x0a:
        value = static_cast<uint64_t>(int64_t{fixed<int16_t>()});
        break;
      case 0x0b:
        value = static_cast<uint64_t>(int64_t{fixed<int32_t>()});
        break;
      default:
        good_ = false;
        return 0;
    }
    if ((encoding & kRelativeMask) == kPcRelative) value += here;
    if ((encoding & kRelativeMask) == kDataRelative) value += data;
    return value;
  }

 private:
  bool take(uint64_t bytes) {
    if (!good_ || end_ - at_ < bytes || at_ > end_) {
      good_ = false;
      return false;
    }
    at_ += bytes;
    return true;
  }
  uint64_t at_;
  uint64_t end_;
  bool good_ = true;
};

struct Cie {
  uint64_t code_alignment = 1;
  int64_t data_alignment = 1;
  uint64_t return_register = kRegisterReturnAddress;
  uint8_t fde_encoding = 0;
  bool has_augmentation = false;
  bool signal_frame = false;
  uint64_t program = 0;
  uint64_t program_end = 0;
};

// The length field of a CIE or FDE; sets `end` to one past it.
Cursor open_entry(uint64_t address, uint64_t limit, uint64_t* end) {
  Cursor cursor(address, limit);
  uint64_t length = cursor.fixed<uint32_t>();
  if (length == 0xffffffff) length = cursor.fixed<uint64_t>();
  *end = length > limit - cursor.at() ? limit : cursor.at() + length;
  return cursor;
}

bool read_cie(uint64_t address, uint64_t limit, Cie* cie) {
  Cursor cursor = open_entry(address, limit, &cie->program_end);
  cursor.skip(4);  // id
  const auto version = cursor.fixed<uint8_t>();
  char augmentation[8] = {};
  for (size_t i = 0;; ++i) {
    const auto c = static_cast<char>(cursor.fixed<uint8_t>());
    if (i == sizeof augmentation) return false;
    augmentation[i] = c;
    if (c == 0 || !cursor.good()) break;
  }
  cie->code_alignment = cursor.uleb();
  cie->data_alignment = cursor.sleb();
  cie->return_register = version == 1 ? cursor.fixed<uint8_t>() : cursor.uleb();
  if (augmentation[0] == 'z') {
    cie->has_augmentation = true;
    const uint64_t bytes = cursor.uleb();
    const uint64_t after = cursor.at() + bytes;
    for (const char* c = augmentation + 1; *c != 0; ++c) {
      if (*c == 'L') cursor.skip(1);
      if (*c == 'P') cursor.encoded(cursor.fixed<uint8_t>() & ~kRelativeMask, 0);
      if (*c == 'R') cie->fde_encoding = cursor.fixed<uint8_t>();
      if (*c == 'S') cie->signal_frame = true;
    }
    cie->program = after;
  } else {
    if (augmentation[0] != 0) return false;
    cie->program = cursor.at();
  }
  return cursor.good() && cie->program <= cie->program_end &&
         cie->return_register == kRegisterReturnAddress;
}

// What a row of the frame table says of the three things a step needs.
struct Row {
  enum class Cfa : uint8_t { kUnknown, kRegister, kDereferenceBp } cfa = Cfa::kUnknown;
  enum class Saved : uint8_t { kSame, kAtCfa, kAtBp, kOther } bp = Saved::kSame;
  bool return_undefined = false;
  bool return_elsewhere = false;  // not at CFA − 8
  uint64_t cfa_register = 0;
  int64_t cfa_offset = 0;
  int64_t bp_offset = 0;
};

class Interpreter {
 public:
  Interpreter(const Cie& cie, uint64_t data) : cie_(cie), data_(data) {}

  // Runs instructions until the row of `ip` is complete. False: something this cannot express.
  bool run(uint64_t begin, uint64_t end, uint64_t location, uint64_t ip) {
    Cursor cursor(begin, end);
    while (cursor.more()) {
      const auto instruction = cursor.fixed<uint8_t>();
      const uint8_t operand = instruction & 0x3f;
      switch (instruction & 0xc0) {
        case 0x40:  // DW_CFA_advance_loc
          location += operand * cie_.code_alignment;
          if (location > ip) return cursor.good();
          continue;
        case 0x80:  // DW_CFA_offset
          saved_at_cfa(operand, static_cast<int64_t>(cursor.uleb()) * cie_.data_alignment);
          continue;
        case 0xc0:  // DW_CFA_restore
          restore(operand);
          continue;
        default:
          break;
      }
      if (advances(instruction, &cursor, &location)) {
        if (location > ip) return cursor.good();
        continue;
      }
      if (!extended(instruction, &cursor)) return false;
    }
    return cursor.good();
  }
  void remember_initial() { initial_ = row_; }
  const Row& row() const { return row_; }

 private:
  bool advances(uint8_t instruction, Cursor* cursor, uint64_t* location) const {
    switch (instruction) {
      case 0x01:
        *location = cursor->encoded(cie_.fde_encoding, data_);
        return true;
      case 0x02:
        *location += cursor->fixed<uint8_t>() * cie_.code_alignment;
        return true;
      case 0x03:
        *location += cursor->fixed<uint16_t>() * cie_.code_alignment;
        return true;
      case 0x04:
        *location += cursor->fixed<uint32_t>() * cie_.code_alignment;
        return true;
      default:
        return false;
    }
  }

  bool extended(uint8_t instruction, Cursor* cursor) {
    switch (instruction) {
      case 0x00:
        return true;  // nop
      case 0x05: {    // offset_extended
        const uint64_t reg = cursor->uleb();
        saved_at_cfa(reg, static_cast<int64_t>(cursor->uleb()) * cie_.data_alignment);
        return true;
      }
      case 0x06:
        restore(cursor->uleb());
        return true;  // restore_extended
      case 0x07:
        undefined(cursor->uleb());
        return true;  // undefined
      case 0x08:
        same_value(cursor->uleb());
        return true;  // same_value
      case 0x09: {    // register
        elsewhere(cursor->uleb());
        cursor->uleb();
        return true;
      }
      case 0x0a:  // remember_state
        if (depth_ == kMaxDepth) return false;
        stack_[depth_++] = row_;
        return true;
      case 0x0b:  // restore_state
        if (depth_ == 0) return false;
        row_ = stack_[--depth_];
        return true;
      case 0x0c: {  // def_cfa
        row_.cfa = Row::Cfa::kRegister;
        row_.cfa_register = cursor->uleb();
        row_.cfa_offset = static_cast<int64_t>(cursor->uleb());
        return true;
      }
      case 0x0d:  // def_cfa_register
        row_.cfa = Row::Cfa::kRegister;
        row_.cfa_register = cursor->uleb();
        return true;
      case 0x0e:
        row_.cfa_offset = static_cast<int64_t>(cursor->uleb());
        return true;
      case 0x0f:
        cfa_expression(cursor);
        return true;  // def_cfa_expression
      case 0x10: {    // expression
        const uint64_t reg = cursor->uleb();
        saved_by_expression(reg, cursor);
        return true;
      }
      case 0x11: {  // offset_extended_sf
        const uint64_t reg = cursor->uleb();
        saved_at_cfa(reg, cursor->sleb() * cie_.data_alignment);
        return true;
      }
      case 0x12: {  // def_cfa_sf
        row_.cfa = Row::Cfa::kRegister;
        row_.cfa_register = cursor->uleb();
        row_.cfa_offset = cursor->sleb() * cie_.data_alignment;
        return true;
      }
      case 0x13:
        row_.cfa_offset = cursor->sleb() * cie_.data_alignment;
        return true;
      case 0x14:
      case 0x15: {  // val_offset, val_offset_sf
        elsewhere(cursor->uleb());
        cursor->uleb();
        return true;
      }
      case 0x16: {  // val_expression
        elsewhere(cursor->uleb());
        cursor->skip(cursor->uleb());
        return true;
      }
      case 0x2e:
        cursor->uleb();
        return true;  // GNU_args_size
      default:
        return false;
    }
  }

  void saved_at_cfa(uint64_t reg, int64_t offset) {
    if (reg == kRegisterBp) {
      row_.bp = Row::Saved::kAtCfa;
      row_.bp_offset = offset;
    } else if (reg == kRegisterReturnAddress) {
      row_.return_elsewhere = offset != -8;
      row_.return_undefined = false;
    }
  }
  void restore(uint64_t reg) {
    if (reg == kRegisterBp) {
      row_.bp = initial_.bp;
      row_.bp_offset = initial_.bp_offset;
    } else if (reg == kRegisterReturnAddress) {
      row_.return_elsewhere = initial_.return_elsewhere;
      row_.return_undefined = initial_.return_undefined;
    }
  }
  void undefined(uint64_t reg) {
    if (reg == kRegisterReturnAddress) row_.return_undefined = true;
    if (reg == kRegisterBp) row_.bp = Row::Saved::kOther;
  }
  void same_value(uint64_t reg) {
    if (reg == kRegisterBp) row_.bp = Row::Saved::kSame;
  }
  void elsewhere(uint64_t reg) {
    if (reg == kRegisterBp) row_.bp = Row::Saved::kOther;
    if (reg == kRegisterReturnAddress) row_.return_elsewhere = true;
  }

  // Realigned stacks: CFA = *(bp + n), written DW_OP_breg6 n, DW_OP_deref. Others are not needed at
  // call sites (procedure linkage stubs are jumped through; signal frames are known by their CIE).
  void cfa_expression(Cursor* cursor) {
    const uint64_t bytes = cursor->uleb();
    Cursor expression(cursor->at(), cursor->at() + bytes);
    cursor->skip(bytes);
    row_.cfa = Row::Cfa::kUnknown;
    if (!cursor->good() || expression.fixed<uint8_t>() != kOpBregFirst + kRegisterBp) return;
    const int64_t offset = expression.sleb();
    if (expression.fixed<uint8_t>() != kOpDeref || expression.more() || !expression.good()) return;
    row_.cfa = Row::Cfa::kDereferenceBp;
    row_.cfa_offset = offset;
  }
  void saved_by_expression(uint64_t reg, Cursor* cursor) {
    const uint64_t bytes = cursor->uleb();
    Cursor expression(cursor->at(), cursor->at() + bytes);
    cursor->skip(bytes);
    if (reg != kRegisterBp) {
      elsewhere(reg);
      return;
    }
    row_.bp = Row::Saved::kOther;
    if (!cursor->good() || expression.fixed<uint8_t>() != kOpBregFirst + kRegisterBp) return;
    const int64_t offset = expression.sleb();
    if (expression.more() || !expression.good()) return;
    row_.bp = Row::Saved::kAtBp;
    row_.bp_offset = offset;
  }

  static constexpr unsigned kMaxDepth = 8;
  const Cie& cie_;
  uint64_t data_;
  Row row_;
  Row initial_;
  Row stack_[kMaxDepth];
  unsigned depth_ = 0;
};

Rule rule_from(const Row& row) {
  Rule rule;
  if (row.return_undefined) {
    rule.kind = RuleKind::kOutermost;
    return rule;
  }
  constexpr int64_t kFar = int64_t{1} << 30;
  if (row.return_elsewhere || row.bp == Row::Saved::kOther || row.cfa_offset > kFar ||
      row.cfa_offset < -kFar || row.bp_offset > kFar || row.bp_offset < -kFar) {
    return rule;
  }
  if (row.cfa == Row::Cfa::kRegister && row.cfa_register == kRegisterSp) {
    rule.kind = RuleKind::kStackPointer;
  } else if (row.cfa == Row::Cfa::kRegister && row.cfa_register == kRegisterBp) {
    rule.kind = RuleKind::kBasePointer;
  } else if (row.cfa == Row::Cfa::kDereferenceBp) {
    rule.kind = RuleKind::kDereferenceBase;
  } else {
    return rule;
  }
  rule.cfa_offset = static_cast<int32_t>(row.cfa_offset);
  rule.bp_saved = row.bp == Row::Saved::kAtCfa;
  rule.bp_saved_at_base = row.bp == Row::Saved::kAtBp;
  rule.bp_offset = static_cast<int32_t>(row.bp_offset);
  return rule;
}

// The FDE whose range may cover `ip`, by the sorted table of .eh_frame_hdr; 0: none.
uint64_t find_fde(const Module& module, uint64_t ip) {
  const uint64_t data = module.eh_frame_hdr;
  Cursor cursor(data, module.eh_frame_end);
  const auto version = cursor.fixed<uint8_t>();
  const auto frame_encoding = cursor.fixed<uint8_t>();
  const auto count_encoding = cursor.fixed<uint8_t>();
  const auto table_encoding = cursor.fixed<uint8_t>();
  cursor.encoded(frame_encoding, data);
  const uint64_t count = cursor.encoded(count_encoding, data);
  if (version != 1 || table_encoding != kTableOfSdata4DataRelative || !cursor.good() ||
      count == 0 || count > (module.eh_frame_end - cursor.at()) / 8) {
    return 0;
  }
  struct Entry {
    int32_t location;
    int32_t fde;
  };
  const uint64_t table = cursor.at();
  const auto entry = [&](uint64_t i) {
    Entry value;
    std::memcpy(&value, reinterpret_cast<const void*>(table + i * sizeof value), sizeof value);
    return value;
  };
  const auto target = static_cast<int64_t>(ip - data);
  uint64_t low = 0;
  uint64_t high = count;
  while (low < high) {
    const uint64_t middle = (low + high) / 2;
    if (entry(middle).location <= target) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low == 0 ? 0 : data + static_cast<uint64_t>(int64_t{entry(low - 1).fde});
}

// The entry that covers an address.
struct Fde {
  Cie cie;
  CodeRange code;
  uint64_t program = 0;  // its instructions
  uint64_t program_end = 0;
};

bool read_fde(const Module& module, uint64_t ip, Fde* fde) {
  if (module.eh_frame_hdr == 0) return false;
  const uint64_t address = find_fde(module, ip);
  if (address < module.start || address >= module.eh_frame_end) return false;
  Cursor cursor = open_entry(address, module.eh_frame_end, &fde->program_end);
  const uint64_t id_address = cursor.at();
  const auto id = cursor.fixed<uint32_t>();
  if (id == 0 || id > id_address - module.start) return false;
  if (!read_cie(id_address - id, module.eh_frame_end, &fde->cie)) return false;
  const uint64_t begin = cursor.encoded(fde->cie.fde_encoding, module.eh_frame_hdr);
  const uint64_t range = cursor.encoded(fde->cie.fde_encoding & kFormatMask, 0);
  if (!cursor.good() || ip < begin || ip - begin >= range) return false;
  fde->code = {begin, begin + range};
  if (fde->cie.has_augmentation) cursor.skip(cursor.uleb());
  fde->program = cursor.at();
  return cursor.good();
}

}  // namespace

CodeRange find_code_range(const Module& module, uint64_t ip) {
  Fde fde;
  return read_fde(module, ip, &fde) ? fde.code : CodeRange{};
}

Rule find_rule(const Module& module, uint64_t ip) {
  Fde fde;
  if (!read_fde(module, ip, &fde)) return {};
  const Cie& cie = fde.cie;
  if (cie.signal_frame) return {RuleKind::kSignalFrame, false, false, 0, 0};

  Interpreter interpreter(cie, module.eh_frame_hdr);
  if (!interpreter.run(cie.program, cie.program_end, 0, ~uint64_t{0})) return {};
  interpreter.remember_initial();
  if (!interpreter.run(fde.program, fde.program_end, fde.code.start, ip)) return {};
  return rule_from(interpreter.row());
}

}  // namespace tidemark::stack
