#include "launch_table.h"

namespace tidemark::collector {

bool LaunchTable::add(uint32_t correlation, const PendingLaunch& launch) {
  bool forgot = false;
  const auto [it, inserted] = launches_.insert({correlation, launch});
  if (!inserted) {
    // The 32-bit id came round again, or a runtime call and its driver call share it.
    if (it->second.matched) ++unmatched_;
    forgotten_accesses_ += it->second.touched.size();
    it.value() = launch;
    return false;
  }
  ++unmatched_;
  oldest_first_.push_back(correlation);
  if (oldest_first_.size() > kCapacity) {
    const auto oldest = launches_.find(oldest_first_.front());
    oldest_first_.pop_front();
    if (oldest != launches_.end()) {
      forgot = !oldest->second.matched;
      if (forgot) --unmatched_;
      forgotten_accesses_ += oldest->second.touched.size();
      launches_.erase(oldest);
    }
  }
  return forgot;
}

PendingLaunch* LaunchTable::find(uint32_t correlation) {
  const auto found = launches_.find(correlation);
  return found == launches_.end() ? nullptr : &found.value();
}

uint64_t LaunchTable::untaken_accesses() const {
  uint64_t count = forgotten_accesses_;
  for (const auto& [correlation, launch] : launches_) count += launch.touched.size();
  return count;
}

PendingLaunch* LaunchTable::match(uint32_t correlation) {
  const auto found = launches_.find(correlation);
  if (found == launches_.end()) return nullptr;
  if (!found->second.matched) {
    found.value().matched = true;
    --unmatched_;
  }
  return &found.value();
}

}  // namespace tidemark::collector
