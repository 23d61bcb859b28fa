#include "whatif_options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <map>
#include <optional>
#include <vector>

namespace tidemark::cli {
namespace {

using analyzer::WhatIf;

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "8:32" and "4x".
Result<double> factor_of(const char* option, std::string_view text) {
  const auto wrong = [&] {
    return fail(std::string(option) + " takes FROM:TO (8:32) or a factor (4x, 0.5x), not " +
                std::string(text));
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

// "layers", "every:2", "auto", or the name of a class.
Result<analyzer::CheckpointPlan> checkpoint_plan(std::string_view text,
                                                 analyzer::Capacity capacity) {
  analyzer::CheckpointPlan plan;
  if (text == "layers") return plan;
  if (text == "auto") {
    if (!capacity) return fail("--checkpoint auto needs --capacity SIZE: what it is to fit into");
    plan.fit = *capacity;
    return plan;
  }
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

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

// "weights=int4:group=64,optimizer=8bit,activations=8bit".
Result<analyzer::Quantization> quantization(std::string_view text) {
  const auto wrong = [](std::string_view part) {
    return fail(
        "--quantize takes weights=int8|int4[:group=N], optimizer=8bit, activations=8bit, "
        "gradients=8bit, parted by commas; not " +
        std::string(part));
  };
  analyzer::Quantization result;
  for (const std::string_view part : split(text, ',')) {
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos) return wrong(part);
    const std::string_view what = part.substr(0, equals);
    const std::string_view how = part.substr(equals + 1);
    if (what == "optimizer" && how == "8bit") {
      result.optimizer = true;
    } else if (what == "activations" && how == "8bit") {
      result.activations = true;
    } else if (what == "gradients" && how == "8bit") {
      result.gradients = true;
    } else if (what == "weights") {
      const auto words = split(how, ':');
      analyzer::WeightBits bits;
      if (words[0] != "int8" && words[0] != "int4") return wrong(part);
      bits.bits = words[0] == "int8" ? 8 : 4;
      for (size_t i = 1; i < words.size(); ++i) {
        constexpr std::string_view kGroup = "group=";
        if (!words[i].starts_with(kGroup)) return wrong(part);
        const auto group = number<uint32_t>(words[i].substr(kGroup.size()));
        if (!group || *group == 0) return wrong(part);
        bits.group = *group;
      }
      result.weights = bits;
    } else {
      return wrong(part);
    }
  }
  return result;
}

// "0.5" and "0.5:structured".
Result<analyzer::Pruning> pruning(std::string_view text) {
  const auto parts = split(text, ':');
  const auto share = number<double>(parts[0]);
  const bool structured = parts.size() == 2 && parts[1] == "structured";
  if (!share || *share <= 0 || *share >= 1 || (parts.size() != 1 && !structured)) {
    return fail("--prune takes a share between 0 and 1, alone or with :structured, not " +
                std::string(text));
  }
  return analyzer::Pruning{*share, structured};
}

std::optional<analyzer::Precision> precision_of(const std::string& text) {
  if (text == "bf16") return analyzer::Precision::kBfloat16;
  if (text == "fp16") return analyzer::Precision::kFloat16;
  if (text == "fp8") return analyzer::Precision::kFloat8;
  return std::nullopt;
}

// "4:8": stages and microbatches.
Result<analyzer::Pipeline> pipeline(std::string_view text) {
  const auto parts = split(text, ':');
  const uint32_t stages = number<uint32_t>(parts[0]).value_or(0);
  const uint32_t microbatches = parts.size() == 2 ? number<uint32_t>(parts[1]).value_or(0) : 0;
  if (stages < 2 || microbatches == 0) {
    return fail("--pipeline takes STAGES:MICROBATCHES, as 4:8, with 2 stages or more; not " +
                std::string(text));
  }
  return analyzer::Pipeline{stages, microbatches};
}

Result<void> read_sharding(const TransformOptions& options, WhatIf& what) {
  if (options.zero != 0) {
    if (options.data_parallel != 0) {
      return fail("--zero shards over its own ranks: leave out --data-parallel");
    }
    if (options.world < 2) return fail("--zero needs --world N: over how many ranks, 2 or more");
    what.shard = {options.zero, options.world};
  } else if (options.world != 0) {
    return fail("--world goes with --zero 1, 2 or 3");
  } else if (options.data_parallel != 0) {
    what.shard = {0, options.data_parallel};
  }
  return {};
}

template <class Value, class Parsed>
Result<void> take(Result<Parsed> parsed, Value& into) {
  if (!parsed) return tl::unexpected(parsed.error());
  into = *parsed;
  return {};
}

}  // namespace

Result<WhatIf> read_transforms(const TransformOptions& options, analyzer::Capacity capacity) {
  using analyzer::Offload;
  using analyzer::OptimizerKind;
  WhatIf what;
  Result<void> read;
  if (!options.batch.empty()) read = take(factor_of("--batch", options.batch), what.batch);
  if (read && !options.sequence.empty()) {
    read = take(factor_of("--sequence", options.sequence), what.sequence);
  }
  if (read && !options.checkpoint.empty()) {
    read = take(checkpoint_plan(options.checkpoint, capacity), what.checkpoint);
  }
  if (read && !options.quantize.empty()) read = take(quantization(options.quantize), what.quantize);
  if (read && !options.prune.empty()) read = take(pruning(options.prune), what.prune);
  if (read && !options.pipeline.empty()) read = take(pipeline(options.pipeline), what.pipeline);
  if (read) read = read_sharding(options, what);
  if (!read) return tl::unexpected(read.error());
  what.precision = precision_of(options.precision);
  what.autocast = precision_of(options.autocast);
  const std::map<std::string, OptimizerKind> optimizers{{"sgd", OptimizerKind::kSgd},
                                                        {"momentum", OptimizerKind::kMomentum},
                                                        {"adam", OptimizerKind::kAdam},
                                                        {"adam8bit", OptimizerKind::kAdam8bit},
                                                        {"adafactor", OptimizerKind::kAdafactor}};
  if (!options.optimizer.empty()) what.optimizer = optimizers.at(options.optimizer);
  const std::map<std::string, Offload> offloads{{"activations", Offload::kActivations},
                                                {"optimizer", Offload::kOptimizer},
                                                {"parameters", Offload::kParameters}};
  if (!options.offload.empty()) what.offload = offloads.at(options.offload);
  if (options.freeze > 0) what.freeze = options.freeze;
  what.tensor_parallel = options.tensor_parallel;
  what.lora = options.lora;
  what.low_rank = options.low_rank;
  what.accumulate = options.accumulate;
  what.inference = options.inference;
  what.fuse_backward = options.fuse_backward;
  what.keep_gradients = options.keep_gradients;
  what.allocator = options.allocator;
  return what;
}

void add_transforms(CLI::App& command, TransformOptions& options) {
  const auto group = [&](CLI::Option* option) { return option->group("What is changed"); };
  const std::vector<std::string> halves{"bf16", "fp16"};
  group(command.add_option("--batch", options.batch, "FROM:TO or a factor: 8:32, 4x"));
  group(command.add_option("--accumulate", options.accumulate,
                           "So many micro-batches, each of the (changed) batch, before an "
                           "optimizer step"))
      ->check(CLI::Range(1, 4096));
  group(command.add_option("--sequence", options.sequence, "Length: FROM:TO or a factor"));
  group(command.add_option("--checkpoint", options.checkpoint,
                           "Recompute in backward: layers, every:K, the class of a module, or auto "
                           "(as few layers as fit into --capacity)"));
  group(command.add_option(
            "--precision", options.precision,
            "The whole model in bf16 or fp16; fp8: its layers' products in 8 bits, the "
            "rest in bf16"))
      ->check(CLI::IsMember({"bf16", "fp16", "fp8"}));
  group(command.add_option("--autocast", options.autocast,
                           "Forward within torch.autocast: bf16 or fp16"))
      ->check(CLI::IsMember(halves));
  group(command.add_option("--optimizer", options.optimizer,
                           "sgd, momentum, adam, adam8bit, adafactor"))
      ->check(CLI::IsMember({"sgd", "momentum", "adam", "adam8bit", "adafactor"}));
  group(command.add_option("--quantize", options.quantize,
                           "weights=int8|int4[:group=128], optimizer=8bit, activations=8bit, "
                           "gradients=8bit, parted by commas"));
  group(command.add_option("--freeze", options.freeze,
                           "A share of the layers, the first, and all before them learn nothing"))
      ->check(CLI::Range(0.01, 1.0));
  group(command.add_option("--lora", options.lora,
                           "Adapters of this rank beside the layers' weights; all else frozen"))
      ->check(CLI::Range(1, 65536));
  group(command.add_option("--low-rank", options.low_rank,
                           "The layers' weights as products of two of this rank"))
      ->check(CLI::Range(1, 65536));
  group(command.add_option("--prune", options.prune,
                           "0.5: masks; 0.5:structured: of the layers' inner width"));
  group(command.add_flag("--inference", options.inference, "Forward alone, without gradients"));
  group(command.add_option("--zero", options.zero, "ZeRO's stage 1, 2 or 3, over --world ranks"))
      ->check(CLI::Range(1, 3));
  group(command.add_option("--world", options.world, "Ranks of --zero"))
      ->check(CLI::Range(2, 65536));
  group(command.add_option("--data-parallel", options.data_parallel,
                           "So many ranks, each with the recorded batch"))
      ->check(CLI::Range(2, 65536));
  group(command.add_option("--tensor-parallel", options.tensor_parallel,
                           "Each layer's products over so many ranks"))
      ->check(CLI::Range(2, 65536));
  group(command.add_option("--pipeline", options.pipeline,
                           "STAGES:MICROBATCHES: the layers over so many devices, one forward, one "
                           "backward"));
  group(command.add_option("--offload", options.offload,
                           "To the host: activations, optimizer, parameters"))
      ->check(CLI::IsMember({"activations", "optimizer", "parameters"}));
  group(command.add_flag("--fuse-backward", options.fuse_backward,
                         "Each parameter's optimizer step in backward, its gradient given back"));
  group(command.add_flag("--keep-gradients", options.keep_gradients,
                         "zero_grad(set_to_none=False): gradients stay between steps"));
  group(command.add_option("--allocator", options.allocator,
                           "torch, torch:expandable_segments:True,…, cuda-malloc-async, "
                           "cuda-malloc, bfc, exact; without it as recorded"));
}

Result<SecondTrace> read_second(std::string_view text, std::string_view batch) {
  const size_t colon = text.rfind(':');
  const auto own = number<uint32_t>(batch.substr(0, batch.find(':')));
  if (batch.find(':') == std::string_view::npos || !own || *own == 0) {
    return fail("--second goes with --batch FROM:TO: it says what the first trace's batch was");
  }
  const auto other =
      colon == std::string_view::npos ? std::nullopt : number<uint32_t>(text.substr(colon + 1));
  if (!other || *other == 0 || colon == 0) {
    return fail("--second takes FILE:BATCH, as other.db:8, not " + std::string(text));
  }
  return SecondTrace{std::string(text.substr(0, colon)), static_cast<double>(*other) / *own};
}

Result<SpaceOption> read_space(std::string_view text) {
  constexpr std::string_view kDevice = "device:";
  if (text == "host") return SpaceOption{trace::Space::kHost, trace::kNoDevice};
  if (text.starts_with(kDevice)) {
    if (const auto device = number<int16_t>(text.substr(kDevice.size()))) {
      return SpaceOption{trace::Space::kDevice, *device};
    }
  }
  return fail("--space takes device:N or host, not " + std::string(text));
}

Result<analyzer::Schedule> schedule_of(const std::string& file, const SpaceOption& space) {
  const auto reader = trace::Reader::open(file);
  if (!reader) return tl::unexpected(reader.error());
  const auto series = analyzer::series_in(**reader, space.space, space.device);
  if (!series) return tl::unexpected(series.error());
  return analyzer::build_schedule(**reader, *series);
}

}  // namespace tidemark::cli
