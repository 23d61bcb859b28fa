#include <algorithm>
#include <optional>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "../lifetimes.h"
#include "../role_cache.h"
#include "schedule_parts.h"

namespace tidemark::analyzer {
namespace {

// What is known of each distinct stack, once.
class StackTable {
 public:
  StackTable(const trace::Reader& reader, RoleCache& roles, Raw& raw, Schedule& schedule)
      : reader_(reader), roles_(roles), raw_(raw), schedule_(schedule) {
    schedule.operations = {""};
  }
  uint32_t index(trace::StackId stack) {
    const auto [entry, fresh] = indices_.try_emplace(static_cast<int64_t>(stack),
                                                     static_cast<uint32_t>(raw_.stacks.size()));
    if (fresh) add(stack);
    return entry->second;
  }
  // Of Schedule::operations.
  uint32_t operation(uint32_t stack) const { return operation_of_[stack]; }

 private:
  void add(trace::StackId stack) {
    raw_.stacks.push_back(facts_of(reader_.frames(stack)));
    const StackFacts& facts = raw_.stacks.back();
    const std::string& name = facts.node.empty() ? facts.operation : facts.node;
    const auto [entry, fresh] =
        operations_.try_emplace(name, static_cast<uint32_t>(schedule_.operations.size()));
    if (fresh) schedule_.operations.push_back(name);
    operation_of_.push_back(entry->second);
    std::vector<ForwardCall> calls;
    for (const ModuleCall& call : roles_.role(stack).modules) {
      calls.push_back({call.name, call.call_site});
    }
    schedule_.calls.push_back(std::move(calls));
  }

  const trace::Reader& reader_;
  RoleCache& roles_;
  Raw& raw_;
  Schedule& schedule_;
  std::unordered_map<int64_t, uint32_t> indices_;
  std::unordered_map<std::string, uint32_t> operations_{{"", 0}};
  std::vector<uint32_t> operation_of_;
};

// In order of time. Code on the device is left out: it is nobody's to change.
Result<std::vector<trace::Allocation>> rows_of(const trace::Reader& reader, const Series& series) {
  std::vector<trace::Allocation> rows;
  auto read = reader.allocations(filter_for(series), [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      const bool code = row.layer == trace::Layer::kDriver && reader.text(row.api) == "cuda module";
      if (!code) rows.push_back(row);
    }
  });
  if (!read) return tl::unexpected(read.error());
  std::ranges::stable_sort(rows,
                           [](const auto& a, const auto& b) { return a.alloc_ns < b.alloc_ns; });
  return rows;
}

// Gives begin and end their positions. What its process took with it ends never: nothing came
// after.
void place(const std::vector<trace::Allocation>& rows, Schedule& schedule) {
  struct BlockEvent {
    int64_t time_ns;
    bool alloc;
    uint32_t block;
  };
  std::vector<BlockEvent> events;
  for (uint32_t i = 0; i < rows.size(); ++i) {
    events.push_back({rows[i].alloc_ns, true, i});
    if (rows[i].free_ns != trace::kNever) events.push_back({rows[i].free_ns, false, i});
  }
  std::ranges::stable_sort(events, [](const BlockEvent& a, const BlockEvent& b) {
    return std::tie(a.time_ns, a.alloc) < std::tie(b.time_ns, b.alloc);
  });
  int64_t position = 0;
  for (const BlockEvent& event : events) {
    ScheduledBlock& block = schedule.blocks[event.block];
    (event.alloc ? block.begin : block.end) = position;
    schedule.event_ns.push_back(event.time_ns);
    position += Schedule::kStride;
  }
}

// One kernel, copy or set, before positions are known.
struct WorkItem {
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  std::optional<Phase> phase;  // that its stack tells
  std::vector<uint32_t> blocks;
};

class WorkReader {
 public:
  WorkReader(const trace::Reader& reader, const Schedule& schedule, RoleCache& roles)
      : reader_(reader), device_(schedule.series.device), roles_(roles) {
    for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
      index_.emplace(static_cast<int64_t>(schedule.blocks[i].origin), i);
    }
  }

  Result<std::vector<WorkItem>> read() {
    auto done = kernels();
    if (done) done = accesses();
    if (done) done = copies_and_sets();
    if (!done) return tl::unexpected(done.error());
    std::ranges::stable_sort(items_,
                             [](const auto& a, const auto& b) { return a.start_ns < b.start_ns; });
    return std::move(items_);
  }
  // Of the fastest large copy, in bytes a second.
  double link() const { return link_; }

 private:
  WorkItem item(int64_t start_ns, int64_t end_ns, trace::StackId stack) {
    WorkItem item;
    item.start_ns = start_ns;
    item.end_ns = end_ns;
    if (stack != trace::StackId{}) item.phase = roles_.role(stack).phase;
    return item;
  }
  Result<void> kernels() {
    return reader_.kernels([&](std::span<const trace::Kernel> batch) {
      for (const trace::Kernel& row : batch) {
        if (row.device != device_) continue;
        kernel_item_.emplace(row.id, static_cast<uint32_t>(items_.size()));
        items_.push_back(item(row.start_ns, row.end_ns, row.stack));
      }
    });
  }
  Result<void> accesses() {
    return reader_.accesses({}, [&](std::span<const trace::Access> batch) {
      for (const trace::Access& row : batch) {
        const auto item = kernel_item_.find(row.kernel);
        if (item != kernel_item_.end()) add(items_[item->second], row.allocation);
      }
    });
  }
  Result<void> copies_and_sets() {
    auto read = reader_.transfers([&](std::span<const trace::Transfer> batch) {
      for (const trace::Transfer& row : batch) {
        if (row.device != device_) continue;
        note_speed(row);
        WorkItem copy = item(row.start_ns, row.end_ns, row.stack);
        add(copy, row.src_allocation);
        add(copy, row.dst_allocation);
        items_.push_back(std::move(copy));
      }
    });
    if (!read) return read;
    return reader_.memsets([&](std::span<const trace::Memset> batch) {
      for (const trace::Memset& row : batch) {
        if (row.device != device_) continue;
        WorkItem set = item(row.start_ns, row.end_ns, row.stack);
        add(set, row.allocation);
        items_.push_back(std::move(set));
      }
    });
  }
  void note_speed(const trace::Transfer& row) {
    constexpr uint64_t kLarge = uint64_t{1} << 20;
    const bool crosses =
        row.kind == trace::TransferKind::kHtoD || row.kind == trace::TransferKind::kDtoH;
    if (!crosses || row.bytes < kLarge || row.end_ns <= row.start_ns) return;
    const double seconds = static_cast<double>(row.end_ns - row.start_ns) / 1e9;
    link_ = std::max(link_, static_cast<double>(row.bytes) / seconds);
  }
  void add(WorkItem& item, trace::AllocationId id) {
    const auto found = index_.find(static_cast<int64_t>(id));
    if (found != index_.end() &&
        std::ranges::find(item.blocks, found->second) == item.blocks.end()) {
      item.blocks.push_back(found->second);
    }
  }

  const trace::Reader& reader_;
  int16_t device_;
  RoleCache& roles_;
  std::unordered_map<int64_t, uint32_t> index_;
  std::unordered_map<int64_t, uint32_t> kernel_item_;
  std::vector<WorkItem> items_;
  double link_ = 0;
};

// What no frame places belongs where the newest of its blocks was made.
Phase phase_of(const WorkItem& item, const Schedule& schedule) {
  if (item.phase && *item.phase != Phase::kOther) return *item.phase;
  if (item.blocks.empty()) return Phase::kForward;
  const Phase newest = schedule.blocks[*std::ranges::max_element(item.blocks)].phase;
  return newest == Phase::kSetup ? Phase::kForward : newest;
}

// Work is launched after the last allocation that it uses, and in order: positions never go back.
void add_work(const std::vector<WorkItem>& items, Raw& raw, Schedule& schedule) {
  int64_t position = 0;
  for (const WorkItem& item : items) {
    DeviceWork work;
    work.start_ns = item.start_ns;
    work.end_ns = item.end_ns;
    work.first_block = static_cast<uint32_t>(schedule.work_blocks.size());
    work.blocks = static_cast<uint32_t>(item.blocks.size());
    work.phase = phase_of(item, schedule);
    const auto index = static_cast<uint32_t>(schedule.work.size());
    for (const uint32_t block : item.blocks) {
      position = std::max(position, schedule.blocks[block].begin);
      Raw::Block& facts = raw.blocks[block];
      if (facts.first_work == Raw::kNone) facts.first_work = index;
      facts.last_work = index;
    }
    work.position = position;
    schedule.work_blocks.insert(schedule.work_blocks.end(), item.blocks.begin(), item.blocks.end());
    schedule.work.push_back(work);
  }
}

// What backward reads of what forward made, and what the optimizer works on.
void note_uses(Schedule& schedule) {
  // Where no work is known every parameter counts as trained.
  std::vector<bool> optimized(schedule.blocks.size(), schedule.work.empty());
  for (const DeviceWork& work : schedule.work) {
    for (const uint32_t i : schedule.blocks_of(work)) {
      ScheduledBlock& block = schedule.blocks[i];
      if (work.phase == Phase::kBackward) block.saved |= block.phase == Phase::kForward;
      if (work.phase == Phase::kOptimizer) optimized[i] = true;
    }
  }
  for (size_t i = 0; i < schedule.blocks.size(); ++i) {
    ScheduledBlock& block = schedule.blocks[i];
    block.trained = block.category == Category::kParameter && optimized[i];
  }
}

// The optimizer begins once backward has given back what it held for itself: its first kernel's
// arguments only say that it comes after the last allocation.
void begin_optimizers_behind_backward(Schedule& schedule) {
  constexpr uint32_t kNobody = std::numeric_limits<uint32_t>::max();
  std::vector<uint32_t> freed(schedule.event_ns.size(), kNobody);  // by each event
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    const int64_t end = schedule.blocks[i].end;
    if (end != ScheduledBlock::kForever) freed[static_cast<size_t>(end / Schedule::kStride)] = i;
  }
  for (ScheduledStep& step : schedule.iterations) {
    if (step.optimizer >= step.end) continue;
    auto event = static_cast<size_t>(step.optimizer / Schedule::kStride) + 1;
    for (; event < freed.size() && freed[event] != kNobody; ++event) {
      const ScheduledBlock& block = schedule.blocks[freed[event]];
      const bool of_pass = block.phase == Phase::kBackward || block.phase == Phase::kForward;
      if (!of_pass || block.category == Category::kGradient || block.category == Category::kInput) {
        break;
      }
      step.optimizer = static_cast<int64_t>(event) * Schedule::kStride + 1;
    }
  }
}

// The iterations of the structure in positions. A pass begins with the first block or work of it.
void place_iterations(const Structure& structure, const Raw& raw, Schedule& schedule) {
  const auto position_at = [&](int64_t time_ns) {
    const auto block = std::ranges::lower_bound(raw.blocks, time_ns, {}, &Raw::Block::alloc_ns);
    if (block == raw.blocks.end()) return ScheduledBlock::kForever;
    return schedule.blocks[static_cast<size_t>(block - raw.blocks.begin())].begin;
  };
  // The last iteration ends behind the last event: transforms put more behind it and count on.
  const int64_t behind_all = static_cast<int64_t>(schedule.event_ns.size() + 1) * Schedule::kStride;
  for (const Iteration& found : structure.iterations) {
    ScheduledStep step;
    step.begin = position_at(found.begin_ns);
    step.end = std::min(position_at(found.end_ns), behind_all);
    if (step.begin >= step.end) continue;
    step.begin_ns = found.begin_ns;
    step.end_ns = found.end_ns;
    step.backward = step.optimizer = step.end;
    schedule.iterations.push_back(step);
  }
  const auto number_at = [&](int64_t position) {
    const auto after =
        std::ranges::upper_bound(schedule.iterations, position, {}, &ScheduledStep::begin);
    if (after == schedule.iterations.begin() || position >= std::prev(after)->end) return 0U;
    return static_cast<uint32_t>(after - schedule.iterations.begin());
  };
  const auto note = [&](uint32_t number, Phase phase, int64_t position) {
    if (number == 0) return;
    ScheduledStep& step = schedule.iterations[number - 1];
    if (phase == Phase::kBackward) step.backward = std::min(step.backward, position);
    if (phase == Phase::kOptimizer) step.optimizer = std::min(step.optimizer, position);
  };
  for (ScheduledBlock& block : schedule.blocks) {
    block.iteration = number_at(block.begin);
    if (block.iteration == 0) block.phase = Phase::kSetup;
    note(block.iteration, block.phase, block.begin);
  }
  for (DeviceWork& work : schedule.work) {
    work.iteration = number_at(work.position);
    if (work.iteration == 0) work.phase = Phase::kSetup;
    note(work.iteration, work.phase, work.position + 1);
  }
  begin_optimizers_behind_backward(schedule);
}

Result<void> read_segments(const trace::Reader& reader, const Series& series, Raw& raw) {
  if (series.layer != trace::Layer::kPool) return {};
  const Series driver{trace::Layer::kDriver, series.space, series.device};
  return reader.allocations(filter_for(driver), [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (reader.text(row.source).find("libc10_cuda") == std::string::npos) {
        if (row.free_ns == trace::kNever) raw.beside_pool_bytes += row.size;
        continue;
      }
      raw.segments.push_back({row.address, row.size, row.alloc_ns, row.free_ns});
    }
  });
}

}  // namespace

Result<Raw> read_schedule(const trace::Reader& reader, const Structure& structure,
                          const SeriesBlocks& known, Schedule& schedule) {
  const auto rows = rows_of(reader, schedule.series);
  if (!rows) return tl::unexpected(rows.error());
  Raw raw;
  RoleCache roles(reader);
  StackTable stacks(reader, roles, raw, schedule);
  for (const trace::Allocation& row : *rows) {
    const CategoryBlock* told = known.find(row.id);
    ScheduledBlock block;
    block.bytes = row.size;
    block.origin = row.id;
    block.phase = Phase::kForward;
    if (told != nullptr) {
      if (told->place.phase != Phase::kOther) block.phase = told->place.phase;
      block.category = told->category;
    }
    block.stack = stacks.index(row.alloc_stack);
    block.operation = stacks.operation(block.stack);
    block.transposed_weight = raw.stacks[block.stack].transposed_weight;
    schedule.blocks.push_back(block);
    raw.blocks.push_back(
        {row.address, row.size, row.alloc_ns, block.stack, Raw::kNone, Raw::kNone});
  }
  place(*rows, schedule);
  if (schedule.series.space == trace::Space::kDevice) {
    WorkReader work(reader, schedule, roles);
    const auto items = work.read();
    if (!items) return tl::unexpected(items.error());
    schedule.link_bytes_per_second = work.link();
    add_work(*items, raw, schedule);
  }
  place_iterations(structure, raw, schedule);
  note_uses(schedule);
  const auto read = read_segments(reader, schedule.series, raw);
  if (!read) return tl::unexpected(read.error());
  return raw;
}

}  // namespace tidemark::analyzer
