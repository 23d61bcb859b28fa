#include "tidemark/viewer/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tidemark/viewer/environment.h"

namespace tidemark::viewer {
namespace {

constexpr std::array kThemes = {"dark", "light"};
constexpr std::array kColourings = {"category", "layer", "series"};
constexpr size_t kMostBytes = 16 << 10;  // more is no file of ours

template <class Value>
void read(std::string_view text, Value least, Value most, Value* to) {
  Value value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return;
  if constexpr (std::is_floating_point_v<Value>) {
    if (!std::isfinite(value)) return;
  }
  *to = std::clamp(value, least, most);
}

template <class Enum, size_t N>
void read(std::string_view text, const std::array<const char*, N>& names, Enum* to) {
  const auto found = std::find(names.begin(), names.end(), text);
  if (found != names.end()) *to = static_cast<Enum>(found - names.begin());
}

void take(std::string_view name, std::string_view value, Settings* settings) {
  constexpr int kLargest = 16384;
  if (name == "theme") read(value, kThemes, &settings->theme);
  if (name == "colouring") read(value, kColourings, &settings->colouring);
  if (name == "packed") settings->packed = value == "1";
  if (name == "text_scale") read(value, 0.4F, 4.0F, &settings->text_scale);
  if (name == "timeline_share") read(value, 0.2F, 0.85F, &settings->timeline_share);
  if (name == "panel") settings->panel = value;
  if (name == "width") read(value, 200, kLargest, &settings->width);
  if (name == "height") read(value, 150, kLargest, &settings->height);
}

}  // namespace

Settings parse_settings(std::string_view text) {
  Settings settings;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) continue;
    take(line.substr(0, space), line.substr(space + 1), &settings);
  }
  return settings;
}

std::string format_settings(const Settings& settings) {
  return fmt::format(
      "theme {}\ncolouring {}\npacked {}\ntext_scale {}\ntimeline_share {}\npanel {}\nwidth {}\n"
      "height {}\n",
      kThemes.at(static_cast<size_t>(settings.theme)),
      kColourings.at(static_cast<size_t>(settings.colouring)), settings.packed ? 1 : 0,
      settings.text_scale, settings.timeline_share, settings.panel, settings.width,
      settings.height);
}

std::string SettingsFile::default_file() {
  const std::string folder = environment_variable("XDG_CONFIG_HOME");
  if (folder.starts_with('/')) return folder + "/tidemark/view";
  const std::string home = environment_variable("HOME");
  return home.empty() ? "" : home + "/.config/tidemark/view";
}

SettingsFile::SettingsFile(std::string file) : file_(std::move(file)) {
  if (file_.empty()) return;
  std::ifstream stream(file_, std::ios::binary);
  std::string text(kMostBytes, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(stream.gcount(), 0)));
  settings_ = parse_settings(text);
}

Result<void> SettingsFile::keep(const Settings& settings) {
  if (file_.empty() || settings == settings_) return {};
  std::error_code error;
  const std::filesystem::path file = file_;
  std::filesystem::create_directories(file.parent_path(), error);
  if (error) return fail("cannot make " + file.parent_path().string() + ": " + error.message());
  // Whole or not at all, whatever ends the program meanwhile.
  const std::string fresh = file_ + ".new";
  std::ofstream stream(fresh, std::ios::binary | std::ios::trunc);
  stream << format_settings(settings);
  stream.close();
  if (!stream) return fail("cannot write " + fresh + ": is there room, and may you write there?");
  std::filesystem::rename(fresh, file, error);
  if (error) return fail("cannot write " + file_ + ": " + error.message());
  settings_ = settings;
  return {};
}

}  // namespace tidemark::viewer
