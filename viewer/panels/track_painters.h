// One function a kind of track: each draws into the boxes it is given, at the axis of the view
// state, and costs no more than there are pixels. No input is handled here.
#pragma once

#include <imgui.h>

#include <string_view>
#include <vector>

#include "tidemark/viewer/panel_context.h"
#include "tidemark/viewer/timeline_panel.h"
#include "tidemark/viewer/value_axis.h"

namespace tidemark::viewer {

using TrackBox = TimelinePanel::Box;

struct TrackArea {
  const PanelContext& context;
  ImDrawList* list;
  TrackBox gutter;
  TrackBox plot;

  float em() const { return context.fonts.regular->FontSize; }
  float x_of(double time_ns) const;
  // Background, time grid, name at the left.
  void ground(bool selected, Colour mark) const;
  void grid() const;
  // Lines of text below the name, as far as there is room.
  void captions(std::string_view name,
                std::initializer_list<std::pair<std::string, Colour>> lines) const;
};

// Room above the highest value for the peak's label.
ValueAxis usage_axis(const PanelContext& context, const Track& track, float height);

void paint_usage(const TrackArea& area, const Track& track);
void paint_samples(const TrackArea& area, const SampleTrack& track);
// Appends the bars as drawn, smaller ones later.
void paint_blocks(const TrackArea& area, const BlockMap& map, std::vector<DrawnBar>* drawn);
// One lane at the given height; `texts`: names of its slices.
void paint_lane(const TrackArea& area, const SliceLane& lane, const std::vector<std::string>& texts,
                float top, float height, const Choice& choice);
void paint_stream(const TrackArea& area, const StreamTrack& track);
void paint_ranges(const TrackArea& area, const RangeTrack& track);
void paint_thread(const TrackArea& area, const ThreadTrack& track);
void paint_phases(const TrackArea& area);
// Over all tracks: memory ran out, the selected range, the chosen operation.
void paint_moments(const PanelContext& context, const TrackBox& plot);

// Heights of lanes, in pixels.
float lane_height(const PanelContext& context);

}  // namespace tidemark::viewer
