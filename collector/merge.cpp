#include "merge.h"

#include <algorithm>
#include <functional>

namespace tidemark::collector {
namespace {

// A child's first records may overtake its parent's view of it by one pass, never by more.
constexpr uint32_t kMaxHeldPasses = 3;

template <class Visit>
void each_fresh(Lane& lane, RecordClass kind, const Visit& visit) {
  const RecordQueue& queue = lane.reader.queue();
  for (size_t offset = queue.fresh(); offset < queue.end();) {
    const wire::Header& record = queue.at(offset);
    if (classify(record.type) == kind) visit(record);
    offset += record.bytes;
  }
}

}  // namespace

uint64_t Merge::pass(std::span<Lane* const> lanes, uint64_t now_ns, uint64_t margin_ns,
                     EventSink& sink, Losses& losses) {
  delivered_ = 0;
  horizon_ns_ = now_ns - std::min(now_ns, margin_ns);
  impossible_ns_ = now_ns + margin_ns;
  sink.begin_pass(now_ns);
  select_lanes(lanes, sink, losses);
  deliver_definitions(sink);
  deliver_events(sink, losses);
  deliver_activities(sink);
  sink.end_pass();
  for (Lane* lane : lanes_) lane->reader.queue().consume_to(lane->cursor);
  return delivered_;
}

void Merge::select_lanes(std::span<Lane* const> lanes, EventSink& sink, Losses& losses) {
  for (Lane* lane : lanes) {
    if (!lane->reader.brought_process_start()) continue;
    each_fresh(*lane, RecordClass::kDefinition, [&](const wire::Header& record) {
      if (record.type == wire::RecordType::kProcessStart) sink.definition(*lane->producer, record);
    });
  }
  lanes_.clear();
  for (Lane* lane : lanes) {
    if (lane->reader.queue().empty()) {
      lane->cursor = lane->reader.queue().begin();
      continue;
    }
    if (!sink.knows_process(*lane->producer) && ++lane->held_passes <= kMaxHeldPasses) {
      lane->reader.hold();
      continue;
    }
    if (lane->held_passes > kMaxHeldPasses) {
      losses.add("process_starts_missing", trace::Severity::kInfo);
      lane->held_passes = 0;
    }
    lanes_.push_back(lane);
  }
}

void Merge::deliver_definitions(EventSink& sink) {
  for (Lane* lane : lanes_) {
    if (!lane->reader.brought(RecordClass::kDefinition)) continue;
    each_fresh(*lane, RecordClass::kDefinition, [&](const wire::Header& record) {
      if (record.type == wire::RecordType::kProcessStart) return;
      sink.definition(*lane->producer, record);
      ++delivered_;
    });
  }
}

bool Merge::find_event(Lane& lane, Losses& losses, uint64_t& time_ns) {
  const RecordQueue& queue = lane.reader.queue();
  while (lane.cursor < queue.end()) {
    const wire::Header& record = queue.at(lane.cursor);
    if (classify(record.type) == RecordClass::kEvent) {
      time_ns = record.time_ns;
      if (time_ns <= horizon_ns_) return true;
      if (lane.cursor >= queue.fresh() || time_ns <= impossible_ns_) return false;
      losses.add("impossible_times", trace::Severity::kDataLoss);
      time_ns = horizon_ns_;
      return true;
    }
    lane.cursor += record.bytes;
  }
  return false;
}

void Merge::deliver_events(EventSink& sink, Losses& losses) {
  heap_.clear();
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    Lane& lane = *lanes_[i];
    lane.cursor = lane.reader.queue().begin();
    uint64_t time_ns = 0;
    if (find_event(lane, losses, time_ns)) heap_.push_back({time_ns, i});
  }
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const uint32_t index = heap_.back().lane;
    heap_.pop_back();
    Lane& lane = *lanes_[index];
    // Runs on in this lane while no other has anything earlier: the usual case.
    for (;;) {
      const wire::Header& record = lane.reader.queue().at(lane.cursor);
      if (!sink.event(*lane.producer, record)) break;
      ++delivered_;
      lane.cursor += record.bytes;
      uint64_t time_ns = 0;
      if (!find_event(lane, losses, time_ns)) break;
      const Next next{time_ns, index};
      if (!heap_.empty() && next > heap_.front()) {
        heap_.push_back(next);
        std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
        break;
      }
    }
  }
}

void Merge::deliver_activities(EventSink& sink) {
  for (Lane* lane : lanes_) {
    if (!lane->reader.brought(RecordClass::kActivity)) continue;
    each_fresh(*lane, RecordClass::kActivity, [&](const wire::Header& record) {
      sink.activity(*lane->producer, record);
      ++delivered_;
    });
  }
}

}  // namespace tidemark::collector
