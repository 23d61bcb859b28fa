// The what-if panel's answer: the analyzer's prediction, and the curve of the changed schedule over
// time, so that it can be drawn over the recorded one. The curve's peak is the prediction's.
//
// Pure; any thread. A Schedule is built once (it reads the trace) and then only copied.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/whatif.h"
#include "tidemark/viewer/pyramid.h"

namespace tidemark::viewer {

// What the sliders and switches say; compares equal when nothing would change.
struct WhatIfChoice {
  int16_t device = 0;
  double batch = 1;
  double sequence = 1;
  bool checkpoint = false;
  uint32_t checkpoint_every = 1;
  uint64_t checkpoint_fit = 0;  // only as many as it takes to fit into these bytes; 0: all
  bool fuse_backward = false;
  int precision = 0;  // 0: as recorded, 1: bf16, 2: fp16, 3 and 4: the same within autocast
  int optimizer = 0;  // 0: as recorded, else OptimizerKind + 1
  uint32_t accumulate = 1;
  bool keep_gradients = false;
  uint32_t lora = 0;      // rank; 0: none
  uint32_t low_rank = 0;  // of the layers' weights; 0: whole
  double prune = 0;       // share of the layers' inner width that is removed
  // In 8 bits. 0: nothing, 1: saved activations, 2: frozen weights, 3: the optimizer's states.
  int quantize = 0;
  int shard_stage = -1;  // of ZeRO, 0 to 3; -1: as recorded
  uint32_t shard_ranks = 8;
  int offload = 0;        // 0: nothing, else Offload + 1
  std::string allocator;  // "": as recorded
  uint64_t capacity = 0;  // of the card, to say whether it fits; 0: not known
  bool operator==(const WhatIfChoice&) const = default;
  bool changes_nothing() const;
  // As the other, whatever card it is asked of.
  bool same_changes(const WhatIfChoice& other) const;
};

analyzer::WhatIf to_whatif(const WhatIfChoice& choice);
// None: it asks for something that no slider or switch stands for.
std::optional<WhatIfChoice> from_whatif(const analyzer::WhatIf& what, int16_t device);

struct Forecast {
  WhatIfChoice choice;
  analyzer::Series series;
  analyzer::Prediction prediction;
  std::vector<analyzer::UsagePoint> allocated;
  std::vector<analyzer::UsagePoint> reserved;
  PeakPyramid allocated_pyramid;
  PeakPyramid reserved_pyramid;
  std::string error;  // not "": nothing else is there, and why
};

// Recorded events stand at their times, a transform's own at that of the event before.
Forecast forecast(const analyzer::Schedule& schedule, const WhatIfChoice& choice);

// Cards people have, by their memory as nvidia-smi reports it.
struct Card {
  const char* name;
  uint64_t bytes;
};
const std::vector<Card>& known_cards();

}  // namespace tidemark::viewer
