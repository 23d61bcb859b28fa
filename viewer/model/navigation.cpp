#include "tidemark/viewer/navigation.h"

#include <algorithm>

namespace tidemark::viewer {
namespace {

struct Found {
  const SliceLane* lane = nullptr;
  size_t index = SliceLane::npos;
};

Found find_operation(const Choice& choice, const Activity& activity) {
  for (const StreamTrack& stream : activity.streams) {
    const auto& slices = stream.lane.slices();
    auto slice =
        std::lower_bound(slices.begin(), slices.end(), choice.operation_ns,
                         [](const Slice& item, int64_t time) { return item.begin_ns < time; });
    for (; slice != slices.end() && slice->begin_ns == choice.operation_ns; ++slice) {
      if (slice->id == choice.operation && slice->kind == choice.operation_kind) {
        return {&stream.lane, static_cast<size_t>(slice - slices.begin())};
      }
    }
  }
  return {};
}

// The copy that began then on the device; nothing is chosen where it is not kept.
Choice copy_at(const Activity& activity, int16_t device, int64_t begin_ns) {
  Choice choice;
  for (const StreamTrack& stream : activity.streams) {
    if (stream.device != device) continue;
    for (const Slice& slice : stream.lane.slices_from(begin_ns)) {
      if (slice.begin_ns != begin_ns) break;
      if (slice.kind == SliceKind::kKernel || slice.kind == SliceKind::kSet) continue;
      choice.operation = slice.id;
      choice.operation_kind = slice.kind;
      choice.operation_ns = slice.begin_ns;
      return choice;
    }
  }
  return choice;
}

}  // namespace

std::optional<TimeRange> chosen_span(const ViewState& state, const Activity* activity) {
  if (activity == nullptr) return std::nullopt;
  const Choice& choice = state.choice;
  if (choice.block != trace::AllocationId{}) {
    const BlockMap* map = activity->map_of(choice.block_series);
    const Bar* bar = map == nullptr ? nullptr : map->find(choice.block);
    if (bar != nullptr) return TimeRange{bar->begin_ns, bar->end_ns};
  }
  if (choice.operation != 0) {
    const Found found = find_operation(choice, *activity);
    if (found.lane != nullptr) {
      const Slice& slice = found.lane->slices()[found.index];
      return TimeRange{slice.begin_ns, std::max(slice.end_ns, slice.begin_ns + 1)};
    }
  }
  return std::nullopt;
}

void step(ViewState& state, const Document& document, const Activity* activity, bool forward) {
  if (state.choice.operation != 0 && activity != nullptr) {
    const Found found = find_operation(state.choice, *activity);
    if (found.lane == nullptr) return;
    const size_t count = found.lane->slices().size();
    if (forward ? found.index + 1 >= count : found.index == 0) return;
    const Slice& slice = found.lane->slices()[forward ? found.index + 1 : found.index - 1];
    Choice choice;
    choice.operation = slice.id;
    choice.operation_kind = slice.kind;
    choice.operation_ns = slice.begin_ns;
    state.choose(choice);
    state.set_cursor(slice.begin_ns);
    state.axis.reveal(slice.begin_ns);
    return;
  }
  if (state.choice.block != trace::AllocationId{} && activity != nullptr) {
    const BlockMap* map = activity->map_of(state.choice.block_series);
    const Bar* bar = map == nullptr ? nullptr : map->find(state.choice.block);
    const Bar* next = bar == nullptr ? nullptr : map->neighbour(*bar, forward);
    if (next == nullptr) return;
    Choice choice = state.choice;
    choice.block = next->id;
    choice.block_ns = next->begin_ns;
    state.choose(choice);
    state.set_cursor(next->begin_ns);
    state.axis.reveal(next->begin_ns);
    return;
  }
  state.step_cursor(document, forward);
}

void jump_to(ViewState& state, const Choice& choice, int64_t begin_ns, int64_t end_ns) {
  state.remember();
  state.choose(choice);
  if (choice.block != trace::AllocationId{}) state.select(choice.block_series);
  state.set_cursor(begin_ns);
  const double length = static_cast<double>(end_ns == trace::kNever ? 0 : end_ns - begin_ns);
  // So short that it could not be seen: closer, until it can.
  constexpr double kSeen = 0.004;
  if (length > 0 && length < state.axis.span_ns() * kSeen) {
    const auto margin = static_cast<int64_t>(length * 20) + 1;
    state.axis.frame(begin_ns - margin, end_ns + margin);
  }
  state.axis.reveal(begin_ns);
  state.remember();
}

void show_finding(ViewState& state, const Document& document, const Activity* activity,
                  const analyzer::Finding& finding) {
  if (!finding.example) {
    state.remember();
    state.choose({});
    state.select(finding.series);
    state.go_to_peak(document);
    state.remember();
    return;
  }
  const analyzer::Example& example = *finding.example;
  Choice choice;
  if (example.block != trace::AllocationId{}) {
    choice.block = example.block;
    choice.block_series = finding.series;
    choice.block_ns = example.begin_ns;
    // The device may come to a use after the block was freed: its birth is a moment of its life.
    const BlockMap* map = activity == nullptr ? nullptr : activity->map_of(finding.series);
    const Bar* bar = map == nullptr ? nullptr : map->find(example.block);
    if (bar != nullptr) choice.block_ns = bar->begin_ns;
  } else if (activity != nullptr && example.end_ns > example.begin_ns) {
    choice = copy_at(*activity, finding.series.device, example.begin_ns);
  }
  jump_to(state, choice, example.begin_ns, example.end_ns);
  state.select(finding.series);
  state.remember();
}

}  // namespace tidemark::viewer
