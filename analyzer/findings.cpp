#include "tidemark/analyzer/findings.h"

#include <algorithm>

#include "findings_parts.h"

namespace tidemark::analyzer {

const char* to_string(Pattern pattern) {
  constexpr const char* names[] = {
      "unused", "dead_write", "early_allocation", "late_deallocation", "growth", "reserved_unused"};
  return names[static_cast<size_t>(pattern)];
}

Result<std::vector<Finding>> find_waste(const trace::Reader& reader, const Structure& structure,
                                        const std::vector<UsageCurve>& curves) {
  std::vector<Finding> findings;
  for (const UsageCurve& curve : curves) {
    auto found = find_unneeded(reader, curve, findings);
    if (found) found = find_growth(reader, structure, curve, findings);
    if (found) found = find_reserved_unused(reader, curve, findings);
    if (!found) return tl::unexpected(found.error());
  }
  std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
    return a.byte_seconds > b.byte_seconds;
  });
  return findings;
}

}  // namespace tidemark::analyzer
