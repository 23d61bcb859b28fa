#include "reductions.h"

#include <algorithm>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

constexpr uint64_t kFloat = 4;
constexpr uint64_t kHalf = 2;
constexpr uint64_t kThreads = 512;  // of a group, over what each loads at once
constexpr uint64_t kColumns = 4;    // that a thread loads at once, or 2 or 1 where it must
constexpr uint64_t kWidth = 32;     // threads of a group side by side
constexpr uint64_t kGroup = 128;    // threads of those that Schedule::groups_at_once counts
constexpr uint64_t kRounding = 512;
constexpr uint64_t kUnsplit = uint64_t{1} << 20;
constexpr uint64_t kLeast = 16;  // rows a thread is to sum at least
constexpr uint64_t kMost = 256;  // and above which groups share a column

uint64_t over(uint64_t value, uint64_t by) { return (value + by - 1) / by; }

uint64_t power_of_two_below(uint64_t value) {
  uint64_t power = 1;
  while (2 * power <= value) power *= 2;
  return power;
}

// What is summed up may be of 16 bits, and so may the sums; the partial sums are full floats.
struct ElementBytes {
  uint64_t summed;
  uint64_t sums;
};

// A sum with that matrix and those sums whose scratch is by less than `apart` smaller than this
// one.
std::optional<RowSum> nearest_sum(uint64_t matrix, uint64_t sums, const ElementBytes& element,
                                  uint64_t scratch, uint64_t groups_at_once, uint64_t apart) {
  std::optional<RowSum> found;
  // Blocks are rounded up: fewer columns could have been asked for.
  for (uint64_t columns = sums / element.sums;
       columns > 0 && columns * element.sums + kRounding > sums; --columns) {
    const RowSum sum{matrix / (columns * element.summed), columns, element.summed};
    const uint64_t bytes = sum_scratch_bytes(rows_at_once(sum), columns, groups_at_once);
    if (bytes == 0 || bytes > scratch || scratch - bytes >= apart) continue;
    apart = scratch - bytes;
    found = sum;
  }
  return found;
}

// The scratch with the matrix and the sums of its kernel: the largest and the smallest beside it.
std::optional<RowSum> row_sum(const Schedule& schedule, const DeviceWork& work, uint32_t scratch) {
  uint64_t matrix = 0;
  uint64_t sums = 0;
  for (const uint32_t i : schedule.blocks_of(work)) {
    const ScheduledBlock& block = schedule.blocks[i];
    if (i >= scratch) continue;  // what is made behind it counts the groups
    matrix = std::max(matrix, block.bytes);
    sums = sums == 0 ? block.bytes : std::min(sums, block.bytes);
  }
  if (sums == 0 || matrix <= sums) return std::nullopt;
  const uint64_t whole = schedule.float_bytes;
  const ElementBytes likely_first[] = {{whole, whole}, {kHalf, kHalf}, {kHalf, kFloat}};
  // Exact ones, then those whose block was not split to their size.
  for (const uint64_t apart : {kRounding, kUnsplit}) {
    for (const ElementBytes& element : likely_first) {
      const auto found = nearest_sum(matrix, sums, element, schedule.blocks[scratch].bytes,
                                     schedule.groups_at_once, apart);
      if (found) return found;
    }
  }
  return std::nullopt;
}

}  // namespace

uint64_t rows_at_once(const RowSum& sum) {
  constexpr uint64_t kIndexed = uint64_t{1} << 31;  // bytes, by 32 bits with their sign
  uint64_t rows = sum.rows;
  while (rows > 1 && rows * sum.columns * sum.element >= kIndexed) rows = (rows + 1) / 2;
  return rows;
}

uint64_t sum_scratch_bytes(uint64_t rows, uint64_t columns, uint64_t groups_at_once) {
  uint64_t loads = kColumns;  // the columns of a thread
  while (columns % loads != 0) loads /= 2;
  const uint64_t threads = kThreads / loads;
  if (columns < loads * kWidth || rows < threads) return 0;
  const uint64_t width = std::min(power_of_two_below(columns / loads),
                                  threads / std::min(threads / kWidth, power_of_two_below(rows)));
  const uint64_t each = over(rows, threads / width);  // rows of a thread
  const uint64_t grid = over(columns / loads, width);
  const uint64_t at_once = groups_at_once * kGroup / threads;
  if (each < kMost || at_once == 0 || grid > at_once) return 0;
  const uint64_t groups =
      std::max(std::min(over(at_once, grid), over(each, kLeast)), over(each, kMost));
  return groups > 1 ? columns * kFloat * width * loads * groups : 0;
}

std::map<uint32_t, RowSum> row_sums(const Schedule& schedule) {
  std::map<uint32_t, RowSum> result;
  for (const DeviceWork& work : schedule.work) {
    if (work.phase != Phase::kBackward) continue;
    for (const uint32_t i : schedule.blocks_of(work)) {
      const ScheduledBlock& block = schedule.blocks[i];
      if (block.phase != Phase::kBackward || block.law != BatchLaw::kPerSample ||
          !schedule.operations[block.operation].starts_with("sum_dim")) {
        continue;
      }
      if (const auto sum = row_sum(schedule, work, i)) result.emplace(i, *sum);
    }
  }
  return result;
}

void scale_row_sums(Schedule& schedule, const std::map<uint32_t, RowSum>& sums, double factor) {
  for (const auto& [index, sum] : sums) {
    ScheduledBlock& block = schedule.blocks[index];
    RowSum larger = sum;
    larger.rows = scaled(sum.rows, factor);
    block.bytes = sum_scratch_bytes(rows_at_once(larger), sum.columns, schedule.groups_at_once);
    if (block.bytes == 0) drop(block);
  }
}

}  // namespace tidemark::analyzer
