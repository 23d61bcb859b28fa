// Makes as many blocks as it is told, of lifetimes short, long and without end, by memalign, which
// nothing else here calls, and says what they came to: what a trace must say of them.
//
//     many_blocks COUNT [LIVE_PERCENT]   LIVE_PERCENT of them are never freed (1)
//
// Its peak comes early: a wave of large blocks that is gone before the rest.
#include <malloc.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

void* (*volatile g_memalign)(size_t, size_t) = memalign;

struct Sums {
  uint64_t allocations = 0;
  uint64_t bytes = 0;
  uint64_t frees = 0;
  uint64_t freed_bytes = 0;
  uint64_t peak_bytes = 0;
};

struct Block {
  void* address;
  uint64_t size;
};

Sums sums;

Block take(uint64_t size) {
  ++sums.allocations;
  sums.bytes += size;
  if (sums.bytes - sums.freed_bytes > sums.peak_bytes) {
    sums.peak_bytes = sums.bytes - sums.freed_bytes;
  }
  return {g_memalign(32, size), size};
}

void give(const Block& block) {
  ++sums.frees;
  sums.freed_bytes += block.size;
  free(block.address);
}

// A queue of a fixed length: what comes in at one end pushes out what came in long before.
class Delay {
 public:
  explicit Delay(size_t length) : blocks_(length, Block{nullptr, 0}) {}
  ~Delay() {
    for (const Block& block : blocks_) {
      if (block.address != nullptr) give(block);
    }
  }
  Delay(const Delay&) = delete;
  Delay& operator=(const Delay&) = delete;
  void put(const Block& block) {
    Block& place = blocks_[at_++ % blocks_.size()];
    if (place.address != nullptr) give(place);
    place = block;
  }

 private:
  std::vector<Block> blocks_;
  size_t at_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000;
  const uint64_t live_percent = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  {
    Delay wave(200);
    for (int i = 0; i < 200; ++i) wave.put(take(1 << 20));
  }
  {
    Delay soon(16);
    Delay later(20'000);
    uint64_t random = 1;
    for (uint64_t i = 0; i < count; ++i) {
      random = random * 6364136223846793005U + 1442695040888963407U;
      const uint64_t size = 16 + (random >> 33) % 100;
      const uint64_t fate = (random >> 40) % 100;
      if (fate < live_percent) {
        take(size);
      } else if (fate < live_percent + 10) {
        later.put(take(size));
      } else {
        soon.put(take(size));
      }
    }
  }
  std::printf("%lu %lu %lu %lu %lu\n", sums.allocations, sums.bytes, sums.frees, sums.freed_bytes,
              sums.peak_bytes);
  return 0;
}
