#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "app.h"

namespace {

using tidemark::viewer::Options;

constexpr int kWrongUse = 2;
constexpr int kLargest = 16384;

// "1920x1080"; "" when it is fine.
std::string parse_size(const std::string& text, tidemark::viewer::Size* size) {
  int used = 0;
  const int fields =
      std::sscanf(text.c_str(), "%5dx%5d%n", &size->width, &size->height, &used);  // NOLINT
  if (fields != 2 || static_cast<size_t>(used) != text.size() || size->width < 1 ||
      size->height < 1 || size->width > kLargest || size->height > kLargest) {
    return "must be WIDTHxHEIGHT in pixels, such as 1440x900";
  }
  return {};
}

int complain(const std::string& message) {
  std::fprintf(stderr, "tidemark-view: %s\n", message.c_str());
  return kWrongUse;
}

int view(int argc, char** argv) {
  Options options;
  std::string panel = "all";
  std::string theme;
  std::string size;
  CLI::App app{"Shows a recorded trace: memory over time, and what was live at any moment"};
  app.name("tidemark-view");
  app.footer("Example: tidemark-view train.db --screenshot train.png --size 1920x1080");
  app.add_option("FILE", options.trace, "The trace that tidemark record wrote")->required();
  app.add_option("--screenshot", options.screenshot,
                 "Write a picture to this file; needs no display")
      ->type_name("PNG");
  app.add_option("--screenshots", options.screenshots,
                 "Write a picture of each panel into this folder; needs no display")
      ->type_name("FOLDER");
  app.add_option("--compare", options.compare,
                 "A second trace, whose curves are drawn over the first's")
      ->type_name("FILE");
  app.add_option("--size", size, "Of the window or picture, in pixels (a window: as it was left)")
      ->type_name("WxH")
      ->check([&](const std::string& text) { return parse_size(text, &options.size.emplace()); });
  app.add_option("--panel", panel,
                 std::string("Show one panel alone: ") + tidemark::viewer::kPanelNames)
      ->type_name("NAME")
      ->check([&](const std::string& name) -> std::string {
        const auto known = tidemark::viewer::panel_from(name);
        if (!known) return std::string("must be one of ") + tidemark::viewer::kPanelNames;
        options.panel = *known;
        return {};
      });
  app.add_option("--theme", theme, "dark or light (a window: as it was left; a picture: dark)")
      ->type_name("NAME")
      ->check([&](const std::string& name) -> std::string {
        if (name != "dark" && name != "light") return "must be dark or light";
        options.theme =
            name == "light" ? tidemark::viewer::Theme::kLight : tidemark::viewer::Theme::kDark;
        return {};
      });
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return complain(std::string(error.what()) + " (see tidemark-view --help)");
  }
  const auto shown = tidemark::viewer::run(options);
  return shown ? 0 : complain(shown.error().message);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return view(argc, argv);
  } catch (const std::exception& error) {
    return complain(error.what());
  }
}
