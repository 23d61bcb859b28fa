// Trains a small transformer on the CPU, using memory as a real trainer does: parameters, gradients
// and optimizer state that stay, activations that live from forward to backward, temporaries,
// batches that one thread makes and another frees, a buffer that grows, a mapped data set.
//
// Exit status: 0 when the loss fell, 1 when it did not, 2 for wrong use.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <numeric>
#include <vector>

#include "adam.h"
#include "data.h"
#include "model.h"
#include "workers.h"

namespace cpu_trainer {
namespace {

constexpr size_t kTextBytes = 8 << 20;
constexpr size_t kFewestStepsToJudge = 20;
constexpr size_t kJudgedSteps = 5;     // the mean of the last few, since one batch is noisy
constexpr double kDemandedFall = 0.6;  // of the first loss

struct Options {
  size_t steps = 140;
  size_t layers = 2;
  size_t width = 64;
  size_t batch = 8;
  size_t sequence = 64;
  size_t threads = 1;
  uint64_t seed = 1;
};

double train_step(Transformer& model, Adam& optimizer, DataLoader& loader) {
  const std::unique_ptr<Batch> batch = loader.next();
  const double loss = model.forward(batch->tokens, batch->targets);
  model.backward();
  optimizer.step();
  model.zero_gradients();
  return loss;
}

// Whether the loss fell as it must; says so.
bool judge(const std::vector<double>& losses, double seconds) {
  const auto steps = static_cast<double>(losses.size());
  if (losses.size() < kFewestStepsToJudge) {
    std::printf("trained %zu steps in %.2f s (%.1f ms a step), loss %.4f: too few steps to judge\n",
                losses.size(), seconds, 1e3 * seconds / steps, losses.back());
    return true;
  }
  const double last =
      std::accumulate(losses.end() - kJudgedSteps, losses.end(), 0.0) / double{kJudgedSteps};
  const bool fell = last < kDemandedFall * losses.front();
  std::printf("trained %zu steps in %.2f s (%.1f ms a step), loss %.4f -> %.4f: %s\n",
              losses.size(), seconds, 1e3 * seconds / steps, losses.front(), last,
              fell ? "it learns" : "IT DOES NOT LEARN");
  return fell;
}

int train(const Options& options) {
  set_worker_count(options.threads);
  Random random(options.seed);
  std::unique_ptr<Dataset> dataset;
  {
    TextBuffer text;
    write_text(random, kTextBytes, text);
    dataset = std::make_unique<Dataset>(text.view());
  }
  const size_t heads = options.width / 16;
  Transformer model({kVocabulary, options.layers, options.width, heads, options.sequence},
                    options.seed);
  Adam optimizer(model.parameters(), 3e-3F);
  DataLoader loader(*dataset, options.batch, options.sequence, options.seed + 1);

  size_t parameters = 0;
  for (const Parameter* parameter : model.parameters()) parameters += parameter->value.size();
  std::printf("%zu parameters, %zu tokens of text\n", parameters, dataset->size());

  std::vector<double> losses;
  const auto start = std::chrono::steady_clock::now();
  for (size_t step = 0; step < options.steps; ++step) {
    losses.push_back(train_step(model, optimizer, loader));
    if (step % 10 == 0) std::printf("step %4zu  loss %.4f\n", step, losses.back());
    std::fflush(stdout);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const bool fell = judge(losses, seconds.count());
  stop_workers();
  return fell ? 0 : 1;
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Trains a small transformer, letter by letter, on text that it makes up itself.");
  app.add_option("--steps", options.steps, "Steps")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  app.add_option("--layers", options.layers, "Blocks")
      ->capture_default_str()
      ->check(CLI::Range(1, 96));
  app.add_option("--width", options.width, "Width of a block, a multiple of 16")
      ->capture_default_str()
      ->check(CLI::Range(16, 4096))
      ->check([](const std::string& text) {
        return std::stoul(text) % 16 == 0 ? std::string() : "must be a multiple of 16";
      });
  app.add_option("--batch", options.batch, "Sequences a step")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  app.add_option("--sequence", options.sequence, "Characters a sequence")
      ->capture_default_str()
      ->check(CLI::Range(2, 4096));
  app.add_option("--threads", options.threads, "Threads that compute")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  app.add_option("--seed", options.seed, "Seed of text, weights and batches")
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return train(options);
}

}  // namespace
}  // namespace cpu_trainer

int main(int argc, char** argv) {
  try {
    return cpu_trainer::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cpu_trainer: %s\n", error.what());
    return 1;
  }
}
