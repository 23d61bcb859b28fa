// Whether a call that gives the device work falls into the window of `record --window`, as the
// collector has set it in the arena. Outside, a launch costs no stack and no reading of arguments,
// and its records go no further than CUPTI's buffers. This only spares what the collector would
// leave out: the collector decides, by the times of the calls.
//
// Records come late and carry no time of their call, only its correlation id, which grows from call
// to call: those between the first and the last call inside may be wanted. Any thread, no lock.
#pragma once

#include <atomic>
#include <cstdint>

#include "tidemark/wire/client.h"
#include "tidemark/wire/layout.h"

namespace tidemark::cuda {

class Window {
 public:
  explicit Window(const wire::Client& client) : client_(client), arena_(*client.arena()) {}

  // A call is about to be made; false: it lies outside.
  bool enter(uint32_t correlation);
  // False: nobody will want the record of that call.
  bool may_hold(uint32_t correlation) const;

 private:
  bool always() const { return arena_.window_end_ns.load(std::memory_order_relaxed) == 0; }

  const wire::Client& client_;
  const wire::ArenaHeader& arena_;
  // Of the calls inside, over all windows; none while first is above last.
  std::atomic<uint32_t> first_{UINT32_MAX};
  std::atomic<uint32_t> last_{0};
};

}  // namespace tidemark::cuda
