#include "tidemark/analyzer/findings.h"

#include <algorithm>

#include "findings_parts.h"

namespace tidemark::analyzer {
namespace {

bool kernels_tell(const UseIndex& uses) {
  for (const trace::AllocationId block : uses.blocks()) {
    for (size_t i = 0; i < uses.count(block); ++i) {
      if (uses.use(block, i).kind == UseKind::kKernel) return true;
    }
  }
  return false;
}

// A use that was lost would make a block look unused.
bool uses_complete(const trace::Reader& reader) {
  return std::none_of(reader.losses().begin(), reader.losses().end(), [](const trace::Loss& loss) {
    return loss.count > 0 &&
           (loss.severity != trace::Severity::kInfo || loss.name == "graph_kernels_without_access");
  });
}

Result<Search> search_in(const trace::Reader& reader, const Structure& structure,
                         const std::vector<UsageCurve>& curves) {
  Search search{reader, structure, curves, {}, false};
  const std::string option = reader.meta("option_window");
  if (option.empty() || option == "whole") return search;
  search.windowed = true;
  auto windows = reader.windows();
  if (!windows) return tl::unexpected(windows.error());
  search.windows = std::move(*windows);
  return search;
}

bool of_time(const Finding& finding) { return finding.seconds > 0; }

}  // namespace

const char* to_string(Pattern pattern) {
  constexpr const char* names[] = {
      "unused",      "dead_write",      "early_allocation", "late_deallocation", "temporary_idle",
      "leak",        "growth",          "reserved_unused",  "duplicate",         "host_spare",
      "unexplained", "churn",           "pageable_copies",  "small_copies",      "serial_copies",
      "input_wait",  "repeated_copies", "round_trips"};
  static_assert(std::size(names) == kPatterns);
  return names[static_cast<size_t>(pattern)];
}

std::string pattern_text(Pattern pattern) {
  std::string text = to_string(pattern);
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

bool Search::pool_inside(const Series& series) const {
  if (series.layer != trace::Layer::kDriver) return false;
  return std::any_of(curves.begin(), curves.end(), [&](const UsageCurve& curve) {
    return curve.series.layer == trace::Layer::kPool && curve.series.space == series.space &&
           curve.series.device == series.device;
  });
}

bool Search::seen(int64_t begin_ns, int64_t end_ns) const {
  if (!windowed) return true;
  return std::any_of(windows.begin(), windows.end(), [&](const trace::RecordingWindow& window) {
    return window.begin_ns <= begin_ns && end_ns <= window.end_ns;
  });
}

void Group::add(const trace::Allocation& block, int64_t begin_ns, int64_t end_ns,
                int64_t recording_end_ns) {
  bytes += block.size;
  ++count;
  const int64_t idle_ns = between(begin_ns, std::min(end_ns, recording_end_ns));
  const double weight =
      static_cast<double>(block.size) * static_cast<double>(idle_ns) / kNsPerSecond;
  byte_seconds += weight;
  const int64_t until_ns = end_ns < recording_end_ns ? end_ns : trace::kNever;
  absences.push_back({begin_ns, until_ns, block.size});
  if (!largest || weight > largest_byte_seconds_) {
    largest = Example{block.id, begin_ns, until_ns};
    largest_byte_seconds_ = weight;
  }
}

void set_place(Finding& finding, const CodeLine& line) {
  finding.where = line.name;
  finding.file = line.file;
  finding.line = line.line;
}

Finding finding_of(Pattern pattern, const UsageCurve& curve, const Group& group) {
  Finding finding;
  finding.pattern = pattern;
  finding.series = curve.series;
  finding.bytes = group.bytes;
  finding.count = group.count;
  finding.byte_seconds = group.byte_seconds;
  set_place(finding, group.line);
  finding.example = group.largest;
  finding.peak_bytes = curve.peak_bytes;
  finding.peak_without_bytes = peak_without(curve, group.absences).bytes;
  return finding;
}

bool lowers_peak(const Finding& finding) {
  return (finding.peak_bytes - finding.peak_without_bytes) * kLeastShare >= finding.peak_bytes;
}

void sort_findings(std::vector<Finding>& findings) {
  std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
    if (of_time(a) != of_time(b)) return of_time(b);
    return of_time(a) ? a.seconds > b.seconds : a.byte_seconds > b.byte_seconds;
  });
}

Result<std::vector<Finding>> find_waste(const trace::Reader& reader, const Structure& structure,
                                        const std::vector<UsageCurve>& curves) {
  const auto churn = heap_churn(reader);
  if (!churn) return tl::unexpected(churn.error());
  return find_waste(reader, structure, curves, *churn);
}

Result<std::vector<Finding>> find_waste(const trace::Reader& reader, const Structure& structure,
                                        const std::vector<UsageCurve>& curves,
                                        const HeapChurn& churn) {
  std::vector<Finding> findings;
  const auto search = search_in(reader, structure, curves);
  if (!search) return tl::unexpected(search.error());
  const bool on_device = std::any_of(curves.begin(), curves.end(), [](const UsageCurve& curve) {
    return curve.series.space == trace::Space::kDevice;
  });
  UseIndex uses;
  if (on_device && uses_complete(reader)) {
    auto built = UseIndex::build(reader);
    if (!built) return tl::unexpected(built.error());
    uses = std::move(*built);
  }
  const bool tell = kernels_tell(uses);
  for (const UsageCurve& curve : curves) {
    Result<void> found;
    if (tell) found = find_unneeded(*search, curve, uses, findings);
    if (found) found = find_leaks(*search, curve, findings);
    if (found) found = find_growth(*search, curve, findings);
    if (found) found = find_reserved_unused(*search, curve, findings);
    if (!found) return tl::unexpected(found.error());
  }
  auto found = find_churn(*search, churn, findings);
  if (found) found = find_slow_copies(*search, findings);
  if (found) found = find_same_bytes(*search, findings);
  if (!found) return tl::unexpected(found.error());
  sort_findings(findings);
  return findings;
}

}  // namespace tidemark::analyzer
