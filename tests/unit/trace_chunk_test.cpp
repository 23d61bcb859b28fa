#include <gtest/gtest.h>

#include <limits>

#include "host_rows.h"
#include "trace_testing.h"

namespace tidemark::trace {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

std::vector<Column> round_trip(const std::vector<Column>& columns,
                               const std::vector<ColumnPlan>& plans) {
  ChunkEncoder encoder(1);
  ChunkDecoder decoder;
  std::vector<Column> decoded(columns.size());
  const auto result = decoder.decode(encoder.encode(columns, plans), decoded);
  EXPECT_TRUE(result) << result.error().message;
  return decoded;
}

TEST(TraceChunk, every_kind_of_column_gives_its_values_back) {
  std::mt19937_64 random(3);
  for (const size_t rows : {size_t{1}, size_t{2}, size_t{777}, kMaxChunkRows}) {
    std::vector<Column> columns(7, Column(rows));
    for (size_t i = 0; i < rows; ++i) {
      columns[0][i] = random() % 20;
      columns[1][i] = random() >> random() % 64;
      columns[2][i] = i % 2 == 0 ? kMax : 0;
      columns[3][i] = 42;
      columns[4][i] = columns[0][i] * 1000 + random() % 3;
      columns[5][i] = random();
      columns[6][i] = i * 100 + random() % 50;
    }
    EXPECT_EQ(round_trip(columns, {{Predictor::kNone, Packing::kVarint},
                                   {Predictor::kNone, Packing::kBits},
                                   {Predictor::kPrevious, Packing::kVarint},
                                   {Predictor::kNone, Packing::kVarint},
                                   {Predictor::kContext, Packing::kVarint, 0},
                                   {Predictor::kContext, Packing::kBits, 1},
                                   {Predictor::kPrevious, Packing::kBits}}),
              columns);
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
  const std::string bytes(encode_allocations(encoder, rows, info));
  std::vector<Allocation> decoded;
  ASSERT_TRUE(decode_allocations(decoder, bytes, info, decoded));
  EXPECT_TRUE(decoded == rows);
}

TEST(TraceChunk, any_changed_byte_is_found) {
  std::mt19937_64 random(9);
  std::vector<Column> columns(2, Column(500));
  for (Column& column : columns) {
    for (uint64_t& value : column) value = random() >> 40;
  }
  const std::vector<ColumnPlan> plans = {{Predictor::kPrevious, Packing::kVarint},
                                         {Predictor::kPrevious, Packing::kBits}};
  ChunkEncoder encoder(1);
  ChunkDecoder decoder;
  const std::string bytes(encoder.encode(columns, plans));
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ (1 + static_cast<int>(random() % 255)));
    EXPECT_FALSE(decoder.decode(changed, columns)) << "byte " << at;
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decoder.decode(bytes.substr(0, size), columns)) << size << " bytes";
  }
  EXPECT_TRUE(decoder.decode(bytes, columns));
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
