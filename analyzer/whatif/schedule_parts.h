// The stages in which build_schedule works, each on what the ones before it filled in.
#pragma once

#include <string>
#include <vector>

#include "stack_facts.h"
#include "tidemark/analyzer/categories.h"
#include "tidemark/analyzer/schedule.h"

namespace tidemark::analyzer {

// What stays beside the schedule while it is made.
struct Raw {
  struct Block {
    uint64_t address = 0;
    uint64_t bytes = 0;  // of the block handed out
    int64_t alloc_ns = 0;
    uint32_t stack = 0;           // of stacks
    uint32_t first_work = kNone;  // of Schedule::work, with this block
    uint32_t last_work = kNone;
  };
  struct Segment {
    uint64_t address = 0;
    uint64_t bytes = 0;
    int64_t alloc_ns = 0;
    int64_t free_ns = 0;
  };
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
  std::vector<Block> blocks;  // as Schedule::blocks
  std::vector<StackFacts> stacks;
  std::vector<Segment> segments;   // what the pool has from the driver
  uint64_t beside_pool_bytes = 0;  // what others have, all of it
};

// Blocks and work in order, with what structure and categories say of them.
[[nodiscard]] Result<Raw> read_schedule(const trace::Reader& reader, const Structure& structure,
                                        const SeriesBlocks& known, Schedule& schedule);
// What was asked for: a recorded block may be up to 1 MiB larger, where its remainder was not worth
// splitting off.
void recover_requests(const Raw& raw, Schedule& schedule);
void assign_elements(const Raw& raw, Schedule& schedule);
void assign_laws(const Raw& raw, Schedule& schedule);

}  // namespace tidemark::analyzer
