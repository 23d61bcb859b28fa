#include <gtest/gtest.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>
#include <limits>

#include "host_rows.h"
#include "trace_testing.h"

namespace tidemark::trace {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

using Values = std::vector<uint64_t>;

void restore_checksum(std::string& bytes) {
  const uint64_t hash = XXH3_64bits(bytes.data() + 8, bytes.size() - 8);
  std::memcpy(bytes.data(), &hash, sizeof hash);
}

// A constant column comes back as one value: written out here.
std::vector<Values> expanded(const DecodedColumns& decoded) {
  std::vector<Values> all;
  for (const Column column : decoded.columns) {
    all.push_back(column.size() == 1 ? Values(decoded.rows, column[0])
                                     : Values(column.begin(), column.end()));
  }
  return all;
}

std::vector<Values> round_trip(const std::vector<Values>& columns,
                               const std::vector<ColumnPlan>& plans) {
  ChunkEncoder encoder(1);
  ChunkDecoder decoder;
  const std::vector<Column> views(columns.begin(), columns.end());
  const auto decoded =
      decoder.decode(encoder.encode(columns[0].size(), views, plans), columns.size());
  EXPECT_TRUE(decoded) << decoded.error().message;
  return expanded(*decoded);
}

TEST(TraceChunk, every_kind_of_column_gives_its_values_back) {
  std::mt19937_64 random(3);
  for (const size_t rows : {size_t{1}, size_t{2}, size_t{777}, kMaxChunkRows}) {
    std::vector<Values> columns(9, Values(rows));
    for (size_t i = 0; i < rows; ++i) {
      columns[0][i] = random() % 20;
      columns[1][i] = random() >> random() % 64;
      columns[2][i] = i % 2 == 0 ? kMax : 0;
      columns[3][i] = 42;
      columns[4][i] = columns[0][i] * 1000 + random() % 3;
      columns[5][i] = random();
      columns[6][i] = i * 100 + random() % 50;
      columns[7][i] = 0 - i * 7;  // wraps around
      columns[8][i] = random() >> random() % 64;
    }
    EXPECT_EQ(round_trip(columns, {{Predictor::kNone, Packing::kVarint},
                                   {Predictor::kNone, Packing::kBits},
                                   {Predictor::kPrevious, Packing::kVarint},
                                   {Predictor::kNone, Packing::kVarint},
                                   {Predictor::kContext, Packing::kVarint, 0},
                                   {Predictor::kContext, Packing::kBits, 1},
                                   {Predictor::kPrevious, Packing::kBits},
                                   {Predictor::kContext, Packing::kBits, 3},
                                   {Predictor::kWideContext, Packing::kVarint, 1}}),
              columns);
  }
}

// The last bits of a column are read another way than those before: every width at every place.
TEST(TraceChunk, numbers_of_every_width_come_back_from_the_end_of_a_chunk) {
  for (unsigned width = 0; width <= 64; ++width) {
    for (size_t rows = 2; rows < 40; ++rows) {
      Values values(rows, width == 0 ? 0 : kMax >> (64 - width));
      values[0] = 1;
      const std::vector<Values> columns = {values};
      for (const Packing packing : {Packing::kBits, Packing::kVarint}) {
        ASSERT_EQ(round_trip(columns, {{Predictor::kNone, packing}}), columns)
            << width << " bits, " << rows << " rows";
      }
    }
  }
}

TEST(TraceChunk, allocations_at_the_limits_of_their_types_come_back) {
  Allocation low;
  low.id = AllocationId{1};
  low.alloc_ns = std::numeric_limits<int64_t>::min();
  low.free_ns = -1;
  low.device = std::numeric_limits<int16_t>::min();
  Allocation high;
  high.id = static_cast<AllocationId>(std::numeric_limits<int64_t>::max());
  high.process = static_cast<ProcessId>(std::numeric_limits<int32_t>::max());
  high.layer = Layer::kHeap;
  high.space = Space::kDevice;
  high.device = std::numeric_limits<int16_t>::max();
  high.address = high.size = kMax;
  high.alloc_ns = 10;
  high.free_ns = 9;  // before it began: clocks of two threads
  high.alloc_stack = high.free_stack = static_cast<StackId>(std::numeric_limits<int64_t>::max());
  const std::vector<Allocation> rows = {low, high};
  ChunkEncoder encoder(1);
  ChunkDecoder decoder;
  ChunkInfo info;
  const std::string bytes(encode_allocations(encoder, ChunkKind::kAllocations, rows, info));
  std::vector<Allocation> decoded;
  ASSERT_TRUE(decode_allocations(decoder, bytes, info, HostFilter{}, decoded));
  EXPECT_TRUE(decoded == rows);
}

TEST(TraceChunk, any_changed_byte_is_found) {
  std::mt19937_64 random(9);
  std::vector<Values> values(2, Values(500));
  for (Values& column : values) {
    for (uint64_t& value : column) value = random() >> 40;
  }
  const std::vector<Column> columns(values.begin(), values.end());
  const std::vector<ColumnPlan> plans = {{Predictor::kPrevious, Packing::kVarint},
                                         {Predictor::kPrevious, Packing::kBits}};
  ChunkEncoder encoder(1);
  ChunkDecoder decoder;
  const std::string bytes(encoder.encode(500, columns, plans));
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ (1 + static_cast<int>(random() % 255)));
    EXPECT_FALSE(decoder.decode(changed, 2)) << "byte " << at;
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decoder.decode(bytes.substr(0, size), 2)) << size << " bytes";
  }
  EXPECT_TRUE(decoder.decode(bytes, 2));
}

// As a hostile file would have it: the checksum is right, what it covers is not.
TEST(TraceChunk, damage_under_a_right_checksum_reads_nothing_beyond_the_bytes) {
  std::mt19937_64 random(12);
  std::vector<Values> values(4, Values(300));
  for (size_t i = 0; i < 300; ++i) {
    values[0][i] = 1 + i;
    values[1][i] = random() >> random() % 64;
    values[2][i] = random() >> random() % 64;
    values[3][i] = random() % 9;
  }
  const std::vector<Column> columns(values.begin(), values.end());
  const std::vector<ColumnPlan> plans = {{Predictor::kPrevious, Packing::kVarint},
                                         {Predictor::kNone, Packing::kBits},
                                         {Predictor::kContext, Packing::kVarint, 0},
                                         {Predictor::kPrevious, Packing::kBits}};
  ChunkEncoder encoder(1);
  ChunkDecoder decoder;
  const std::string bytes(encoder.encode(300, columns, plans));
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string changed = bytes;
    if (random() % 2 == 0) changed.resize(9 + random() % (changed.size() - 9));
    for (size_t n = 1 + random() % 3; n > 0; --n) {
      changed[8 + random() % (changed.size() - 8)] = static_cast<char>(random());
    }
    restore_checksum(changed);
    // A vector of exactly this size, so that ASan sees each byte read beyond it.
    const std::vector<char> exact(changed.begin(), changed.end());
    const auto decoded = decoder.decode({exact.data(), exact.size()}, 4);
    if (!decoded) ++refused;
  }
  EXPECT_GT(refused, 1000);
}

TEST(TraceChunk, a_row_is_found_among_gaps) {
  std::vector<Allocation> rows;
  for (const int64_t id : {3, 4, 9, 10, 11, 50, 1000}) {
    rows.emplace_back().id = static_cast<AllocationId>(id);
  }
  for (int64_t id = 0; id < 1010; ++id) {
    const Allocation* found = find_row(rows, static_cast<AllocationId>(id));
    const bool there = id == 3 || id == 4 || (id >= 9 && id <= 11) || id == 50 || id == 1000;
    ASSERT_EQ(found != nullptr, there) << id;
    if (found != nullptr) {
      EXPECT_EQ(found->id, static_cast<AllocationId>(id));
    }
  }
  EXPECT_EQ(find_row({}, AllocationId{1}), nullptr);
}

}  // namespace
}  // namespace tidemark::trace
