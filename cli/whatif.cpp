// tidemark whatif FILE [--space device:0] [transforms…] [--capacity SIZE] [--against FILE2]
// [--json]
#include "tidemark/analyzer/whatif.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <memory>
#include <optional>
#include <string>

#include "commands.h"
#include "console.h"
#include "tidemark/analyzer/render_whatif.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::cli {
namespace {

struct WhatIfOptions {
  std::string file;
  std::string space = "device:0";
  std::string batch;
  std::string checkpoint;
  std::string precision;
  std::string autocast;
  std::string optimizer;
  uint32_t accumulate = 1;
  bool keep_gradients = false;
  std::string allocator;
  std::string capacity;
  std::string against;
  bool json = false;
};

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "8:32" and "4x".
Result<double> batch_factor(std::string_view text) {
  const auto wrong = [&] {
    return fail("--batch takes FROM:TO (8:32) or a factor (4x, 0.5x), not " + std::string(text));
  };
  if (text.ends_with('x')) {
    const auto factor = number<double>(text.substr(0, text.size() - 1));
    if (!factor || *factor <= 0) return wrong();
    return *factor;
  }
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return wrong();
  const auto from = number<uint32_t>(text.substr(0, colon));
  const auto to = number<uint32_t>(text.substr(colon + 1));
  if (!from || !to || *from == 0 || *to == 0) return wrong();
  return static_cast<double>(*to) / *from;
}

// "layers", "every:2", or the name of a class.
Result<analyzer::CheckpointPlan> checkpoint_plan(std::string_view text) {
  analyzer::CheckpointPlan plan;
  if (text == "layers") return plan;
  constexpr std::string_view kEvery = "every:";
  if (text.starts_with(kEvery)) {
    const auto every = number<uint32_t>(text.substr(kEvery.size()));
    if (!every || *every == 0) return fail("--checkpoint every:K takes a number from 1");
    plan.every = *every;
    return plan;
  }
  plan.module = text;
  return plan;
}

struct Space {
  trace::Space space{};
  int16_t device = trace::kNoDevice;
};

Result<Space> space_of(std::string_view text) {
  constexpr std::string_view kDevice = "device:";
  if (text == "host") return Space{trace::Space::kHost, trace::kNoDevice};
  if (text.starts_with(kDevice)) {
    if (const auto device = number<int16_t>(text.substr(kDevice.size()))) {
      return Space{trace::Space::kDevice, *device};
    }
  }
  return fail("--space takes device:N or host, not " + std::string(text));
}

Result<analyzer::WhatIf> read(const WhatIfOptions& options) {
  using analyzer::OptimizerKind;
  analyzer::WhatIf what;
  if (!options.batch.empty()) {
    const auto factor = batch_factor(options.batch);
    if (!factor) return tl::unexpected(factor.error());
    what.batch = *factor;
  }
  if (!options.checkpoint.empty()) {
    const auto plan = checkpoint_plan(options.checkpoint);
    if (!plan) return tl::unexpected(plan.error());
    what.checkpoint = *plan;
  }
  if (options.precision == "bf16") what.precision = analyzer::Precision::kBfloat16;
  if (options.precision == "fp16") what.precision = analyzer::Precision::kFloat16;
  if (options.autocast == "bf16") what.autocast = analyzer::Precision::kBfloat16;
  if (options.autocast == "fp16") what.autocast = analyzer::Precision::kFloat16;
  const std::map<std::string, OptimizerKind> optimizers{{"sgd", OptimizerKind::kSgd},
                                                        {"momentum", OptimizerKind::kMomentum},
                                                        {"adam", OptimizerKind::kAdam},
                                                        {"adam8bit", OptimizerKind::kAdam8bit},
                                                        {"adafactor", OptimizerKind::kAdafactor}};
  if (!options.optimizer.empty()) what.optimizer = optimizers.at(options.optimizer);
  what.accumulate = options.accumulate;
  what.keep_gradients = options.keep_gradients;
  what.allocator = options.allocator;
  return what;
}

Result<analyzer::Schedule> schedule_of(const std::string& file, const Space& space) {
  const auto reader = trace::Reader::open(file);
  if (!reader) return tl::unexpected(reader.error());
  const auto series = analyzer::series_in(**reader, space.space, space.device);
  if (!series) return tl::unexpected(series.error());
  return analyzer::build_schedule(**reader, *series);
}

Result<std::string> answer(const WhatIfOptions& options) {
  const auto what = read(options);
  if (!what) return tl::unexpected(what.error());
  const auto space = space_of(options.space);
  if (!space) return tl::unexpected(space.error());
  analyzer::Capacity capacity;
  if (!options.capacity.empty()) {
    const auto bytes = analyzer::parse_size(options.capacity);
    if (!bytes) return tl::unexpected(bytes.error());
    capacity = *bytes;
  }
  const auto schedule = schedule_of(options.file, *space);
  if (!schedule) return tl::unexpected(schedule.error());
  auto prediction = analyzer::predict(*schedule, *what);
  if (!prediction) return tl::unexpected(prediction.error());
  prediction->capacity = capacity;
  if (!options.against.empty()) {
    const auto measured = schedule_of(options.against, *space);
    if (!measured) return tl::unexpected(measured.error());
    prediction->measured = {measured->recorded_peak_allocated, measured->recorded_peak_reserved};
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
  command->add_option("--batch", options->batch, "FROM:TO or a factor: 8:32, 4x");
  command
      ->add_option("--accumulate", options->accumulate,
                   "So many micro-batches, each of the (changed) batch, before an optimizer step")
      ->check(CLI::Range(1, 4096));
  command->add_option("--checkpoint", options->checkpoint,
                      "Recompute in backward: layers, every:K, or the class of a module");
  command->add_option("--precision", options->precision, "The whole model in bf16 or fp16")
      ->check(CLI::IsMember({"bf16", "fp16"}));
  command
      ->add_option("--autocast", options->autocast, "Forward within torch.autocast: bf16 or fp16")
      ->check(CLI::IsMember({"bf16", "fp16"}));
  command->add_option("--optimizer", options->optimizer, "sgd, momentum, adam, adam8bit, adafactor")
      ->check(CLI::IsMember({"sgd", "momentum", "adam", "adam8bit", "adafactor"}));
  command->add_flag("--keep-gradients", options->keep_gradients,
                    "zero_grad(set_to_none=False): gradients stay between steps");
  command
      ->add_option("--allocator", options->allocator,
                   "torch, torch:expandable_segments:True,…, cuda-malloc-async, cuda-malloc, "
                   "bfc, exact")
      ->capture_default_str();
  command->add_option("--capacity", options->capacity, "Does it fit into this much (24GiB)?");
  command->add_option("--against", options->against,
                      "A trace of the changed run: prints the errors of peak and of change");
  command->add_flag("--json", options->json, "As JSON");
  command->footer(
      "Example:\n  tidemark whatif train.db --batch 8:32 --checkpoint layers --capacity 24GiB");
  command->callback([options, &status] { status = whatif(*options); });
}

}  // namespace tidemark::cli
