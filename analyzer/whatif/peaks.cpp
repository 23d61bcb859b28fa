// A schedule's peaks: what an allocator model makes of it, what is there then, and whether that
// fits.
#include <algorithm>
#include <array>
#include <bit>
#include <utility>
#include <vector>

#include "tidemark/analyzer/replay.h"
#include "whatif_parts.h"

namespace tidemark::analyzer {
namespace {

struct Placed {
  int64_t position = 0;
  uint32_t block = 0;
};

// By position, and blocks of one in their order. Advice sorts a million a hundred times: by digits
// that is several times as fast as by comparing.
void sort_placed(std::vector<Placed>& placed) {
  if (std::ranges::is_sorted(placed, {}, &Placed::position)) return;
  const auto [least, most] = std::ranges::minmax(placed, {}, &Placed::position);
  const int64_t from = least.position;
  const auto range = static_cast<uint64_t>(most.position - from);
  constexpr int kDigit = 11;  // range has far fewer than 64 bits
  std::vector<Placed> sorted(placed.size());
  for (int shift = 0; range >> shift != 0; shift += kDigit) {
    const auto digit = [&](const Placed& one) {
      const auto value = static_cast<uint64_t>(one.position - from) >> shift;
      return static_cast<size_t>(value & ((uint64_t{1} << kDigit) - 1));
    };
    std::array<uint32_t, size_t{1} << kDigit> next{};
    for (const Placed& one : placed) ++next[digit(one)];
    uint32_t before = 0;
    for (uint32_t& count : next) before += std::exchange(count, before);
    for (const Placed& one : placed) sorted[next[digit(one)]++] = one;
    placed.swap(sorted);
  }
}

// In order of position; at one position frees come first: what is given back there can be taken
// again.
std::vector<AllocatorEvent> events_of(const Schedule& schedule) {
  std::vector<Placed> begins;
  std::vector<Placed> ends;
  begins.reserve(schedule.blocks.size());
  ends.reserve(schedule.blocks.size());
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    const ScheduledBlock& block = schedule.blocks[i];
    if (block.bytes == 0 || block.end <= block.begin) continue;
    begins.push_back({block.begin, i});
    if (block.end != ScheduledBlock::kForever) ends.push_back({block.end, i});
  }
  sort_placed(begins);
  sort_placed(ends);
  std::vector<AllocatorEvent> events;
  events.reserve(begins.size() + ends.size());
  auto free = ends.begin();
  const auto free_until = [&](int64_t position) {
    for (; free != ends.end() && free->position <= position; ++free) {
      events.push_back({0, free->block, 0, AllocatorEvent::Kind::kFree});
    }
  };
  for (const Placed& begin : begins) {
    free_until(begin.position);
    const ScheduledBlock& block = schedule.blocks[begin.block];
    events.push_back({block.bytes, begin.block, block.stream, AllocatorEvent::Kind::kAllocate});
  }
  free_until(ScheduledBlock::kForever);
  return events;
}

Result<Replay> replay_events(std::span<const AllocatorEvent> events, size_t lifetimes,
                             const std::string& allocator, Capacity capacity) {
  auto model = make_allocator(allocator, capacity);
  if (!model) return tl::unexpected(model.error());
  ReplayOptions options;
  options.lifetimes = static_cast<uint32_t>(lifetimes);
  return replay(events, **model, options);
}

}  // namespace

Result<std::optional<PeakBytes>> replay_peaks(const Schedule& schedule,
                                              const std::string& allocator, Capacity capacity) {
  const auto outcome =
      replay_events(events_of(schedule), schedule.blocks.size(), allocator, capacity);
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->out_of_memory_at) return std::nullopt;
  return PeakBytes{outcome->peak_allocated_bytes, outcome->peak_reserved_bytes};
}

Result<AtPeak> replay_to_peak(const Schedule& schedule, const std::string& allocator) {
  const auto events = events_of(schedule);
  const auto outcome = replay_events(events, schedule.blocks.size(), allocator, {});
  if (!outcome) return tl::unexpected(outcome.error());
  AtPeak result;
  result.peaks = {outcome->peak_allocated_bytes, outcome->peak_reserved_bytes};
  for (size_t i = 0; i < events.size() && i <= outcome->peak_allocated_at; ++i) {
    const ScheduledBlock& block = schedule.blocks[events[i].lifetime];
    uint64_t& bytes = result.categories[static_cast<size_t>(block.category)];
    if (events[i].kind == AllocatorEvent::Kind::kAllocate) {
      bytes += block.bytes;
    } else {
      bytes -= block.bytes;
    }
  }
  return result;
}

namespace {

// In 0 to 1, the same for scratches of one size, in each step and on every machine.
double fraction_of(uint64_t seed, const ScheduledBlock& block) {
  uint64_t x = seed * 0x9e3779b97f4a7c15U + block.bytes * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return static_cast<double>((x ^ (x >> 31)) >> 11) / static_cast<double>(uint64_t{1} << 53);
}

}  // namespace

Result<std::optional<Spread>> spread_of(const Schedule& schedule, const std::string& allocator) {
  const bool chosen = std::ranges::any_of(schedule.blocks, &ScheduledBlock::chosen);
  if (!schedule.chosen_anew || !chosen) return std::nullopt;
  // Predicted and recorded scratches of convolutions were mostly within as much of each other.
  constexpr double kScratch = 0.03;
  constexpr size_t kReplays = 32;
  constexpr size_t kMostEvents = 4'000'000;  // in all: a second or two
  const auto events = events_of(schedule);
  const size_t replays = std::clamp<size_t>(kMostEvents / (events.size() + 1), 1, kReplays);
  std::vector<uint64_t> reserved;
  for (size_t k = 0; k < replays; ++k) {
    auto changed = events;
    for (AllocatorEvent& event : changed) {
      const ScheduledBlock& block = schedule.blocks[event.lifetime];
      if (!block.chosen || event.kind != AllocatorEvent::Kind::kAllocate) continue;
      // The first replay is of the schedule as it is.
      const double by = k == 0 ? 0 : kScratch * (2 * fraction_of(k, block) - 1);
      event.bytes +=
          static_cast<uint64_t>(static_cast<int64_t>(static_cast<double>(event.bytes) * by));
    }
    const auto outcome = replay_events(changed, schedule.blocks.size(), allocator, {});
    if (!outcome) return tl::unexpected(outcome.error());
    reserved.push_back(outcome->peak_reserved_bytes);
  }
  Spread spread;
  for (const uint64_t bytes : reserved) spread.reserved += bytes / reserved.size();
  spread.above = static_cast<double>(*std::ranges::max_element(reserved)) /
                     static_cast<double>(spread.reserved) -
                 1;
  return spread;
}

Result<uint64_t> least_pool_bytes(const Schedule& schedule, const std::string& allocator,
                                  const PeakBytes& unlimited) {
  const auto events = events_of(schedule);
  constexpr uint64_t kStep = uint64_t{2} << 20;  // of the driver
  // Less than what is handed out is never enough.
  uint64_t fails = unlimited.allocated / kStep * kStep;
  fails -= std::min(fails, kStep);
  uint64_t runs = (unlimited.reserved + kStep - 1) / kStep * kStep;
  while (runs > fails + std::max(kStep, runs / 256)) {
    const uint64_t middle = (fails + runs) / 2 / kStep * kStep;
    const auto outcome = replay_events(events, schedule.blocks.size(), allocator, middle);
    if (!outcome) return tl::unexpected(outcome.error());
    (outcome->out_of_memory_at ? fails : runs) = middle;
  }
  return std::min(runs, unlimited.reserved);
}

Result<PeakByCategory> categories_at_peak(const Schedule& schedule) {
  const auto peak = replay_to_peak(schedule, schedule.allocator);
  if (!peak) return tl::unexpected(peak.error());
  return peak->categories;
}

uint64_t safe_pool_bytes(const Prediction& prediction) {
  const uint64_t reserved = prediction.predicted.reserved;
  return reserved +
         static_cast<uint64_t>(prediction.changes.reserved_band * static_cast<double>(reserved));
}

Fit fit_of(const Prediction& prediction, uint64_t capacity) {
  const uint64_t beside = prediction.beside_pool_bytes;
  const uint64_t least = prediction.least_pool_bytes.value_or(prediction.predicted.reserved);
  if (least + beside > capacity) return Fit::kDoesNotFit;
  return safe_pool_bytes(prediction) + beside + kContextBytes <= capacity ? Fit::kFits
                                                                          : Fit::kTooCloseToTell;
}

PredictionError error_of(const Prediction& prediction) {
  const PeakBytes& measured = *prediction.measured;
  const auto relative = [](uint64_t value, uint64_t truth) {
    return static_cast<double>(value) / static_cast<double>(truth) - 1;
  };
  const auto of_change = [](uint64_t value, uint64_t truth,
                            uint64_t base) -> std::optional<double> {
    const auto true_change = static_cast<double>(truth) - static_cast<double>(base);
    if (true_change == 0) return std::nullopt;
    return (static_cast<double>(value) - static_cast<double>(base)) / true_change - 1;
  };
  const PeakBytes& base = prediction.recorded;
  return {relative(prediction.predicted.allocated, measured.allocated),
          relative(prediction.predicted.reserved, measured.reserved),
          of_change(prediction.predicted.allocated, measured.allocated, base.allocated),
          of_change(prediction.predicted.reserved, measured.reserved, base.reserved)};
}

}  // namespace tidemark::analyzer
