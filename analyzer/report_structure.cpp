// Iterations, and of each series at its peak: categories, lines of code, layers, what rose last.
#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "categorize_parts.h"
#include "code_line.h"
#include "findings_parts.h"
#include "first_pass.h"
#include "lifetimes.h"
#include "peak_rows.h"
#include "peak_without.h"
#include "report_parts.h"
#include "timeline.h"

namespace tidemark::analyzer {
namespace {

// Lines of code by stack, and a number for each that is the same.
class Lines {
 public:
  explicit Lines(const trace::Reader& reader) : reader_(reader) {}

  // From now on all other stacks are one line. nullptr: each has its own.
  void look_only_at(const std::unordered_set<int64_t>* stacks) { only_ = stacks; }
  // What backward asked for stands under its line of forward. nullptr: under its own.
  void know_backward(const BackwardOrigins* backward) { backward_ = backward; }

  // False: blocks of one stack are of one line.
  bool knows_backward() const { return backward_ != nullptr && !backward_->blocks.empty(); }

  size_t number(const trace::Allocation& row) {
    if (!told_apart(row.alloc_stack)) return elsewhere();
    const BackwardOrigin* origin = backward_ == nullptr ? nullptr : backward_->find(row.id);
    const Key key = origin == nullptr
                        ? Key{static_cast<int64_t>(row.alloc_stack), 0, false}
                        : Key{static_cast<int64_t>(origin->forward), origin->skipped, true};
    const auto [found, fresh] = numbers_.try_emplace(key, 0);
    if (!fresh) return found->second;
    CodeLine line =
        code_line(origin == nullptr ? reader_.frames(row.alloc_stack) : origin->frames(reader_));
    if (origin != nullptr) line.name.insert(0, "backward of ");
    line.backward = origin != nullptr;
    const auto [same, first] =
        by_text_.try_emplace({line.file, line.name}, static_cast<size_t>(lines_.size()));
    if (first) lines_.push_back(std::move(line));
    return found->second = same->second;
  }
  const CodeLine& line(size_t number) const { return lines_[number]; }
  bool told_apart(trace::StackId stack) const {
    return only_ == nullptr || only_->contains(static_cast<int64_t>(stack));
  }

 private:
  using Key = std::tuple<int64_t, uint32_t, bool>;  // stack, frames left out, of backward

  size_t elsewhere() {
    if (elsewhere_ == kNone) {
      elsewhere_ = lines_.size();
      lines_.push_back({"stacks that each hold less", "", 0, false, false});
    }
    return elsewhere_;
  }

  static constexpr size_t kNone = std::numeric_limits<size_t>::max();
  const trace::Reader& reader_;
  std::map<Key, size_t> numbers_;
  std::map<std::pair<std::string, std::string>, size_t> by_text_;
  std::vector<CodeLine> lines_;
  const std::unordered_set<int64_t>* only_ = nullptr;
  const BackwardOrigins* backward_ = nullptr;
  size_t elsewhere_ = kNone;
};

struct Sum {
  uint64_t bytes = 0;
  uint64_t count = 0;
};

// Most bytes first; at most so many.
std::vector<std::pair<int64_t, Sum>> largest(const std::map<int64_t, Sum>& sums, size_t most) {
  std::vector<std::pair<int64_t, Sum>> sorted(sums.begin(), sums.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  if (sorted.size() > most) sorted.resize(most);
  return sorted;
}

Culprit culprit(const CodeLine& line, const Sum& sum) {
  return {line.name, line.file, line.line, sum.bytes, sum.count, line.backward};
}

void add(std::map<int64_t, Sum>& sums, int64_t key, uint64_t bytes) {
  Sum& sum = sums[key];
  sum.bytes += bytes;
  ++sum.count;
}

// What lived at the peak of one series.
struct AtPeak {
  std::map<int64_t, Sum> lines;
  std::map<int64_t, Sum> risen;
  std::map<int64_t, Sum> layers;
  Sum all_risen;
  PeakRows rows;
};

Result<AtPeak> at_peak(const trace::Reader& reader, const UsageCurve& curve, int64_t rise_ns,
                       const SeriesBlocks& blocks, Lines& lines) {
  AtPeak peak;
  const Lifetimes lifetimes(reader);
  trace::AllocationFilter filter = filter_for(curve.series);
  filter.begin_ns = curve.peak_ns;
  filter.end_ns = curve.peak_ns + 1;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (row.alloc_ns > curve.peak_ns || lifetimes.end_ns(row) <= curve.peak_ns) continue;
      const auto line = static_cast<int64_t>(lines.number(row));
      add(peak.lines, line, row.size);
      if (row.alloc_ns > rise_ns) {
        add(peak.risen, line, row.size);
        peak.all_risen.bytes += row.size;
        ++peak.all_risen.count;
      }
      const CategoryBlock* block = blocks.find(row.id);
      PeakRows::Key key{
          lines.told_apart(row.alloc_stack) ? row.alloc_stack : PeakRows::kNotToldApart, line};
      if (block != nullptr) {
        key.layer = block->place.layer;
        key.category = block->category;
      }
      if (key.layer >= 0) add(peak.layers, key.layer, row.size);
      peak.rows.add(key, row.size);
    }
  });
  if (!read) return tl::unexpected(read.error());
  return peak;
}

// The last moment before the peak at which less than nine tenths of it were live.
int64_t rise_of(const UsageCurve& curve) {
  constexpr int64_t tenths = 9;
  const auto at =
      std::lower_bound(curve.points.begin(), curve.points.end(), curve.peak_ns,
                       [](const UsagePoint& point, int64_t time) { return point.time_ns < time; });
  for (auto point = at; point != curve.points.begin();) {
    --point;
    if (point->bytes < curve.peak_bytes / 10 * tenths) return point->time_ns;
  }
  return std::numeric_limits<int64_t>::min();
}

// The stacks that hold most of a peak. A program with a million different stacks (imports of
// Python) would have each looked up, for minutes; those beyond the first thousands own next to
// nothing.
Result<void> leading_stacks(const trace::Reader& reader, const UsageCurve& curve,
                            std::unordered_set<int64_t>& stacks) {
  constexpr size_t kMost = 4000;
  const Lifetimes lifetimes(reader);
  std::unordered_map<int64_t, uint64_t> bytes;
  trace::AllocationFilter filter = filter_for(curve.series);
  filter.begin_ns = curve.peak_ns;
  filter.end_ns = curve.peak_ns + 1;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (row.alloc_ns > curve.peak_ns || lifetimes.end_ns(row) <= curve.peak_ns) continue;
      bytes[static_cast<int64_t>(row.alloc_stack)] += row.size;
    }
  });
  if (!read) return read;
  std::vector<std::pair<uint64_t, int64_t>> order;
  for (const auto& [stack, sum] : bytes) order.emplace_back(sum, stack);
  std::sort(order.begin(), order.end(), std::greater<>());
  if (order.size() > kMost) order.resize(kMost);
  for (const auto& [sum, stack] : order) stacks.insert(stack);
  return {};
}

Result<PeakPoint> without_line(const trace::Reader& reader, const UsageCurve& curve, size_t line,
                               Lines& lines) {
  const Lifetimes lifetimes(reader);
  std::vector<Absence> absences;
  std::unordered_map<int64_t, bool> of_line;  // by stack: rows are millions
  const bool by_stack = !lines.knows_backward();
  auto read =
      reader.allocations(filter_for(curve.series), [&](std::span<const trace::Allocation> batch) {
        for (const trace::Allocation& row : batch) {
          if (by_stack) {
            const auto [known, fresh] =
                of_line.try_emplace(static_cast<int64_t>(row.alloc_stack), false);
            if (fresh) known->second = lines.number(row) == line;
            if (!known->second) continue;
          } else if (lines.number(row) != line) {
            continue;
          }
          absences.push_back({row.alloc_ns, lifetimes.end_ns(row), row.size});
        }
      });
  if (!read) return tl::unexpected(read.error());
  return peak_without(curve, absences);
}

std::vector<CategoryBytes> categories_of(const CategoryBytesAt& sums, int64_t peak_bytes) {
  std::vector<CategoryBytes> categories;
  int64_t told = 0;
  for (size_t i = 0; i < kCategories; ++i) {
    const auto category = static_cast<Category>(i);
    if (category == Category::kUnknown) continue;
    if (sums[i] == 0) continue;
    told += static_cast<int64_t>(sums[i]);
    categories.push_back({to_string(category), static_cast<int64_t>(sums[i])});
  }
  // Of sums that were made while recording, single blocks are not known.
  if (told < peak_bytes || categories.empty()) {
    categories.push_back({to_string(Category::kUnknown), peak_bytes - told});
  }
  return categories;
}

bool on_device(const Series& series) { return series.space == trace::Space::kDevice; }

bool on_host(const Series& series) {
  return series.layer == trace::Layer::kOs || series.layer == trace::Layer::kHeap;
}

class Builder {
 public:
  Builder(const trace::Reader& reader, const ReportOptions& options, Report& report)
      : reader_(reader), options_(options), report_(report), roles_(reader), lines_(reader) {}

  Result<void> add(const UsageCurve& curve, SeriesReport& line) {
    std::unordered_set<int64_t> stacks;
    if (on_host(curve.series)) {
      if (auto read = leading_stacks(reader_, curve, stacks); !read) return read;
    }
    look_only_at(on_host(curve.series) ? &stacks : nullptr);
    auto added = add_looking(curve, line);
    look_only_at(nullptr);
    return added;
  }

 private:
  void look_only_at(const std::unordered_set<int64_t>* stacks) {
    roles_.look_only_at(stacks);
    lines_.look_only_at(stacks);
  }

  Result<void> add_looking(const UsageCurve& curve, SeriesReport& line) {
    auto blocks = blocks_of(curve);
    if (!blocks) return tl::unexpected(blocks.error());
    const SeriesBlocks* pool = nullptr;
    if (curve.series.layer == trace::Layer::kDriver && on_device(curve.series)) {
      const auto found = pools_.find(curve.series.device);
      if (found != pools_.end()) pool = &found->second;
    }
    const auto sums = category_bytes_at(reader_, *blocks, pool, curve.peak_ns);
    if (!sums) return tl::unexpected(sums.error());
    line.categories = categories_of(*sums, curve.peak_bytes);
    if (options_.detail) line.detail.emplace();
    lines_.know_backward(&blocks->backward);
    auto added = add_culprits(curve, *blocks, line);
    lines_.know_backward(nullptr);
    if (!added) return added;
    if (line.detail) {
      if (added = add_detail(curve, *blocks, pool != nullptr, line); !added) return added;
    }
    if (auto shared = add_backward(curve, blocks->backward, line); !shared) return shared;
    if (curve.series.layer == trace::Layer::kPool) {
      pools_[curve.series.device] = std::move(*blocks);
    }
    return {};
  }

  // Of the host, where there are millions, only what lived at the peak.
  Result<SeriesBlocks> blocks_of(const UsageCurve& curve) {
    trace::AllocationFilter filter = filter_for(curve.series);
    if (on_host(curve.series)) {
      filter.begin_ns = curve.peak_ns;
      filter.end_ns = curve.peak_ns + 1;
    }
    return categorize(reader_, report_.structure, curve.series, filter, roles_);
  }

  Result<void> add_culprits(const UsageCurve& curve, const SeriesBlocks& blocks,
                            SeriesReport& line) {
    PeakCause cause;
    cause.rise_ns = rise_of(curve);
    const auto peak = at_peak(reader_, curve, cause.rise_ns, blocks, lines_);
    if (!peak) return tl::unexpected(peak.error());
    if (line.detail) line.detail->peak = detail_of(curve, peak->rows);
    if (peak->lines.empty()) return {};
    for (const auto& [number, sum] : largest(peak->lines, options_.culprits)) {
      line.lines.push_back(culprit(lines_.line(static_cast<size_t>(number)), sum));
    }
    for (const auto& [number, sum] : largest(peak->layers, options_.culprits)) {
      const ModelLayer& layer = blocks.layers[static_cast<size_t>(number)];
      line.layers.push_back({layer.path, layer.file, 0, sum.bytes, sum.count, false});
    }
    constexpr size_t risen_lines = 3;
    for (const auto& [number, sum] : largest(peak->risen, risen_lines)) {
      cause.risen.push_back(culprit(lines_.line(static_cast<size_t>(number)), sum));
    }
    cause.risen_bytes = peak->all_risen.bytes;
    cause.iteration = report_.structure.iteration_at(curve.peak_ns);
    cause.phase = report_.structure.phase_at(curve.peak_ns);
    cause.largest = line.lines.front();
    const auto number = static_cast<size_t>(largest(peak->lines, 1).front().first);
    const auto next = without_line(reader_, curve, number, lines_);
    if (!next) return tl::unexpected(next.error());
    cause.next_peak_bytes = next->bytes;
    cause.next_peak_ns = next->time_ns;
    line.cause = std::move(cause);
    return {};
  }

  Result<void> add_backward(const UsageCurve& curve, const BackwardOrigins& origins,
                            SeriesReport& line) {
    if (origins.blocks.empty() && origins.unknown_blocks == 0) return {};
    BackwardShare share;
    share.unknown = {origins.unknown_blocks, origins.unknown_bytes};
    auto read = reader_.allocations(
        filter_for(curve.series), [&](std::span<const trace::Allocation> batch) {
          for (const trace::Allocation& row : batch) {
            const BackwardOrigin* origin = origins.find(row.id);
            if (origin == nullptr) continue;
            BackwardShare::Sum& sum =
                origin->evidence == BackwardEvidence::kSavedBlock ? share.saved_block
                : origin->evidence == BackwardEvidence::kOrder    ? share.order
                                                                  : share.neighbours;
            ++sum.blocks;
            sum.bytes += row.size;
          }
        });
    if (read) line.backward = share;
    return read;
  }

  PeakDetail detail_of(const UsageCurve& curve, const PeakRows& rows) const {
    return rows.take(reader_, curve.peak_bytes, options_.detail->rows,
                     [this](int64_t number) -> const CodeLine& {
                       return lines_.line(static_cast<size_t>(number));
                     });
  }

  Result<void> add_detail(const UsageCurve& curve, const SeriesBlocks& blocks, bool holds_pool,
                          SeriesReport& line) {
    SeriesDetail& detail = *line.detail;
    if (line.lines.empty() && curve.peak_bytes > 0) {
      // Of sums that were made while recording, stacks are all that is known.
      const auto live = live_at(reader_, curve.series, curve.peak_ns);
      if (!live) return tl::unexpected(live.error());
      PeakRows rows;
      for (const LiveGroup& group : live->groups) rows.add({group.stack}, group.bytes, group.count);
      detail.peak = detail_of(curve, rows);
    }
    detail.peak.layers = blocks.layers;
    detail.peak.by_category = !holds_pool;
    constexpr size_t fewest_samples = 2048;
    const size_t samples = std::max(
        options_.detail->samples / std::max<size_t>(report_.series.size(), 1), fewest_samples);
    // Of the host only what lived at the peak has a category, and not what a pool holds.
    if (on_host(curve.series) || holds_pool) {
      detail.timeline = timeline_of(curve, samples);
      return {};
    }
    auto timeline = timeline_of(reader_, curve, blocks, samples);
    if (!timeline) return tl::unexpected(timeline.error());
    detail.timeline = std::move(*timeline);
    return {};
  }

  const trace::Reader& reader_;
  const ReportOptions& options_;
  Report& report_;
  RoleCache roles_;
  Lines lines_;
  std::map<int16_t, SeriesBlocks> pools_;
};

}  // namespace

Result<void> add_structure(const trace::Reader& reader, const FirstPass& pass,
                           const ReportOptions& options, Report& report) {
  const std::vector<UsageCurve>& curves = pass.curves;
  if (options.culprits == 0) {
    for (SeriesReport& line : report.series) {
      line.categories = {{to_string(Category::kUnknown), line.peak_bytes}};
    }
    return {};
  }
  auto structure = find_structure(reader);
  if (!structure) return tl::unexpected(structure.error());
  report.structure = std::move(*structure);
  Builder builder(reader, options, report);
  // From the last layer to the first: what a pool holds is known before the driver is asked.
  for (size_t i = curves.size(); i-- > 0;) {
    if (auto added = builder.add(curves[i], report.series[i]); !added) return added;
    report.series[i].growth_bytes = growth_of(report.structure, curves[i]);
  }
  auto findings = find_waste(reader, report.structure, curves, pass.churn);
  if (!findings) return tl::unexpected(findings.error());
  report.findings = std::move(*findings);
  return {};
}

}  // namespace tidemark::analyzer
