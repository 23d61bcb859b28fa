#include "merge.h"

#include <algorithm>
#include <utility>

namespace tidemark::collector {
namespace {

// A child's first records may overtake its parent's view of it by one pass, never by more.
constexpr uint32_t kMaxHeldPasses = 3;

// `meanwhile` may be empty; as often as events come in batches.
template <class Visit>
void each_fresh(Lane& lane, RecordClass kind, const std::function<void()>& meanwhile,
                const Visit& visit) {
  constexpr size_t kRecords = 1024;
  const RecordQueue& queue = lane.reader.queue();
  size_t looked_at = 0;
  for (size_t offset = queue.fresh(); offset < queue.end();) {
    const wire::Header& record = queue.at(offset);
    if (classify(record.type) == kind) visit(record);
    offset += record.bytes;
    if (++looked_at % kRecords == 0 && meanwhile) meanwhile();
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
    each_fresh(*lane, RecordClass::kDefinition, meanwhile_, [&](const wire::Header& record) {
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
    each_fresh(*lane, RecordClass::kDefinition, meanwhile_, [&](const wire::Header& record) {
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

void Merge::sift_down(size_t at) {
  const Next moved = heap_[at];
  for (size_t child = 2 * at + 1; child < heap_.size(); child = 2 * at + 1) {
    if (child + 1 < heap_.size() && heap_[child + 1] < heap_[child]) ++child;
    if (!(heap_[child] < moved)) break;
    heap_[at] = heap_[child];
    at = child;
  }
  heap_[at] = moved;
}

void Merge::deliver_batch(EventSink& sink) {
  sink.events(batch_);
  for (const OrderedEvent& event : batch_) {
    if (!event.refused) {
      ++delivered_;
    } else if (!std::exchange(event.lane->stopped, true)) {
      event.lane->cursor = event.offset;
    }
  }
  batch_.clear();
  if (meanwhile_) meanwhile_();
}

void Merge::deliver_events(EventSink& sink, Losses& losses) {
  heap_.clear();
  batch_.clear();
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    Lane& lane = *lanes_[i];
    lane.cursor = lane.reader.queue().begin();
    lane.stopped = false;
    uint64_t time_ns = 0;
    if (find_event(lane, losses, time_ns)) heap_.push_back({time_ns, i});
  }
  for (size_t i = heap_.size() / 2; i-- > 0;) sift_down(i);
  while (!heap_.empty()) {
    Next& first = heap_.front();
    Lane& lane = *lanes_[first.lane];
    if (!lane.stopped) {
      const wire::Header& record = lane.reader.queue().at(lane.cursor);
      batch_.push_back({&lane, &record, lane.cursor, false});
      lane.cursor += record.bytes;
      const bool full = batch_.size() == kBatchEvents;
      if (full) deliver_batch(sink);
    }
    if (lane.stopped || !find_event(lane, losses, first.time_ns)) {
      first = heap_.back();
      heap_.pop_back();
      if (heap_.empty()) break;
    }
    sift_down(0);
  }
  deliver_batch(sink);
}

void Merge::deliver_activities(EventSink& sink) {
  for (Lane* lane : lanes_) {
    if (!lane->reader.brought(RecordClass::kActivity)) continue;
    each_fresh(*lane, RecordClass::kActivity, meanwhile_, [&](const wire::Header& record) {
      sink.activity(*lane->producer, record);
      ++delivered_;
    });
  }
}

}  // namespace tidemark::collector
