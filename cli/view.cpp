// tidemark view FILE [--screenshot PNG --size WxH --panel NAME]: becomes tidemark-view, which
// stands beside this program, so that this one needs no graphics library.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "commands.h"
#include "console.h"

namespace tidemark::cli {
namespace {

struct ViewOptions {
  std::string file;
  std::string screenshot;
  std::string size;
  std::string panel;
  std::string screenshots;
  std::string compare;
  std::string theme;
};

int view(const ViewOptions& options) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return complain("cannot tell where this program is: " + error.message(), kFailed);
  const std::string viewer = self.parent_path() / "tidemark-view";
  std::vector<std::string> words = {viewer, options.file};
  const auto pass = [&](const char* name, const std::string& value) {
    if (!value.empty()) words.insert(words.end(), {name, value});
  };
  pass("--screenshot", options.screenshot);
  pass("--size", options.size);
  pass("--panel", options.panel);
  pass("--screenshots", options.screenshots);
  pass("--compare", options.compare);
  pass("--theme", options.theme);
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execv(viewer.c_str(), arguments.data());
  if (errno == ENOENT) {
    return complain(fmt::format("the viewer is not installed: {} is missing; build it "
                                "(TIDEMARK_VIEWER=ON needs GLFW and Dear ImGui), or read the same "
                                "with tidemark report {}",
                                viewer, options.file),
                    kFailed);
  }
  return complain(fmt::format("cannot start {}: {}", viewer, std::strerror(errno)), kFailed);
}

}  // namespace

void add_view(CLI::App& app, int& status) {
  const auto options = std::make_shared<ViewOptions>();
  CLI::App* command =
      app.add_subcommand("view", "Usage over time in a window, and what is live at the cursor");
  command->add_option("FILE", options->file, "A trace")->required();
  command->add_option("--screenshot", options->screenshot,
                      "Draw into this PNG instead of a window");
  command->add_option("--size", options->size, "Of the window or picture, such as 1600x900");
  command->add_option("--panel", options->panel, "Show only this panel");
  command->add_option("--screenshots", options->screenshots,
                      "Draw a picture of each panel into this folder");
  command->add_option("--compare", options->compare,
                      "A second trace, whose curves are drawn over the first's");
  command->add_option("--theme", options->theme, "dark or light");
  command->footer("Example:\n  tidemark view train.db --screenshot train.png --size 1600x900");
  command->callback([options, &status] { status = view(*options); });
}

}  // namespace tidemark::cli
