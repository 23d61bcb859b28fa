#include "tidemark/viewer/workspace.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "export_table.h"
#include "tidemark/viewer/input.h"
#include "tidemark/viewer/process_view.h"

namespace tidemark::viewer {
namespace {

constexpr const char* kHints =
    "? help  \u00b7  Ctrl+K commands  \u00b7  / search  \u00b7  wheel zoom  \u00b7  drag pan  "
    "\u00b7  Shift+drag range  \u00b7  click for details  \u00b7  F frame  \u00b7  P peak";

struct Tab {
  PanelName panel;
  const char* name;   // for --panel
  const char* title;  // of the tab; null: none
};
constexpr std::array<Tab, 13> kTabs = {{{PanelName::kAll, "all", nullptr},
                                        {PanelName::kTimeline, "timeline", nullptr},
                                        {PanelName::kSummary, "summary", nullptr},
                                        {PanelName::kLive, "live", "Live"},
                                        {PanelName::kDetails, "details", "Details"},
                                        {PanelName::kFlame, "flame", "Flame graph"},
                                        {PanelName::kTreemap, "treemap", "Treemap"},
                                        {PanelName::kSegments, "segments", "Segments"},
                                        {PanelName::kFindings, "findings", "Findings"},
                                        {PanelName::kAdvice, "advice", "Advice"},
                                        {PanelName::kWhatIf, "whatif", "What if"},
                                        {PanelName::kSearch, "search", "Search"},
                                        {PanelName::kCompare, "compare", "Compare"}}};

// A panel's ground, with its padding; end_card() closes it.
void begin_card(const PanelContext& context, const char* id, float height) {
  const float em = context.fonts.regular->FontSize;
  ImGui::PushStyleColor(ImGuiCol_ChildBg, to_vec4(context.colours().panel));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {std::floor(em * 0.9F), std::floor(em * 0.65F)});
  ImGui::BeginChild(id, {0, height}, false,
                    ImGuiWindowFlags_AlwaysUseWindowPadding | ImGuiWindowFlags_NoScrollWithMouse |
                        ImGuiWindowFlags_NoScrollbar);
  ImGui::PopStyleVar();
  ImGui::PopStyleColor();
}

void end_card() { ImGui::EndChild(); }

void begin_whole_display(float margin) {
  ImGui::SetNextWindowPos({0, 0});
  ImGui::SetNextWindowSize(ImGui::GetIO().DisplaySize);
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {margin, margin});
  ImGui::Begin("tidemark", nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove |
                   ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoScrollWithMouse |
                   ImGuiWindowFlags_NoBringToFrontOnFocus | ImGuiWindowFlags_NoNavInputs);
  ImGui::PopStyleVar();
}

}  // namespace

std::optional<PanelName> panel_from(std::string_view name) {
  for (const Tab& tab : kTabs) {
    if (name == tab.name) return tab.panel;
  }
  return std::nullopt;
}

const char* panel_name(PanelName panel) {
  const auto found =
      std::find_if(kTabs.begin(), kTabs.end(), [&](const Tab& tab) { return tab.panel == panel; });
  return found == kTabs.end() ? "" : found->name;
}

void Workspace::show(PanelName panel) {
  below_ = panel;
  wanted_ = panel;
}

void Workspace::handle_keys(const PanelContext& context) {
  const ImGuiIO& io = ImGui::GetIO();
  if (io.KeyCtrl) {
    if (key_pressed(kKeyK)) palette_.open();
    if (key_pressed(kKeyO)) open_requested_ = true;
    if (key_pressed(kKeyE)) export_requested_ = exported_panel();
    if (key_pressed(kKeyG)) picture_requested_ = true;
    if (key_pressed(kKeyC) && !io.WantTextInput) copy_requested_ = true;
    if (key_pressed(kKeyPlus)) ++scale_steps_;
    if (key_pressed(kKeyMinus)) --scale_steps_;
    return;
  }
  if (io.KeyAlt) {
    if (key_pressed(kKeyLeft)) context.state.back();
    if (key_pressed(kKeyRight)) context.state.forward();
    return;
  }
  if (io.WantTextInput) return;
  if (key_pressed(kKeyT)) {
    context.state.theme = context.state.theme == Theme::kDark ? Theme::kLight : Theme::kDark;
  }
  if (key_pressed(kKeyC)) {
    const int next = (static_cast<int>(context.state.colouring) + 1) % 3;
    context.state.colouring = static_cast<Colouring>(next);
  }
  if (key_pressed(kKeyB)) context.state.packed = !context.state.packed;
  if (key_pressed(kKeySlash)) {
    if (io.KeyShift) {
      help_ = !help_;
    } else {
      show(PanelName::kSearch);
      search_.focus();
    }
  }
  if (key_pressed(kKeyEscape) && !help_ && !palette_.is_open()) context.state.choose({});
}

// What was clicked is what the user wants to read about.
void Workspace::follow_choice(const PanelContext& context) {
  const ViewState& state = context.state;
  const bool fresh = state.choice != last_choice_ || state.range != last_range_;
  const bool chosen =
      state.range || state.choice.block != trace::AllocationId{} || state.choice.operation != 0;
  last_choice_ = state.choice;
  last_range_ = state.range;
  if (!fresh) return;
  // A list whose rows are looked at one after the other stays.
  const bool list = below_ == PanelName::kSearch || below_ == PanelName::kFindings ||
                    below_ == PanelName::kSegments;
  const bool reading = list && !state.range;
  if (chosen && !reading) show(PanelName::kDetails);
  if (!chosen && below_ == PanelName::kDetails) show(PanelName::kLive);
}

void Workspace::draw(const PanelContext& context) {
  const float em = context.fonts.regular->FontSize;
  handle_keys(context);
  follow_choice(context);
  ImGui::PushFont(context.fonts.regular);
  begin_whole_display(std::floor(em * 0.5F));
  if (only_ == PanelName::kAll) {
    draw_all(context);
  } else {
    begin_card(context, "only", ImGui::GetContentRegionAvail().y);
    draw_panel(context, only_);
    end_card();
  }
  ImGui::End();
  ImGui::PopFont();
  palette_.draw(context, commands(context));
  if (const auto panel = std::exchange(export_requested_, std::nullopt)) {
    export_ = export_tables(context, *panel, compare_.grouping());
  }
  draw_help(context, &help_);
}

void Workspace::draw_panel(const PanelContext& context, PanelName panel) {
  switch (panel) {
    case PanelName::kAll:
    case PanelName::kTimeline:
      timeline_.draw(context, ImGui::GetContentRegionAvail().y);
      break;
    case PanelName::kSummary:
      draw_summary(context);
      break;
    case PanelName::kLive:
      live_.draw(context);
      break;
    case PanelName::kDetails:
      details_.draw(context);
      break;
    case PanelName::kFlame:
      flame_.draw(context);
      break;
    case PanelName::kTreemap:
      treemap_.draw(context);
      break;
    case PanelName::kSegments:
      segments_.draw(context);
      break;
    case PanelName::kFindings:
      if (const auto words = findings_.draw(context)) search_.look_for(*words);
      break;
    case PanelName::kAdvice:
      if (const auto choice = advice_.draw(context)) whatif_.preview(context, *choice);
      break;
    case PanelName::kWhatIf:
      whatif_.draw(context);
      break;
    case PanelName::kSearch:
      search_.draw(context);
      break;
    case PanelName::kCompare:
      compare_.draw(context);
      break;
  }
}

void Workspace::draw_tabs(const PanelContext& context) {
  if (!ImGui::BeginTabBar("below", ImGuiTabBarFlags_FittingPolicyScroll)) return;
  const std::optional<PanelName> wanted = std::exchange(wanted_, std::nullopt);
  for (const Tab& tab : kTabs) {
    if (tab.title == nullptr) continue;
    if (tab.panel == PanelName::kCompare && context.comparison == nullptr) continue;
    const ImGuiTabItemFlags flags =
        wanted == tab.panel ? ImGuiTabItemFlags_SetSelected : ImGuiTabItemFlags_None;
    if (!ImGui::BeginTabItem(tab.title, nullptr, flags)) continue;
    if (!wanted) below_ = tab.panel;
    if (below_ == tab.panel) {
      const bool copy = std::exchange(copy_requested_, false);
      if (copy) ImGui::LogToClipboard();  // what is shown, as text
      draw_panel(context, tab.panel);
      if (copy) ImGui::LogFinish();
    }
    ImGui::EndTabItem();
  }
  ImGui::EndTabBar();
}

std::vector<Command> Workspace::commands(const PanelContext& context) {
  if (!palette_.is_open()) return {};
  ViewState& state = context.state;
  std::vector<Command> list;
  const auto add = [&](std::string name, std::string keys, std::function<void()> run) {
    list.push_back({std::move(name), std::move(keys), std::move(run)});
  };
  add("Go to the peak of the selected series", "P",
      [&context] { context.state.go_to_peak(context.document); });
  add("Show the whole recording", "F", [&state] { state.axis.frame_all(); });
  add("Back", "Alt+Left", [&state] { state.back(); });
  add("Forward", "Alt+Right", [&state] { state.forward(); });
  add("Light or dark", "T",
      [&state] { state.theme = state.theme == Theme::kDark ? Theme::kLight : Theme::kDark; });
  constexpr std::array<std::pair<const char*, Colouring>, 3> kColourings = {
      {{"Stack and colour by category", Colouring::kCategory},
       {"Stack and colour by layer of the model", Colouring::kLayer},
       {"Colour by series", Colouring::kSeries}}};
  for (const auto& [name, colouring] : kColourings) {
    add(name, "C", [&state, colouring = colouring] { state.colouring = colouring; });
  }
  add(state.packed ? "Blocks at their addresses" : "Blocks packed by size", "B",
      [&state] { state.packed = !state.packed; });
  add("Show all tracks", "", [&state] { state.tracks.show_all(); });
  for (const Tab& tab : kTabs) {
    if (tab.title == nullptr) continue;
    add(std::string("Panel: ") + tab.title, "", [this, &tab] { show(tab.panel); });
  }
  for (const Track& track : context.document.tracks) {
    add("Select " + track.name, "",
        [&state, series = track.curve.series] { state.select(series); });
  }
  if (context.processes.size() > 1) {
    add("All processes", "", [this] { process_requested_ = trace::ProcessId{}; });
    for (const trace::Process& process : context.processes) {
      add("Only " + process_text(process), "",
          [this, id = process.id] { process_requested_ = id; });
    }
  }
  for (const TrackRow& row : state.tracks.all()) {
    add((row.hidden ? "Show track: " : "Hide track: ") + row.name, "",
        [&state, row] { state.tracks.hide(row, !row.hidden); });
  }
  for (size_t i = 0; i < known_cards().size(); ++i) {
    add(std::string("Fit into: ") + known_cards()[i].name, "", [this, i] {
      whatif_.choose_card(static_cast<int>(i));
      show(PanelName::kWhatIf);
    });
  }
  add("Larger text", "Ctrl+=", [this] { ++scale_steps_; });
  add("Smaller text", "Ctrl+-", [this] { --scale_steps_; });
  add("Open another trace", "Ctrl+O", [this] { open_requested_ = true; });
  add("Export the panel below as CSV", "Ctrl+E", [this] { export_requested_ = exported_panel(); });
  add("Export the curve of the selected series as CSV", "",
      [this] { export_requested_ = PanelName::kTimeline; });
  add("Save a picture of the window as PNG", "Ctrl+G", [this] { picture_requested_ = true; });
  add("Copy the panel below as text", "Ctrl+C", [this] { copy_requested_ = true; });
  add("Help", "?", [this] { help_ = true; });
  return list;
}

void Workspace::draw_all(const PanelContext& context) {
  const Fonts& fonts = context.fonts;
  const float em = fonts.regular->FontSize;
  ImGui::PushStyleVar(ImGuiStyleVar_ItemSpacing, {em * 0.5F, std::floor(em * 0.4F)});
  draw_summary(context);
  const float hints = fonts.small->FontSize * 1.2F;
  const float gap = ImGui::GetStyle().ItemSpacing.y;
  const float splitter = std::floor(em * 0.4F);
  const float room =
      std::max(ImGui::GetContentRegionAvail().y - hints - splitter - gap * 3.0F, em * 8.0F);
  const float timeline = std::floor(room * timeline_share_);
  begin_card(context, "timeline", timeline);
  timeline_.draw(context, ImGui::GetContentRegionAvail().y);
  end_card();
  draw_splitter(context, room);
  begin_card(context, "below", room - timeline);
  ImGui::PopStyleVar();
  draw_tabs(context);
  end_card();

  const ImVec2 at = ImGui::GetCursorScreenPos();
  draw_text(ImGui::GetWindowDrawList(), fonts.small, {at.x + em * 0.9F, at.y},
            with_alpha(context.colours().text_dim, 0.8),
            elide(fonts.small,
                  context.working.empty() ? std::string(kHints) : std::string(context.working),
                  ImGui::GetContentRegionAvail().x - em));
}

void Workspace::draw_splitter(const PanelContext& context, float room) {
  const float height = std::floor(context.fonts.regular->FontSize * 0.4F);
  ImGui::InvisibleButton("splitter", {std::max(ImGui::GetContentRegionAvail().x, 1.0F), height});
  const bool touched = ImGui::IsItemHovered() || ImGui::IsItemActive();
  if (touched) ImGui::SetMouseCursor(ImGuiMouseCursor_ResizeNS);
  if (ImGui::IsItemActive() && room > 0) {
    timeline_share_ = std::clamp(timeline_share_ + ImGui::GetIO().MouseDelta.y / room, 0.2F, 0.85F);
  }
  const ImVec2 min = ImGui::GetItemRectMin();
  const ImVec2 max = ImGui::GetItemRectMax();
  const float middle = (min.x + max.x) / 2;
  const Colour colour = touched ? context.colours().accent : context.colours().border;
  ImGui::GetWindowDrawList()->AddRectFilled({middle - height * 4, min.y + height * 0.3F},
                                            {middle + height * 4, max.y - height * 0.3F},
                                            to_u32(colour), height);
}

void draw_loading(const Fonts& fonts, Theme theme, std::string_view path, std::string_view doing) {
  ImGui::PushFont(fonts.regular);
  begin_whole_display(0);
  const ImVec2 size = ImGui::GetIO().DisplaySize;
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float em = fonts.regular->FontSize;
  draw_text(list, fonts.title, {size.x / 2, size.y / 2 - em * 2}, palette(theme).text, doing,
            Align::kCentre);
  draw_text(list, fonts.regular, {size.x / 2, size.y / 2}, palette(theme).text_dim,
            elide(fonts.regular, path, size.x - em * 2), Align::kCentre);
  ImGui::End();
  ImGui::PopFont();
}

}  // namespace tidemark::viewer
