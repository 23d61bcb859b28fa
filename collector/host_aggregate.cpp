#include "host_aggregate.h"

#include <algorithm>

namespace tidemark::collector {
namespace {

// How long an event may take from its stamp until it is here, at most: a producer loses its core
// between stamping and publishing; the end of a process is noticed late.
constexpr int64_t kDisorderNs = 1'000'000'000;
constexpr size_t kMostEvents = size_t{1} << 20;
// A realloc that failed takes its free back at once, but others may have freed in between.
constexpr size_t kRememberedEnds = 4096;

size_t index_of(trace::Layer layer) { return layer == trace::Layer::kHeap ? 1 : 0; }

constexpr trace::Layer kLayerAt[] = {trace::Layer::kOs, trace::Layer::kHeap};

}  // namespace

uint32_t HostAggregate::process_index(trace::ProcessId id) {
  const auto [it, fresh] = process_indexes_.emplace(id, static_cast<uint32_t>(processes_.size()));
  if (fresh) {
    processes_.push_back({id, false, {}, {Scope(kProcessSlots), Scope(kProcessSlots)}});
  }
  return it->second;
}

uint32_t HostAggregate::group_of(const trace::Allocation& row) {
  const uint32_t process = process_index(row.process);
  const Key key{process, row.layer, row.alloc_stack, row.api};
  const auto [it, fresh] = group_indexes_.insert({key, static_cast<uint32_t>(groups_.size())});
  if (fresh) {
    Group group{};
    group.process = process;
    group.layer = row.layer;
    group.stack = row.alloc_stack;
    group.api = row.api;
    groups_.push_back(group);
    processes_[process].groups.push_back(it->second);
  }
  return it->second;
}

void HostAggregate::begin(trace::AllocationId id, const trace::Allocation& row) {
  const uint32_t index = group_of(row);
  Group& group = groups_[index];
  ++group.allocations;
  group.allocated_bytes += row.size;
  live_.insert_or_assign(id, Live{index, row.thread, row.size, row.alloc_ns});
  if (row.layer == trace::Layer::kHeap) {
    last_of_thread_.insert_or_assign(static_cast<int64_t>(row.thread), id);
  }
  push({row.alloc_ns, row.size, index, Kind::kBegin});
}

void HostAggregate::end(trace::AllocationId id, int64_t free_ns) {
  const auto found = live_.find(id);
  if (found == live_.end()) return;
  const Live live = found->second;
  live_.erase(id);
  Group& group = groups_[live.group];
  ++group.frees;
  group.freed_bytes += live.bytes;
  const auto last = last_of_thread_.find(static_cast<int64_t>(live.thread));
  const bool temporary =
      group.layer == trace::Layer::kHeap && last != last_of_thread_.end() && last->second == id;
  if (temporary) ++group.temporary;
  // Not before it began, whatever a target's clock says.
  const int64_t time_ns = std::max(free_ns, live.alloc_ns);
  const Ended ended{id, live, time_ns, temporary};
  if (ended_.size() < kRememberedEnds) {
    ended_.push_back(ended);
  } else {
    ended_[ended_at_] = ended;
  }
  ended_at_ = (ended_at_ + 1) % kRememberedEnds;
  push({time_ns, live.bytes, live.group, Kind::kEnd});
}

void HostAggregate::revive(trace::AllocationId id) {
  const auto found = std::find_if(ended_.begin(), ended_.end(),
                                  [&](const Ended& ended) { return ended.id == id; });
  if (found == ended_.end()) {
    ++lost_revivals_;
    return;
  }
  Ended& ended = *found;
  Group& group = groups_[ended.live.group];
  --group.frees;
  group.freed_bytes -= ended.live.bytes;
  if (ended.temporary) --group.temporary;
  live_.insert_or_assign(id, ended.live);
  ended.id = trace::AllocationId{};
  // As if the end had not been, where it is not summed yet; else from now on.
  const auto waiting = std::find_if(events_.rbegin(), events_.rend(), [&](const Event& event) {
    return event.kind == Kind::kEnd && event.time_ns == ended.free_ns &&
           event.target == ended.live.group && event.bytes == ended.live.bytes;
  });
  if (waiting != events_.rend()) {
    events_.erase(std::next(waiting).base());
  } else {
    push({latest_ns_, ended.live.bytes, ended.live.group, Kind::kBegin});
  }
}

void HostAggregate::end_process(trace::ProcessId process, int64_t end_ns) {
  push({end_ns, 0, process_index(process), Kind::kEndProcess});
}

void HostAggregate::push(const Event& event) {
  latest_ns_ = std::max(latest_ns_, event.time_ns);
  events_.push_back(event);
  if (event.time_ns < settled_ns_) {
    events_.back().time_ns = settled_ns_;
    ++late_;
  }
  if (events_.size() < kMostEvents) return;
  settle();
  // So many in so short a time: the older half has waited long enough.
  if (events_.size() > kMostEvents / 2) settle_until(events_[events_.size() / 2].time_ns);
}

void HostAggregate::settle() { settle_until(latest_ns_ - kDisorderNs); }

void HostAggregate::settle_all() { settle_until(INT64_MAX); }

void HostAggregate::settle_until(int64_t time_ns) {
  const auto before = [](const Event& a, const Event& b) {
    return a.time_ns != b.time_ns ? a.time_ns < b.time_ns : a.kind < b.kind;
  };
  if (!std::is_sorted(events_.begin(), events_.end(), before)) {
    std::sort(events_.begin(), events_.end(), before);
  }
  size_t at = 0;
  while (at < events_.size() && events_[at].time_ns < time_ns) {
    size_t end = at;
    while (end < events_.size() && events_[end].time_ns == events_[at].time_ns) ++end;
    settle_instant({events_.data() + at, end - at});
    settled_ns_ = events_[at].time_ns + 1;
    at = end;
  }
  events_.erase(events_.begin(), events_.begin() + static_cast<std::ptrdiff_t>(at));
}

void HostAggregate::settle_instant(std::span<const Event> events) {
  for (const Event& event : events) apply(event);
  for (Scope* scope : changed_) close_instant(*scope, events.front().time_ns);
  changed_.clear();
}

void HostAggregate::apply(const Event& event) {
  if (event.kind == Kind::kEndProcess) {
    end_groups(processes_[event.target]);
    return;
  }
  Group& group = groups_[event.target];
  if (processes_[group.process].ended) return;
  const auto bytes = static_cast<int64_t>(event.bytes);
  if (event.kind == Kind::kEnd) {
    change(group, -bytes, -1);
  } else {
    change(group, bytes, 1);
    group.peak_bytes = std::max(group.peak_bytes, group.live.bytes);
  }
}

void HostAggregate::end_groups(Process& process) {
  if (process.ended) return;
  for (const uint32_t index : process.groups) {
    Group& group = groups_[index];
    change(group, -group.live.bytes, -group.live.count);
  }
  process.ended = true;
}

void HostAggregate::change(Group& group, int64_t bytes, int64_t count) {
  const auto touch = [&](Scope& scope, AtPeak& at_peak) {
    if (at_peak.epoch != scope.epoch) at_peak = {group.live, scope.epoch};
    scope.live.bytes += bytes;
    scope.live.count += count;
    if (!scope.changed) changed_.push_back(&scope);
    scope.changed = true;
  };
  const size_t layer = index_of(group.layer);
  touch(scopes_[layer], group.at_peak);
  touch(processes_[group.process].scopes[layer], group.at_process_peak);
  group.live.bytes += bytes;
  group.live.count += count;
}

void HostAggregate::close_instant(Scope& scope, int64_t time_ns) {
  scope.changed = false;
  scope.curve.add({time_ns, scope.live.bytes, scope.live.count});
  if (scope.live.bytes <= scope.peak_bytes) return;
  scope.peak_bytes = scope.live.bytes;
  ++scope.epoch;
}

std::vector<trace::HostTotal> HostAggregate::totals() const {
  std::vector<trace::HostTotal> totals;
  totals.reserve(groups_.size());
  const auto at = [](const Scope& scope, const AtPeak& at_peak, const Group& group) {
    return at_peak.epoch == scope.epoch ? at_peak.sum : group.live;
  };
  for (const Group& group : groups_) {
    const Process& process = processes_[group.process];
    const size_t layer = index_of(group.layer);
    const Sum peak = at(scopes_[layer], group.at_peak, group);
    const Sum process_peak = at(process.scopes[layer], group.at_process_peak, group);
    trace::HostTotal total;
    total.process = process.id;
    total.layer = group.layer;
    total.stack = group.stack;
    total.api = group.api;
    total.allocations = group.allocations;
    total.allocated_bytes = group.allocated_bytes;
    total.frees = group.frees;
    total.freed_bytes = group.freed_bytes;
    total.temporary = group.temporary;
    total.peak_bytes = static_cast<uint64_t>(group.peak_bytes);
    total.at_peak_count = static_cast<uint64_t>(peak.count);
    total.at_peak_bytes = static_cast<uint64_t>(peak.bytes);
    total.at_process_peak_count = static_cast<uint64_t>(process_peak.count);
    total.at_process_peak_bytes = static_cast<uint64_t>(process_peak.bytes);
    totals.push_back(total);
  }
  return totals;
}

std::vector<trace::HostCurvePoint> HostAggregate::curves() const {
  std::vector<trace::HostCurvePoint> points;
  const auto add = [&](trace::ProcessId process, trace::Layer layer, const Envelope& curve) {
    for (const Envelope::Value& value : curve.points()) {
      points.push_back({process, layer, value.time_ns, static_cast<uint64_t>(value.bytes),
                        static_cast<uint64_t>(value.count)});
    }
  };
  for (size_t layer = 0; layer < kLayers; ++layer) {
    add({}, kLayerAt[layer], scopes_[layer].curve);
    for (const Process& process : processes_) {
      add(process.id, kLayerAt[layer], process.scopes[layer].curve);
    }
  }
  return points;
}

}  // namespace tidemark::collector
