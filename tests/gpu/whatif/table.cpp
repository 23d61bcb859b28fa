// The table of predictions: every measured case of a results folder, predicted from its base trace.
//
//   whatif_table FOLDER [--expected FILE] [--write FILE]
//
// Prints predicted, measured and signed errors. With --expected, exits with 1 when an error has
// grown by more than a tenth of a percent of the measured peak beyond what the file says; --write
// makes the file. FOLDER holds cases.json and one trace a model.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/whatif.h"

namespace {

using nlohmann::json;
using tidemark::analyzer::OptimizerKind;
using tidemark::analyzer::Prediction;
using tidemark::analyzer::Schedule;
using tidemark::analyzer::WhatIf;

constexpr double kMayGrow = 0.001;

struct Row {
  std::string name;
  Prediction prediction;
  tidemark::analyzer::PredictionError error;
  std::string model;
  bool only_checkpointed = false;  // nothing else is changed: its step was timed alone
  double step_seconds = 0;         // the fastest after the first two
  // Of a run that was stopped only what it had printed is known: what is allocated.
  [[nodiscard]] bool reserved_known() const { return prediction.measured->reserved > 0; }
};

// What variants.py does, as the keys of measure.py's arguments.
void add_changes(const json& one, WhatIf& what) {
  using tidemark::analyzer::Offload;
  if (one.contains("freeze")) what.freeze = one.at("freeze").get<double>();
  what.lora = one.value("lora", 0U);
  what.low_rank = one.value("low_rank", 0U);
  if (const std::string bits = one.value("quantize", ""); !bits.empty()) {
    what.quantize.emplace();
    what.quantize->weights = {static_cast<uint32_t>(std::stoul(bits)),
                              static_cast<uint32_t>(std::stoul(bits.substr(bits.find(':') + 1)))};
  }
  if (one.contains("prune")) what.prune = {one.at("prune").get<double>(), false};
  if (one.contains("prune_width")) what.prune = {one.at("prune_width").get<double>(), true};
  what.sequence = one.value("sequence", 1.0);
  what.inference = one.value("inference", false);
  const std::string offload = one.value("offload", "");
  if (offload == "activations") what.offload = Offload::kActivations;
  if (offload == "optimizer") what.offload = Offload::kOptimizer;
  const std::string parallel = one.value("parallel", "");  // of two ranks
  if (parallel == "ddp") what.shard = {0, 2};
  if (parallel.starts_with("zero")) {
    what.shard = {static_cast<uint32_t>(std::stoul(parallel.substr(4))), 2};
  }
  const std::string settings = one.value("allocator_settings", "");
  if (!settings.empty()) what.allocator = "torch:" + settings;
}

WhatIf question(const json& one, double base_batch) {
  WhatIf what;
  what.batch = one.at("batch").get<double>() / base_batch;
  if (one.at("precision") == "bf16") what.precision = tidemark::analyzer::Precision::kBfloat16;
  if (one.at("precision") == "autocast") what.autocast = tidemark::analyzer::Precision::kBfloat16;
  const std::map<std::string, OptimizerKind> optimizers{{"sgd", OptimizerKind::kSgd},
                                                        {"momentum", OptimizerKind::kMomentum},
                                                        {"adam8bit", OptimizerKind::kAdam8bit}};
  const auto optimizer = optimizers.find(one.at("optimizer").get<std::string>());
  if (optimizer != optimizers.end()) what.optimizer = optimizer->second;
  if (one.at("checkpoint").get<bool>()) {
    what.checkpoint.emplace();
    what.checkpoint->module = one.value("checkpoint_module", "");
  }
  if (what.checkpoint) what.checkpoint->every = one.value("checkpoint_every", 1U);
  add_changes(one, what);
  what.accumulate = one.at("accumulate").get<uint32_t>();
  what.keep_gradients = one.at("keep_gradients").get<bool>();
  return what;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t half = values.size() / 2;
  return values.size() % 2 != 0 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void print_summary(const char* what, std::vector<double> errors) {
  for (double& error : errors) error = std::abs(error);
  fmt::print("{:16} median {:5.2f} %   worst {:5.1f} %   of {}\n", what, 100 * median(errors),
             100 * *std::ranges::max_element(errors), errors.size());
}

void print_table(const std::vector<Row>& rows) {
  fmt::print("{:28} {:>12} {:>12} {:>8} {:>12} {:>12} {:>8} {:>8}\n", "case", "predicted",
             "measured", "error", "reserved p", "reserved m", "error", "change");
  std::vector<double> allocated;
  std::vector<double> reserved;
  std::vector<double> change;
  for (const Row& row : rows) {
    const Prediction& of = row.prediction;
    allocated.push_back(row.error.peak_allocated);
    if (row.reserved_known()) reserved.push_back(row.error.peak_reserved);
    // A change within what differs from run to run has no error that means anything.
    const double changed =
        static_cast<double>(of.measured->allocated) - static_cast<double>(of.recorded.allocated);
    const bool meant = std::abs(changed) > 0.005 * static_cast<double>(of.recorded.allocated);
    if (meant && row.error.change_allocated) change.push_back(*row.error.change_allocated);
    fmt::print("{:28} {:12} {:12} {:+7.2f}% {:12} {:>12} {:>8} {:>8}\n", row.name,
               of.predicted.allocated, of.measured->allocated, 100 * row.error.peak_allocated,
               of.predicted.reserved,
               row.reserved_known() ? fmt::format("{}", of.measured->reserved) : "–",
               row.reserved_known() ? fmt::format("{:+.2f}%", 100 * row.error.peak_reserved) : "–",
               meant ? fmt::format("{:+.1f}%", 100 * row.error.change_allocated.value_or(0)) : "–");
  }
  fmt::print("\n");
  print_summary("peak allocated", allocated);
  print_summary("peak reserved", reserved);
  print_summary("change", change);
}

// What is predicted is said with a margin: a card of that size must do.
void print_margins(const std::vector<Row>& rows) {
  int above = 0;
  for (const Row& row : rows) {
    if (!row.reserved_known()) continue;
    const uint64_t safe = tidemark::analyzer::safe_pool_bytes(row.prediction);
    if (row.prediction.measured->reserved <= safe) continue;
    fmt::print("{} reserves more than its prediction's margin\n", row.name);
    ++above;
  }
  fmt::print("above the margin {}\n", above);
}

// The usual rule of thumb: parameters, gradients and optimizer states stay, all else is multiplied.
void print_naive(const std::vector<Row>& rows, const std::map<std::string, Schedule>& schedules) {
  using tidemark::analyzer::Category;
  fmt::print("\npeak by multiplying what is not persistent    its error   ours\n");
  for (const Row& row : rows) {
    for (const int factor : {2, 4}) {
      const bool shown = row.model == "gpt2" || row.model == "resnet50";
      if (!shown || row.name != fmt::format("{} batch*{}", row.model, factor)) continue;
      const auto at_peak = tidemark::analyzer::categories_at_peak(schedules.at(row.model));
      if (!at_peak) continue;
      double persistent = 0;
      for (const Category category :
           {Category::kParameter, Category::kGradient, Category::kOptimizerState}) {
        persistent += static_cast<double>((*at_peak)[static_cast<size_t>(category)]);
      }
      const auto recorded = static_cast<double>(row.prediction.recorded.allocated);
      const double naive = persistent + factor * (recorded - persistent);
      const double error = naive / static_cast<double>(row.prediction.measured->allocated) - 1;
      fmt::print("{:28} {:14.0f} {:+10.2f} % {:+7.2f} %\n", row.name, naive, 100 * error,
                 100 * row.error.peak_allocated);
    }
  }
}

// What computing again costs: base and checkpointed steps were timed with the card to themselves.
void print_times(const std::vector<Row>& rows) {
  std::map<std::string, double> base;
  for (const Row& row : rows) {
    if (row.name == row.model + " base") base[row.model] = row.step_seconds;
  }
  std::vector<double> errors;
  fmt::print("\nstep time of checkpointing    predicted   measured\n");
  for (const Row& row : rows) {
    if (!row.only_checkpointed || !base.contains(row.model)) continue;
    const double measured = row.step_seconds / base[row.model];
    const double predicted = row.prediction.time_ratio();
    errors.push_back(predicted / measured - 1);
    fmt::print("{:28} {:8.3f} x {:8.3f} x {:+7.1f} %\n", row.name, predicted, measured,
               100 * errors.back());
  }
  if (!errors.empty()) print_summary("step time", errors);
}

// How many cases became worse.
int worse(const std::vector<Row>& rows, const json& expected) {
  int count = 0;
  for (const Row& row : rows) {
    if (!expected.contains(row.name)) {
      fmt::print("{}: no expectation is committed; --write makes one\n", row.name);
      ++count;
      continue;
    }
    const auto check = [&](const char* what, double error) {
      const double before = expected.at(row.name).at(what).get<double>();
      if (std::abs(error) <= std::abs(before) + kMayGrow) return;
      fmt::print("{}: {} was {:+.2f} % off, and is {:+.2f} % now\n", row.name, what, 100 * before,
                 100 * error);
      ++count;
    };
    check("allocated", row.error.peak_allocated);
    if (row.reserved_known()) check("reserved", row.error.peak_reserved);
  }
  return count;
}

int fail(const std::string& message) {
  fmt::print(stderr, "whatif_table: {}\n", message);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2)
    return fail("usage: whatif_table FOLDER [--model NAME] [--expected FILE] [--write FILE]");
  const std::string folder = argv[1];
  std::ifstream file(folder + "/cases.json");
  if (!file) return fail(folder + "/cases.json cannot be read");
  const json measured = json::parse(file);
  std::string only;  // empty: all models
  for (int i = 2; i + 1 < argc; i += 2) {
    if (std::string_view(argv[i]) == "--model") only = argv[i + 1];
  }
  if (!only.empty() && !measured.at("base_batch").contains(only)) return fail("no model " + only);
  std::map<std::string, Schedule> schedules;
  std::vector<Row> rows;
  for (const json& one : measured.at("cases")) {
    const auto name = one.at("name").get<std::string>();
    const auto model = one.at("model").get<std::string>();
    if (!only.empty() && model != only) continue;
    if (!schedules.contains(model)) {
      const auto reader = tidemark::trace::Reader::open(folder + "/" + model + ".db");
      if (!reader) return fail(reader.error().message);
      const auto series =
          tidemark::analyzer::series_in(**reader, tidemark::trace::Space::kDevice, 0);
      if (!series) return fail(series.error().message);
      auto schedule = tidemark::analyzer::build_schedule(**reader, *series);
      if (!schedule) return fail(schedule.error().message);
      schedules.emplace(model, std::move(*schedule));
    }
    auto prediction = tidemark::analyzer::predict(
        schedules.at(model), question(one, measured.at("base_batch").at(model).get<double>()));
    if (!prediction) return fail(name + ": " + prediction.error().message);
    prediction->measured = {one.at("peak_allocated_bytes").get<uint64_t>(),
                            one.value("peak_reserved_bytes", uint64_t{0})};
    Row row{name, *prediction, tidemark::analyzer::error_of(*prediction), model, false, 0};
    row.only_checkpointed = name == model + " checkpoint";
    const auto seconds = one.value("step_seconds", std::vector<double>());
    if (seconds.size() > 2)
      row.step_seconds = *std::min_element(seconds.begin() + 2, seconds.end());
    rows.push_back(std::move(row));
  }
  fmt::print("{}, PyTorch {}, {}\n\n", measured.at("gpu").get<std::string>(),
             measured.at("torch").get<std::string>(), measured.at("date").get<std::string>());
  print_table(rows);
  print_margins(rows);
  print_naive(rows, schedules);
  print_times(rows);
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--write") {
      json errors;
      for (const Row& row : rows) {
        errors[row.name]["allocated"] = std::round(1e5 * row.error.peak_allocated) / 1e5;
        if (!row.reserved_known()) continue;
        errors[row.name]["reserved"] = std::round(1e5 * row.error.peak_reserved) / 1e5;
      }
      std::ofstream(argv[i + 1]) << errors.dump(1) << "\n";
    } else if (option == "--expected") {
      std::ifstream expected(argv[i + 1]);
      if (!expected) return fail(fmt::format("{} cannot be read", argv[i + 1]));
      if (worse(rows, json::parse(expected)) != 0) return 1;
    } else if (option != "--model") {
      return fail("no option " + option);
    }
  }
  return 0;
}
