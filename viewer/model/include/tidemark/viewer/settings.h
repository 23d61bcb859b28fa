// What the viewer remembers from one start to the next: how it looks, not what it shows. A file of
// lines "name value" in the user's folder ($XDG_CONFIG_HOME/tidemark/view, else
// ~/.config/tidemark/view). Main thread. Lines that nobody knows are passed by: another version's.
#pragma once

#include <string>
#include <string_view>

#include "tidemark/trace/result.h"
#include "tidemark/viewer/palette.h"

namespace tidemark::viewer {

struct Settings {
  Theme theme = Theme::kDark;
  Colouring colouring = Colouring::kCategory;
  bool packed = false;
  float text_scale = 1;  // of what the monitor says
  float timeline_share = 0.66F;
  std::string panel = "live";  // below the timeline, by its name
  int width = 0;               // of the window; 0: not known
  int height = 0;
  bool operator==(const Settings&) const = default;
};

// What cannot be read keeps its default; values beyond sense are brought into it.
Settings parse_settings(std::string_view text);
std::string format_settings(const Settings& settings);

class SettingsFile {
 public:
  // "": nothing is kept.
  explicit SettingsFile(std::string file = default_file());
  static std::string default_file();

  const Settings& settings() const { return settings_; }
  // Writes them where they differ. Errors: the file cannot be written.
  [[nodiscard]] Result<void> keep(const Settings& settings);

 private:
  std::string file_;
  Settings settings_;
};

}  // namespace tidemark::viewer
