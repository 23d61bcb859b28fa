// The resident memory of a process, split into parts that add up to it.
#include <gtest/gtest.h>

#include <numeric>

#include "fake_reader.h"
#include "tidemark/analyzer/process_memory.h"
#include "tidemark/analyzer/render.h"

namespace tidemark::analyzer {
namespace {

using trace::Layer;
using trace::MappingKind;
using trace::ProcessId;

constexpr uint64_t kKiB = 1024;

struct Memory : testing::Test {
  Memory() {
    add_process(1, 100, 0, "main");
    reader.end = 1000;
  }
  void add_process(int32_t id, int32_t pid, int32_t parent, const char* command,
                   int64_t start_ns = 0) {
    trace::Process process;
    process.id = static_cast<ProcessId>(id);
    process.pid = pid;
    process.parent = static_cast<ProcessId>(parent);
    process.command = command;
    process.start_ns = start_ns;
    process.end_ns = 1000;
    process.exit = 0;
    reader.process_rows.push_back(process);
  }
  void map(uint64_t start, uint64_t mapped, MappingKind kind, uint64_t resident,
           const char* path = "", int32_t process = 1, int64_t time_ns = 50) {
    reader.mapping_rows.push_back({static_cast<ProcessId>(process), time_ns, start, mapped, kind,
                                   reader.intern(path), resident, resident, 0, 0});
  }
  void allocate(Layer layer, uint64_t address, uint64_t size, int64_t alloc_ns = 10,
                int64_t free_ns = trace::kNever, int32_t process = 1) {
    trace::Allocation row;
    row.id = static_cast<trace::AllocationId>(reader.allocation_rows.size() + 1);
    row.process = static_cast<ProcessId>(process);
    row.layer = layer;
    row.address = address;
    row.size = size;
    row.alloc_ns = alloc_ns;
    row.free_ns = free_ns;
    reader.allocation_rows.push_back(row);
  }
  ProcessMemoryUse use(size_t index = 0) {
    auto uses = process_memory(reader, MemoryDepth::kWithBlocks);
    EXPECT_TRUE(uses) << uses.error().message;
    if (uses->at(index).breakdown) {
      const MemoryBreakdown& all = *uses->at(index).breakdown;
      EXPECT_EQ(std::accumulate(all.parts.begin(), all.parts.end(), uint64_t{0}), all.rss_bytes);
    }
    return uses->at(index);
  }
  static uint64_t part(const ProcessMemoryUse& use, MemoryPart part) {
    return use.breakdown->parts[static_cast<size_t>(part)];
  }
  tests::FakeReader reader;
};

TEST_F(Memory, a_trace_without_samples_says_nothing) {
  allocate(Layer::kHeap, 0x1000, 64);
  const ProcessMemoryUse none = use();
  EXPECT_FALSE(none.system);
  EXPECT_FALSE(none.breakdown);
  ASSERT_TRUE(none.heap_peak);
  EXPECT_EQ(none.heap_peak->bytes, 64U);
}

TEST_F(Memory, live_spare_and_untouched_heap_are_told_apart) {
  map(0x100000, 512 * kKiB, MappingKind::kHeap, 300 * kKiB);
  allocate(Layer::kHeap, 0x100010, 200 * kKiB);
  allocate(Layer::kHeap, 0x140000, 50 * kKiB, 10, 40);  // freed before the snapshot
  map(0x900000, 8192 * kKiB, MappingKind::kAnonymous, 4 * kKiB);
  allocate(Layer::kHeap, 0x900010, 8000 * kKiB);  // a large block, never touched
  const ProcessMemoryUse found = use();
  EXPECT_EQ(part(found, MemoryPart::kHeapLive), 204 * kKiB);
  EXPECT_EQ(part(found, MemoryPart::kHeapSpare), 100 * kKiB);
  EXPECT_EQ(found.breakdown->heap_live_bytes, 8200 * kKiB);
  EXPECT_EQ(found.breakdown->heap_live_count, 2U);
}

// The kernel joins mappings that lie side by side: malloc's, of one block each, and anybody's.
TEST_F(Memory, memory_beside_a_block_that_malloc_mapped_is_nobodys) {
  map(0x900000, 1024 * kKiB, MappingKind::kAnonymous, 1024 * kKiB);
  allocate(Layer::kHeap, 0x900010, 200 * kKiB);  // in 204 KiB of its own
  EXPECT_EQ(part(use(), MemoryPart::kHeapLive), 200 * kKiB);
  EXPECT_EQ(part(use(), MemoryPart::kHeapSpare), 4 * kKiB);
  EXPECT_EQ(part(use(), MemoryPart::kUnexplained), 820 * kKiB);
  allocate(Layer::kHeap, 0x960010, 200 * kKiB - 16);  // fills its pages
  EXPECT_EQ(part(use(), MemoryPart::kHeapSpare), 4 * kKiB + 16);
  allocate(Layer::kHeap, 0x950040, 100);  // a pool's: what is free beside it is the allocator's
  EXPECT_EQ(part(use(), MemoryPart::kUnexplained), 0U);
  EXPECT_EQ(part(use(), MemoryPart::kHeapSpare), 624 * kKiB + 16 - 100);
}

TEST_F(Memory, what_the_program_mapped_files_and_the_unexplained_have_their_names) {
  map(0x10000, 64 * kKiB, MappingKind::kFile, 40 * kKiB, "/data/a.bin");
  map(0x30000, 64 * kKiB, MappingKind::kFile, 8 * kKiB, "/lib/b.so");
  map(0x50000, 64 * kKiB, MappingKind::kAnonymous, 64 * kKiB);
  allocate(Layer::kOs, 0x50000, 48 * kKiB);
  map(0x70000, 64 * kKiB, MappingKind::kStatic, 12 * kKiB);
  map(0x90000, 64 * kKiB, MappingKind::kTidemark, 20 * kKiB);
  const ProcessMemoryUse found = use();
  EXPECT_EQ(part(found, MemoryPart::kFiles), 48 * kKiB);
  EXPECT_EQ(part(found, MemoryPart::kProgram), 48 * kKiB);
  EXPECT_EQ(part(found, MemoryPart::kUnexplained), 16 * kKiB);
  EXPECT_EQ(part(found, MemoryPart::kStatic), 12 * kKiB);
  EXPECT_EQ(part(found, MemoryPart::kTidemark), 20 * kKiB);
  ASSERT_EQ(found.breakdown->files.size(), 2U);
  EXPECT_EQ(found.breakdown->files[0].path, "/data/a.bin");
  EXPECT_EQ(found.breakdown->files[0].mapped_bytes, 64 * kKiB);
}

TEST_F(Memory, an_allocator_inside_the_programs_own_mapping_counts_once) {
  map(0x200000, 128 * kKiB, MappingKind::kAnonymous, 128 * kKiB);
  allocate(Layer::kOs, 0x200000, 128 * kKiB);
  allocate(Layer::kHeap, 0x200100, 32 * kKiB);
  const ProcessMemoryUse found = use();
  EXPECT_EQ(part(found, MemoryPart::kHeapLive), 32 * kKiB);
  EXPECT_EQ(part(found, MemoryPart::kProgram), 96 * kKiB);
}

TEST_F(Memory, a_forked_child_is_told_what_it_was_born_with) {
  add_process(2, 101, 1, "worker", 30);
  for (const int32_t process : {1, 2}) {
    map(0x100000, 512 * kKiB, MappingKind::kHeap, 512 * kKiB, "", process);
  }
  allocate(Layer::kHeap, 0x100010, 300 * kKiB, 10, 40);  // alive at the fork, freed by the parent
  allocate(Layer::kHeap, 0x160000, 100 * kKiB, 45, trace::kNever, 2);
  const ProcessMemoryUse child = use(1);
  EXPECT_EQ(part(child, MemoryPart::kHeapInherited), 300 * kKiB);
  EXPECT_EQ(part(child, MemoryPart::kHeapLive), 100 * kKiB);
  EXPECT_EQ(part(child, MemoryPart::kHeapSpare), 112 * kKiB);
  EXPECT_EQ(part(use(0), MemoryPart::kHeapSpare), 512 * kKiB);
  ASSERT_TRUE(child.heap_peak);
  EXPECT_EQ(child.heap_peak->bytes, 100 * kKiB);
}

TEST_F(Memory, a_child_that_was_started_anew_inherits_nothing) {
  add_process(2, 101, 1, "ls", 30);
  map(0x100000, 512 * kKiB, MappingKind::kHeap, 512 * kKiB, "", 1);
  map(0x180000, 512 * kKiB, MappingKind::kHeap, 512 * kKiB, "", 2);
  allocate(Layer::kHeap, 0x180010, 300 * kKiB, 10, 40);
  EXPECT_EQ(part(use(1), MemoryPart::kHeapInherited), 0U);
}

TEST_F(Memory, the_largest_snapshot_and_the_kernels_peak_are_taken) {
  map(0x100000, 64 * kKiB, MappingKind::kHeap, 10 * kKiB, "", 1, 20);
  map(0x100000, 64 * kKiB, MappingKind::kHeap, 60 * kKiB, "", 1, 50);
  map(0x100000, 64 * kKiB, MappingKind::kHeap, 30 * kKiB, "", 1, 80);
  trace::ProcessMemory sample;
  sample.process = static_cast<ProcessId>(1);
  sample.time_ns = 50;
  sample.rss_bytes = 60 * 1024;
  reader.memory_rows.push_back(sample);
  sample.time_ns = 80;
  sample.rss_bytes = 30 * 1024;
  sample.peak_rss_bytes = 70 * 1024;
  sample.minor_faults = 5;
  reader.memory_rows.push_back(sample);
  const ProcessMemoryUse found = use();
  EXPECT_EQ(found.breakdown->time_ns, 50);
  EXPECT_EQ(found.system->peak_rss_bytes, 60 * 1024);
  EXPECT_EQ(found.system->peak_rss_ns, 50);
  EXPECT_EQ(found.system->kernel_peak_bytes, 70 * 1024);
  EXPECT_EQ(found.system->minor_faults, 5);
}

TEST_F(Memory, a_report_shows_each_process_and_its_own_heap) {
  add_process(2, 101, 1, "worker", 30);
  map(0x100000, 512 * kKiB, MappingKind::kHeap, 256 * kKiB);
  allocate(Layer::kHeap, 0x100010, 100 * kKiB);
  allocate(Layer::kHeap, 0x900010, 77 * kKiB, 45, trace::kNever, 2);
  const auto report = build_report(reader, {});
  ASSERT_TRUE(report);
  const std::string text = report_text(*report);
  EXPECT_NE(text.find("Resident, process 100 main: 256 KiB"), std::string::npos) << text;
  EXPECT_NE(text.find("Heap of process 101 worker at its own peak: 77.0 KiB in 1 block"),
            std::string::npos)
      << text;
  const std::string json = report_json(*report);
  EXPECT_NE(json.find("\"peak_bytes\": 78848"), std::string::npos) << json;
}

}  // namespace
}  // namespace tidemark::analyzer
