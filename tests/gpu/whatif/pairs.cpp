// Every pair of changes on one recorded trace: what must hold whatever they are.
//
//   whatif_pairs TRACE… [--print]
//
// A pair is predicted, or refused in one line that names an option. Of a prediction: something is
// allocated and no more than is reserved, the step takes time, each assumption is one line without
// a number that is none, and two changes together do not need more than both would one by one. What
// fails is printed; exits with 1 then. --print shows all pairs.
#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/analyzer/whatif.h"
#include "whatif_options.h"

namespace {

using tidemark::analyzer::Prediction;
using tidemark::cli::TransformOptions;

struct Change {
  std::string text;  // as on the command line
  std::function<void(TransformOptions&)> set;
};

std::vector<Change> changes() {
  using Options = TransformOptions;
  return {
      {"--batch 2x", [](Options& o) { o.batch = "2x"; }},
      {"--batch 0.5x", [](Options& o) { o.batch = "0.5x"; }},
      {"--accumulate 3", [](Options& o) { o.accumulate = 3; }},
      {"--sequence 2x", [](Options& o) { o.sequence = "2x"; }},
      {"--checkpoint layers", [](Options& o) { o.checkpoint = "layers"; }},
      {"--checkpoint every:3", [](Options& o) { o.checkpoint = "every:3"; }},
      {"--precision bf16", [](Options& o) { o.precision = "bf16"; }},
      {"--precision fp8", [](Options& o) { o.precision = "fp8"; }},
      {"--autocast bf16", [](Options& o) { o.autocast = "bf16"; }},
      {"--optimizer sgd", [](Options& o) { o.optimizer = "sgd"; }},
      {"--optimizer adam", [](Options& o) { o.optimizer = "adam"; }},
      {"--optimizer adam8bit", [](Options& o) { o.optimizer = "adam8bit"; }},
      {"--optimizer adafactor", [](Options& o) { o.optimizer = "adafactor"; }},
      {"--quantize weights=int4", [](Options& o) { o.quantize = "weights=int4"; }},
      {"--quantize activations=8bit", [](Options& o) { o.quantize = "activations=8bit"; }},
      {"--quantize gradients=8bit", [](Options& o) { o.quantize = "gradients=8bit"; }},
      {"--freeze 0.5", [](Options& o) { o.freeze = 0.5; }},
      {"--lora 16", [](Options& o) { o.lora = 16; }},
      {"--low-rank 64", [](Options& o) { o.low_rank = 64; }},
      {"--prune 0.5", [](Options& o) { o.prune = "0.5"; }},
      {"--prune 0.5:structured", [](Options& o) { o.prune = "0.5:structured"; }},
      {"--inference", [](Options& o) { o.inference = true; }},
      {"--zero 1", [](Options& o) { o.zero = 1, o.world = 4; }},
      {"--zero 3", [](Options& o) { o.zero = 3, o.world = 4; }},
      {"--data-parallel 2", [](Options& o) { o.data_parallel = 2; }},
      {"--tensor-parallel 2", [](Options& o) { o.tensor_parallel = 2; }},
      {"--pipeline 2:4", [](Options& o) { o.pipeline = "2:4"; }},
      {"--offload activations", [](Options& o) { o.offload = "activations"; }},
      {"--offload optimizer", [](Options& o) { o.offload = "optimizer"; }},
      {"--offload parameters", [](Options& o) { o.offload = "parameters"; }},
      {"--fuse-backward", [](Options& o) { o.fuse_backward = true; }},
      {"--keep-gradients", [](Options& o) { o.keep_gradients = true; }},
      {"--allocator torch:expandable_segments:True",
       [](Options& o) { o.allocator = "torch:expandable_segments:True"; }},
      {"--allocator bfc", [](Options& o) { o.allocator = "bfc"; }},
  };
}

// Two values of one option are none of these.
bool same_option(const Change& a, const Change& b) {
  const auto option = [](const Change& change) {
    return std::string_view(change.text).substr(0, change.text.find(' '));
  };
  return option(a) == option(b);
}

// "" or what is wrong with it.
std::string wrong_line(std::string_view line) {
  if (line.empty()) return "an empty line";
  for (const std::string_view none : {"\n", "nan", "inf ", "-0 ", "00000000"}) {
    if (line.find(none) != std::string_view::npos) return fmt::format("\"{}\"", line);
  }
  return "";
}

std::string wrong_refusal(const std::string& message) {
  if (message.find("--") == std::string::npos) return fmt::format("names no option: {}", message);
  return wrong_line(message);
}

std::string wrong(const Prediction& of) {
  if (of.predicted.allocated == 0) return "nothing is allocated";
  if (of.predicted.allocated > of.predicted.reserved) return "more is allocated than reserved";
  if (!(of.time_ratio() > 0.01 && of.time_ratio() < 100)) {
    return fmt::format("the step takes {} x", of.time_ratio());
  }
  uint64_t known = 0;
  for (const uint64_t bytes : of.at_peak) known += bytes;
  if (known > of.predicted.allocated) return "categories need more than there is";
  for (const auto* lines : {&of.changes.assumptions, &of.changes.unknown}) {
    for (const std::string& line : *lines) {
      if (auto found = wrong_line(line); !found.empty()) return found;
    }
  }
  return "";
}

class Pairs {
 public:
  Pairs(std::string trace, const tidemark::analyzer::Schedule& schedule, bool print)
      : trace_(std::move(trace)), schedule_(schedule), print_(print) {}

  int run() {
    const auto all = changes();
    std::vector<tidemark::Result<Prediction>> alone;
    for (const Change& change : all) alone.push_back(check(change.text, {change}));
    for (size_t a = 0; a < all.size(); ++a) {
      for (size_t b = a + 1; b < all.size(); ++b) {
        if (same_option(all[a], all[b])) continue;
        const std::string name = all[a].text + " " + all[b].text;
        const auto both = check(name, {all[a], all[b]});
        if (!both) continue;
        // What is no question at inference is left out, and not refused.
        const bool inference = all[a].text == "--inference" || all[b].text == "--inference";
        if (inference && both) continue;
        if (!alone[a] || !alone[b]) {
          complain(name, "is predicted, though one of the two alone is refused");
          continue;
        }
        const double sum = static_cast<double>(alone[a]->predicted.allocated) +
                           static_cast<double>(alone[b]->predicted.allocated);
        if (static_cast<double>(both->predicted.allocated) > sum) {
          complain(name, "needs more than both one by one");
        }
        if (both->changes.assumptions.size() <
            std::max(alone[a]->changes.assumptions.size(), alone[b]->changes.assumptions.size())) {
          complain(name, "says less than one of the two");
        }
      }
    }
    return failed_;
  }

 private:
  tidemark::Result<Prediction> check(const std::string& name, const std::vector<Change>& which) {
    TransformOptions options;
    for (const Change& change : which) change.set(options);
    const auto what = tidemark::cli::read_transforms(options, {});
    tidemark::Result<Prediction> prediction =
        what ? predict(schedule_, *what) : tl::unexpected(what.error());
    const std::string found =
        prediction ? wrong(*prediction) : wrong_refusal(prediction.error().message);
    if (!found.empty()) complain(name, found);
    if (print_ && prediction) {
      const auto base = static_cast<double>(prediction->baseline.allocated);
      fmt::print("{}: {}: {:.3f} {:.3f} of the recorded peak, step {:.2f} x\n", trace_, name,
                 static_cast<double>(prediction->predicted.allocated) / base,
                 static_cast<double>(prediction->predicted.reserved) / base,
                 prediction->time_ratio());
    } else if (print_) {
      fmt::print("{}: {}: {}\n", trace_, name, prediction.error().message);
    }
    return prediction;
  }
  void complain(const std::string& name, const std::string& what) {
    fmt::print("{}: {}: {}\n", trace_, name, what);
    ++failed_;
  }

  std::string trace_;
  const tidemark::analyzer::Schedule& schedule_;
  bool print_;
  int failed_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const bool print = argc > 2 && std::string_view(argv[argc - 1]) == "--print";
  if (argc < 2) {
    fmt::print(stderr, "whatif_pairs: usage: whatif_pairs TRACE… [--print]\n");
    return 2;
  }
  int failed = 0;
  for (int i = 1; i < argc - (print ? 1 : 0); ++i) {
    const auto schedule = tidemark::cli::schedule_of(argv[i], {tidemark::trace::Space::kDevice, 0});
    if (!schedule) {
      fmt::print(stderr, "whatif_pairs: {}: {}\n", argv[i], schedule.error().message);
      return 2;
    }
    std::string_view name = argv[i];
    name.remove_prefix(name.rfind('/') + 1);
    failed += Pairs(std::string(name), *schedule, print).run();
  }
  fmt::print("{} complaints\n", failed);
  return failed == 0 ? 0 : 1;
}
