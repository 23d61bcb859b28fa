#include "chunk.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace tidemark::trace {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie");

constexpr size_t kHashBytes = 8;
constexpr size_t kMaxVarintBytes = 10;
// Wide loads and stores may touch this much behind the last value.
constexpr size_t kSlackBytes = 16;

constexpr bool has_context(Predictor kind) { return kind >= Predictor::kContext; }

char* write_varint(char* out, uint64_t value) {
  while (value >= 0x80) {
    *out++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *out++ = static_cast<char>(value);
  return out;
}

void append_varint(std::string& out, uint64_t value) {
  char bytes[kMaxVarintBytes];
  out.append(bytes, static_cast<size_t>(write_varint(bytes, value) - bytes));
}

// False: cut short, or more than 64 bits.
bool read_varint(const unsigned char*& at, const unsigned char* end, uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; at != end; shift += 7) {
    const uint64_t byte = *at++;
    if (shift == 63 && byte > 1) return false;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

// The seven lower bits of each byte of up to 8 bytes, put together.
uint64_t without_gaps(uint64_t word) {
  word = (word & 0x007f007f007f007fU) | (word & 0x7f007f007f007f00U) >> 1;
  word = (word & 0x00003fff00003fffU) | (word & 0x3fff00003fff0000U) >> 2;
  return (word & 0x000000000fffffffU) | (word & 0x0fffffff00000000U) >> 4;
}

// Reads numbers where kSlackBytes may be read beyond the end, and gives each to `use(i, value)`.
// Eight bytes are looked at together: the lengths of addresses are as good as random, and one load
// that waits for the length before it for every number was a third of the time of a scan. Returns
// where it ended, which is beyond `end` for a number that is cut short; nullptr: too few numbers,
// or one of more than 64 bits.
template <class Use>
const unsigned char* read_varints(const unsigned char* at, const unsigned char* end, size_t count,
                                  const Use& use) {
  for (size_t i = 0; i < count;) {
    if (at >= end) return nullptr;
    uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    uint64_t ends = ~word & 0x8080808080808080U;
    if (ends == 0x8080808080808080U && count - i >= 8) {
      // Most of what is well predicted is one byte after the other.
      for (unsigned shift = 0; shift < 64; shift += 8) use(i++, word >> shift & 0x7f);
      at += 8;
      continue;
    }
    if (ends == 0) {
      uint64_t value = 0;
      if (!read_varint(at, end, value)) return nullptr;
      use(i++, value);
      continue;
    }
    unsigned taken = 0;  // bits
    for (; ends != 0 && i < count; ends &= ends - 1) {
      const auto last = static_cast<unsigned>(std::countr_zero(ends));
      use(i++, without_gaps(word >> taken & ((uint64_t{2} << (last - taken)) - 1)));
      taken = last + 1;
    }
    at += taken / 8;
  }
  return at;
}

void store_le64(char* at, uint64_t value) { std::memcpy(at, &value, sizeof value); }

uint64_t load_le64(const void* at) {
  uint64_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// What a value is predicted to be, and what it then was. Both sides use it, so that they agree.
template <Predictor kind>
class Prediction {
 public:
  Prediction(Column context, std::vector<uint64_t>& last) : context_(context), last_(last) {
    if constexpr (has_context(kind)) last_.assign(size_t{1} << kSlotBits, 0);
  }
  // Where the prediction of row `i` lies; the value of the row is to be stored there.
  uint64_t& of(size_t i) {
    if constexpr (has_context(kind)) {
      const uint64_t key = context_[context_.size() == 1 ? 0 : i];
      return last_[(key * 0x9e3779b97f4a7c15U) >> (64 - kSlotBits)];
    }
    return before_;
  }

 private:
  static constexpr unsigned kSlotBits = kind == Predictor::kWideContext ? 16 : 12;
  Column context_;
  std::vector<uint64_t>& last_;
  uint64_t before_ = 0;
};
template <>
class Prediction<Predictor::kNone> {
 public:
  Prediction(Column, std::vector<uint64_t>&) {}
};

template <Predictor kind>
uint64_t residual(Prediction<kind>& prediction, size_t i, uint64_t value) {
  if constexpr (kind == Predictor::kNone) return value;
  if constexpr (kind != Predictor::kNone) {
    uint64_t& memory = prediction.of(i);
    const uint64_t folded = fold(value - memory);
    memory = value;
    return folded;
  }
}

template <Predictor kind>
uint64_t restored(Prediction<kind>& prediction, size_t i, uint64_t folded) {
  if constexpr (kind == Predictor::kNone) return folded;
  if constexpr (kind != Predictor::kNone) {
    uint64_t& memory = prediction.of(i);
    memory += unfold(folded);
    return memory;
  }
}

template <class Body>
auto with_predictor(Predictor kind, Column context, std::vector<uint64_t>& last, Body&& body) {
  if (kind == Predictor::kNone) return body(Prediction<Predictor::kNone>(context, last));
  if (kind == Predictor::kPrevious) return body(Prediction<Predictor::kPrevious>(context, last));
  if (kind == Predictor::kContext) return body(Prediction<Predictor::kContext>(context, last));
  return body(Prediction<Predictor::kWideContext>(context, last));
}

}  // namespace

uint64_t* ColumnBuffers::column(size_t i) {
  while (columns_.size() <= i) {
    columns_.push_back(std::make_unique_for_overwrite<uint64_t[]>(kMaxChunkRows));
  }
  return columns_[i].get();
}

// --- encoding

ChunkEncoder::ChunkEncoder(int level) : zstd_(ZSTD_createCCtx()), level_(level) {}
ChunkEncoder::~ChunkEncoder() { ZSTD_freeCCtx(zstd_); }

void ChunkEncoder::put_block(size_t raw_bytes) {
  const size_t bound = ZSTD_compressBound(raw_bytes);
  if (packed_.size() < bound) packed_.resize(bound);
  const size_t size =
      ZSTD_compressCCtx(zstd_, packed_.data(), bound, raw_.data(), raw_bytes, level_);
  append_varint(out_, raw_bytes);
  if (ZSTD_isError(size) != 0U || size >= raw_bytes) {
    append_varint(out_, raw_bytes);
    out_.append(raw_, 0, raw_bytes);
  } else {
    append_varint(out_, size);
    out_.append(packed_, 0, size);
  }
}

// True when the column goes up in equal steps, and is written.
bool ChunkEncoder::put_steps(Column column) {
  const uint64_t step = column[1] - column[0];
  for (size_t i = 2; i < column.size(); ++i) {
    if (column[i] - column[i - 1] != step) return false;
  }
  out_ += static_cast<char>(Packing::kSteps);
  append_varint(out_, column[0]);
  append_varint(out_, fold(step));
  return true;
}

void ChunkEncoder::put_varints(Column column, Column context, Predictor predictor) {
  const size_t room = column.size() * kMaxVarintBytes;
  if (raw_.size() < room) raw_.resize(room);
  const char* end = with_predictor(predictor, context, last_, [&](auto prediction) {
    char* out = raw_.data();
    for (size_t i = 0; i < column.size(); ++i) {
      out = write_varint(out, residual(prediction, i, column[i]));
    }
    return out;
  });
  put_block(static_cast<size_t>(end - raw_.data()));
}

void ChunkEncoder::put_bits(Column column, Column context, Predictor predictor) {
  const size_t rows = column.size();
  if (raw_.size() < rows) raw_.resize(rows);
  if (bits_.size() < rows * sizeof(uint64_t) + kSlackBytes) {
    bits_.resize(rows * sizeof(uint64_t) + kSlackBytes);
  }
  const char* end = with_predictor(predictor, context, last_, [&](auto prediction) {
    char* out = bits_.data();
    uint64_t pending = 0;
    unsigned pending_bits = 0;  // < 64
    for (size_t i = 0; i < rows; ++i) {
      const uint64_t value = residual(prediction, i, column[i]);
      const auto width = static_cast<unsigned>(std::bit_width(value));
      raw_[i] = static_cast<char>(width);
      if (width < 2) continue;
      // The highest bit is known from the width.
      const uint64_t low = value ^ uint64_t { 1 } << (width - 1);
      pending |= low << pending_bits;
      pending_bits += width - 1;
      if (pending_bits < 64) continue;
      store_le64(out, pending);
      out += sizeof pending;
      pending_bits -= 64;
      pending = pending_bits == 0 ? 0 : low >> (width - 1 - pending_bits);
    }
    store_le64(out, pending);
    return out + (pending_bits + 7) / 8;
  });
  put_block(rows);
  out_.append(bits_, 0, static_cast<size_t>(end - bits_.data()));
}

std::string_view ChunkEncoder::encode(size_t rows, std::span<const Column> columns,
                                      std::span<const ColumnPlan> plans) {
  out_.assign(kHashBytes, '\0');
  append_varint(out_, rows);
  append_varint(out_, columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    const Column column = columns[i];
    const ColumnPlan& plan = plans[i];
    if (std::all_of(column.begin(), column.end(),
                    [&](uint64_t value) { return value == column[0]; })) {
      out_ += static_cast<char>(Packing::kConstant);
      append_varint(out_, column[0]);
      continue;
    }
    if (put_steps(column)) continue;
    out_ += static_cast<char>(static_cast<unsigned>(plan.packing) |
                              static_cast<unsigned>(plan.predictor) << 4);
    if (has_context(plan.predictor)) out_ += static_cast<char>(plan.context);
    const Column context = has_context(plan.predictor) ? columns[plan.context] : Column();
    plan.packing == Packing::kVarint ? put_varints(column, context, plan.predictor)
                                     : put_bits(column, context, plan.predictor);
  }
  store_le64(out_.data(), XXH3_64bits(out_.data() + kHashBytes, out_.size() - kHashBytes));
  return out_;
}

// --- decoding

struct ChunkDecoder::Input {
  const unsigned char* at;
  const unsigned char* end;
  size_t left() const { return static_cast<size_t>(end - at); }
  bool varint(uint64_t& value) { return read_varint(at, end, value); }
};

struct ChunkDecoder::Head {
  Packing packing;
  Predictor predictor;
  Column context;
};

ChunkDecoder::ChunkDecoder() : zstd_(ZSTD_createDCtx()) {}
ChunkDecoder::~ChunkDecoder() { ZSTD_freeDCtx(zstd_); }

// What it gives can be read kSlackBytes beyond its end.
Result<std::string_view> ChunkDecoder::take_block(Input& input, size_t max_bytes) {
  uint64_t raw = 0;
  uint64_t stored = 0;
  if (!input.varint(raw) || !input.varint(stored) || stored > input.left() || raw > max_bytes) {
    return fail("a column's size is impossible");
  }
  const auto* bytes = input.at;
  input.at += stored;
  if (raw_.size() < raw + kSlackBytes) raw_.resize(raw + kSlackBytes);
  if (raw == stored) {
    std::memcpy(raw_.data(), bytes, stored);
  } else if (ZSTD_decompressDCtx(zstd_, raw_.data(), raw, bytes, stored) != raw) {
    return fail("a column cannot be decompressed");
  }
  return std::string_view(raw_).substr(0, raw);
}

Result<void> ChunkDecoder::take_varints(Input& input, const Head& head,
                                        std::span<uint64_t> values) {
  const auto block = take_block(input, values.size() * kMaxVarintBytes);
  if (!block) return tl::unexpected(block.error());
  const auto* at = reinterpret_cast<const unsigned char*>(block->data());
  const auto* end = at + block->size();
  at = with_predictor(head.predictor, head.context, last_, [&](auto prediction) {
    return read_varints(at, end, values.size(), [&](size_t i, uint64_t folded) {
      values[i] = restored(prediction, i, folded);
    });
  });
  if (at == nullptr || at > end) return fail("a column ends early");
  if (at != end) return fail("a column is too long");
  return {};
}

Result<void> ChunkDecoder::take_bits(Input& input, const Head& head, std::span<uint64_t> values) {
  const auto widths = take_block(input, values.size());
  if (!widths) return tl::unexpected(widths.error());
  if (widths->size() != values.size()) return fail("a column ends early");
  uint64_t bits = 0;
  unsigned widest = 0;
  for (const char byte : *widths) {
    const unsigned width = static_cast<unsigned char>(byte);
    bits += width < 2 ? 0 : width - 1;
    widest = std::max(widest, width);
  }
  if (widest > 64) return fail("a number is too wide");
  if ((bits + 7) / 8 > input.left()) return fail("a column ends early");
  const unsigned char* from = input.at;
  input.at += (bits + 7) / 8;
  // Near the end of all bytes a wide load would reach beyond them.
  const uint64_t wide_bits =
      input.left() >= kSlackBytes ? bits : bits - std::min<uint64_t>(bits, kSlackBytes * 8 + 64);
  with_predictor(head.predictor, head.context, last_, [&](auto prediction) {
    uint64_t position = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const unsigned width = static_cast<unsigned char>((*widths)[i]);
      uint64_t value = width;
      if (width >= 2) {
        const unsigned char* byte = from + position / 8;
        const auto shift = static_cast<unsigned>(position % 8);
        uint64_t low = 0;
        uint64_t high = 0;
        if (position < wide_bits) {
          low = load_le64(byte);
          high = byte[8];
        } else {
          const auto left = static_cast<size_t>(input.end - byte);
          std::memcpy(&low, byte, std::min<size_t>(left, 8));
          high = left > 8 ? byte[8] : 0;
        }
        value = low >> shift | (high << 8) << (56 - shift);
        const uint64_t top = uint64_t{1} << (width - 1);
        value = top | (value & (top - 1));
        position += width - 1;
      }
      values[i] = restored(prediction, i, value);
    }
  });
  return {};
}

Result<void> ChunkDecoder::decode_column(Input& input, size_t rows, size_t i) {
  uint64_t* values = buffers_.column(i);
  if (input.left() == 0) return fail("a chunk ends early");
  const unsigned byte = *input.at++;
  Head head{static_cast<Packing>(byte & 15), static_cast<Predictor>(byte >> 4), {}};
  if (head.packing > Packing::kSteps || head.predictor > Predictor::kWideContext) {
    return fail("a column is of an unknown kind");
  }
  columns_[i] = Column(values, rows);
  if (head.packing == Packing::kConstant) {
    if (!input.varint(values[0])) return fail("a chunk ends early");
    columns_[i] = columns_[i].first(1);
    return {};
  }
  if (head.packing == Packing::kSteps) {
    uint64_t step = 0;
    if (!input.varint(values[0]) || !input.varint(step)) return fail("a chunk ends early");
    step = unfold(step);
    for (size_t row = 1; row < rows; ++row) values[row] = values[row - 1] + step;
    return {};
  }
  if (has_context(head.predictor)) {
    if (input.left() == 0 || *input.at >= i) return fail("a column's context is impossible");
    head.context = columns_[*input.at++];
  }
  const std::span<uint64_t> all(values, rows);
  return head.packing == Packing::kVarint ? take_varints(input, head, all)
                                          : take_bits(input, head, all);
}

Result<DecodedColumns> ChunkDecoder::decode(std::string_view bytes, size_t columns,
                                            const OnlyIf& only_if) {
  if (bytes.size() < kHashBytes) return fail("a chunk is too short");
  const std::string_view body = bytes.substr(kHashBytes);
  if (XXH3_64bits(body.data(), body.size()) != load_le64(bytes.data())) {
    return fail("a chunk's checksum is wrong");
  }
  const auto* at = reinterpret_cast<const unsigned char*>(body.data());
  Input input{at, at + body.size()};
  uint64_t rows = 0;
  uint64_t count = 0;
  if (!input.varint(rows) || !input.varint(count) || rows == 0 || rows > kMaxChunkRows ||
      count != columns) {
    return fail("a chunk's size is impossible");
  }
  columns_.assign(columns, Column());
  for (size_t i = 0; i < columns; ++i) {
    if (auto decoded = decode_column(input, rows, i); !decoded) {
      return tl::unexpected(decoded.error());
    }
    if (i == only_if.column && !only_if.wanted(columns_[i])) return DecodedColumns{};
  }
  if (input.left() != 0) return fail("a chunk is too long");
  return DecodedColumns{rows, columns_};
}

}  // namespace tidemark::trace
