#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "access_columns.h"
#include "trace_testing.h"

namespace tidemark::trace {
namespace {

std::vector<Access> read_accesses(const Reader& reader, const AccessFilter& filter = {}) {
  std::vector<Access> all;
  const auto read = reader.accesses(filter, [&](std::span<const Access> batch) {
    all.insert(all.end(), batch.begin(), batch.end());
  });
  EXPECT_TRUE(read) << read.error().message;
  return all;
}

// A training loop: each step hands its kernels the same weights and blocks that live for one step.
std::vector<Access> training(size_t steps, std::mt19937_64& random) {
  constexpr int64_t kWeights = 150;
  constexpr int64_t kKernels = 800;
  std::vector<Access> all;
  int64_t next_id = kWeights + 1;
  int64_t kernel = 0;
  for (size_t step = 0; step < steps; ++step) {
    std::vector<int64_t> blocks;
    for (int64_t i = 0; i < kKernels; ++i) {
      ++kernel;
      next_id += static_cast<int64_t>(random() % 20);  // what the host allocates in between
      blocks.push_back(++next_id);
      all.push_back({kernel, AllocationId{1 + i % kWeights}});
      all.push_back({kernel, AllocationId{blocks.back()}});
      if (i > 3) all.push_back({kernel, AllocationId{blocks[blocks.size() - 3]}});
    }
  }
  return all;
}

void write_trace(const std::string& path, const std::vector<Access>& accesses,
                 size_t flush_every = std::numeric_limits<size_t>::max()) {
  auto made = Writer::create(path);
  ASSERT_TRUE(made) << made.error().message;
  Writer& writer = **made;
  Kernel kernel{};
  std::vector<AllocationId> handed;
  size_t kernels = 0;
  for (size_t i = 0; i < accesses.size();) {
    const int64_t id = accesses[i].kernel;
    while (writer.add_kernel(kernel) != id) ASSERT_LE(++kernels, accesses.size());
    handed.clear();
    for (; i < accesses.size() && accesses[i].kernel == id; ++i) {
      handed.push_back(accesses[i].allocation);
    }
    writer.add_accesses(id, handed);
    if (static_cast<size_t>(id) % flush_every == 0) {
      ASSERT_TRUE(writer.flush());
    }
  }
  ASSERT_TRUE(writer.finish());
}

TEST(TraceAccess, references_give_ids_back_whatever_they_are) {
  std::mt19937_64 random(1);
  constexpr int64_t kLargest = (int64_t{1} << 61) - 1;
  std::vector<int64_t> ids = {1, 1, kLargest, 1, kLargest, 2, kLargest - 1, 1};
  for (int i = 0; i < 5000; ++i) {
    ids.push_back(1 + static_cast<int64_t>(random() % (i % 2 == 0 ? 50 : 1U << 30)));
  }
  ReferenceEncoder encoder;
  ReferenceDecoder decoder;
  for (const int64_t id : ids) EXPECT_EQ(decoder.next(encoder.next(id)), id);
}

TEST(TraceAccess, a_reference_out_of_its_chunk_is_no_id) {
  ReferenceDecoder decoder;
  EXPECT_EQ(decoder.next(1 << 1 | 1), 0);  // the row before the first
  EXPECT_EQ(decoder.next(0 << 1 | 1), 0);  // the row itself
  EXPECT_EQ(decoder.next(std::numeric_limits<uint64_t>::max()), 0);
  EXPECT_EQ(decoder.next(14 << 1), 7);
  EXPECT_EQ(decoder.next(1 << 1 | 1), 7);
}

TEST(TraceAccess, accesses_of_many_chunks_come_back) {
  const TestFolder folder;
  std::mt19937_64 random(2);
  const auto accesses = training(100, random);
  ASSERT_GT(accesses.size(), 3 * kMaxChunkRows);
  // Flushed often, so that open chunks are written many times.
  write_trace(folder.file("t.db"), accesses, 1000);
  const auto reader = Reader::open(folder.file("t.db"));
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_TRUE(read_accesses(**reader) == accesses);
  EXPECT_EQ(ask(**reader, "SELECT count(*), sum(kernel_id), sum(allocation_id) FROM access"),
            ask(**reader, fmt::format(
                              "SELECT {}, {}, {}", accesses.size(),
                              [&] {
                                int64_t sum = 0;
                                for (const Access& each : accesses) sum += each.kernel;
                                return sum;
                              }(),
                              [&] {
                                int64_t sum = 0;
                                for (const Access& each : accesses)
                                  sum += static_cast<int64_t>(each.allocation);
                                return sum;
                              }())));
}

TEST(TraceAccess, a_filter_gives_exactly_what_it_describes) {
  const TestFolder folder;
  std::mt19937_64 random(3);
  const auto accesses = training(60, random);
  write_trace(folder.file("t.db"), accesses);
  const auto reader = Reader::open(folder.file("t.db"));
  ASSERT_TRUE(reader) << reader.error().message;
  for (int round = 0; round < 30; ++round) {
    const Access some = accesses[random() % accesses.size()];
    AccessFilter filter;
    if (round % 3 != 0) filter.first_kernel = filter.last_kernel = some.kernel;
    if (round % 3 != 1) filter.first_allocation = filter.last_allocation = some.allocation;
    if (round % 5 == 1 && round % 3 != 0) filter.last_kernel += 500;
    std::vector<Access> expected;
    std::copy_if(accesses.begin(), accesses.end(), std::back_inserter(expected),
                 [&](const Access& each) {
                   return each.kernel >= filter.first_kernel && each.kernel <= filter.last_kernel &&
                          each.allocation >= filter.first_allocation &&
                          each.allocation <= filter.last_allocation;
                 });
    ASSERT_FALSE(expected.empty());
    EXPECT_TRUE(read_accesses(**reader, filter) == expected);
  }
  const Access last = accesses.back();
  EXPECT_EQ(ask(**reader, fmt::format("SELECT * FROM access WHERE kernel_id={} AND "
                                      "allocation_id={}",
                                      last.kernel, static_cast<int64_t>(last.allocation))),
            std::vector<std::string>{
                fmt::format("{}|{}", last.kernel, static_cast<int64_t>(last.allocation))});
  EXPECT_EQ(ask(**reader, "SELECT count(*) FROM access WHERE allocation_id>1 AND allocation_id<3"),
            ask(**reader, "SELECT count(*) FROM access WHERE allocation_id=2"));
  EXPECT_EQ(ask(**reader, "SELECT count(*) FROM access WHERE allocation_id='no number'"),
            std::vector<std::string>{"0"});
}

TEST(TraceAccess, a_repeating_program_costs_less_than_two_bytes_an_access) {
  const TestFolder folder;
  std::mt19937_64 random(4);
  const auto accesses = training(200, random);
  write_trace(folder.file("t.db"), accesses);
  const auto reader = Reader::open(folder.file("t.db"));
  ASSERT_TRUE(reader) << reader.error().message;
  const auto bytes = ask(**reader, "SELECT sum(length(data)) FROM access_chunk");
  EXPECT_LT(std::stoull(bytes.at(0)), 2 * accesses.size());
  std::printf("%.2f bytes an access\n",
              std::stod(bytes.at(0)) / static_cast<double>(accesses.size()));
}

TEST(TraceAccess, an_older_trace_has_none) {
  const auto reader = Reader::open(STACKS_AS_ROWS);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_TRUE(read_accesses(**reader).empty());
  EXPECT_EQ(ask(**reader, "SELECT count(*) FROM access"), std::vector<std::string>{"0"});
}

}  // namespace
}  // namespace tidemark::trace
