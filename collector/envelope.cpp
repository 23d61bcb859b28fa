#include "envelope.h"

namespace tidemark::collector {

void Envelope::add(const Value& value) {
  const int64_t index = value.time_ns / width_ns_;
  if (!slots_.empty() && slots_.back().index >= index) {
    Slot& slot = slots_.back();
    if (value.bytes > slot.most.bytes) slot.most = value;
    slot.last = value;
    return;
  }
  slots_.push_back({index, value, value});
  while (slots_.size() > most_slots_) halve();
}

void Envelope::halve() {
  width_ns_ *= 2;
  size_t kept = 0;
  for (const Slot& slot : slots_) {
    const int64_t index = slot.index / 2;
    if (kept != 0 && slots_[kept - 1].index == index) {
      Slot& into = slots_[kept - 1];
      if (slot.most.bytes > into.most.bytes) into.most = slot.most;
      into.last = slot.last;
    } else {
      slots_[kept++] = {index, slot.most, slot.last};
    }
  }
  slots_.resize(kept);
}

std::vector<Envelope::Value> Envelope::points() const {
  std::vector<Value> points;
  for (const Slot& slot : slots_) {
    points.push_back(slot.most);
    if (slot.last.time_ns != slot.most.time_ns) points.push_back(slot.last);
  }
  return points;
}

}  // namespace tidemark::collector
