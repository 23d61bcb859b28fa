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

constexpr size_t kContexts = 4096;
constexpr size_t kHashBytes = 8;
constexpr size_t kMaxVarintBytes = 10;

size_t context_of(uint64_t value) { return (value * 0x9e3779b97f4a7c15U) >> 52; }
static_assert((~uint64_t{0} >> 52) == kContexts - 1);

uint64_t fold(uint64_t difference) { return difference << 1 ^ (0 - (difference >> 63)); }
uint64_t unfold(uint64_t folded) { return folded >> 1 ^ (0 - (folded & 1)); }

void append_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
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

void store_le64(char* at, uint64_t value) {
  for (int i = 0; i < 8; ++i) at[i] = static_cast<char>(value >> (8 * i));
}

uint64_t load_le64(const char* at) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value |= uint64_t{static_cast<unsigned char>(at[i])} << (8 * i);
  return value;
}

// Turns values into residuals, or back. One routine for both sides, so that they cannot differ.
template <bool encode>
void predict(const ColumnPlan& plan, std::span<const Column> columns, std::span<uint64_t> values,
             std::vector<uint64_t>& last) {
  const auto step = [](uint64_t& value, uint64_t& memory) {
    if constexpr (encode) {
      const uint64_t original = value;
      value = fold(original - memory);
      memory = original;
    } else {
      value = memory + unfold(value);
      memory = value;
    }
  };
  if (plan.predictor == Predictor::kPrevious) {
    uint64_t memory = 0;
    for (uint64_t& value : values) step(value, memory);
  } else if (plan.predictor == Predictor::kContext) {
    last.assign(kContexts, 0);
    const uint64_t* key = columns[plan.context].data();
    for (uint64_t& value : values) step(value, last[context_of(*key++)]);
  }
}

}  // namespace

ChunkEncoder::ChunkEncoder(int level) : zstd_(ZSTD_createCCtx()), level_(level) {}
ChunkEncoder::~ChunkEncoder() { ZSTD_freeCCtx(zstd_); }

void ChunkEncoder::put_block(std::string_view raw) {
  packed_.resize(ZSTD_compressBound(raw.size()));
  const size_t size =
      ZSTD_compressCCtx(zstd_, packed_.data(), packed_.size(), raw.data(), raw.size(), level_);
  append_varint(out_, raw.size());
  if (ZSTD_isError(size) != 0U || size >= raw.size()) {
    append_varint(out_, raw.size());
    out_ += raw;
  } else {
    append_varint(out_, size);
    out_.append(packed_, 0, size);
  }
}

void ChunkEncoder::put_varints(std::span<const uint64_t> values) {
  raw_.clear();
  for (const uint64_t value : values) append_varint(raw_, value);
  put_block(raw_);
}

void ChunkEncoder::put_bits(std::span<const uint64_t> values) {
  raw_.clear();
  for (const uint64_t value : values) raw_ += static_cast<char>(std::bit_width(value));
  put_block(raw_);
  // The highest bit is known from the width.
  unsigned __int128 pending = 0;
  unsigned pending_bits = 0;
  for (const uint64_t value : values) {
    const auto width = static_cast<unsigned>(std::bit_width(value));
    if (width < 2) continue;
    pending |= static_cast<unsigned __int128>(value ^ uint64_t{1} << (width - 1)) << pending_bits;
    pending_bits += width - 1;
    for (; pending_bits >= 8; pending_bits -= 8, pending >>= 8) {
      out_ += static_cast<char>(static_cast<uint64_t>(pending));
    }
  }
  if (pending_bits > 0) out_ += static_cast<char>(static_cast<uint64_t>(pending));
}

std::string_view ChunkEncoder::encode(std::span<const Column> columns,
                                      std::span<const ColumnPlan> plans) {
  out_.assign(kHashBytes, '\0');
  append_varint(out_, columns[0].size());
  append_varint(out_, columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    const Column& column = columns[i];
    const ColumnPlan& plan = plans[i];
    if (std::all_of(column.begin(), column.end(),
                    [&](uint64_t value) { return value == column[0]; })) {
      out_ += static_cast<char>(Packing::kConstant);
      append_varint(out_, column[0]);
      continue;
    }
    out_ += static_cast<char>(static_cast<unsigned>(plan.packing) |
                              static_cast<unsigned>(plan.predictor) << 4);
    if (plan.predictor == Predictor::kContext) out_ += static_cast<char>(plan.context);
    residuals_ = column;
    predict<true>(plan, columns, residuals_, context_);
    plan.packing == Packing::kVarint ? put_varints(residuals_) : put_bits(residuals_);
  }
  store_le64(out_.data(), XXH3_64bits(out_.data() + kHashBytes, out_.size() - kHashBytes));
  return out_;
}

struct ChunkDecoder::Input {
  const unsigned char* at;
  const unsigned char* end;
  size_t left() const { return static_cast<size_t>(end - at); }
  bool varint(uint64_t& value) { return read_varint(at, end, value); }
};

ChunkDecoder::ChunkDecoder() : zstd_(ZSTD_createDCtx()) {}
ChunkDecoder::~ChunkDecoder() { ZSTD_freeDCtx(zstd_); }

Result<std::string_view> ChunkDecoder::take_block(Input& input, size_t max_bytes) {
  uint64_t raw = 0;
  uint64_t stored = 0;
  if (!input.varint(raw) || !input.varint(stored) || stored > input.left() || raw > max_bytes) {
    return fail("a column's size is impossible");
  }
  const auto* bytes = input.at;
  input.at += stored;
  if (raw == stored) return std::string_view(reinterpret_cast<const char*>(bytes), stored);
  raw_.resize(raw);
  if (ZSTD_decompressDCtx(zstd_, raw_.data(), raw, bytes, stored) != raw) {
    return fail("a column cannot be decompressed");
  }
  return std::string_view(raw_);
}

Result<void> ChunkDecoder::take_varints(Input& input, Column& values) {
  const auto block = take_block(input, values.size() * kMaxVarintBytes);
  if (!block) return tl::unexpected(block.error());
  const auto* at = reinterpret_cast<const unsigned char*>(block->data());
  const auto* end = at + block->size();
  for (uint64_t& value : values) {
    if (!read_varint(at, end, value)) return fail("a column ends early");
  }
  if (at != end) return fail("a column is too long");
  return {};
}

Result<void> ChunkDecoder::take_bits(Input& input, Column& values) {
  const auto widths = take_block(input, values.size());
  if (!widths) return tl::unexpected(widths.error());
  if (widths->size() != values.size()) return fail("a column ends early");
  unsigned __int128 pending = 0;
  unsigned pending_bits = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const unsigned width = static_cast<unsigned char>((*widths)[i]);
    if (width > 64) return fail("a number is too wide");
    if (width < 2) {
      values[i] = width;
      continue;
    }
    while (pending_bits < width - 1) {
      if (input.at == input.end) return fail("a column ends early");
      pending |= static_cast<unsigned __int128>(*input.at++) << pending_bits;
      pending_bits += 8;
    }
    const uint64_t high = uint64_t{1} << (width - 1);
    values[i] = high | (static_cast<uint64_t>(pending) & (high - 1));
    pending >>= width - 1;
    pending_bits -= width - 1;
  }
  return {};
}

Result<void> ChunkDecoder::decode(std::string_view bytes, std::span<Column> columns) {
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
      count != columns.size()) {
    return fail("a chunk's size is impossible");
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    if (input.left() == 0) return fail("a chunk ends early");
    const unsigned head = *input.at++;
    ColumnPlan plan{static_cast<Predictor>(head >> 4), static_cast<Packing>(head & 15), 0};
    if (plan.packing == Packing::kConstant) {
      uint64_t value = 0;
      if (!input.varint(value)) return fail("a chunk ends early");
      columns[i].assign(rows, value);
      continue;
    }
    if (plan.packing > Packing::kBits || plan.predictor > Predictor::kContext) {
      return fail("a column is of an unknown kind");
    }
    if (plan.predictor == Predictor::kContext) {
      if (input.left() == 0 || *input.at >= i) return fail("a column's context is impossible");
      plan.context = *input.at++;
    }
    columns[i].resize(rows);
    const auto taken = plan.packing == Packing::kVarint ? take_varints(input, columns[i])
                                                        : take_bits(input, columns[i]);
    if (!taken) return taken;
    predict<false>(plan, columns, columns[i], context_);
  }
  if (input.left() != 0) return fail("a chunk is too long");
  return {};
}

}  // namespace tidemark::trace
