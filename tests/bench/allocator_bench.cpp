// How fast a recorded pool replays through the model of PyTorch's caching allocator: the target is
// 20 million events (an allocation or a free) a second of one core. Beside it the plain way to
// write the same rules, as PyTorch itself does: a std::set of free blocks in order of (size,
// address) and a block of its own on the heap for each.
//
//   allocator_bench [TRACE...]    default: the recordings of the unit tests
//
// CPU time of this process; the best of many runs, each over the trace's whole sequence and the
// frees of what it left.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "bench_program.h"
#include "tidemark/analyzer/replay.h"

namespace {

using namespace tidemark;
using namespace tidemark::analyzer;
using bench::cpu_seconds;
using bench::must;
using Kind = AllocatorEvent::Kind;

constexpr uint64_t kMiB = uint64_t{1} << 20;

// One stream, no limits, no expandable segments.
class PlainModel {
 public:
  struct Block {
    uint64_t address = 0;
    uint64_t bytes = 0;
    Block* previous = nullptr;
    Block* next = nullptr;
    bool small = false;
    bool free = false;
  };

  PlainModel() : placer_(descending_placer()) {}
  PlainModel(const PlainModel&) = delete;
  PlainModel& operator=(const PlainModel&) = delete;
  ~PlainModel() {
    for (const auto& free : free_) {
      for (const Block* block : free) delete block;
    }
  }

  Block* allocate(uint64_t request) {
    const uint64_t bytes = std::max<uint64_t>((request + 511) / 512 * 512, 512);
    const bool small = bytes <= kMiB;
    auto& free = free_[small ? 1 : 0];
    Block key;
    key.bytes = bytes;
    auto found = free.lower_bound(&key);
    Block* block = nullptr;
    if (found != free.end()) {
      block = *found;
      free.erase(found);
    } else {
      block = segment(bytes, small);
    }
    const uint64_t rest = block->bytes - bytes;
    if (small ? rest >= 512 : rest > kMiB) {
      auto* behind = new Block{block->address + bytes, rest, block, block->next, small, true};
      if (block->next != nullptr) block->next->previous = behind;
      block->next = behind;
      block->bytes = bytes;
      free.insert(behind);
    }
    block->free = false;
    return block;
  }
  void free(Block* block) {
    auto& free = free_[block->small ? 1 : 0];
    if (block->next != nullptr && block->next->free) join(block, free, block->next);
    if (block->previous != nullptr && block->previous->free) {
      Block* const previous = block->previous;
      free.erase(previous);
      previous->bytes += block->bytes;
      previous->next = block->next;
      if (previous->next != nullptr) previous->next->previous = previous;
      delete block;
      block = previous;
    }
    block->free = true;
    free.insert(block);
  }
  uint64_t reserved_bytes() const { return reserved_; }

 private:
  struct Less {
    bool operator()(const Block* a, const Block* b) const {
      return a->bytes != b->bytes ? a->bytes < b->bytes : a->address < b->address;
    }
  };
  using Free = std::set<Block*, Less>;

  Block* segment(uint64_t bytes, bool small) {
    const uint64_t size = small               ? 2 * kMiB
                          : bytes < 10 * kMiB ? 20 * kMiB
                                              : (bytes + 2 * kMiB - 1) / (2 * kMiB) * (2 * kMiB);
    reserved_ += size;
    return new Block{placer_->place(size, 0), size, nullptr, nullptr, small, false};
  }
  static void join(Block* block, Free& free, Block* behind) {
    free.erase(behind);
    block->bytes += behind->bytes;
    block->next = behind->next;
    if (block->next != nullptr) block->next->previous = block;
    delete behind;
  }

  std::unique_ptr<SegmentPlacer> placer_;
  Free free_[2];
  uint64_t reserved_ = 0;
};

// The recorded sequence without what gives memory back, so that it can run again and again.
std::vector<AllocatorEvent> repeatable(const RecordedPool& pool) {
  std::vector<AllocatorEvent> events;
  std::vector<bool> live(pool.lifetime.size());
  for (const AllocatorEvent& event : pool.events) {
    if (event.kind == Kind::kEmptyCache) continue;
    live[event.lifetime] = event.kind == Kind::kAllocate;
    events.push_back(event);
  }
  for (uint32_t lifetime = 0; lifetime < live.size(); ++lifetime) {
    if (live[lifetime]) events.push_back({0, lifetime, 0, Kind::kFree});
  }
  return events;
}

void replay_plainly(const std::vector<AllocatorEvent>& events, PlainModel& model,
                    std::vector<PlainModel::Block*>& blocks) {
  for (const AllocatorEvent& event : events) {
    if (event.kind == Kind::kAllocate) {
      blocks[event.lifetime] = model.allocate(event.bytes);
    } else {
      model.free(blocks[event.lifetime]);
    }
  }
}

template <class Run>
double best_seconds(const Run& run) {
  double best = std::numeric_limits<double>::max();
  const double end = cpu_seconds() + 1;
  do {
    const double begin = cpu_seconds();
    run();
    best = std::min(best, cpu_seconds() - begin);
  } while (cpu_seconds() < end);
  return best;
}

void measure(const std::string& path) {
  const auto reader = must(trace::Reader::open(path));
  for (const RecordedPool& pool : must(recorded_pools(*reader))) {
    const std::vector<AllocatorEvent> events = repeatable(pool);
    const auto lifetimes = static_cast<uint32_t>(pool.lifetime.size());
    const auto per_second = [&](double seconds) {
      return static_cast<double>(events.size()) / seconds * 1e-6;
    };
    TorchAllocatorSettings settings;
    settings.expandable_segments = pool.expandable;
    const auto model = torch_caching_allocator(settings);
    const double ours =
        per_second(best_seconds([&] { replay(events, *model, {.lifetimes = lifetimes}); }));
    fmt::print("{:<24} {:>7} events {:8.1f} M/s", std::filesystem::path(path).stem().string(),
               events.size(), ours);
    if (pool.expandable) {
      fmt::print("     expandable segments: no plain way here\n");
      continue;
    }
    PlainModel plain;
    std::vector<PlainModel::Block*> blocks(lifetimes);
    const double theirs = per_second(best_seconds([&] { replay_plainly(events, plain, blocks); }));
    fmt::print("  std::set {:6.1f} M/s  {:5.2f} x\n", theirs, ours / theirs);
    if (plain.reserved_bytes() != model->reserved_bytes()) {
      fmt::print(stderr, "the two reserve {} and {} bytes\n", model->reserved_bytes(),
                 plain.reserved_bytes());
      std::exit(1);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> paths(argv + 1, argv + argc);
  if (paths.empty()) {
    for (const auto& file : std::filesystem::directory_iterator(POOL_TRACES)) {
      paths.push_back(file.path().string());
    }
    std::sort(paths.begin(), paths.end());
  }
  for (const std::string& path : paths) measure(path);
}
