#include <algorithm>
#include <map>

#include "lifetime_ends.h"
#include "tidemark/viewer/activity.h"

namespace tidemark::viewer {
namespace {

// Lifetimes of one series, of which the largest stay.
class Largest {
 public:
  explicit Largest(size_t most) : most_(most) {}

  void add(const Lifetime& life) {
    if (life.bytes <= unseen_up_to_ && unseen_ > 0) {
      ++unseen_;
      return;
    }
    kept_.push_back(life);
    if (kept_.size() >= 2 * most_) cut();
  }

  BlockMap map(const analyzer::Series& series) && {
    if (kept_.size() > most_) cut();
    return {series, std::move(kept_), unseen_, unseen_up_to_};
  }

 private:
  void cut() {
    const auto middle = kept_.begin() + static_cast<std::ptrdiff_t>(most_);
    std::nth_element(kept_.begin(), middle, kept_.end(), [](const Lifetime& a, const Lifetime& b) {
      return a.bytes != b.bytes ? a.bytes > b.bytes : a.id < b.id;
    });
    unseen_ += kept_.size() - most_;
    unseen_up_to_ = std::max(unseen_up_to_, middle->bytes);
    kept_.resize(most_);
  }

  size_t most_;
  std::vector<Lifetime> kept_;
  uint64_t unseen_ = 0;
  uint64_t unseen_up_to_ = 0;
};

}  // namespace

void ThreadCounts::add(const trace::Allocation& row) {
  std::vector<uint32_t>& spans = spans_[static_cast<int32_t>(row.thread)];
  if (spans.empty()) spans.resize(kSpans);
  const int64_t span = std::clamp<int64_t>(row.alloc_ns / span_ns_, 0, kSpans - 1);
  ++spans[static_cast<size_t>(span)];
}

std::vector<std::pair<trace::ThreadId, ThreadTrack>> ThreadCounts::tracks() const {
  std::vector<std::pair<trace::ThreadId, ThreadTrack>> tracks;
  for (const auto& [thread, spans] : spans_) {
    ThreadTrack track;
    track.span_ns = span_ns_;
    int64_t before = 0;
    for (size_t i = 0; i < spans.size(); ++i) {
      const int64_t count = spans[i];
      track.allocations += spans[i];
      track.most = std::max(track.most, count);
      if (count != before) track.points.push_back({static_cast<int64_t>(i) * span_ns_, count});
      before = count;
    }
    if (before != 0) track.points.push_back({kSpans * span_ns_, 0});
    tracks.emplace_back(trace::ThreadId{thread}, std::move(track));
  }
  std::sort(tracks.begin(), tracks.end(), [](const auto& a, const auto& b) {
    return a.second.allocations != b.second.allocations
               ? a.second.allocations > b.second.allocations
               : a.first < b.first;
  });
  return tracks;
}

Result<std::vector<BlockMap>> load_maps(const trace::Reader& reader, size_t most,
                                        const std::atomic<bool>* stop, ThreadCounts* threads) {
  const LifetimeEnds ends(reader);
  std::map<analyzer::Series, Largest> all;
  const auto read = reader.allocations({}, [&](std::span<const trace::Allocation> batch) {
    if (stop != nullptr && *stop) return;
    for (const trace::Allocation& row : batch) {
      if (threads != nullptr) threads->add(row);
      int64_t end = ends.end_ns(row);
      // What outlives the recording is drawn up to its end.
      if (end == trace::kNever) end = std::max(reader.end_ns(), row.alloc_ns + 1);
      if (row.size == 0 || end <= row.alloc_ns) continue;
      all.try_emplace(series_of(row), most)
          .first->second.add({row.id, row.process, row.address, row.size, row.alloc_ns, end});
    }
  });
  if (!read) return tl::unexpected(read.error());
  if (stop != nullptr && *stop) return fail("stopped");
  std::vector<BlockMap> maps;
  for (auto& [series, largest] : all) maps.push_back(std::move(largest).map(series));
  return maps;
}

}  // namespace tidemark::viewer
