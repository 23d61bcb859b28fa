#include "app.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "imgui_scope.h"
#include "png.h"
#include "screenshots.h"
#include "session.h"
#include "tidemark/viewer/format.h"
#include "tidemark/viewer/open_panel.h"
#include "tidemark/viewer/recent_files.h"
#include "tidemark/viewer/settings.h"

namespace tidemark::viewer {
namespace {

// Closing must not wait for a long read or a long query; nothing that is read needs to be undone.
[[noreturn]] void leave_at_once() {
  std::fflush(nullptr);
  std::_Exit(EXIT_SUCCESS);
}

// The window: its surface, fonts and the trace that it shows.
class Program {
 public:
  Program(const Options& options, std::unique_ptr<Surface> surface, SettingsFile* remembered,
          std::function<void()> leave)
      : options_(options),
        surface_(std::move(surface)),
        remembered_(remembered),
        leave_(std::move(leave)) {
    const Settings& settings = remembered_->settings();
    text_scale_ = settings.text_scale;
    recent_.add(options_.trace);
    show(settings);
    restyle();
  }

  Result<void> run() {
    while (surface_->wait()) {
      if (session_->theme() != theme_) restyle();
      if (picture_due_) surface_->keep_next_frame();
      surface_->begin_frame();
      auto drawn = session_->draw(fonts_);
      const auto chosen = files_.draw(fonts_, theme_);
      const bool mouse_down = ImGui::IsAnyMouseDown();
      surface_->end_frame(palette(theme_).background);
      if (!drawn) return drawn;
      if (std::exchange(picture_due_, false)) save_picture();
      picture_due_ = session_->workspace().take_picture_request();
      rescale(session_->workspace().take_scale_steps());
      if (!mouse_down) remember();
      if (session_->workspace().take_open_request()) {
        files_.open(recent_.paths(), traces_in(".", 40));
      }
      open(chosen.value_or(surface_->take_dropped()));
    }
    if (!retired_.empty() || session_->busy()) {
      surface_.reset();
      leave_();
    }
    return {};
  }

 private:
  float scale() const { return std::clamp(surface_->scale() * text_scale_, 0.4F, 4.0F); }

  void show(const Settings& settings) {
    session_ = std::make_unique<Session>(options_, wake_window);
    Settings looks = settings;
    looks.theme = options_.theme.value_or(settings.theme);
    session_->lay_out(looks);
    surface_->set_title("Tidemark: " + std::string(base_name(options_.trace)));
  }

  // A file that cannot be written is told once: nobody should be kept from a trace by it.
  void remember() {
    Settings settings = session_->layout();
    const Size size = surface_->size();
    settings.text_scale = text_scale_;
    settings.width = size.width;
    settings.height = size.height;
    if (unwritable_) return;
    if (const auto kept = remembered_->keep(settings); !kept) {
      unwritable_ = true;
      session_->notice(kept.error().message);
    }
  }

  // Beside the CSV, in the current folder; none is overwritten.
  void save_picture() {
    const auto image = surface_->read_back();
    const std::string path = free_name(session_->path(), "", ".png");
    const auto written = image ? write_png(path, *image) : tl::unexpected(image.error());
    session_->notice(written ? "written: " + path : written.error().message);
  }

  void restyle() {
    theme_ = session_->theme();
    fonts_ = load_fonts(scale());
    apply_style(theme_, scale());
    if (started_) surface_->fonts_changed();
    started_ = true;
  }

  void rescale(int steps) {
    if (steps == 0) return;
    text_scale_ = std::clamp(text_scale_ * std::pow(1.1F, static_cast<float>(steps)), 0.4F, 4.0F);
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
    options_.theme.reset();
    const Settings layout = session_->layout();
    // The one before may be in the middle of a long read: it ends by itself.
    retired_.emplace_back([before = std::move(session_)]() mutable { before.reset(); });
    show(layout);
  }

  Options options_;
  std::unique_ptr<Surface> surface_;
  SettingsFile* remembered_;
  std::function<void()> leave_;
  float text_scale_ = 1;  // of what the monitor says
  bool picture_due_ = false;
  bool unwritable_ = false;
  std::unique_ptr<Session> session_;
  OpenPanel files_;
  RecentFiles recent_;
  Theme theme_ = Theme::kDark;
  Fonts fonts_;
  bool started_ = false;
  std::vector<std::jthread> retired_;  // earlier sessions that may still be ending
};

Result<void> show_window(const Options& options) {
  // A trace that cannot be read is told at once, on the terminal, without a window.
  const auto reader = trace::Reader::open(options.trace);
  if (!reader) return tl::unexpected(reader.error());
  SettingsFile remembered;
  const Settings& last = remembered.settings();
  const bool known = !options.size && last.width > 0 && last.height > 0;
  const Size size = known ? Size{last.width, last.height} : options.size.value_or(kDefaultSize);
  const ImGuiScope imgui;
  // What the user made of it is in the monitor's pixels already.
  auto opened = open_window(size, !known);
  if (!opened) return tl::unexpected(opened.error());
  return show(options, std::move(*opened), &remembered, leave_at_once);
}

}  // namespace

Result<void> show(const Options& options, std::unique_ptr<Surface> surface,
                  SettingsFile* remembered, std::function<void()> leave) {
  Program program(options, std::move(surface), remembered, std::move(leave));
  return program.run();
}

Result<void> run(const Options& options) {
  if (!options.screenshot.empty() || !options.screenshots.empty()) {
    return take_screenshots(options);
  }
  return show_window(options);
}

}  // namespace tidemark::viewer
