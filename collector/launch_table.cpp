#include "launch_table.h"

namespace tidemark::collector {

bool LaunchTable::add(uint32_t correlation, const PendingLaunch& launch) {
  bool forgot = false;
  const auto [it, inserted] = launches_.insert({correlation, launch});
  if (!inserted) {
    // The 32-bit id came round again, or a runtime call and its driver call share it.
    if (it->second.matched) ++unmatched_;
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
      launches_.erase(oldest);
    }
  }
  return forgot;
}

const PendingLaunch* LaunchTable::match(uint32_t correlation) {
  const auto found = launches_.find(correlation);
  if (found == launches_.end()) return nullptr;
  if (!found->second.matched) {
    found.value().matched = true;
    --unmatched_;
  }
  return &found->second;
}

}  // namespace tidemark::collector
