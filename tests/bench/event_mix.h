// Allocations and frees with the shape of a real program's: most blocks die young, some live for a
// phase, few for ever; sizes come from few classes, each place in the code has its own; addresses
// are used again as an allocator does. Deterministic.
#pragma once

#include <array>
#include <cstdint>
#include <queue>
#include <random>
#include <vector>

namespace tidemark::bench {

struct MixOptions {
  uint64_t stacks = 20'000;
  uint32_t threads = 4;
  // Shares in a thousand of what lives for a phase and for ever; the rest is freed at once or soon.
  uint32_t phase = 80;
  uint32_t forever = 5;
  uint64_t phase_events = 300'000;  // the longest phase
};

struct MixEvent {
  bool is_free = false;
  uint32_t thread = 0;
  uint64_t stack = 0;  // from 1
  uint64_t address = 0;
  uint64_t size = 0;
  uint64_t handle = 0;  // of the block: what set_handle() was told
  uint32_t block = 0;
};

class EventMix {
 public:
  explicit EventMix(const MixOptions& options) : options_(options), random_(7) {}

  MixEvent next() {
    ++now_;
    if (!deaths_.empty() && deaths_.top().at <= now_) return end_block();
    return begin_block();
  }
  // Remembers a number for the block of an allocation; its free will carry it.
  void set_handle(const MixEvent& allocation, uint64_t handle) {
    blocks_[allocation.block].handle = handle;
  }
  [[nodiscard]] size_t live() const { return blocks_.size() - free_blocks_.size(); }

 private:
  static constexpr uint32_t kClasses = 24;
  struct Block {
    uint64_t address, size, handle, stack;
    uint32_t thread, size_class;
  };
  struct Death {
    uint64_t at;
    uint32_t block;
    bool operator<(const Death& other) const { return at > other.at; }
  };

  uint64_t below(uint64_t limit) { return random_() % limit; }

  MixEvent begin_block() {
    // A few places allocate most: the square root of an even number favours none, its square does.
    const double place = static_cast<double>(below(1U << 20)) / (1U << 20);
    const auto stack =
        static_cast<uint64_t>(place * place * place * static_cast<double>(options_.stacks));
    const auto size_class = static_cast<uint32_t>((stack * 2654435761U >> 7) % kClasses);
    Block block{take_address(size_class),
                size_of(size_class, stack),
                0,
                1 + stack,
                static_cast<uint32_t>((now_ >> 6) % options_.threads),
                size_class};
    uint32_t at = static_cast<uint32_t>(blocks_.size());
    if (free_blocks_.empty()) {
      blocks_.push_back(block);
    } else {
      at = free_blocks_.back();
      free_blocks_.pop_back();
      blocks_[at] = block;
    }
    const uint64_t kind = below(1000);
    if (kind >= options_.forever) {
      const uint64_t life = kind < options_.forever + options_.phase
                                ? 1000 + below(options_.phase_events)
                                : 1 + below(below(2) == 0 ? 4 : 200);
      deaths_.push({now_ + life, at});
    }
    return {false, block.thread, block.stack, block.address, block.size, 0, at};
  }

  MixEvent end_block() {
    const uint32_t at = deaths_.top().block;
    deaths_.pop();
    const Block& block = blocks_[at];
    free_blocks_.push_back(at);
    free_addresses_[block.size_class].push_back(block.address);
    // Freed where it came from, or by one of few other places; seldom by another thread.
    const uint64_t stack =
        below(4) != 0 ? 1 + block.stack % (options_.stacks / 8 + 1) : block.stack;
    const uint32_t thread = below(50) == 0 ? (block.thread + 1) % options_.threads : block.thread;
    return {true, thread, stack, block.address, block.size, block.handle, at};
  }

  static uint64_t room_of(uint32_t size_class) {
    return uint64_t{16} * (1 + size_class * size_class);
  }
  static uint64_t size_of(uint32_t size_class, uint64_t stack) {
    return room_of(size_class) - stack % 16;
  }
  uint64_t take_address(uint32_t size_class) {
    auto& spare = free_addresses_[size_class];
    if (!spare.empty()) {
      const uint64_t address = spare.back();
      spare.pop_back();
      return address;
    }
    next_address_ += room_of(size_class) + 16;
    return next_address_;
  }

  MixOptions options_;
  std::minstd_rand random_;
  uint64_t now_ = 0;
  uint64_t next_address_ = 0x5555'0000'0000;
  std::vector<Block> blocks_;
  std::vector<uint32_t> free_blocks_;
  std::array<std::vector<uint64_t>, kClasses> free_addresses_;
  std::priority_queue<Death> deaths_;
};

}  // namespace tidemark::bench
