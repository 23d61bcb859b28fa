// What a framework's pool holds from the driver and has handed to nobody, as far as another setting
// of its allocator would not have taken it.
#include <fmt/format.h>

#include <algorithm>

#include "findings_parts.h"
#include "tidemark/analyzer/replay.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

constexpr const char* kSetting = "expandable_segments:True";

// What would have been reserved.
Result<uint64_t> reserved_with(const RecordedPool& pool, const char* setting) {
  auto model = make_allocator(std::string("torch:") + setting);
  if (!model) return tl::unexpected(model.error());
  ReplayOptions options;
  options.lifetimes = static_cast<uint32_t>(pool.lifetime.size());
  return replay(pool.events, **model, options).peak_reserved_bytes;
}

}  // namespace

Result<void> find_reserved_unused(const Search& search, const UsageCurve& curve,
                                  std::vector<Finding>& findings) {
  if (curve.series.layer != trace::Layer::kPool || curve.peak_bytes == 0) return {};
  const auto pools = recorded_pools(search.reader);
  if (!pools) return tl::unexpected(pools.error());
  // Of one process: over several, their peaks need not meet at one moment.
  const RecordedPool* pool = nullptr;
  for (const RecordedPool& one : *pools) {
    if (one.device != curve.series.device) continue;
    if (pool != nullptr) return {};
    pool = &one;
  }
  if (pool == nullptr || pool->expandable || pool->reserved.empty()) return {};
  const auto most = std::max_element(
      pool->reserved.begin(), pool->reserved.end(),
      [](const auto& a, const auto& b) { return a.reserved_bytes < b.reserved_bytes; });
  const auto unused = static_cast<int64_t>(most->reserved_bytes) - curve.peak_bytes;
  if (unused <= 0) return {};
  const auto reserved = reserved_with(*pool, kSetting);
  if (!reserved) return tl::unexpected(reserved.error());
  Finding finding;
  finding.pattern = Pattern::kReservedUnused;
  finding.series = curve.series;
  finding.bytes = static_cast<uint64_t>(unused);
  finding.example = Example{{}, most->time_ns, most->time_ns};
  finding.byte_seconds =
      static_cast<double>(unused) *
      static_cast<double>(std::max<int64_t>(0, search.reader.end_ns() - most->time_ns)) /
      kNsPerSecond;
  finding.evidence = fmt::format("the pool held {} from {} on; at most {} of it were ever in use",
                                 format_bytes(most->reserved_bytes), format_ns(most->time_ns),
                                 format_bytes(static_cast<uint64_t>(curve.peak_bytes)));
  finding.mend = fmt::format(
      "PYTORCH_CUDA_ALLOC_CONF={}: segments grow where blocks of other sizes left gaps", kSetting);
  finding.peak_bytes = static_cast<int64_t>(most->reserved_bytes);
  finding.peak_without_bytes = static_cast<int64_t>(*reserved);
  constexpr int64_t worth_share = 20;  // of a whole pool, whose other setting is a risk
  const int64_t won = finding.peak_bytes - finding.peak_without_bytes;
  if (won * worth_share < finding.peak_bytes) return {};
  findings.push_back(std::move(finding));
  return {};
}

}  // namespace tidemark::analyzer
