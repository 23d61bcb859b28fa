// Calls of cuDNN's recurrent networks (LSTM, GRU, RNN), and what is known of their memory beside
// the trace. Pure; any thread.
//
//   weights  all of a module's, in one block: flattened once, or copied together for each call
//   scratch  while the call works: [ weights ][ 16 MiB ][ what follows the batch … ]
//   reserve  what forward leaves for backward: all of it follows the batch
//
// The scratch's parts are as recorded on an H100 (cuDNN 9, an LSTM of two layers, batches of 16 to
// 128, 32 and 16 bits, with and without backward): a straight line through the batches with these
// two at its foot.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tidemark/analyzer/schedule.h"

namespace tidemark::analyzer {

struct RecurrentCall {
  uint32_t scratch = 0;             // all three: indices of blocks
  uint32_t weights = 0;             // or their gradients
  std::optional<uint32_t> reserve;  // of a forward call that backward comes back to
};
// Laws must be known, but those of the scratches.
std::vector<RecurrentCall> recurrent_calls(const Schedule& schedule);

// What of the scratches does not follow the batch, and what of that not the precision.
void assign_recurrent_laws(Schedule& schedule);

// In bfloat16 modules do not flatten their weights (PyTorch 2.11: torch.backends.cudnn knows 16-bit
// floats of one kind alone), so that each call copies them together, for its backward too. Sizes
// are still those of the recording.
void copy_weights_for_calls(Schedule& schedule, std::vector<ScheduledBlock>& added);

}  // namespace tidemark::analyzer
