#include "tidemark/viewer/track_list.h"

#include <algorithm>
#include <cctype>

namespace tidemark::viewer {
namespace {

bool holds(std::string_view text, std::string_view words) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  };
  return words.empty() ||
         std::search(text.begin(), text.end(), words.begin(), words.end(), same) != text.end();
}

// `fresh` in the order of `before`; what is new comes behind the one that it follows by default.
std::vector<TrackRow> in_order_of(const std::vector<TrackRow>& before,
                                  const std::vector<TrackRow>& fresh) {
  std::vector<TrackRow> ordered;
  const auto place = [](const std::vector<TrackRow>& rows, const TrackRow& row) {
    return std::find_if(rows.begin(), rows.end(),
                        [&](const TrackRow& other) { return other.same(row); });
  };
  for (const TrackRow& row : before) {
    if (const auto found = place(fresh, row); found != fresh.end()) ordered.push_back(*found);
  }
  for (size_t i = 0; i < fresh.size(); ++i) {
    if (place(ordered, fresh[i]) != ordered.end()) continue;
    const auto after = i == 0 ? ordered.cbegin() : std::next(place(ordered, fresh[i - 1]));
    ordered.insert(after, fresh[i]);
  }
  return ordered;
}

}  // namespace

void TrackList::update(const Document& document, const Activity* activity, bool phases) {
  std::vector<TrackRow> rows;
  if (phases) rows.push_back({TrackKind::kPhases, 0, "iterations and phases"});
  for (size_t i = 0; i < document.tracks.size(); ++i) {
    const Track& track = document.tracks[i];
    rows.push_back({TrackKind::kUsage, i, track.name});
    if (activity == nullptr) continue;
    for (size_t m = 0; m < activity->maps.size(); ++m) {
      if (activity->maps[m].series() != track.curve.series || activity->maps[m].size() == 0) {
        continue;
      }
      TrackRow row{TrackKind::kBlocks, m, "blocks of " + track.name};
      // The first series is what people come for; the others' maps are a click away.
      row.hidden = i != 0;
      rows.push_back(std::move(row));
    }
  }
  if (activity != nullptr) {
    for (size_t i = 0; i < activity->ranges.size(); ++i) {
      rows.push_back({TrackKind::kRanges, i, activity->ranges[i].name});
    }
    for (size_t i = 0; i < activity->streams.size(); ++i) {
      rows.push_back({TrackKind::kStream, i, activity->streams[i].name});
    }
    for (size_t i = 0; i < activity->threads.size(); ++i) {
      rows.push_back({TrackKind::kThread, i, activity->threads[i].name});
    }
    for (size_t i = 0; i < activity->samples.size(); ++i) {
      rows.push_back({TrackKind::kSamples, i, activity->samples[i].name});
    }
  }
  for (TrackRow& row : rows) {
    if (const TrackRow* before = find(row)) {
      row.hidden = before->hidden;
      row.pinned = before->pinned;
    }
  }
  rows_ = moved_ ? in_order_of(rows_, rows) : std::move(rows);
}

std::vector<const TrackRow*> TrackList::shown() const {
  std::vector<const TrackRow*> shown;
  for (const TrackRow& row : rows_) {
    if (!row.hidden && holds(row.name, filter_)) shown.push_back(&row);
  }
  std::stable_partition(shown.begin(), shown.end(),
                        [](const TrackRow* row) { return row->pinned; });
  return shown;
}

TrackRow* TrackList::find(const TrackRow& row) {
  const auto found = std::find_if(rows_.begin(), rows_.end(),
                                  [&](const TrackRow& other) { return other.same(row); });
  return found == rows_.end() ? nullptr : &*found;
}

void TrackList::hide(const TrackRow& row, bool hidden) {
  if (TrackRow* found = find(row)) found->hidden = hidden;
}

void TrackList::pin(const TrackRow& row, bool pinned) {
  if (TrackRow* found = find(row)) found->pinned = pinned;
}

void TrackList::move(const TrackRow& row, int by) {
  const std::vector<const TrackRow*> order = shown();
  const auto at = std::find_if(order.begin(), order.end(),
                               [&](const TrackRow* other) { return other->same(row); });
  if (at == order.end()) return;
  const auto to = at - order.begin() + by;
  if (to < 0 || to >= static_cast<std::ptrdiff_t>(order.size())) return;
  std::swap(*find(row), *find(*order[static_cast<size_t>(to)]));
  moved_ = true;
}

void TrackList::show_all() {
  for (TrackRow& row : rows_) row.hidden = false;
  filter_.clear();
}

}  // namespace tidemark::viewer
