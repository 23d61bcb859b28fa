// Random sequences through every allocator: what must hold after each step; and PyTorch's against a
// second, obvious writing of its rules that searches everything each time.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "sizes.h"
#include "tidemark/analyzer/allocator_model.h"

namespace tidemark::analyzer {
namespace {

constexpr uint32_t kStreams = 2;

uint64_t round_up(uint64_t bytes, uint64_t to) { return (bytes + to - 1) / to * to; }
uint64_t rounded(uint64_t bytes) { return round_up(std::max<uint64_t>(bytes, 1), 512); }

// Few sizes, so that many blocks are equal, and some of any size.
uint64_t random_bytes(std::mt19937_64& random) {
  static const std::vector<uint64_t> kSizes = {
      1,        512,       700,       40000,     kMiB,      2 * kMiB,  3 * kMiB,
      8 * kMiB, 11 * kMiB, 20 * kMiB, 24 * kMiB, 33 * kMiB, 70 * kMiB, 90 * kMiB};
  if (random() % 4 != 0) return kSizes[random() % kSizes.size()];
  return 1 + random() % (uint64_t{1} << (8 + random() % 19));
}

// ---- What holds for every allocator ----

void expect_sound(const AllocatorModel& model, const std::map<uint64_t, uint64_t>& live) {
  uint64_t reserved = 0;
  uint64_t allocated = 0;
  std::map<uint64_t, uint64_t> found;  // allocated blocks by address
  uint64_t end = 0;
  for (const Segment& segment : model.segments()) {
    ASSERT_GE(segment.address, end);
    end = segment.address;
    for (const SegmentBlock& block : segment.blocks) {
      ASSERT_EQ(block.address, end);
      ASSERT_GT(block.bytes, 0U);
      end += block.bytes;
      if (block.state != SegmentBlock::State::kAllocated) continue;
      allocated += block.bytes;
      found[block.address] = block.bytes;
    }
    ASSERT_EQ(end, segment.address + segment.bytes);
    reserved += segment.bytes;
  }
  ASSERT_EQ(reserved, model.reserved_bytes());
  ASSERT_EQ(allocated, model.allocated_bytes());
  ASSERT_EQ(found, live);
  ASSERT_LE(model.reserved_bytes(), model.peak_reserved_bytes());
  ASSERT_LE(model.allocated_bytes(), model.peak_allocated_bytes());
}

class EveryAllocator : public testing::TestWithParam<const char*> {};

TEST_P(EveryAllocator, fills_its_segments_with_blocks_that_do_not_overlap_and_loses_none) {
  for (const Capacity capacity : {Capacity{}, Capacity{400 * kMiB}}) {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      std::mt19937_64 random(seed);
      const auto made = make_allocator(GetParam(), capacity);
      ASSERT_TRUE(made) << made.error().message;
      AllocatorModel& model = **made;
      std::vector<BlockHandle> blocks;
      std::vector<uint64_t> tickets;
      std::map<uint64_t, uint64_t> live;
      for (int step = 0; step < 1500; ++step) {
        const uint64_t what = random() % 100;
        if (what < 1) {
          model.empty_cache();
        } else if (what < 50 && !blocks.empty()) {
          const size_t which = random() % blocks.size();
          live.erase(model.block_address(blocks[which]));
          if (what < 5) {
            tickets.push_back(model.free_in_use(blocks[which]));
          } else {
            model.free(blocks[which]);
          }
          blocks[which] = blocks.back();
          blocks.pop_back();
        } else if (what < 55 && !tickets.empty()) {
          model.uses_ended(tickets.back());
          tickets.pop_back();
        } else {
          const uint64_t bytes = random_bytes(random);
          const auto block = model.allocate(bytes, static_cast<uint32_t>(random() % kStreams));
          if (!block) {
            ASSERT_TRUE(capacity);
            continue;
          }
          ASSERT_GE(model.block_bytes(*block), bytes);
          ASSERT_TRUE(live.emplace(model.block_address(*block), model.block_bytes(*block)).second);
          blocks.push_back(*block);
        }
        ASSERT_LE(model.reserved_bytes(), capacity.value_or(TorchAllocatorSettings::kNoLimit));
        if (step % 10 == 0) {
          ASSERT_NO_FATAL_FAILURE(expect_sound(model, live)) << "seed " << seed << " step " << step;
        }
      }
      for (const BlockHandle block : blocks) model.free(block);
      EXPECT_EQ(model.allocated_bytes(), 0U);
      model.empty_cache();
      ASSERT_NO_FATAL_FAILURE(expect_sound(model, {}));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EveryAllocator,
                         testing::Values("torch", "torch:expandable_segments:True",
                                         "torch:max_split_size_mb:32",
                                         "torch:roundup_power2_divisions:4",
                                         "torch:garbage_collection_threshold:0.6,per_process_"
                                         "memory_fraction:0.9",
                                         "cuda-malloc-async", "cuda-malloc-async:threshold=64MiB",
                                         "cuda-malloc", "bfc"));

// ---- PyTorch's rules by brute force ----

// Segments of blocks, each block looked at for each request.
class Reference {
 public:
  Reference(uint64_t max_split, Capacity capacity)
      : max_split_(max_split), capacity_(capacity), placer_(descending_placer()) {}

  // The address of the block; none: out of memory.
  std::optional<uint64_t> allocate(uint64_t request, uint32_t stream) {
    const uint64_t bytes = rounded(request);
    if (auto address = cached(bytes, stream)) return address;
    const bool small = bytes <= kMiB;
    const uint64_t size = small               ? 2 * kMiB
                          : bytes < 10 * kMiB ? 20 * kMiB
                                              : round_up(bytes, 2 * kMiB);
    if (full(size) && (!release_oversize(bytes, stream, small) || full(size))) empty_cache();
    if (full(size)) return {};
    Part whole;
    whole.address = placer_->place(size, stream);
    whole.bytes = size;
    segments_.push_back({stream, small, {whole}});
    reserved_ += size;
    return take(segments_.back(), 0, bytes);
  }
  void free(uint64_t address) {
    for (Piece& segment : segments_) {
      for (size_t i = 0; i < segment.parts.size(); ++i) {
        if (segment.parts[i].address != address) continue;
        segment.parts[i].used = false;
        if (i + 1 < segment.parts.size() && !segment.parts[i + 1].used) join(segment, i);
        if (i > 0 && !segment.parts[i - 1].used) join(segment, i - 1);
        return;
      }
    }
    FAIL() << "no block at " << address;
  }
  void empty_cache() {
    while (release([](const Piece&) { return true; }, false) > 0) {
    }
  }
  uint64_t reserved() const { return reserved_; }

 private:
  struct Part {
    uint64_t address = 0;
    uint64_t bytes = 0;
    bool used = false;
  };
  struct Piece {
    uint32_t stream;
    bool small;
    std::vector<Part> parts;
  };

  bool full(uint64_t bytes) const { return capacity_ && reserved_ + bytes > *capacity_; }
  static void join(Piece& segment, size_t at) {
    segment.parts[at].bytes += segment.parts[at + 1].bytes;
    segment.parts.erase(segment.parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  std::optional<uint64_t> cached(uint64_t bytes, uint32_t stream) {
    Piece* best = nullptr;
    size_t best_at = 0;
    for (Piece& segment : segments_) {
      if (segment.stream != stream || segment.small != (bytes <= kMiB)) continue;
      for (size_t i = 0; i < segment.parts.size(); ++i) {
        const Part& part = segment.parts[i];
        if (part.used || part.bytes < bytes) continue;
        if (best != nullptr && std::pair(best->parts[best_at].bytes, best->parts[best_at].address) <
                                   std::pair(part.bytes, part.address)) {
          continue;
        }
        best = &segment;
        best_at = i;
      }
    }
    if (best == nullptr) return {};
    const uint64_t found = best->parts[best_at].bytes;
    if (bytes < max_split_ && found >= max_split_) return {};
    if (bytes >= max_split_ && found >= bytes + 20 * kMiB) return {};
    return take(*best, best_at, bytes);
  }
  uint64_t take(Piece& segment, size_t at, uint64_t bytes) const {
    const uint64_t rest = segment.parts[at].bytes - bytes;
    if (segment.small ? rest >= 512 : bytes < max_split_ && rest > kMiB) {
      const Part behind{segment.parts[at].address + bytes, rest, false};
      segment.parts[at].bytes = bytes;
      segment.parts.insert(segment.parts.begin() + static_cast<std::ptrdiff_t>(at) + 1, behind);
    }
    segment.parts[at].used = true;
    return segment.parts[at].address;
  }
  // Of the whole free segments that `may` go, the smallest or largest goes. Its size, or 0.
  template <class May>
  uint64_t release(const May& may, bool largest) {
    size_t chosen = segments_.size();
    const auto key = [&](size_t i) {
      return std::pair(segments_[i].parts[0].bytes, segments_[i].parts[0].address);
    };
    for (size_t i = 0; i < segments_.size(); ++i) {
      if (segments_[i].parts.size() != 1 || segments_[i].parts[0].used || !may(segments_[i])) {
        continue;
      }
      if (chosen == segments_.size() || (largest ? key(i) > key(chosen) : key(i) < key(chosen))) {
        chosen = i;
      }
    }
    if (chosen == segments_.size()) return 0;
    const Part part = segments_[chosen].parts[0];
    placer_->release(part.address, part.bytes);
    reserved_ -= part.bytes;
    segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(chosen));
    return part.bytes;
  }
  bool release_oversize(uint64_t bytes, uint32_t stream, bool small) {
    if (max_split_ == TorchAllocatorSettings::kNoLimit) return false;
    const uint64_t wanted = std::max(bytes, max_split_);
    const auto of_at_least = [&](uint64_t least) {
      return [=](const Piece& segment) {
        return segment.stream == stream && segment.small == small &&
               segment.parts[0].bytes >= least;
      };
    };
    if (release(of_at_least(wanted), false) > 0) return true;
    uint64_t released = 0;
    while (released < wanted) {
      const uint64_t one = release(of_at_least(max_split_), true);
      if (one == 0) return false;
      released += one;
    }
    return true;
  }

  const uint64_t max_split_;
  const Capacity capacity_;
  std::unique_ptr<SegmentPlacer> placer_;
  std::vector<Piece> segments_;
  uint64_t reserved_ = 0;
};

// Expandable segments as pages of one range for each stream and pool.
class ExpandableReference {
 public:
  // Stream, pool and offset in its range.
  struct Place {
    uint32_t stream = 0;
    bool small = false;
    uint64_t offset = 0;
  };

  Place allocate(uint64_t request, uint32_t stream) {
    const uint64_t bytes = rounded(request);
    const bool small = bytes <= kMiB;
    Range& range = ranges_[stream][small ? 1 : 0];
    range.page = small ? 2 * kMiB : 20 * kMiB;
    uint64_t offset = 0;
    if (!best_fit(range, bytes, offset)) {
      offset = lowest_room(range, bytes);
      for (uint64_t page = offset / range.page; page * range.page < offset + bytes; ++page) {
        if (range.mapped.size() <= page) range.mapped.resize(page + 1);
        if (!range.mapped[page]) reserved_ += range.page;
        range.mapped[page] = true;
      }
    }
    range.used[offset] = bytes;
    return {stream, small, offset};
  }
  void free(const Place& place) {
    ranges_[place.stream][place.small ? 1 : 0].used.erase(place.offset);
  }
  void empty_cache() {
    for (auto& of_stream : ranges_) {
      for (Range& range : of_stream) {
        for (uint64_t page = 0; page < range.mapped.size(); ++page) {
          if (!range.mapped[page] || overlaps(range, page * range.page, range.page)) continue;
          range.mapped[page] = false;
          reserved_ -= range.page;
        }
        while (!range.mapped.empty() && !range.mapped.back()) range.mapped.pop_back();
      }
    }
  }
  uint64_t reserved() const { return reserved_; }

 private:
  struct Range {
    uint64_t page = 0;
    std::vector<bool> mapped;
    std::map<uint64_t, uint64_t> used;  // offset to bytes
  };
  struct Hole {
    uint64_t begin = 0;
    uint64_t end = 0;
    uint64_t reach = 0;  // with what is unmapped behind it
  };
  static constexpr uint64_t kEndless = uint64_t{1} << 50;

  static bool overlaps(const Range& range, uint64_t begin, uint64_t bytes) {
    for (const auto& [offset, size] : range.used) {
      if (offset < begin + bytes && begin < offset + size) return true;
    }
    return false;
  }
  // What lies between used blocks, mapped or not.
  static std::vector<std::pair<uint64_t, uint64_t>> gaps(const Range& range) {
    std::vector<std::pair<uint64_t, uint64_t>> all;
    uint64_t from = 0;
    for (const auto& [offset, size] : range.used) {
      if (offset > from) all.emplace_back(from, offset);
      from = offset + size;
    }
    all.emplace_back(from, kEndless);
    return all;
  }
  static bool is_mapped(const Range& range, uint64_t offset) {
    return offset / range.page < range.mapped.size() && range.mapped[offset / range.page];
  }
  static std::vector<Hole> holes(const Range& range) {
    std::vector<Hole> all;
    for (const auto& [begin, end] : gaps(range)) {
      // From page boundary to page boundary, in stretches that are mapped or not.
      std::vector<std::pair<uint64_t, bool>> stretches;  // where it ends
      const uint64_t last = std::max<uint64_t>(range.mapped.size() * range.page, begin);
      for (uint64_t at = begin; at < std::min(end, last);) {
        const bool mapped = is_mapped(range, at);
        at = std::min((at / range.page + 1) * range.page, std::min(end, last));
        if (!stretches.empty() && stretches.back().second == mapped) {
          stretches.back().first = at;
        } else {
          stretches.emplace_back(at, mapped);
        }
      }
      if (end > last) {
        if (!stretches.empty() && !stretches.back().second) stretches.pop_back();
        stretches.emplace_back(end, false);
      }
      uint64_t from = begin;
      for (size_t i = 0; i < stretches.size(); ++i) {
        const auto [to, mapped] = stretches[i];
        if (mapped) {
          all.push_back(
              {from, to, i + 1 < stretches.size() ? stretches[i + 1].first - from : to - from});
        }
        from = to;
      }
    }
    return all;
  }
  static bool best_fit(const Range& range, uint64_t bytes, uint64_t& offset) {
    std::vector<Hole> fitting;
    for (const Hole& hole : holes(range)) {
      if (hole.end - hole.begin >= bytes) fitting.push_back(hole);
    }
    if (fitting.empty()) return false;
    std::sort(fitting.begin(), fitting.end(), [](const Hole& a, const Hole& b) {
      return std::pair(a.end - a.begin, a.begin) < std::pair(b.end - b.begin, b.begin);
    });
    size_t at = 0;
    while (at + 1 < fitting.size() && fitting[at + 1].reach < fitting[at].reach) ++at;
    offset = fitting[at].begin;
    return true;
  }
  // The lowest gap with something unmapped in it that is large enough.
  static uint64_t lowest_room(const Range& range, uint64_t bytes) {
    for (const auto& [begin, end] : gaps(range)) {
      if (end - begin < bytes) continue;
      for (uint64_t at = begin; at < end; at = (at / range.page + 1) * range.page) {
        if (!is_mapped(range, at)) return begin;
      }
    }
    return 0;
  }

  Range ranges_[kStreams][2];
  uint64_t reserved_ = 0;
};

void expect_the_same_as_the_reference(uint64_t max_split, Capacity capacity, uint64_t seed) {
  TorchAllocatorSettings settings;
  settings.max_split_size_bytes = max_split;
  const auto model = torch_caching_allocator(settings, capacity);
  Reference reference(max_split, capacity);
  std::mt19937_64 random(seed);
  std::vector<std::pair<BlockHandle, uint64_t>> blocks;
  for (int step = 0; step < 4000; ++step) {
    const uint64_t what = random() % 200;
    if (what < 1) {
      model->empty_cache();
      reference.empty_cache();
    } else if (what < 96 && !blocks.empty()) {
      const size_t which = random() % blocks.size();
      model->free(blocks[which].first);
      reference.free(blocks[which].second);
      blocks[which] = blocks.back();
      blocks.pop_back();
    } else {
      const uint64_t bytes = random_bytes(random);
      const auto stream = static_cast<uint32_t>(random() % kStreams);
      const auto block = model->allocate(bytes, stream);
      const auto address = reference.allocate(bytes, stream);
      ASSERT_EQ(block.has_value(), address.has_value()) << "step " << step;
      if (block) {
        ASSERT_EQ(model->block_address(*block), *address) << "step " << step;
        blocks.emplace_back(*block, *address);
      }
    }
    ASSERT_EQ(model->reserved_bytes(), reference.reserved()) << "step " << step;
  }
}

TEST(TorchAllocator, chooses_each_block_as_a_search_of_all_would) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    ASSERT_NO_FATAL_FAILURE(
        expect_the_same_as_the_reference(TorchAllocatorSettings::kNoLimit, {}, seed))
        << seed;
  }
}

TEST(TorchAllocator, chooses_each_block_as_a_search_of_all_would_on_a_full_card) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    ASSERT_NO_FATAL_FAILURE(
        expect_the_same_as_the_reference(TorchAllocatorSettings::kNoLimit, 300 * kMiB, seed))
        << seed;
    ASSERT_NO_FATAL_FAILURE(expect_the_same_as_the_reference(32 * kMiB, 300 * kMiB, seed)) << seed;
  }
}

TEST(ExpandableSegments, choose_each_block_as_a_search_of_all_would) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const auto model = *make_allocator("torch:expandable_segments:True");
    ExpandableReference reference;
    std::mt19937_64 random(seed);
    std::vector<std::pair<BlockHandle, ExpandableReference::Place>> blocks;
    std::map<std::pair<uint32_t, bool>, uint64_t> begin;  // of each range in the model
    for (int step = 0; step < 2000; ++step) {
      const uint64_t what = random() % 200;
      if (what < 2 && !blocks.empty()) {
        model->empty_cache();
        reference.empty_cache();
        // A range that lost its last page is given up, and its successor lies elsewhere.
        for (auto range = begin.begin(); range != begin.end();) {
          const bool lives = std::any_of(blocks.begin(), blocks.end(), [&](const auto& block) {
            return std::pair(block.second.stream, block.second.small) == range->first;
          });
          range = lives ? std::next(range) : begin.erase(range);
        }
      } else if (what < 98 && !blocks.empty()) {
        const size_t which = random() % blocks.size();
        model->free(blocks[which].first);
        reference.free(blocks[which].second);
        blocks[which] = blocks.back();
        blocks.pop_back();
      } else {
        const uint64_t bytes = random_bytes(random);
        const auto stream = static_cast<uint32_t>(random() % kStreams);
        const auto block = model->allocate(bytes, stream);
        ASSERT_TRUE(block);
        const auto place = reference.allocate(bytes, stream);
        const uint64_t address = model->block_address(*block);
        const uint64_t from =
            begin.try_emplace({stream, place.small}, address - place.offset).first->second;
        ASSERT_EQ(address - from, place.offset) << "seed " << seed << " step " << step;
        blocks.emplace_back(*block, place);
      }
      ASSERT_EQ(model->reserved_bytes(), reference.reserved())
          << "seed " << seed << " step " << step;
    }
  }
}

}  // namespace
}  // namespace tidemark::analyzer
