#include "screenshots.h"

#include <array>
#include <filesystem>

#include "imgui_scope.h"
#include "png.h"
#include "session.h"
#include "tidemark/viewer/navigation.h"

namespace tidemark::viewer {
namespace {

// Frames until sizes that depend on the frame before have settled, and answers are shown.
constexpr int kSettlingFrames = 5;

class Camera {
 public:
  Camera(Surface& surface, Session& session, const Fonts& fonts)
      : surface_(surface), session_(session), fonts_(fonts) {}

  Result<void> take(const std::string& path) {
    for (int frame = 0; frame < kSettlingFrames; ++frame) {
      surface_.begin_frame();
      auto drawn = session_.draw(fonts_);
      surface_.end_frame(palette(session_.theme()).background);
      if (!drawn) return drawn;
      session_.wait();
    }
    const auto image = surface_.read_back();
    if (!image) return tl::unexpected(image.error());
    return write_png(path, *image);
  }

 private:
  Surface& surface_;
  Session& session_;
  const Fonts& fonts_;
};

// The largest block that lives at the cursor: something to read about.
void choose_largest(Session& session) {
  ViewState* state = session.state();
  const Activity* activity = session.loaded().activity.get();
  const BlockMap* map = activity == nullptr ? nullptr : activity->map_of(state->selected);
  if (map == nullptr) return;
  std::vector<Bar> bars;
  map->query(state->cursor_ns, state->cursor_ns + 1, 1, &bars);
  if (bars.empty()) return;
  Choice choice;
  choice.block = bars.front().id;
  choice.block_series = map->series();
  choice.block_ns = bars.front().begin_ns;
  state->choose(choice);
}

// The second half of the iterations, for a range that says something.
void choose_range(Session& session) {
  ViewState* state = session.state();
  state->choose({});
  const Insight* insight = session.loaded().insight.get();
  if (insight != nullptr && !insight->structure.iterations.empty()) {
    const auto& last = insight->structure.iterations.back();
    state->set_range(last.begin_ns, last.end_ns);
  }
}

struct Scene {
  const char* file;
  PanelName panel;
};
// The forecast last: its curve stays on the timeline.
constexpr std::array<Scene, 13> kScenes = {{{"live.png", PanelName::kLive},
                                            {"details.png", PanelName::kDetails},
                                            {"range.png", PanelName::kDetails},
                                            {"flame.png", PanelName::kFlame},
                                            {"treemap.png", PanelName::kTreemap},
                                            {"segments.png", PanelName::kSegments},
                                            {"packed.png", PanelName::kSegments},
                                            {"layers.png", PanelName::kLive},
                                            {"findings.png", PanelName::kFindings},
                                            {"advice.png", PanelName::kAdvice},
                                            {"search.png", PanelName::kSearch},
                                            {"compare.png", PanelName::kCompare},
                                            {"whatif.png", PanelName::kWhatIf}}};

void prepare(Session& session, const Scene& scene) {
  ViewState* state = session.state();
  const std::string file = scene.file;
  state->choose({});
  if (file == "details.png") choose_largest(session);
  if (file == "range.png") choose_range(session);
  if (file == "search.png") session.workspace().search().look_for("softmax");
  state->colouring = file == "layers.png" ? Colouring::kLayer : Colouring::kCategory;
  state->packed = file == "packed.png";
  session.workspace().whatif().set_batch(file == "whatif.png" ? 2.0 : 1.0);
}

}  // namespace

Result<void> take_screenshots(const Options& options) {
  const ImGuiScope imgui;
  Session session(options, {});
  session.wait();
  if (!session.loaded_now().error.empty()) return fail(session.loaded_now().error);
  auto surface = open_offscreen(options.size.value_or(kDefaultSize));
  if (!surface) return tl::unexpected(surface.error());
  const Fonts fonts = load_fonts((*surface)->scale());
  apply_style(session.theme(), (*surface)->scale());
  Camera camera(**surface, session, fonts);
  if (!options.screenshot.empty()) return camera.take(options.screenshot);

  std::error_code error;
  std::filesystem::create_directories(options.screenshots, error);
  if (error) return fail("cannot make " + options.screenshots + ": " + error.message());
  const std::filesystem::path folder = options.screenshots;
  auto taken = camera.take((folder / "live.png").string());  // the view is there afterwards
  for (const Scene& scene : kScenes) {
    if (!taken) return taken;
    if (scene.panel == PanelName::kCompare && options.compare.empty()) continue;
    prepare(session, scene);
    session.workspace().show(scene.panel);
    taken = camera.take((folder / scene.file).string());
  }
  return taken;
}

}  // namespace tidemark::viewer
