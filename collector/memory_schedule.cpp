#include "memory_schedule.h"

#include <algorithm>
#include <cstdlib>

namespace tidemark::collector {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kShortestNs = 20 * kMs;
constexpr int64_t kLongestNs = 250 * kMs;
constexpr int64_t kStatusEveryNs = 1000 * kMs;
constexpr int64_t kRowEveryNs = 1000 * kMs;
// A program younger than this is still being loaded.
constexpr int64_t kYoungNs = 40 * kMs;
constexpr int64_t kFirstPeriodNs = 30'000 * kMs;
constexpr int64_t kNoticeableBytes = 256 << 10;

}  // namespace

bool CostBudget::allows(int64_t now_ns) {
  if (now_ns > since_ns_) {
    const auto earned = static_cast<int64_t>(static_cast<double>(now_ns - since_ns_) * share_);
    credit_ns_ = std::min(most_ns_, credit_ns_ + earned);
    since_ns_ = now_ns;
  }
  return credit_ns_ > 0;
}

MemorySchedule::Wish MemorySchedule::look(int64_t now_ns, int64_t rss_bytes) {
  const int64_t age_ns = now_ns - start_ns_;
  next_ns_ = now_ns + std::clamp(age_ns / 500, kShortestNs, kLongestNs);
  const bool steady = std::abs(rss_bytes - last_rss_bytes_) <= rss_bytes / 100;
  last_rss_bytes_ = rss_bytes;
  Wish wish;
  wish.status = status_ns_ == INT64_MIN || now_ns - status_ns_ >= kStatusEveryNs ||
                rss_bytes > status_rss_bytes_ + status_rss_bytes_ / 100;
  if (age_ns < kYoungNs) return wish;
  const bool higher = rss_bytes > mapped_rss_bytes_ + mapped_rss_bytes_ / 50 + kNoticeableBytes;
  const bool far_higher = rss_bytes > mapped_rss_bytes_ + mapped_rss_bytes_ / 2;
  const bool periodic =
      mapped_ns_ != INT64_MIN &&
      now_ns - mapped_ns_ >= std::max(kFirstPeriodNs, (mapped_ns_ - start_ns_) / 2);
  wish.mappings = (higher && steady) || far_higher || periodic;
  return wish;
}

void MemorySchedule::asked_status(int64_t now_ns, int64_t rss_bytes) {
  status_ns_ = now_ns;
  status_rss_bytes_ = std::max(status_rss_bytes_, rss_bytes);
}

bool MemorySchedule::asked_mappings(int64_t now_ns, int64_t rss_bytes) {
  // Of a climb only the last step is kept.
  const bool higher = rss_bytes > mapped_rss_bytes_;
  const bool drop = higher && !before_is_periodic_;
  before_is_periodic_ = !higher;
  mapped_rss_bytes_ = std::max(mapped_rss_bytes_, rss_bytes);
  mapped_ns_ = now_ns;
  return drop;
}

bool MemorySchedule::worth_a_row(const trace::ProcessMemory& sample) {
  const int64_t change = std::abs(sample.rss_bytes - row_.rss_bytes);
  const bool changed =
      change != 0 || sample.minor_faults != row_.minor_faults ||
      sample.major_faults != row_.major_faults ||
      (sample.swap_bytes != trace::kNotMeasured && sample.swap_bytes != row_.swap_bytes);
  const bool worth = !has_row_ || sample.pss_bytes != trace::kNotMeasured ||
                     change >= std::max(kNoticeableBytes, row_.rss_bytes / 200) ||
                     (changed && sample.time_ns - row_.time_ns >= kRowEveryNs);
  if (!worth) return false;
  has_row_ = true;
  const int64_t swap_bytes = row_.swap_bytes;
  row_ = sample;
  if (sample.swap_bytes == trace::kNotMeasured) row_.swap_bytes = swap_bytes;
  return true;
}

}  // namespace tidemark::collector
