#include "reductions.h"

#include <algorithm>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

constexpr uint64_t kFloat = 4;
constexpr uint64_t kHalf = 2;
constexpr uint64_t kThreads = 128;  // of a group: 512 over what each loads at once
constexpr uint64_t kColumns = 4;    // that a thread loads at once
constexpr uint64_t kWidth = 32;     // threads of a group side by side
constexpr uint64_t kLeast = 16;     // rows a thread is to sum at least
constexpr uint64_t kMost = 256;     // and above which groups share a column

uint64_t over(uint64_t value, uint64_t by) { return (value + by - 1) / by; }

uint64_t power_of_two_below(uint64_t value) {
  uint64_t power = 1;
  while (2 * power <= value) power *= 2;
  return power;
}

// The scratch with the matrix and the sums of its kernel: the largest and the smallest beside it.
std::optional<RowSum> row_sum(const Schedule& schedule, const DeviceWork& work, uint32_t scratch) {
  uint64_t matrix = 0;
  uint64_t sums = 0;
  for (const uint32_t i : schedule.blocks_of(work)) {
    const ScheduledBlock& block = schedule.blocks[i];
    constexpr uint64_t kCounters = 512;
    if (i == scratch || block.bytes <= kCounters) continue;
    matrix = std::max(matrix, block.bytes);
    sums = sums == 0 ? block.bytes : std::min(sums, block.bytes);
  }
  if (sums == 0 || matrix <= sums) return std::nullopt;
  const ScheduledBlock& block = schedule.blocks[scratch];
  constexpr uint64_t kRounding = 512;
  constexpr uint64_t kUnsplit = uint64_t{1} << 20;
  // What is summed up may be of 16 bits; the partial sums are full floats all the same.
  for (const uint64_t element : {uint64_t{schedule.float_bytes}, kHalf}) {
    // Blocks are rounded up: fewer columns could have been asked for.
    for (uint64_t columns = sums / element; columns * element + kRounding > sums;
         columns -= kColumns) {
      const uint64_t rows = matrix / (columns * element);
      const uint64_t bytes = sum_scratch_bytes(rows, columns, schedule.groups_at_once);
      if (bytes > 0 && bytes <= block.bytes && block.bytes < bytes + kUnsplit) {
        return RowSum{rows, columns};
      }
      if (columns <= kColumns) break;
    }
  }
  return std::nullopt;
}

}  // namespace

uint64_t sum_scratch_bytes(uint64_t rows, uint64_t columns, uint64_t groups_at_once) {
  if (columns % kColumns != 0 || columns < kColumns * kWidth || rows < kThreads) return 0;
  const uint64_t width = std::min(power_of_two_below(columns / kColumns),
                                  kThreads / std::min(kThreads / kWidth, power_of_two_below(rows)));
  const uint64_t each = over(rows, kThreads / width);  // rows of a thread
  const uint64_t grid = over(columns / kColumns, width);
  if (each < kMost || groups_at_once == 0 || grid > groups_at_once) return 0;
  const uint64_t groups =
      std::max(std::min(over(groups_at_once, grid), over(each, kLeast)), over(each, kMost));
  return groups > 1 ? columns * kFloat * width * kColumns * groups : 0;
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
    block.bytes = sum_scratch_bytes(scaled(sum.rows, factor), sum.columns, schedule.groups_at_once);
    if (block.bytes == 0) drop(block);
  }
}

}  // namespace tidemark::analyzer
