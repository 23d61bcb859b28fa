// What a program that ended by itself had not freed, where that is a fault: what a program holds
// once until its end is none.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "findings_parts.h"
#include "lifetimes.h"
#include "tidemark/analyzer/stack_view.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

struct Leak {
  Group group;
  int64_t first_ns = trace::kNever;
  int64_t last_ns = 0;
};

// What lies in a library that the driver brings along, or that is linked in without lines.
bool of_runtime(const trace::Frame& frame) {
  const size_t slash = frame.module.rfind('/');
  const std::string name =
      slash == std::string::npos ? frame.module : frame.module.substr(slash + 1);
  return name.starts_with("libcuda") || name.starts_with("libnvidia-");
}

// A pool keeps what it has, an interpreter its objects, and libraries what they set up once: only
// the program's own code is blamed, where it asked itself. Of the driver it asks through a runtime.
bool blamed(std::span<const trace::Frame> frames, bool of_driver) {
  for (const trace::Frame& frame : frames) {
    if (frame.kind == trace::FrameKind::kPython) return false;
    const FrameRole role = role_of(frame);
    const bool runtime = of_runtime(frame) || (role == FrameRole::kUser && frame.file.empty());
    if (runtime && !of_driver) return false;
    if (runtime || role == FrameRole::kInternal) continue;
    return role == FrameRole::kUser;
  }
  return false;
}

// Again and again, over a good part of the recording: not what is set up once.
bool again_and_again(const Leak& leak, int64_t span_ns) {
  constexpr uint64_t several = 3;
  constexpr int64_t part = 10;
  return leak.group.count >= several && between(leak.first_ns, leak.last_ns) >= span_ns / part;
}

}  // namespace

Result<void> find_leaks(const Search& search, const UsageCurve& curve,
                        std::vector<Finding>& findings) {
  const Series& series = curve.series;
  if (series.layer == trace::Layer::kOs || series.layer == trace::Layer::kPool) return {};
  if (curve.peak_bytes == 0 || search.pool_inside(series)) return {};
  const trace::Reader& reader = search.reader;
  const Lifetimes lifetimes(reader);
  std::map<std::string, Leak> leaks;
  std::map<trace::StackId, std::optional<CodeLine>> lines;
  trace::AllocationFilter filter = filter_for(series);
  filter.begin_ns = trace::kNever - 1;  // of lifetimes that no free ended
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (!lifetimes.leaked(row) || reader.text(row.api) == "cuda module") continue;
      auto [known, fresh] = lines.try_emplace(row.alloc_stack);
      if (fresh) {
        const auto frames = reader.frames(row.alloc_stack);
        if (blamed(frames, series.layer == trace::Layer::kDriver)) {
          known->second = code_line(frames);
        }
      }
      if (!known->second) continue;
      Leak& leak = leaks[known->second->file + known->second->name];
      leak.group.line = *known->second;
      leak.group.add(row, row.alloc_ns, lifetimes.end_ns(row), reader.end_ns());
      leak.first_ns = std::min(leak.first_ns, row.alloc_ns);
      leak.last_ns = std::max(leak.last_ns, row.alloc_ns);
    }
  });
  if (!read) return read;
  const bool device = series.layer == trace::Layer::kDriver;
  for (const auto& [where, leak] : leaks) {
    if (!device && !again_and_again(leak, curve.points.back().time_ns)) continue;
    Finding finding = finding_of(Pattern::kLeak, curve, leak.group);
    if (!lowers_peak(finding)) continue;
    finding.evidence = fmt::format(
        "the program ended and had freed none of {}",
        leak.group.count == 1 ? std::string("it")
                              : fmt::format("these {} blocks, allocated from {} to {}",
                                            format_count(leak.group.count),
                                            format_ns(leak.first_ns), format_ns(leak.last_ns)));
    finding.mend = "free it after its last use";
    findings.push_back(std::move(finding));
  }
  return {};
}

}  // namespace tidemark::analyzer
