// tidemark advise FILE --capacity SIZE [--space device:0] [--batch N] [--json]
#include "tidemark/analyzer/advise.h"

#include <malloc.h>

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

struct AdviseOptions {
  std::string file;
  std::string space = "device:0";
  std::string capacity;
  uint32_t batch = 0;
  bool json = false;
};

Result<std::string> answer(const AdviseOptions& options) {
  const auto capacity = analyzer::parse_size(options.capacity);
  if (!capacity) return tl::unexpected(capacity.error());
  const auto space = read_space(options.space);
  if (!space) return tl::unexpected(space.error());
  const auto schedule = schedule_of(options.file, *space);
  if (!schedule) return tl::unexpected(schedule.error());
  const auto list = analyzer::advise(*schedule, *capacity);
  if (!list) return tl::unexpected(list.error());
  return options.json ? analyzer::advise_json(*list, options.batch)
                      : analyzer::advise_text(*list, options.batch);
}

int advise(const AdviseOptions& options) {
  // Each question copies the schedule and drops it: what malloc keeps need not be faulted in anew.
  constexpr int kKept = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kKept);
  mallopt(M_TRIM_THRESHOLD, kKept);
  const auto text = answer(options);
  if (!text) return complain(text.error().message);
  return write_answer("", options.file, *text);
}

}  // namespace

void add_advise(CLI::App& app, int& status) {
  const auto options = std::make_shared<AdviseOptions>();
  CLI::App* command = app.add_subcommand(
      "advise", "What to change so that a training program fits, cheapest in time first");
  command->add_option("FILE", options->file, "A trace")->required();
  command->add_option("--capacity", options->capacity, "What it is to fit into: 24GiB")->required();
  command->add_option("--space", options->space, "Whose memory: device:N")->capture_default_str();
  command
      ->add_option("--batch", options->batch,
                   "The recorded batch, to name the largest that fits by its size")
      ->check(CLI::Range(1, 1 << 30));
  command->add_flag("--json", options->json, "As JSON");
  command->footer("Example:\n  tidemark advise train.db --capacity 24GiB --batch 8");
  command->callback([options, &status] { status = advise(*options); });
}

}  // namespace tidemark::cli
