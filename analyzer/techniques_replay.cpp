// Advice on what a replay of the changed recording predicts.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "techniques_parts.h"
#include "tidemark/analyzer/units.h"
#include "whatif/transform_parts.h"

namespace tidemark::analyzer {
namespace {

// One change that may be made, and how whatif is asked for it.
struct Choice {
  std::string options;  // "--batch 0.5x"
  std::string name;     // in a sentence: "half the batch"
  std::string change;
  WhatIf what;
};

struct Predicted {
  Choice choice;
  Prediction prediction;
};

// The kinds of blocks that a technique makes smaller: where they are few it is worth nothing.
std::string shares(const TechniqueSearch& search, std::initializer_list<Category> kinds) {
  std::string text;
  for (const Category kind : kinds) {
    if (!text.empty()) text += ", ";
    std::string name = to_string(kind);
    std::replace(name.begin(), name.end(), '_', ' ');
    text += fmt::format("{} {}", name, format_bytes(search.bytes_of(kind)));
  }
  return text;
}

std::string peak_of_all(const TechniqueSearch& search) {
  if (search.line == nullptr) {
    return fmt::format("{} processes and no single block", search.report.processes.size());
  }
  return fmt::format("the peak of {}, {}", series_text(search.line->series),
                     format_bytes(static_cast<uint64_t>(search.line->peak_bytes)));
}

class Replayed {
 public:
  explicit Replayed(const TechniqueSearch& search) : search_(search) {}

  // Of several choices the one that needs least is the line's; all are in its sentences.
  void add(Technique technique, std::initializer_list<Category> kinds,
           const std::vector<Choice>& choices, const std::string& more = "") const {
    TechniqueLine line;
    line.technique = technique;
    line.command = search_.whatif(choices.empty() ? "" : " " + choices.front().options);
    line.why = fmt::format("Of {}: {}.", peak_of_all(search_), shares(search_, kinds));
    std::optional<Predicted> least;
    std::vector<std::string> told;
    std::string refused;
    for (const Choice& choice : choices) {
      if (search_.schedule == nullptr) break;
      auto prediction = predict(*search_.schedule, choice.what);
      if (!prediction) {
        refused = prediction.error().message;
        continue;
      }
      told.push_back(fmt::format("{}: {} at {:.2f} x the time of a step", choice.name,
                                 format_bytes(prediction->predicted.reserved),
                                 prediction->time_ratio()));
      if (least && least->prediction.predicted.reserved <= prediction->predicted.reserved) {
        continue;
      }
      least = Predicted{choice, std::move(*prediction)};
    }
    if (least) {
      line.why += fmt::format(" Predicted of {}: {}.",
                              format_bytes(static_cast<uint64_t>(search_.advice.peak_bytes)),
                              fmt::join(told, "; "));
      line.peak_with_bytes = static_cast<int64_t>(least->prediction.predicted.reserved);
      line.time_ratio = least->prediction.time_ratio();
      line.what = least->choice.what;
      line.change = least->choice.change;
      line.command = search_.whatif(" " + least->choice.options);
    } else if (!refused.empty()) {
      line.why += fmt::format(" It cannot be predicted of these {} blocks: {}.",
                              format_count(search_.schedule->blocks.size()), refused);
    } else if (!search_.advice.not_replayed.empty()) {
      line.why += fmt::format(" Not predicted: {}.", search_.advice.not_replayed);
    }
    line.why += more;
    search_.add(std::move(line));
  }

  // How much of this batch the device holds: by a straight line through two predictions, and then
  // that one predicted.
  std::string largest_batch() const {
    const Schedule* schedule = search_.schedule;
    if (schedule == nullptr || schedule->iterations.empty()) return "";
    const auto device = std::ranges::find(search_.report.device_memory, search_.line->series.device,
                                          &DeviceMemoryLine::device);
    if (device == search_.report.device_memory.end()) return "";
    const auto at = [&](double factor) { return predict(*schedule, batch(factor)); };
    const auto one = at(1);
    const auto two = at(2);
    if (!one || !two || two->needed_bytes() <= one->needed_bytes()) return "";
    const auto step = static_cast<double>(two->needed_bytes() - one->needed_bytes());
    const uint64_t total = device->total_bytes;
    if (total <= one->needed_bytes()) return "";
    double factor = 1 + static_cast<double>(total - one->needed_bytes()) / step;
    for (int i = 0; i < 4 && factor >= 1; ++i, factor *= 0.9) {
      factor = std::floor(factor * 10) / 10;
      const auto prediction = at(factor);
      if (!prediction || fit_of(*prediction, total) != Fit::kFits) continue;
      return fmt::format(
          " The {} of this device hold {:.1f} times this batch ({} predicted; tidemark whatif FILE "
          "--batch {:.1f}x).",
          format_bytes(total), factor, format_bytes(prediction->needed_bytes()), factor);
    }
    return "";
  }

  static WhatIf batch(double factor) {
    WhatIf what;
    what.batch = factor;
    return what;
  }

 private:
  const TechniqueSearch& search_;
};

template <class Set>
Choice choice(std::string options, std::string name, std::string change, const Set& set) {
  Choice made{std::move(options), std::move(name), std::move(change), {}};
  set(made.what);
  return made;
}

void advise_on_sizes(const TechniqueSearch& search, const Replayed& replayed) {
  replayed.add(Technique::kBatch, {Category::kActivation, Category::kInput},
               {choice("--batch 0.5x", "half the batch", "half the batch",
                       [](WhatIf& what) { what.batch = 0.5; })},
               replayed.largest_batch());
  replayed.add(
      Technique::kAccumulation, {Category::kActivation, Category::kGradient},
      {choice("--batch 0.5x --accumulate 2", "two micro-batches of half the batch",
              "half the batch, and the optimizer's step after every second backward pass",
              [](WhatIf& what) {
                what.batch = 0.5;
                what.accumulate = 2;
              }),
       choice("--batch 0.25x --accumulate 4", "four of a quarter",
              "a quarter of the batch, and the optimizer's step after every fourth backward pass",
              [](WhatIf& what) {
                what.batch = 0.25;
                what.accumulate = 4;
              })});
  replayed.add(Technique::kCheckpointing, {Category::kActivation},
               {choice("--checkpoint layers", "all layers computed again",
                       "torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)",
                       [](WhatIf& what) { what.checkpoint.emplace(); })});
  const uint32_t world = std::max<uint32_t>(2, static_cast<uint32_t>(search.report.ranks.size()));
  const auto sharded = [&](uint32_t stage, const char* change) {
    return choice(fmt::format("--zero {} --world {}", stage, world),
                  fmt::format("ZeRO {} over {} ranks", stage, world), change, [&](WhatIf& what) {
                    what.shard = {stage, world};
                  });
  };
  replayed.add(
      Technique::kSharding,
      {Category::kParameter, Category::kGradient, Category::kOptimizerState,
       Category::kCommunication},
      {sharded(1, "torch.distributed.optim.ZeroRedundancyOptimizer: states in parts"),
       sharded(3, "torch.distributed.fsdp.fully_shard on each layer and on the model")},
      fmt::format(" {} recorded.", search.report.ranks.empty()
                                       ? "No ranks were"
                                       : fmt::format("{} ranks were", search.report.ranks.size())));
}

void advise_on_model(const TechniqueSearch& search, const Replayed& replayed) {
  replayed.add(
      Technique::kPruning, {Category::kParameter, Category::kGradient},
      {choice("--prune 0.5:structured", "half of the layers' inner width",
              "remove half of the layers' inner width (torch.nn.utils.prune.ln_structured, "
              "then smaller layers)",
              [](WhatIf& what) {
                what.prune = {0.5, true};
              })});
  std::vector<Choice> quantized{
      choice("--quantize activations=8bit", "saved activations in 8 bits",
             "torch.autograd.graph.saved_tensors_hooks that keep 8 bits and a scale",
             [](WhatIf& what) { what.quantize.emplace().activations = true; }),
      choice("--quantize weights=int8", "frozen weights in 8 bits",
             "freeze the layers' weights and hold them in 8 bits (bitsandbytes, torchao)",
             [](WhatIf& what) { what.quantize.emplace().weights.emplace(); })};
  constexpr double two_states = 1.5;
  if (search.schedule != nullptr &&
      TrainedParameters(*search.schedule).state_ratio() >= two_states) {
    quantized.push_back(choice("--quantize optimizer=8bit", "the optimizer's states in 8 bits",
                               "an optimizer with 8-bit states (bitsandbytes.optim.AdamW8bit)",
                               [](WhatIf& what) { what.quantize.emplace().optimizer = true; }));
  }
  replayed.add(Technique::kQuantization,
               {Category::kParameter, Category::kOptimizerState, Category::kActivation}, quantized);
  std::vector<Choice> halves;
  std::string already;
  const std::optional<KernelTotal>& kernels = search.report.kernels;
  if (kernels && kernels->product_ns > 0) {
    already = fmt::format(
        " {} of {} of matrix products worked on 16 bits or fewer, by the names of their kernels.",
        format_ns(kernels->short_product_ns), format_ns(kernels->product_ns));
  }
  if (!kernels || kernels->short_product_ns * 2 <= kernels->product_ns) {
    halves = {choice("--autocast bf16", "torch.autocast in bfloat16",
                     "with torch.autocast(\"cuda\", torch.bfloat16): around the forward pass and "
                     "the loss",
                     [](WhatIf& what) { what.autocast = Precision::kBfloat16; }),
              choice("--precision bf16", "the whole model in bfloat16",
                     "model.to(torch.bfloat16); check the loss: updates round in 16 bits",
                     [](WhatIf& what) { what.precision = Precision::kBfloat16; })};
  }
  replayed.add(Technique::kMixedPrecision,
               {Category::kParameter, Category::kActivation, Category::kOptimizerState}, halves,
               already);
  replayed.add(Technique::kLowRank,
               {Category::kParameter, Category::kGradient, Category::kOptimizerState},
               {choice("--lora 16", "adapters of rank 16, all else frozen",
                       "adapters of rank 16 (LoRA) in place of training all weights",
                       [](WhatIf& what) { what.lora = 16; }),
                choice("--low-rank 64", "weights as products of two of rank 64",
                       "the layers' weights as products of two matrices of rank 64",
                       [](WhatIf& what) { what.low_rank = 64; })});
}

// Of the process with most of it: what malloc kept, and all that was resident.
struct Spare {
  uint64_t bytes = 0;
  uint64_t resident_bytes = 0;
};

Spare spare_of(const Report& report) {
  Spare most;
  for (const ProcessLine& process : report.processes) {
    if (!process.memory.breakdown) continue;
    const MemoryBreakdown& all = *process.memory.breakdown;
    const uint64_t spare = all.parts[static_cast<size_t>(MemoryPart::kHeapSpare)];
    if (most.resident_bytes == 0 || spare > most.bytes) most = {spare, all.rss_bytes};
  }
  return most;
}

// What the layer outside holds beyond blocks, and how often it is asked.
std::string held(const TechniqueSearch& search) {
  const SeriesReport& line = *search.line;
  const Series outside{trace::Layer::kDriver, line.series.space, line.series.device};
  const auto driver = std::ranges::find(search.report.series, outside, &SeriesReport::series);
  const uint64_t asked = driver == search.report.series.end() ? 0 : driver->allocations;
  if (line.series.layer == trace::Layer::kPool) {
    const int64_t unused = search.advice.peak_bytes - line.peak_bytes;
    return fmt::format(
        " The pool served {} allocations ({}) with {} of the driver; {} of what it reserved lay "
        "in no block at the peak, and no setting saves more.",
        format_count(line.allocations), format_bytes(line.allocated_bytes), format_count(asked),
        format_bytes(static_cast<uint64_t>(std::max<int64_t>(0, unused))));
  }
  return fmt::format(
      " The program asked the driver itself for each of {} blocks, {} in all, where at most {} "
      "were live.",
      format_count(asked), format_bytes(line.allocated_bytes),
      format_bytes(static_cast<uint64_t>(line.peak_bytes)));
}

// What malloc keeps is no part of the heap's peak: nothing is replayed.
void advise_on_malloc(const TechniqueSearch& search) {
  const Spare spare = spare_of(search.report);
  TechniqueLine line;
  line.technique = Technique::kAllocator;
  line.why =
      fmt::format("{} allocations came from malloc, {} in all; of {} resident it kept {} spare.",
                  format_count(search.line == nullptr ? 0 : search.line->allocations),
                  format_bytes(search.line == nullptr ? 0 : search.line->allocated_bytes),
                  format_bytes(spare.resident_bytes), format_bytes(spare.bytes));
  line.beside_bytes = spare.bytes;
  line.change =
      "malloc_trim(0) after the phase that freed it, MALLOC_ARENA_MAX=2, or another malloc "
      "(jemalloc, mimalloc)";
  line.command = "tidemark report FILE --format json";
  search.add(std::move(line), spare.resident_bytes);
}

void advise_on_allocator(const TechniqueSearch& search, const Replayed& replayed) {
  if (search.line == nullptr || search.line->series.space != trace::Space::kDevice) {
    return advise_on_malloc(search);
  }
  std::vector<Choice> choices;
  const auto other = [&](const char* name, const char* said, const char* change) {
    choices.push_back(choice(fmt::format("--allocator {}", name), said, change,
                             [&](WhatIf& what) { what.allocator = name; }));
  };
  if (search.line->series.layer == trace::Layer::kPool) {
    other("torch:expandable_segments:True", "segments that expand",
          "PYTORCH_ALLOC_CONF=expandable_segments:True in the environment");
    other("cuda-malloc-async", "the driver's own pool",
          "PYTORCH_ALLOC_CONF=backend:cudaMallocAsync in the environment");
  } else {
    other("cuda-malloc-async", "the driver's own pool",
          "cudaMallocAsync in place of cudaMalloc: freed blocks are handed out again");
  }
  replayed.add(Technique::kAllocator, {Category::kTemporary, Category::kFramework}, choices,
               held(search));
}

}  // namespace

void advise_by_replay(const TechniqueSearch& search) {
  const Replayed replayed(search);
  advise_on_sizes(search, replayed);
  advise_on_model(search, replayed);
  advise_on_allocator(search, replayed);
}

}  // namespace tidemark::analyzer
