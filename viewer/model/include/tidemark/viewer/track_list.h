// Which tracks the timeline shows and in which order: built from what is loaded, then changed by
// the user (hide, pin to the top, move, filter by name). Plain value, no ImGui.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tidemark/viewer/activity.h"
#include "tidemark/viewer/document.h"

namespace tidemark::viewer {

enum class TrackKind : uint8_t { kPhases, kUsage, kBlocks, kStream, kRanges, kThread, kSamples };

struct TrackRow {
  TrackKind kind{};
  size_t index = 0;  // of its kind in Document (kUsage) or Activity
  std::string name;
  bool hidden = false;
  bool pinned = false;
  bool same(const TrackRow& other) const { return kind == other.kind && name == other.name; }
};

class TrackList {
 public:
  // What is there: phases first, each series with its blocks below it, then streams, ranges,
  // threads and samples. The user's choices for tracks that were there before stay.
  void update(const Document& document, const Activity* activity, bool phases);

  // In the order of the picture: pinned ones first; without hidden and filtered ones.
  std::vector<const TrackRow*> shown() const;
  const std::vector<TrackRow>& all() const { return rows_; }
  void set_filter(std::string_view words) { filter_ = words; }
  const std::string& filter() const { return filter_; }
  void hide(const TrackRow& row, bool hidden);
  void pin(const TrackRow& row, bool pinned);
  // One place up (-1) or down (1) among those shown.
  void move(const TrackRow& row, int by);
  void show_all();

 private:
  TrackRow* find(const TrackRow& row);
  std::vector<TrackRow> rows_;
  std::string filter_;
  bool moved_ = false;  // the order is the user's
};

}  // namespace tidemark::viewer
