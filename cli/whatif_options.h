// The transforms of `tidemark whatif` as text: what the options say, read into the analyzer's
// WhatIf. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "tidemark/analyzer/whatif.h"

namespace CLI {
class App;
}

namespace tidemark::cli {

struct TransformOptions {
  std::string batch;
  std::string sequence;
  std::string checkpoint;
  std::string precision;
  std::string autocast;
  std::string optimizer;
  std::string quantize;
  std::string prune;
  std::string offload;
  std::string allocator;
  std::string pipeline;
  double freeze = 0;
  uint32_t lora = 0;
  uint32_t low_rank = 0;
  uint32_t zero = 0;
  uint32_t world = 0;
  uint32_t data_parallel = 0;
  uint32_t tensor_parallel = 1;
  uint32_t accumulate = 1;
  bool inference = false;
  bool fuse_backward = false;
  bool keep_gradients = false;
};

// Describes them to the parser; `options` must outlive the parse.
void add_transforms(CLI::App& command, TransformOptions& options);

// `capacity`: what --checkpoint auto is to fit into. Errors: one line, what is wrong and what there
// is.
[[nodiscard]] Result<analyzer::WhatIf> read_transforms(const TransformOptions& options,
                                                       analyzer::Capacity capacity);

// "trace.db:8": a trace and its batch, beside "4:16" of --batch. Its path and how many times the
// first trace's batch it has.
struct SecondTrace {
  std::string file;
  double ratio = 0;
};
[[nodiscard]] Result<SecondTrace> read_second(std::string_view text, std::string_view batch);

struct SpaceOption {
  trace::Space space{};
  int16_t device = trace::kNoDevice;
};
// "device:0" and "host".
[[nodiscard]] Result<SpaceOption> read_space(std::string_view text);
[[nodiscard]] Result<analyzer::Schedule> schedule_of(const std::string& file,
                                                     const SpaceOption& space);

}  // namespace tidemark::cli
