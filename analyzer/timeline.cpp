#include "timeline.h"

#include <algorithm>
#include <array>
#include <limits>

#include "lifetimes.h"

namespace tidemark::analyzer {
namespace {

// Takes changes in order of time; what changes at one moment makes one sample.
class Sampler {
 public:
  // column_ns 0: a sample for each change.
  Sampler(size_t channels, int64_t begin_ns, int64_t column_ns)
      : column_begin_ns_(begin_ns), now_ns_(begin_ns), live_(channels), best_(channels) {
    timeline_.column_ns = column_ns;
    timeline_.bytes.resize(channels);
  }

  void change(int64_t time_ns, size_t channel, int64_t bytes) {
    if (time_ns != now_ns_) {
      settle();
      now_ns_ = time_ns;
      if (timeline_.column_ns != 0) move_to(time_ns);
    }
    live_[channel] += bytes;
    total_ += bytes;
    changed_ = true;
  }

  Timeline finish() {
    settle();
    if (timeline_.column_ns != 0) push(column_begin_ns_, best_);
    return std::move(timeline_);
  }

 private:
  void settle() {
    if (!changed_) return;
    changed_ = false;
    if (timeline_.column_ns == 0) {
      push(now_ns_, live_);
    } else if (total_ > best_total_) {
      best_ = live_;
      best_total_ = total_;
    }
  }

  // Columns until the one in which `time_ns` lies are over; each begins with what lived.
  void move_to(int64_t time_ns) {
    const auto since_begin = [&] {
      return static_cast<uint64_t>(time_ns) - static_cast<uint64_t>(column_begin_ns_);
    };
    while (since_begin() >= static_cast<uint64_t>(timeline_.column_ns)) {
      push(column_begin_ns_, best_);
      column_begin_ns_ += timeline_.column_ns;
      best_ = live_;
      best_total_ = total_;
    }
    // What lived until the very moment at which a column begins is not of it.
    if (time_ns == column_begin_ns_) best_total_ = -1;
  }

  void push(int64_t time_ns, const std::vector<int64_t>& bytes) {
    timeline_.times_ns.push_back(time_ns);
    for (size_t i = 0; i < bytes.size(); ++i) timeline_.bytes[i].push_back(bytes[i]);
  }

  Timeline timeline_;
  int64_t column_begin_ns_;
  int64_t now_ns_;
  std::vector<int64_t> live_;
  std::vector<int64_t> best_;  // of the column so far
  int64_t total_ = 0;
  int64_t best_total_ = 0;
  bool changed_ = false;
};

struct Span {
  int64_t begin_ns = 0;
  int64_t column_ns = 0;
};

// Times are untrusted: a span that no 64-bit integer holds is cut in two.
Span span_of(const UsageCurve& curve, size_t changes, size_t samples) {
  if (curve.points.empty()) return {};
  Span span{curve.points.front().time_ns, 0};
  if (changes <= samples) return span;
  int64_t length = 0;
  if (__builtin_sub_overflow(curve.points.back().time_ns, span.begin_ns, &length)) {
    length = std::numeric_limits<int64_t>::max() - 1;
  }
  span.column_ns = length / static_cast<int64_t>(std::max<size_t>(samples, 1)) + 1;
  return span;
}

struct CategoryChange {
  int64_t time_ns;
  int64_t bytes;
  Category category;
};

Result<std::vector<CategoryChange>> changes_of(const trace::Reader& reader,
                                               const SeriesBlocks& blocks) {
  std::vector<CategoryChange> changes;
  const Lifetimes lifetimes(reader);
  auto read =
      reader.allocations(filter_for(blocks.series), [&](std::span<const trace::Allocation> batch) {
        for (const trace::Allocation& row : batch) {
          const int64_t end_ns = lifetimes.end_ns(row);
          if (end_ns <= row.alloc_ns || row.size == 0) continue;
          const CategoryBlock* block = blocks.find(row.id);
          const Category category = block == nullptr ? Category::kUnknown : block->category;
          const auto bytes = static_cast<int64_t>(row.size);
          changes.push_back({row.alloc_ns, bytes, category});
          if (end_ns != trace::kNever) changes.push_back({end_ns, -bytes, category});
        }
      });
  if (!read) return tl::unexpected(read.error());
  std::stable_sort(
      changes.begin(), changes.end(),
      [](const CategoryChange& a, const CategoryChange& b) { return a.time_ns < b.time_ns; });
  return changes;
}

}  // namespace

Timeline timeline_of(const UsageCurve& curve, size_t samples) {
  const Span span = span_of(curve, curve.points.size(), samples);
  Sampler sampler(1, span.begin_ns, span.column_ns);
  int64_t before = 0;
  for (const UsagePoint& point : curve.points) {
    sampler.change(point.time_ns, 0, point.bytes - before);
    before = point.bytes;
  }
  if (curve.points.empty()) return {0, {}, {}, {{}}};
  return sampler.finish();
}

Result<Timeline> timeline_of(const trace::Reader& reader, const UsageCurve& curve,
                             const SeriesBlocks& blocks, size_t samples) {
  const auto changes = changes_of(reader, blocks);
  if (!changes) return tl::unexpected(changes.error());
  if (changes->empty()) return timeline_of(curve, samples);
  std::array<int32_t, kCategories> channel{};
  channel.fill(-1);
  std::vector<Category> categories;
  for (const CategoryChange& change : *changes) channel[static_cast<size_t>(change.category)] = 0;
  for (size_t i = 0; i < kCategories; ++i) {
    if (channel[i] < 0) continue;
    channel[i] = static_cast<int32_t>(categories.size());
    categories.push_back(static_cast<Category>(i));
  }
  const Span span = span_of(curve, changes->size(), samples);
  Sampler sampler(categories.size(), span.begin_ns, span.column_ns);
  for (const CategoryChange& change : *changes) {
    const int32_t number = channel[static_cast<size_t>(change.category)];
    sampler.change(change.time_ns, static_cast<size_t>(number), change.bytes);
  }
  Timeline timeline = sampler.finish();
  timeline.categories = std::move(categories);
  return timeline;
}

}  // namespace tidemark::analyzer
