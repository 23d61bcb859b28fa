// Columns of 64-bit numbers to and from one compressed, checksummed block of bytes. Pure. FORMAT.md
// ("Chunks") describes the bytes.
//
// A value is first predicted (from the row before, or from the last row with the same value in
// another column), the difference is folded to an unsigned number and packed:
//   varint: 7 bits a byte, then zstd: for values that repeat (sizes, stacks, addresses)
//   bits:   the bit width of each number as a byte through zstd, then the bits below the highest
//           one as they are: for noise (times), which no compressor makes smaller
// A column whose values are all equal, or that goes up in equal steps, is kept as two numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
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
enum class Predictor : uint8_t { kNone = 0, kPrevious = 1, kContext = 2, kWideContext = 3 };
enum class Packing : uint8_t { kConstant = 0, kVarint = 1, kBits = 2, kSteps = 3 };

struct ColumnPlan {
  Predictor predictor = Predictor::kPrevious;
  Packing packing = Packing::kVarint;  // kVarint or kBits; the others are found out
  uint8_t context = 0;                 // an earlier column, for kContext and kWideContext
};

// A difference of either sign as a number that is small when the difference is, and back.
constexpr uint64_t fold(uint64_t difference) { return difference << 1 ^ (0 - (difference >> 63)); }
constexpr uint64_t unfold(uint64_t folded) { return folded >> 1 ^ (0 - (folded & 1)); }

// One value a row, or a single value that all rows have.
using Column = std::span<const uint64_t>;

// Memory for columns that are filled or decoded over and over: it is large, and kept.
class ColumnBuffers {
 public:
  uint64_t* column(size_t i);  // room for kMaxChunkRows values, of which none is initialized

 private:
  std::vector<std::unique_ptr<uint64_t[]>> columns_;
};

class ChunkEncoder {
 public:
  explicit ChunkEncoder(int level);
  ~ChunkEncoder();
  ChunkEncoder(const ChunkEncoder&) = delete;
  ChunkEncoder& operator=(const ChunkEncoder&) = delete;

  void set_level(int level) { level_ = level; }  // from the next encode() on
  // `rows`: 1 to kMaxChunkRows. Valid until the next call.
  std::string_view encode(size_t rows, std::span<const Column> columns,
                          std::span<const ColumnPlan> plans);
  // To fill with what will be encoded.
  ColumnBuffers& buffers() { return buffers_; }

 private:
  bool put_steps(Column column);
  void put_block(size_t raw_bytes);  // of raw_
  void put_varints(Column column, Column context, Predictor predictor);
  void put_bits(Column column, Column context, Predictor predictor);

  ZSTD_CCtx_s* zstd_;
  int level_;
  std::string out_, raw_, packed_, bits_;  // grow only: filling them would cost
  ColumnBuffers buffers_;
  std::vector<uint64_t> last_;  // what contexts remember
};

struct DecodedColumns {
  size_t rows = 0;
  std::span<const Column> columns;
};

// When this column is not wanted, the rest of the chunk is not decoded.
struct OnlyIf {
  size_t column = SIZE_MAX;
  std::function<bool(Column)> wanted;
};

class ChunkDecoder {
 public:
  ChunkDecoder();
  ~ChunkDecoder();
  ChunkDecoder(const ChunkDecoder&) = delete;
  ChunkDecoder& operator=(const ChunkDecoder&) = delete;

  // The bytes are untrusted. The error is what is wrong, without the file. Valid until the next
  // call. No rows: `only_if` did not want them.
  Result<DecodedColumns> decode(std::string_view bytes, size_t columns, const OnlyIf& only_if = {});

 private:
  struct Input;
  struct Head;
  Result<void> decode_column(Input& input, size_t rows, size_t i);
  Result<std::string_view> take_block(Input& input, size_t max_bytes);
  Result<void> take_varints(Input& input, const Head& head, std::span<uint64_t> values);
  Result<void> take_bits(Input& input, const Head& head, std::span<uint64_t> values);

  ZSTD_DCtx_s* zstd_;
  std::string raw_;
  ColumnBuffers buffers_;
  std::vector<Column> columns_;
  std::vector<uint64_t> last_;
};

}  // namespace tidemark::trace
