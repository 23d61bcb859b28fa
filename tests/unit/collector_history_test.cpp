// From the rings to the reader: what threads did, in whatever pieces it is drained, flushed and
// settled, comes back exactly.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <random>

#include "arena.h"
#include "collector_fakes.h"
#include "session.h"
#include "tidemark/trace/reader.h"

namespace tidemark::collector {
namespace {

using trace::Allocation;

struct History {
  explicit History(uint64_t seed) : random(seed) {}
  uint64_t below(uint64_t limit) { return random() % limit; }

  // One event of a random thread. Addresses are used again at once, by other threads too.
  void step(std::vector<fakes::FakeProducer>& rings) {
    now += 1 + below(300);
    auto& ring = rings[below(rings.size())];
    const bool frees = !live.empty() && (live.size() > 3000 || below(100) < 49);
    if (frees) {
      // Mostly what is young.
      const size_t reach = below(10) == 0 ? live.size() : std::min<size_t>(live.size(), 20);
      const size_t at = live.size() - 1 - below(reach);
      Allocation& row = rows[live[at]];
      row.free_ns = static_cast<int64_t>(now);
      ring.publish(fakes::free_of(now, row.address));
      spare.push_back(row.address);
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
      if (below(40) == 0) {  // a realloc that failed: it lives on
        now += 1;
        ring.publish(fakes::undo(now));
        row.free_ns = trace::kNever;
        spare.pop_back();
        live.push_back(static_cast<size_t>(&row - rows.data()));
      }
      return;
    }
    Allocation row;
    row.address = next_address += 16;
    if (!spare.empty() && below(4) != 0) {
      row.address = spare.back();
      spare.pop_back();
    }
    row.size = below(2000);
    row.alloc_ns = static_cast<int64_t>(now);
    ring.publish(fakes::alloc(now, row.address, row.size));
    live.push_back(rows.size());
    rows.push_back(row);
  }

  std::mt19937_64 random;
  uint64_t now = 1;
  uint64_t next_address = 0x1000;
  std::vector<Allocation> rows;
  std::vector<size_t> live;
  std::vector<uint64_t> spare;
};

std::vector<std::string> facts(const std::vector<Allocation>& rows) {
  std::vector<std::string> all;
  for (const Allocation& row : rows) {
    all.push_back(std::to_string(row.alloc_ns) + " " + std::to_string(row.address) + " " +
                  std::to_string(row.size) + " " + std::to_string(row.free_ns));
  }
  return all;
}

std::vector<Allocation> read_all(const std::string& path) {
  std::vector<Allocation> rows;
  const auto reader = trace::Reader::open(path);
  EXPECT_TRUE(reader) << reader.error().message;
  const auto read = (*reader)->allocations({}, [&](std::span<const Allocation> batch) {
    rows.insert(rows.end(), batch.begin(), batch.end());
  });
  EXPECT_TRUE(read) << read.error().message;
  return rows;
}

TEST(CollectorHistory, a_history_comes_back_exactly_however_it_is_drained_and_flushed) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("history." + std::to_string(getpid()) + ".db"))
          .string();
  for (const uint64_t seed : {1U, 2U, 3U}) {
    Arena arena = std::move(*Arena::create({}));
    Losses losses;
    auto writer = trace::Writer::create(path);
    ASSERT_TRUE(writer) << writer.error().message;
    Pairing pairing(**writer, losses, 0, nullptr);
    Merge merge;
    std::vector<fakes::FakeProducer> rings;
    std::vector<std::unique_ptr<Producer>> producers;
    std::vector<Lane> lanes;
    auto* memory = reinterpret_cast<std::byte*>(&arena.header());
    for (int32_t tid = 10; tid < 17; ++tid) {
      auto& fake = rings.emplace_back(memory, 1, 10, tid);
      producers.push_back(pairing.open_ring({1, 10, tid, "t"}));
      lanes.push_back(
          {RingReader(fake.header(), arena.ring_data(fake.slot()), wire::kRingDataBytes),
           producers.back().get()});
    }
    rings[0].publish(fakes::process_start(0, 1, 10));
    const auto drain = [&](uint64_t now_ns) {
      std::vector<Lane*> all;
      for (Lane& lane : lanes) {
        lane.reader.drain(losses);
        all.push_back(&lane);
      }
      merge.pass(all, now_ns, 0, pairing, losses);
    };
    History history(seed);
    for (int part = 0; part < 400; ++part) {
      const uint64_t before = history.now;
      for (uint64_t n = 1 + history.below(1500); n > 0; --n) history.step(rings);
      // Now and then the clock was read long before the rings: much is held back.
      drain(history.below(3) == 0 ? before : history.now);
      if (history.below(20) == 0) {
        ASSERT_TRUE((*writer)->flush());
      }
      if (part == 200) {
        drain(history.now);
        ASSERT_TRUE((*writer)->flush());
        EXPECT_EQ(facts(read_all(path)), facts(history.rows)) << "while recording";
      }
    }
    drain(history.now);
    ASSERT_TRUE((*writer)->finish());
    EXPECT_GT(history.rows.size(), 100'000U);
    EXPECT_EQ(facts(read_all(path)), facts(history.rows));
    EXPECT_TRUE(losses.all().empty());
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace tidemark::collector
