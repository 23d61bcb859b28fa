#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "colouring.h"
#include "tidemark/viewer/format.h"
#include "track_painters.h"

namespace tidemark::viewer {
namespace {

// As many as a picture can tell apart; the largest of those in it.
constexpr size_t kMostDrawn = 6000;

// Blocks that the chosen kernel worked on stand out, the others fade.
std::unordered_set<int64_t> touched(const PanelContext& context) {
  std::unordered_set<int64_t> ids;
  if (context.questions == nullptr || context.state.choice.operation == 0) return ids;
  const auto answered = context.questions->details().latest();
  if (answered == nullptr || answered->question.choice != context.state.choice) return ids;
  if (const auto* details = std::get_if<OperationDetails>(&answered->answer)) {
    for (const BlockLink& link : details->blocks) ids.insert(static_cast<int64_t>(link.id));
  }
  return ids;
}

// Below the captions: what the colours mean, as far as there is room.
void legend(const TrackArea& area, const BlockMap& map, float lines) {
  const PanelContext& context = area.context;
  ImFont* font = context.fonts.small;
  const float em = font->FontSize;
  const float left = area.gutter.min.x + area.em() * 0.9F;
  ImVec2 at{left, area.gutter.min.y + area.em() * (1.9F + 1.25F * lines)};
  area.list->PushClipRect(area.gutter.min, area.gutter.max, true);
  for (const ColourPart& part : colour_parts(context, map.series())) {
    const std::string& name = part.name;
    const float width = em * 1.9F + text_width(font, name);
    if (at.x + width > area.gutter.max.x && at.x > left) at = {left, at.y + em * 1.25F};
    if (at.y + em > area.gutter.max.y) break;
    area.list->AddCircleFilled({at.x + em * 0.35F, at.y + em * 0.5F}, em * 0.3F,
                               to_u32(part.colour), 12);
    draw_text(area.list, font, {at.x + em * 0.9F, at.y}, context.colours().text_dim, name);
    at.x += width;
  }
  area.list->PopClipRect();
}

DrawnBar place_bar(const TrackArea& area, const BlockMap& map, const Bar& bar, double scale) {
  const uint64_t offset = area.context.state.packed ? bar.packed : bar.offset;
  const float left = std::floor(area.x_of(static_cast<double>(bar.begin_ns)));
  const float right = std::max(std::floor(area.x_of(static_cast<double>(bar.end_ns))), left + 1.0F);
  const float low =
      area.plot.max.y - 2.0F - static_cast<float>(static_cast<double>(offset) * scale);
  const float high =
      low - std::max(static_cast<float>(static_cast<double>(bar.bytes) * scale), 1.0F);
  return {bar, map.series(), {left, high}, {right, low}};
}

}  // namespace

void paint_blocks(const TrackArea& area, const BlockMap& map, std::vector<DrawnBar>* drawn) {
  const PanelContext& context = area.context;
  const ViewState& state = context.state;
  const Palette& colours = context.colours();
  area.ground(false, series_colour(map.series(), state.theme));
  area.list->PushClipRect(area.plot.min, area.plot.max, true);
  area.grid();
  std::vector<Bar> bars;
  const bool all =
      map.query(static_cast<int64_t>(std::floor(state.axis.begin_ns())),
                static_cast<int64_t>(std::ceil(state.axis.end_ns())), kMostDrawn, &bars);
  // What is chosen is seen however small it is.
  const Bar* chosen = map.series() == state.choice.block_series
                          ? map.find(state.choice.block, state.choice.block_ns)
                          : nullptr;
  if (!all && chosen != nullptr) bars.push_back(*chosen);
  // The largest is drawn first: what is small stays on top.
  std::stable_sort(bars.begin(), bars.end(),
                   [](const Bar& a, const Bar& b) { return a.bytes > b.bytes; });
  const auto special = touched(context);
  const float height = area.plot.height() - 4.0F;
  const uint64_t bytes = state.packed ? map.packed_bytes() : map.height_bytes();
  const double scale = height / static_cast<double>(std::max<uint64_t>(bytes, 1));
  for (const Bar& bar : bars) {
    const DrawnBar place = place_bar(area, map, bar, scale);
    const bool faded = !special.empty() && !special.contains(static_cast<int64_t>(bar.id));
    const Colour colour =
        with_alpha(block_colour(context, map.series(), bar.id), faded             ? 0.2
                                                                : special.empty() ? 0.78
                                                                                  : 1.0);
    area.list->AddRectFilled(place.min, place.max, to_u32(colour));
    if (place.max.x - place.min.x > 3 && place.max.y - place.min.y > 3) {
      // An edge tells neighbours of one colour apart.
      area.list->AddRect(place.min, place.max, to_u32(with_alpha(colours.plot, 0.75)));
    }
    drawn->push_back(place);
  }
  if (chosen != nullptr) {  // over all others
    const DrawnBar place = place_bar(area, map, *chosen, scale);
    area.list->AddRect({place.min.x - 1, place.min.y - 1}, {place.max.x + 1, place.max.y + 1},
                       to_u32(colours.cursor), 0, 0, 2.0F);
  }
  area.list->PopClipRect();
  area.list->AddLine({area.plot.min.x, area.plot.max.y}, area.plot.max, to_u32(colours.border));
  std::string unseen;
  if (!all) unseen = fmt::format("the {} largest here", format_count(kMostDrawn));
  std::string least;
  if (map.unseen() > 0) {
    least = fmt::format("{} below {} not kept", format_count(map.unseen()),
                        format_bytes(static_cast<int64_t>(map.unseen_up_to())));
  }
  area.captions("blocks of " + analyzer::series_text(map.series()),
                {{format_count(map.size()) + " lifetimes", colours.text},
                 {(state.packed ? "packed by size, " : "addresses of ") +
                      format_bytes(static_cast<int64_t>(bytes)),
                  colours.text_dim},
                 {unseen, colours.text_dim},
                 {least, colours.warning}});
  legend(area, map, 2.0F + (unseen.empty() ? 0.0F : 1.0F) + (least.empty() ? 0.0F : 1.0F));
}

}  // namespace tidemark::viewer
