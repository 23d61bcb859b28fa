// Columns of 64-bit numbers to and from one compressed, checksummed block of bytes. Pure. FORMAT.md
// ("Chunks") describes the bytes.
//
// A value is first predicted (from the row before, or from the last row with the same value in
// another column), the difference is folded to an unsigned number and packed:
//   varint: 7 bits a byte, then zstd: for values that repeat (sizes, stacks, addresses)
//   bits:   the bit width of each number as a byte through zstd, then the bits below the highest
//           one as they are: for noise (times), which no compressor makes smaller
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/trace/result.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace tidemark::trace {

inline constexpr size_t kMaxChunkRows = 65536;
inline constexpr size_t kMaxChunkColumns = 16;

// Persisted: do not renumber.
enum class Predictor : uint8_t { kNone = 0, kPrevious = 1, kContext = 2 };
enum class Packing : uint8_t { kConstant = 0, kVarint = 1, kBits = 2 };

struct ColumnPlan {
  Predictor predictor = Predictor::kPrevious;
  Packing packing = Packing::kVarint;  // never kConstant: that is found out
  uint8_t context = 0;                 // an earlier column, for kContext
};

using Column = std::vector<uint64_t>;

class ChunkEncoder {
 public:
  explicit ChunkEncoder(int level);
  ~ChunkEncoder();
  ChunkEncoder(const ChunkEncoder&) = delete;
  ChunkEncoder& operator=(const ChunkEncoder&) = delete;

  // All columns have the same number of rows, 1 to kMaxChunkRows. Valid until the next call.
  std::string_view encode(std::span<const Column> columns, std::span<const ColumnPlan> plans);

 private:
  void put_block(std::string_view raw);
  void put_varints(std::span<const uint64_t> values);
  void put_bits(std::span<const uint64_t> values);

  ZSTD_CCtx_s* zstd_;
  int level_;
  std::string out_, raw_, packed_;
  Column residuals_;
  std::vector<uint64_t> context_;
};

class ChunkDecoder {
 public:
  ChunkDecoder();
  ~ChunkDecoder();
  ChunkDecoder(const ChunkDecoder&) = delete;
  ChunkDecoder& operator=(const ChunkDecoder&) = delete;

  // The bytes are untrusted. The error is what is wrong, without the file.
  Result<void> decode(std::string_view bytes, std::span<Column> columns);

 private:
  struct Input;
  Result<std::string_view> take_block(Input& input, size_t max_bytes);
  Result<void> take_varints(Input& input, Column& values);
  Result<void> take_bits(Input& input, Column& values);

  ZSTD_DCtx_s* zstd_;
  std::string raw_;
  std::vector<uint64_t> context_;
};

}  // namespace tidemark::trace
