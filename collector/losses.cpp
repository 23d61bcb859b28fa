#include "losses.h"

namespace tidemark::collector {

void Losses::add(std::string_view name, trace::Severity severity, uint64_t count) {
  if (count == 0) return;
  auto found = counters_.find(name);
  if (found == counters_.end()) {
    found = counters_.emplace(std::string(name), Counter{severity, 0, 0}).first;
  }
  found->second.count += count;
}

void Losses::write_to(trace::Writer& writer) {
  for (auto& [name, counter] : counters_) {
    if (counter.count == counter.written) continue;
    writer.loss(name, counter.severity, counter.count - counter.written);
    counter.written = counter.count;
  }
}

uint64_t Losses::count(std::string_view name) const {
  const auto found = counters_.find(name);
  return found == counters_.end() ? 0 : found->second.count;
}

std::vector<trace::Loss> Losses::all() const {
  std::vector<trace::Loss> losses;
  for (const auto& [name, counter] : counters_) {
    losses.push_back({name, counter.severity, counter.count});
  }
  return losses;
}

}  // namespace tidemark::collector
