// The whole window: all panels in their places, or one of them alone.
#pragma once

#include <optional>
#include <string_view>

#include "tidemark/viewer/live_panel.h"
#include "tidemark/viewer/summary_panel.h"
#include "tidemark/viewer/timeline_panel.h"

namespace tidemark::viewer {

enum class PanelName : uint8_t { kAll, kTimeline, kLive, kSummary };

// "all", "timeline", "live", "summary".
std::optional<PanelName> panel_from(std::string_view name);
inline constexpr const char* kPanelNames = "all, timeline, live, summary";

class Workspace {
 public:
  explicit Workspace(PanelName only = PanelName::kAll) : only_(only) {}
  // One frame's worth of panels over the whole display; between NewFrame and Render.
  void draw(const PanelContext& context);

  const TimelinePanel& timeline() const { return timeline_; }
  const LivePanel& live() const { return live_; }

 private:
  void draw_all(const PanelContext& context);
  void draw_splitter(const PanelContext& context, float room);

  PanelName only_;
  TimelinePanel timeline_;
  LivePanel live_;
  float timeline_share_ = 0.61F;
};

// What is shown before a document is there.
void draw_loading(const Fonts& fonts, Theme theme, std::string_view path);

}  // namespace tidemark::viewer
