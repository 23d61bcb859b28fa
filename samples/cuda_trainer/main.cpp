// Trains on the GPU with every common way to get memory from CUDA, and can write down its own count
// of every call, to hold a recording against.
//
// Exit status: 0 when the loss fell, 1 when it did not or CUDA failed, 2 for wrong use, 3 without a
// GPU.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "trainer.h"

namespace cuda_trainer {
namespace {

int run(int argc, char** argv) {
  Options options;
  std::string count_file;
  std::string access_file;
  CLI::App app("Trains a small perceptron on the GPU, on points that it makes up itself.");
  app.add_option("--steps", options.steps, "Steps")
      ->capture_default_str()
      ->check(CLI::Range(2, 1000000));
  app.add_option("--batch", options.batch, "Points a step")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  app.add_option("--width", options.width, "Width of the hidden layers")
      ->capture_default_str()
      ->check(CLI::Range(1, 8192));
  app.add_option("--seed", options.seed, "Seed of weights and points")->capture_default_str();
  app.add_option("--count", count_file, "Write this program's own count of its CUDA calls here")
      ->type_name("FILE");
  app.add_option("--accesses", access_file, "Write which kernel was handed which allocation here")
      ->type_name("FILE");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  Ledger ledger;
  std::string why_not;
  if (!gpu_present(ledger, why_not)) {
    std::fprintf(stderr, "cuda_trainer: no usable GPU: %s\n", why_not.c_str());
    return 3;
  }
  const bool learned = train(options, ledger);
  if (!count_file.empty() && !ledger.write(count_file)) {
    std::fprintf(stderr, "cuda_trainer: cannot write %s\n", count_file.c_str());
    return 1;
  }
  if (!access_file.empty() && !ledger.write_accesses(access_file)) {
    std::fprintf(stderr, "cuda_trainer: cannot write %s\n", access_file.c_str());
    return 1;
  }
  return learned ? 0 : 1;
}

}  // namespace
}  // namespace cuda_trainer

int main(int argc, char** argv) {
  try {
    return cuda_trainer::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cuda_trainer: %s\n", error.what());
    return 1;
  }
}
