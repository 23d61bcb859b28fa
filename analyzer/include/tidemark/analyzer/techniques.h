// Advice by technique: for each way of saving memory or time that is commonly advised, whether it
// applies to this recording, why, and what it is worth here. What changes a training step is
// predicted with whatif.h, the rest comes from copies, kernels, findings and process memory; no
// sentence is without a number of this trace. Pure: reads through trace::Reader. Any thread that
// owns the Reader.
//
// Sizes: bytes. Times: ns, and seconds to be won over the whole recording.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/usage.h"
#include "tidemark/analyzer/whatif.h"

namespace tidemark::analyzer {

enum class Technique : uint8_t {
  kStructures,     // memory-efficient (sparse) data structures
  kBatch,          // a smaller batch, or the largest that the card holds
  kAccumulation,   // of gradients over micro-batches
  kCheckpointing,  // activations computed again in backward
  kPruning,
  kQuantization,
  kMixedPrecision,
  kPinning,    // pinned memory and asynchronous copies
  kAllocator,  // its settings, another one, a pool where there is none
  kMapping,    // files mapped instead of read into buffers
  kLowRank,
  kCaching,       // of work that is done again
  kAsyncLoading,  // the next input is made while the device works
  kSharding,      // over several devices
  kHardware,      // tensor cores, a faster or smaller card
};
inline constexpr size_t kTechniques = static_cast<size_t>(Technique::kHardware) + 1;
const char* to_string(Technique technique);  // structures batch accumulation …: names in JSON
const char* technique_text(Technique technique);  // "gradient accumulation": for people

struct TechniqueLine {
  Technique technique{};
  bool applies = false;  // a hundredth of the peak or of the work's time is to be won
  std::string why;       // whole sentences
  std::string change;    // of the code or its surroundings; "": it does not apply
  // What it does to the peak of TechniqueAdvice::series, where that is known.
  std::optional<int64_t> peak_with_bytes;
  std::optional<WhatIf> what;  // what that is predicted of
  // What it saves beside that peak: of the allocator's own, of another space.
  uint64_t beside_bytes = 0;
  std::optional<double> time_ratio;  // of the changed step's time to the recorded one's
  double seconds = 0;                // to be won at most over the recording; 0: none, or not known
  std::string command;               // computes it, or shows what it is said of; FILE: the trace
};

struct TechniqueAdvice {
  // Whose peak: a device's where one was used, else the host's heap.
  std::optional<Series> series;
  // Of a pool what it reserves when the recording is replayed (or reserved, where it is not).
  int64_t peak_bytes = 0;
  int64_t step_ns = 0;  // 0: no iterations
  // Why nothing was predicted by replay; "": it was.
  std::string not_replayed;
  std::vector<TechniqueLine> lines;  // one of each, in the order above

  // By how much a line lowers the peak, and what it saves beside it; 0: nothing, or not known.
  [[nodiscard]] int64_t saved_bytes(const TechniqueLine& line) const;
};

// How much is replayed. A quick report stays quick: of a longer recording it says what to ask for.
enum class AdviceDepth : uint8_t { kNone, kQuick, kAll };

}  // namespace tidemark::analyzer
