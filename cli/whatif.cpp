// tidemark whatif FILE [--space device:0|host] [transforms…] [--capacity SIZE] [--against FILE2]
// [--json]
#include "tidemark/analyzer/whatif.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "commands.h"
#include "console.h"
#include "tidemark/analyzer/render_whatif.h"
#include "tidemark/analyzer/units.h"
#include "whatif_options.h"

namespace tidemark::cli {
namespace {

struct WhatIfOptions {
  std::string file;
  std::string space = "device:0";
  TransformOptions transforms;
  std::string capacity;
  std::string against;
  std::string second;
  bool json = false;
};

// Says what was fitted.
Result<std::string> fit_from(const WhatIfOptions& options, const SpaceOption& space,
                             analyzer::Schedule& schedule) {
  const auto second = read_second(options.second, options.transforms.batch);
  if (!second) return tl::unexpected(second.error());
  const auto other = schedule_of(second->file, space);
  if (!other) return tl::unexpected(other.error());
  const auto fit = analyzer::fit_batch(schedule, *other, second->ratio);
  if (!fit) return tl::unexpected(fit.error());
  return fmt::format(
      "{} allocations follow the batch as in {} and {}; {} that the second does not have follow "
      "the "
      "first alone; {} grow by more than the batch or shrink: libraries chose anew",
      fit->fitted, options.file, second->file, fit->unmatched, fit->not_linear);
}

Result<std::string> answer(const WhatIfOptions& options) {
  analyzer::Capacity capacity;
  if (!options.capacity.empty()) {
    const auto bytes = analyzer::parse_size(options.capacity);
    if (!bytes) return tl::unexpected(bytes.error());
    capacity = *bytes;
  }
  const auto what = read_transforms(options.transforms, capacity);
  if (!what) return tl::unexpected(what.error());
  const auto space = read_space(options.space);
  if (!space) return tl::unexpected(space.error());
  auto schedule = schedule_of(options.file, *space);
  if (!schedule) return tl::unexpected(schedule.error());
  std::string fitted;
  if (!options.second.empty()) {
    const auto fit = fit_from(options, *space, *schedule);
    if (!fit) return tl::unexpected(fit.error());
    fitted = *fit;
  }
  auto prediction = analyzer::predict(*schedule, *what, capacity);
  if (!prediction) return tl::unexpected(prediction.error());
  if (!fitted.empty()) prediction->changes.assumptions.push_back(fitted);
  if (!options.against.empty()) {
    const auto measured = schedule_of(options.against, *space);
    if (!measured) return tl::unexpected(measured.error());
    const auto categories = analyzer::categories_at_peak(*measured);
    if (!categories) return tl::unexpected(categories.error());
    prediction->measured = {measured->recorded_peak_allocated, measured->recorded_peak_reserved};
    prediction->measured_at_peak = *categories;
  }
  return options.json ? analyzer::whatif_json(*prediction) : analyzer::whatif_text(*prediction);
}

int whatif(const WhatIfOptions& options) {
  const auto text = answer(options);
  if (!text) return complain(text.error().message);
  return write_answer("", options.file, *text);
}

}  // namespace

void add_whatif(CLI::App& app, int& status) {
  const auto options = std::make_shared<WhatIfOptions>();
  CLI::App* command = app.add_subcommand(
      "whatif", "The peak with another batch, precision, optimizer, allocator, with checkpoints");
  command->add_option("FILE", options->file, "A trace")->required();
  command->add_option("--space", options->space, "Whose memory: device:N or host")
      ->capture_default_str();
  add_transforms(*command, options->transforms);
  command->add_option("--capacity", options->capacity, "Does it fit into this much (24GiB)?");
  command->add_option("--against", options->against,
                      "A trace of the changed run: prints the errors of peak and of change");
  command->add_option(
      "--second", options->second,
      "FILE:BATCH, a trace of the program with another batch: what --batch changes is "
      "fitted from both");
  command->add_flag("--json", options->json, "As JSON");
  command->footer(
      "Example:\n  tidemark whatif train.db --batch 8:32 --checkpoint layers --capacity 24GiB");
  command->callback([options, &status] { status = whatif(*options); });
}

}  // namespace tidemark::cli
