// The whole window: the timeline above, one of the other panels below, or one of them alone; the
// help and the command palette over them.
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "tidemark/viewer/advice_panel.h"
#include "tidemark/viewer/compare_panel.h"
#include "tidemark/viewer/csv.h"
#include "tidemark/viewer/details_panel.h"
#include "tidemark/viewer/findings_panel.h"
#include "tidemark/viewer/live_panel.h"
#include "tidemark/viewer/overlays.h"
#include "tidemark/viewer/search_panel.h"
#include "tidemark/viewer/segments_panel.h"
#include "tidemark/viewer/share_panels.h"
#include "tidemark/viewer/summary_panel.h"
#include "tidemark/viewer/timeline_panel.h"
#include "tidemark/viewer/whatif_panel.h"

namespace tidemark::viewer {

enum class PanelName : uint8_t {
  kAll,
  kTimeline,
  kSummary,
  kLive,
  kDetails,
  kFlame,
  kTreemap,
  kSegments,
  kFindings,
  kAdvice,
  kWhatIf,
  kSearch,
  kCompare,
};

std::optional<PanelName> panel_from(std::string_view name);
const char* panel_name(PanelName panel);
inline constexpr const char* kPanelNames =
    "all, timeline, summary, live, details, flame, treemap, segments, findings, advice, whatif, "
    "search, compare";

class Workspace {
 public:
  explicit Workspace(PanelName only = PanelName::kAll) : only_(only) {}
  // One frame's worth of panels over the whole display; between NewFrame and Render.
  void draw(const PanelContext& context);

  // The panel below the timeline; opened with the next frame.
  void show(PanelName panel);
  PanelName below() const { return below_; }
  bool help_is_open() const { return help_; }
  // What the user asked the program for, once; see app.
  bool take_open_request() { return std::exchange(open_requested_, false); }
  // 0: all of them.
  std::optional<trace::ProcessId> take_process_request() {
    return std::exchange(process_requested_, std::nullopt);
  }
  int take_scale_steps() { return std::exchange(scale_steps_, 0); }
  bool take_picture_request() { return std::exchange(picture_requested_, false); }
  // How it is laid out.
  float timeline_share() const { return timeline_share_; }
  void set_timeline_share(float share) { timeline_share_ = share; }
  // What is to be written; no file where the panel has nothing to show yet.
  std::optional<std::vector<CsvFile>> take_export() { return std::exchange(export_, std::nullopt); }

  const TimelinePanel& timeline() const { return timeline_; }
  const LivePanel& live() const { return live_; }
  FlamePanel& flame() { return flame_; }
  TreemapPanel& treemap() { return treemap_; }
  const SegmentsPanel& segments() const { return segments_; }
  const AdvicePanel& advice() const { return advice_; }
  WhatIfPanel& whatif() { return whatif_; }
  SearchPanel& search() { return search_; }
  CommandPalette& palette() { return palette_; }

 private:
  void draw_all(const PanelContext& context);
  void draw_splitter(const PanelContext& context, float room);
  void draw_tabs(const PanelContext& context);
  void draw_panel(const PanelContext& context, PanelName panel);
  void handle_keys(const PanelContext& context);
  PanelName exported_panel() const { return only_ == PanelName::kAll ? below_ : only_; }
  void follow_choice(const PanelContext& context);
  std::vector<Command> commands(const PanelContext& context);

  PanelName only_;
  PanelName below_ = PanelName::kLive;
  std::optional<PanelName> wanted_;
  Choice last_choice_;
  std::optional<TimeRange> last_range_;
  bool help_ = false;
  bool open_requested_ = false;
  std::optional<PanelName> export_requested_;
  std::optional<std::vector<CsvFile>> export_;
  bool picture_requested_ = false;
  std::optional<trace::ProcessId> process_requested_;
  bool copy_requested_ = false;
  int scale_steps_ = 0;
  TimelinePanel timeline_;
  LivePanel live_;
  DetailsPanel details_;
  FlamePanel flame_;
  TreemapPanel treemap_;
  SegmentsPanel segments_;
  FindingsPanel findings_;
  AdvicePanel advice_;
  WhatIfPanel whatif_;
  ComparePanel compare_;
  SearchPanel search_;
  CommandPalette palette_;
  float timeline_share_ = 0.66F;
};

// What is shown before a document is there.
void draw_loading(const Fonts& fonts, Theme theme, std::string_view path,
                  std::string_view doing = "Reading");

}  // namespace tidemark::viewer
