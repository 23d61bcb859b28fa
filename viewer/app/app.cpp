#include "app.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <optional>

#include "png.h"
#include "tidemark/analyzer/live.h"
#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

// Frames until sizes that depend on the frame before have settled.
constexpr int kSettlingFrames = 4;

struct ImGuiScope {
  ImGuiScope() {
    ImGui::CreateContext();
    ImGui::GetIO().IniFilename = nullptr;  // nothing is left behind in the user's folder
    ImGui::GetIO().LogFilename = nullptr;
  }
  ~ImGuiScope() { ImGui::DestroyContext(); }
  ImGuiScope(const ImGuiScope&) = delete;
  ImGuiScope& operator=(const ImGuiScope&) = delete;
};

// All that exists once the trace has been read.
struct Session {
  Session(Document loaded, const Options& options, std::function<void()> on_answer)
      : document(std::move(loaded)),
        state(document, options.theme),
        live([path = options.trace] { return trace::Reader::open(path); }, analyzer::live_at,
             std::move(on_answer)),
        workspace(options.panel) {}

  void draw(const Fonts& fonts) { workspace.draw({document, state, live, fonts}); }

  const Document document;
  ViewState state;
  LiveWorker live;
  Workspace workspace;
};

Result<void> take_screenshot(const Options& options, const trace::Reader& reader) {
  auto document = load_document(reader);
  if (!document) return tl::unexpected(document.error());
  const ImGuiScope imgui;
  auto surface = open_offscreen(options.size);
  if (!surface) return tl::unexpected(surface.error());
  const Fonts fonts = load_fonts((*surface)->scale());
  apply_style(options.theme, (*surface)->scale());

  Session session(std::move(*document), options, {});
  for (int frame = 0; frame < kSettlingFrames; ++frame) {
    (*surface)->begin_frame();
    session.draw(fonts);
    (*surface)->end_frame(palette(options.theme).background);
    session.live.wait();
  }
  const auto image = (*surface)->read_back();
  if (!image) return tl::unexpected(image.error());
  return write_png(options.screenshot, *image);
}

// Closing must not wait for a long read or a long query; nothing that is read needs to be undone.
[[noreturn]] void leave_at_once(std::unique_ptr<Surface> surface) {
  surface.reset();
  std::fflush(nullptr);
  std::_Exit(EXIT_SUCCESS);
}

Result<void> show_window(const Options& options, std::unique_ptr<trace::Reader> reader) {
  const ImGuiScope imgui;
  auto opened = open_window("Tidemark: " + std::string(base_name(options.trace)), options.size);
  if (!opened) return tl::unexpected(opened.error());
  std::unique_ptr<Surface> surface = std::move(*opened);
  const float scale = surface->scale();
  const Fonts fonts = load_fonts(scale);
  apply_style(options.theme, scale);

  auto loading = std::async(std::launch::async, [from = std::move(reader)] {
    auto document = load_document(*from);
    wake_window();
    return document;
  });
  std::optional<Session> session;
  Theme theme = options.theme;
  while (surface->wait()) {
    if (!session && loading.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
      auto document = loading.get();
      if (!document) return tl::unexpected(document.error());
      session.emplace(std::move(*document), options, wake_window);
    }
    if (session && session->state.theme != theme) {
      theme = session->state.theme;
      apply_style(theme, scale);
    }
    surface->begin_frame();
    if (session) {
      session->draw(fonts);
    } else {
      draw_loading(fonts, theme, options.trace);
    }
    surface->end_frame(palette(theme).background);
  }
  if (!session || session->live.busy()) leave_at_once(std::move(surface));
  session.reset();  // the worker wakes the window: it ends first
  return {};
}

}  // namespace

Result<void> run(const Options& options) {
  auto reader = trace::Reader::open(options.trace);
  if (!reader) return tl::unexpected(reader.error());
  if (!options.screenshot.empty()) return take_screenshot(options, **reader);
  return show_window(options, std::move(*reader));
}

}  // namespace tidemark::viewer
