// The program: loads a trace and shows it, in a window until that is closed or once into files.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "surface.h"
#include "tidemark/viewer/settings.h"
#include "tidemark/viewer/workspace.h"

namespace tidemark::viewer {

struct Options {
  std::string trace;
  std::string compare;      // "": none; else the trace whose curves are drawn over the first's
  std::string screenshot;   // "": a window
  std::string screenshots;  // a folder: one picture of each panel
  // Absent: of a window as it was left last, of a picture the default.
  std::optional<Size> size;
  std::optional<Theme> theme;
  PanelName panel = PanelName::kAll;
};

inline constexpr Size kDefaultSize{1440, 900};

// Until the surface is closed. A Dear ImGui context is there. `leave`: called at the end while
// something still reads, which would be waited for after it. Errors: what the trace's Reader says.
[[nodiscard]] Result<void> show(const Options& options, std::unique_ptr<Surface> surface,
                                SettingsFile* remembered, std::function<void()> leave);

// Errors: the trace, the display, the picture's file. Main thread.
[[nodiscard]] Result<void> run(const Options& options);

}  // namespace tidemark::viewer
