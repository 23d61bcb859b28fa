#include "app.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

#include "imgui_scope.h"
#include "screenshots.h"
#include "session.h"
#include "tidemark/viewer/format.h"
#include "tidemark/viewer/open_panel.h"
#include "tidemark/viewer/recent_files.h"

namespace tidemark::viewer {
namespace {

// Closing must not wait for a long read or a long query; nothing that is read needs to be undone.
[[noreturn]] void leave_at_once(std::unique_ptr<Surface> surface) {
  surface.reset();
  std::fflush(nullptr);
  std::_Exit(EXIT_SUCCESS);
}

// The window: its surface, fonts and the trace that it shows.
class Program {
 public:
  Program(const Options& options, std::unique_ptr<Surface> surface)
      : options_(options),
        surface_(std::move(surface)),
        scale_(surface_->scale()),
        session_(std::make_unique<Session>(options, wake_window)) {
    recent_.add(options_.trace);
    restyle();
  }

  Result<void> run() {
    while (surface_->wait()) {
      if (session_->theme() != theme_) restyle();
      surface_->begin_frame();
      auto drawn = session_->draw(fonts_);
      const auto chosen = files_.draw(fonts_, theme_);
      surface_->end_frame(palette(theme_).background);
      if (!drawn) return drawn;
      rescale(session_->workspace().take_scale_steps());
      if (session_->workspace().take_open_request()) {
        files_.open(recent_.paths(), traces_in(".", 40));
      }
      open(chosen.value_or(surface_->take_dropped()));
    }
    if (retired_ || session_->busy()) leave_at_once(std::move(surface_));
    session_.reset();  // its workers wake the window: they end first
    return {};
  }

 private:
  void restyle() {
    theme_ = session_->theme();
    fonts_ = load_fonts(scale_);
    apply_style(theme_, scale_);
    if (started_) surface_->fonts_changed();
    started_ = true;
  }

  void rescale(int steps) {
    if (steps == 0) return;
    scale_ = std::clamp(scale_ * std::pow(1.1F, static_cast<float>(steps)), 0.5F, 4.0F);
    restyle();
  }

  // Another trace in place of this one.
  void open(const std::string& path) {
    if (path.empty()) return;
    if (const auto reader = trace::Reader::open(path); !reader) {
      session_->notice(reader.error().message);
      return;
    }
    recent_.add(path);
    options_.trace = path;
    options_.compare.clear();
    options_.theme = theme_;
    // The one before may be in the middle of a long read: it ends by itself.
    retired_ = true;
    std::thread([before = std::move(session_)]() mutable { before.reset(); }).detach();
    session_ = std::make_unique<Session>(options_, wake_window);
  }

  Options options_;
  std::unique_ptr<Surface> surface_;
  float scale_;
  std::unique_ptr<Session> session_;
  OpenPanel files_;
  RecentFiles recent_;
  Theme theme_ = Theme::kDark;
  Fonts fonts_;
  bool started_ = false;
  bool retired_ = false;  // an earlier session may still be ending
};

Result<void> show_window(const Options& options) {
  // A trace that cannot be read is told at once, on the terminal, without a window.
  const auto reader = trace::Reader::open(options.trace);
  if (!reader) return tl::unexpected(reader.error());
  const ImGuiScope imgui;
  auto opened = open_window("Tidemark: " + std::string(base_name(options.trace)), options.size);
  if (!opened) return tl::unexpected(opened.error());
  Program program(options, std::move(*opened));
  return program.run();
}

}  // namespace

Result<void> run(const Options& options) {
  if (!options.screenshot.empty() || !options.screenshots.empty()) {
    return take_screenshots(options);
  }
  return show_window(options);
}

}  // namespace tidemark::viewer
