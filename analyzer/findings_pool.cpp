// What a framework's pool holds from the driver and has handed to nobody.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "findings_parts.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {

Result<void> find_reserved_unused(const trace::Reader& reader, const UsageCurve& curve,
                                  std::vector<Finding>& findings) {
  constexpr int64_t worth_share = 10;  // a tenth of what is reserved
  if (curve.series.layer != trace::Layer::kPool || curve.peak_bytes == 0) return {};
  const auto rows = reader.pool_reserved();
  if (!rows) return tl::unexpected(rows.error());
  // One process at its most: over several, their sums need not meet at one moment.
  std::map<trace::ProcessId, uint64_t> peaks;
  int64_t peak_ns = 0;
  uint64_t reserved = 0;
  for (const trace::PoolReserved& row : *rows) {
    if (row.device != curve.series.device) continue;
    peaks[row.process] = std::max(peaks[row.process], row.reserved_bytes);
    if (row.reserved_bytes > reserved) {
      reserved = row.reserved_bytes;
      peak_ns = row.time_ns;
    }
  }
  if (peaks.size() != 1) return {};
  const int64_t unused = static_cast<int64_t>(reserved) - curve.peak_bytes;
  if (unused < static_cast<int64_t>(reserved) / worth_share) return {};
  Finding finding;
  finding.pattern = Pattern::kReservedUnused;
  finding.series = curve.series;
  finding.bytes = static_cast<uint64_t>(unused);
  constexpr double ns_per_second = 1e9;
  finding.byte_seconds = static_cast<double>(unused) *
                         static_cast<double>(std::max<int64_t>(0, reader.end_ns() - peak_ns)) /
                         ns_per_second;
  finding.evidence = fmt::format("the pool held {} from {} on; at most {} of it were ever in use",
                                 format_bytes(reserved), format_ns(peak_ns),
                                 format_bytes(static_cast<uint64_t>(curve.peak_bytes)));
  finding.mend =
      "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True lets segments grow where blocks of other "
      "sizes leave gaps";
  finding.peak_bytes = static_cast<int64_t>(reserved);
  finding.peak_without_bytes = curve.peak_bytes;
  findings.push_back(std::move(finding));
  return {};
}

}  // namespace tidemark::analyzer
