#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

#include "../role_cache.h"
#include "schedule_parts.h"

namespace tidemark::analyzer {
namespace {

class FactsTable {
 public:
  FactsTable(const trace::Reader& reader, Raw& raw) : reader_(reader), raw_(raw) {}
  uint32_t index(trace::StackId stack) {
    const auto [entry, fresh] = indices_.try_emplace(static_cast<int64_t>(stack),
                                                     static_cast<uint32_t>(raw_.stacks.size()));
    if (fresh) raw_.stacks.push_back(facts_of(reader_.frames(stack)));
    return entry->second;
  }

 private:
  const trace::Reader& reader_;
  Raw& raw_;
  std::unordered_map<int64_t, uint32_t> indices_;
};

// What no frame places belongs to the forward pass: inputs, losses, metrics.
Phase or_forward(std::optional<Phase> phase) {
  const bool told = phase == Phase::kBackward || phase == Phase::kOptimizer;
  return told ? *phase : Phase::kForward;
}

std::vector<trace::Allocation> pool_rows(const trace::Reader& reader, int16_t device,
                                         Result<void>& read) {
  trace::AllocationFilter filter;
  filter.layer = trace::Layer::kPool;
  filter.space = trace::Space::kDevice;
  filter.device = device;
  std::vector<trace::Allocation> rows;
  read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    rows.insert(rows.end(), batch.begin(), batch.end());
  });
  std::ranges::stable_sort(rows,
                           [](const auto& a, const auto& b) { return a.alloc_ns < b.alloc_ns; });
  return rows;
}

// Gives begin and end their positions. What its process took with it ends never: nothing came
// after.
void place(const std::vector<trace::Allocation>& rows, Schedule& schedule) {
  struct Event {
    int64_t time_ns;
    bool alloc;
    uint32_t block;
  };
  std::vector<Event> events;
  for (uint32_t i = 0; i < rows.size(); ++i) {
    events.push_back({rows[i].alloc_ns, true, i});
    if (rows[i].free_ns != trace::kNever) events.push_back({rows[i].free_ns, false, i});
  }
  std::ranges::stable_sort(events, [](const Event& a, const Event& b) {
    return std::tie(a.time_ns, a.alloc) < std::tie(b.time_ns, b.alloc);
  });
  int64_t position = 0;
  for (const Event& event : events) {
    ScheduledBlock& block = schedule.blocks[event.block];
    (event.alloc ? block.begin : block.end) = position;
    position += Schedule::kStride;
  }
}

// One kernel, copy or set, before positions are known.
struct WorkItem {
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  uint32_t stack = Raw::kNone;
  Phase phase = Phase::kForward;
  bool from_host = false;
  std::vector<uint32_t> blocks;
};

class WorkReader {
 public:
  WorkReader(const trace::Reader& reader, const Schedule& schedule, FactsTable& facts,
             RoleCache& roles)
      : reader_(reader), device_(schedule.device), facts_(facts), roles_(roles) {
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

 private:
  WorkItem item(int64_t start_ns, int64_t end_ns, trace::StackId stack) {
    WorkItem item;
    item.start_ns = start_ns;
    item.end_ns = end_ns;
    if (stack == trace::StackId{}) return item;
    item.stack = facts_.index(stack);
    item.phase = or_forward(roles_.role(stack).phase);
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
        WorkItem copy = item(row.start_ns, row.end_ns, row.stack);
        copy.from_host = row.kind == trace::TransferKind::kHtoD;
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
  void add(WorkItem& item, trace::AllocationId id) {
    const auto found = index_.find(static_cast<int64_t>(id));
    if (found != index_.end() &&
        std::ranges::find(item.blocks, found->second) == item.blocks.end()) {
      item.blocks.push_back(found->second);
    }
  }

  const trace::Reader& reader_;
  int16_t device_;
  FactsTable& facts_;
  RoleCache& roles_;
  std::unordered_map<int64_t, uint32_t> index_;
  std::unordered_map<int64_t, uint32_t> kernel_item_;
  std::vector<WorkItem> items_;
};

// Work is launched after the last allocation that it uses, and in order: positions never go back.
void add_work(std::vector<WorkItem> items, Raw& raw, Schedule& schedule) {
  int64_t position = 0;
  for (WorkItem& item : items) {
    DeviceWork work;
    work.start_ns = item.start_ns;
    work.end_ns = item.end_ns;
    work.first_block = static_cast<uint32_t>(schedule.work_blocks.size());
    work.blocks = static_cast<uint32_t>(item.blocks.size());
    work.phase = item.phase;
    const auto index = static_cast<uint32_t>(schedule.work.size());
    for (const uint32_t block : item.blocks) {
      position = std::max(position, schedule.blocks[block].begin);
      Raw::Block& facts = raw.blocks[block];
      if (facts.first_work == Raw::kNone) facts.first_work = index;
      facts.last_work = index;
      if (work.phase == Phase::kBackward) {
        schedule.blocks[block].saved |= schedule.blocks[block].phase == Phase::kForward;
      }
    }
    work.position = position;
    schedule.work_blocks.insert(schedule.work_blocks.end(), item.blocks.begin(), item.blocks.end());
    schedule.work.push_back(work);
    raw.work_stack.push_back(item.stack);
    raw.work_from_host.push_back(item.from_host);
  }
}

Result<void> read_segments(const trace::Reader& reader, int16_t device, Raw& raw) {
  trace::AllocationFilter filter;
  filter.layer = trace::Layer::kDriver;
  filter.space = trace::Space::kDevice;
  filter.device = device;
  return reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
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

Result<Raw> read_schedule(const trace::Reader& reader, Schedule& schedule) {
  Result<void> read;
  const auto rows = pool_rows(reader, schedule.device, read);
  if (!read) return tl::unexpected(read.error());
  if (rows.empty()) {
    return fail(fmt::format(
        "{}: no framework's pool on device {} was recorded; tidemark info lists what was",
        reader.path(), schedule.device));
  }
  Raw raw;
  FactsTable facts(reader, raw);
  std::unordered_map<std::string, uint32_t> operations{{"", 0}};
  schedule.operations = {""};
  RoleCache roles(reader);
  for (const trace::Allocation& row : rows) {
    const uint32_t stack = facts.index(row.alloc_stack);
    const StackFacts& known = raw.stacks[stack];
    ScheduledBlock block;
    block.bytes = row.size;
    block.origin = row.id;
    block.phase = or_forward(roles.phase_of(row.alloc_stack, row.thread));
    const std::string& name = known.node.empty() ? known.operation : known.node;
    const auto [entry, fresh] =
        operations.try_emplace(name, static_cast<uint32_t>(schedule.operations.size()));
    if (fresh) schedule.operations.push_back(name);
    block.operation = entry->second;
    block.stack = stack;
    schedule.blocks.push_back(block);
    raw.blocks.push_back({row.address, row.size, row.alloc_ns, stack, Raw::kNone, Raw::kNone});
  }
  place(rows, schedule);
  auto items = WorkReader(reader, schedule, facts, roles).read();
  if (!items) return tl::unexpected(items.error());
  add_work(std::move(*items), raw, schedule);
  read = read_segments(reader, schedule.device, raw);
  if (!read) return tl::unexpected(read.error());
  return raw;
}

}  // namespace tidemark::analyzer
