#include "tidemark/viewer/forecast.h"

#include <algorithm>
#include <tuple>

namespace tidemark::viewer {
namespace {

using analyzer::Schedule;
using analyzer::ScheduledBlock;
using analyzer::UsagePoint;

constexpr uint64_t kMiB = uint64_t{1} << 20;

struct Event {
  int64_t position = 0;
  bool allocates = false;
  uint32_t block = 0;
};

std::vector<Event> events_of(const Schedule& schedule) {
  std::vector<Event> events;
  events.reserve(2 * schedule.blocks.size());
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    const ScheduledBlock& block = schedule.blocks[i];
    if (block.bytes == 0 || block.end <= block.begin) continue;
    events.push_back({block.begin, true, i});
    if (block.end != ScheduledBlock::kForever) events.push_back({block.end, false, i});
  }
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    return std::tie(a.position, a.allocates, a.block) < std::tie(b.position, b.allocates, b.block);
  });
  return events;
}

// Points of one moment become one: its highest value, lest the peak be lost.
void add(std::vector<UsagePoint>* points, int64_t time_ns, uint64_t bytes, int64_t* pending) {
  const auto value = static_cast<int64_t>(bytes);
  if (!points->empty() && points->back().time_ns >= time_ns) {
    points->back().bytes = std::max(points->back().bytes, value);
    *pending = value;
    return;
  }
  // What a moment ended with holds from the next nanosecond on.
  if (!points->empty() && points->back().bytes != *pending &&
      points->back().time_ns + 1 < time_ns) {
    points->push_back({points->back().time_ns + 1, *pending});
  }
  points->push_back({time_ns, value});
  *pending = value;
}

Result<void> draw_curves(const Schedule& schedule, Forecast* result) {
  const std::string& chosen = result->choice.allocator;
  auto model = analyzer::make_allocator(chosen.empty() ? schedule.allocator : chosen);
  if (!model) return tl::unexpected(model.error());
  std::vector<analyzer::BlockHandle> handles(schedule.blocks.size());
  int64_t allocated_then = 0;
  int64_t reserved_then = 0;
  for (const Event& event : events_of(schedule)) {
    if (event.allocates) {
      const auto handle = (*model)->allocate(schedule.blocks[event.block].bytes, 0);
      if (!handle) return fail("the allocator's model has no room: choose another allocator");
      handles[event.block] = *handle;
    } else {
      (*model)->free(handles[event.block]);
    }
    const int64_t now = schedule.time_at(event.position);
    add(&result->allocated, now, (*model)->allocated_bytes(), &allocated_then);
    add(&result->reserved, now, (*model)->reserved_bytes(), &reserved_then);
  }
  return {};
}

// Of WhatIfChoice::quantize; none where it is not one of these alone.
std::optional<int> quantize_choice(const analyzer::WhatIf& what) {
  if (!what.quantize) return 0;
  const analyzer::Quantization& bits = *what.quantize;
  const analyzer::WeightBits usual;
  const bool weights =
      bits.weights && bits.weights->bits == usual.bits && bits.weights->group == usual.group;
  if (bits.gradients || (bits.weights && !weights)) return std::nullopt;
  if (int{bits.activations} + int{weights} + int{bits.optimizer} != 1) return std::nullopt;
  return bits.activations ? 1 : weights ? 2 : 3;
}

}  // namespace

bool WhatIfChoice::changes_nothing() const { return to_whatif(*this).changes_nothing(); }

bool WhatIfChoice::same_changes(const WhatIfChoice& other) const {
  WhatIfChoice same = *this;
  same.capacity = other.capacity;
  return same == other;
}

analyzer::WhatIf to_whatif(const WhatIfChoice& choice) {
  analyzer::WhatIf what;
  what.batch = choice.batch;
  if (choice.checkpoint) {
    what.checkpoint.emplace();
    what.checkpoint->every = choice.checkpoint_every;
    if (choice.checkpoint_fit > 0) what.checkpoint->fit = choice.checkpoint_fit;
  }
  if (choice.precision == 1) what.precision = analyzer::Precision::kBfloat16;
  if (choice.precision == 2) what.precision = analyzer::Precision::kFloat16;
  if (choice.precision == 3) what.autocast = analyzer::Precision::kBfloat16;
  if (choice.precision == 4) what.autocast = analyzer::Precision::kFloat16;
  if (choice.optimizer > 0) {
    what.optimizer = static_cast<analyzer::OptimizerKind>(choice.optimizer - 1);
  }
  what.sequence = choice.sequence;
  what.lora = choice.lora;
  what.low_rank = choice.low_rank;
  if (choice.prune > 0) what.prune = analyzer::Pruning{choice.prune, true};
  if (choice.quantize == 1) what.quantize.emplace().activations = true;
  if (choice.quantize == 2) what.quantize.emplace().weights.emplace();
  if (choice.quantize == 3) what.quantize.emplace().optimizer = true;
  if (choice.shard_stage >= 0) {
    what.shard = analyzer::Sharding{static_cast<uint32_t>(choice.shard_stage), choice.shard_ranks};
  }
  if (choice.offload > 0) what.offload = static_cast<analyzer::Offload>(choice.offload - 1);
  what.accumulate = choice.accumulate;
  what.keep_gradients = choice.keep_gradients;
  what.fuse_backward = choice.fuse_backward;
  what.allocator = choice.allocator;
  return what;
}

std::optional<WhatIfChoice> from_whatif(const analyzer::WhatIf& what, int16_t device) {
  const std::optional<int> quantize = quantize_choice(what);
  const bool beyond =
      !quantize || (what.prune && !what.prune->structured) || what.freeze || what.inference ||
      what.pipeline || what.tensor_parallel > 1 || (what.precision && what.autocast) ||
      (what.checkpoint && (!what.checkpoint->module.empty() || !what.checkpoint->only.empty()));
  if (beyond) return std::nullopt;
  WhatIfChoice choice;
  choice.device = device;
  choice.batch = what.batch;
  choice.sequence = what.sequence;
  choice.checkpoint = what.checkpoint.has_value();
  if (what.checkpoint) {
    choice.checkpoint_every = what.checkpoint->every;
    choice.checkpoint_fit = what.checkpoint->fit.value_or(0);
  }
  if (what.precision) {
    choice.precision = *what.precision == analyzer::Precision::kBfloat16 ? 1 : 2;
  }
  if (what.autocast) choice.precision = *what.autocast == analyzer::Precision::kBfloat16 ? 3 : 4;
  if (what.optimizer) choice.optimizer = static_cast<int>(*what.optimizer) + 1;
  choice.accumulate = what.accumulate;
  choice.keep_gradients = what.keep_gradients;
  choice.fuse_backward = what.fuse_backward;
  choice.lora = what.lora;
  choice.low_rank = what.low_rank;
  choice.prune = what.prune ? what.prune->share : 0;
  choice.quantize = *quantize;
  if (what.shard) {
    choice.shard_stage = static_cast<int>(what.shard->stage);
    choice.shard_ranks = what.shard->world;
  }
  if (what.offload) choice.offload = static_cast<int>(*what.offload) + 1;
  choice.allocator = what.allocator;
  return choice;
}

Forecast forecast(const Schedule& schedule, const WhatIfChoice& choice) {
  Forecast result;
  result.choice = choice;
  result.series = schedule.series;
  const analyzer::WhatIf what = to_whatif(choice);
  analyzer::Capacity capacity;
  if (choice.capacity > 0) capacity = choice.capacity;
  auto prediction = analyzer::predict(schedule, what, capacity);
  if (!prediction) {
    result.error = prediction.error().message;
    return result;
  }
  result.prediction = std::move(*prediction);
  const auto changed = analyzer::change(schedule, what);
  const auto done =
      changed ? draw_curves(changed->schedule, &result) : tl::unexpected(changed.error());
  if (!done) result.error = done.error().message;
  result.allocated_pyramid = PeakPyramid(result.allocated);
  result.reserved_pyramid = PeakPyramid(result.reserved);
  return result;
}

const std::vector<Card>& known_cards() {
  static const std::vector<Card> cards = {
      {"GTX 1650 (4 GiB)", 4096 * kMiB},   {"RTX 3050 (8 GiB)", 8192 * kMiB},
      {"RTX 3060 (12 GiB)", 12288 * kMiB}, {"RTX 4080 (16 GiB)", 16376 * kMiB},
      {"T4 (15 GiB)", 15360 * kMiB},       {"RTX 3090 / 4090 (24 GiB)", 24564 * kMiB},
      {"L4 (22.5 GiB)", 23034 * kMiB},     {"A10G (22 GiB)", 23028 * kMiB},
      {"RTX 5090 (32 GiB)", 32607 * kMiB}, {"V100 (32 GiB)", 32768 * kMiB},
      {"A100 (40 GiB)", 40960 * kMiB},     {"L40S (45 GiB)", 46068 * kMiB},
      {"A100 (80 GiB)", 81920 * kMiB},     {"H100 (80 GiB)", 81559 * kMiB},
      {"H200 (141 GB)", 143771 * kMiB},    {"B200 (180 GiB)", 183359 * kMiB}};
  return cards;
}

}  // namespace tidemark::viewer
