#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <atomic>
#include <mutex>
#include <random>
#include <thread>

#include "arena.h"
#include "collector_fakes.h"
#include "ring_reader.h"

namespace tidemark::collector {
namespace {

using namespace fakes;

std::byte* memory_of(Arena& arena) { return reinterpret_cast<std::byte*>(&arena.header()); }

struct RingTest : testing::Test {
  Arena arena = std::move(*Arena::create({}));
  Losses losses;
};

TEST_F(RingTest, the_arena_is_sparse_sealed_and_reached_by_the_path_in_the_environment) {
  const std::string value = arena.environment_value();
  const size_t colon = value.rfind(':');
  const std::string path = value.substr(0, colon);
  EXPECT_EQ(std::stoull(value.substr(colon + 1), nullptr, 16), arena.header().nonce);
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(static_cast<uint64_t>(info.st_size), wire::kArenaBytes);
  EXPECT_LT(info.st_blocks, 64) << "slots must cost nothing before they are used";
  EXPECT_NE(truncate(path.c_str(), 0), 0) << "shrinking would give the peer SIGBUS";
}

TEST_F(RingTest, touched_slots_are_found_without_reading_headers_and_freed_slots_give_memory_back) {
  EXPECT_TRUE(arena.touched_slots().empty());
  FakeProducer first(memory_of(arena), 1, 1, 1);
  auto* far = &arena.ring(4000);
  far->state.store(wire::RingState::kLive);
  const auto touched = arena.touched_slots();
  ASSERT_EQ(touched.size(), 2U);
  EXPECT_EQ(touched[0], first.slot());
  EXPECT_EQ(touched[1], 4000U);

  for (int i = 0; i < 5000; ++i) first.publish(alloc(1, 64, 1));
  const std::string path =
      arena.environment_value().substr(0, arena.environment_value().rfind(':'));
  struct stat before {};
  struct stat after {};
  stat(path.c_str(), &before);
  arena.free_slot(first.slot());
  stat(path.c_str(), &after);
  EXPECT_LE(after.st_blocks + 8 * 50, before.st_blocks);
  EXPECT_EQ(first.header().state.load(), wire::RingState::kFree);
  EXPECT_EQ(first.header().head.load(), 0U);
  FakeProducer again(memory_of(arena), 2, 2, 2);
  EXPECT_EQ(again.slot(), first.slot());
}

TEST_F(RingTest, a_reader_gets_every_record_in_order_across_many_wraps) {
  FakeProducer producer(memory_of(arena), 1, 1, 1);
  RingReader reader(producer.header(), arena.ring_data(producer.slot()), wire::kRingDataBytes);
  constexpr uint64_t kCount = 100'000;
  std::thread writing([&] {
    for (uint64_t i = 0; i < kCount; ++i) {
      producer.publish(alloc(i, i, i));
      if (i % 3 == 0) producer.publish(stack_record(i + 1, std::vector<uint64_t>(1 + i % 7, i)));
    }
  });
  uint64_t next = 0;
  while (next < kCount) {
    reader.drain(losses);
    RecordQueue& queue = reader.queue();
    for (size_t at = queue.begin(); at < queue.end(); at += queue.at(at).bytes) {
      if (queue.at(at).type != wire::RecordType::kHeapAlloc) continue;
      ASSERT_EQ(record_as<wire::HeapAlloc>(queue.at(at)).address, next);
      ++next;
    }
    queue.consume_to(queue.end());
  }
  writing.join();
  EXPECT_TRUE(losses.all().empty());
}

TEST_F(RingTest, what_is_taken_while_records_are_in_use_makes_room_at_once_and_comes_next) {
  FakeProducer producer(memory_of(arena), 1, 1, 1);
  RingReader reader(producer.header(), arena.ring_data(producer.slot()), wire::kRingDataBytes);
  producer.publish(alloc(1, 1, 1));
  reader.drain(losses);
  const wire::Header* in_use = &reader.queue().at(reader.queue().begin());
  producer.publish(alloc(2, 2, 1));
  reader.take();
  EXPECT_EQ(producer.header().tail.load(), 2 * sizeof(wire::HeapAlloc));
  EXPECT_EQ(reader.aside(), sizeof(wire::HeapAlloc));
  EXPECT_EQ(&reader.queue().at(reader.queue().begin()), in_use);
  reader.queue().consume_to(reader.queue().end());
  EXPECT_FALSE(reader.empty()) << "what is aside still waits";
  producer.publish(alloc(3, 3, 1));
  EXPECT_EQ(reader.drain(losses), 2 * sizeof(wire::HeapAlloc));
  const RecordQueue& queue = reader.queue();
  ASSERT_EQ(queue.end() - queue.begin(), 2 * sizeof(wire::HeapAlloc));
  EXPECT_EQ(queue.at(queue.begin()).time_ns, 2U);
  EXPECT_EQ(queue.at(queue.begin() + sizeof(wire::HeapAlloc)).time_ns, 3U);
  EXPECT_EQ(reader.aside(), 0U);
}

TEST_F(RingTest, another_thread_may_empty_the_ring_while_records_are_in_use) {
  FakeProducer producer(memory_of(arena), 1, 1, 1);
  RingReader reader(producer.header(), arena.ring_data(producer.slot()), wire::kRingDataBytes);
  constexpr uint64_t kCount = 100'000;
  std::mutex lock;
  std::atomic<bool> over{false};
  std::thread writing([&] {
    for (uint64_t i = 0; i < kCount; ++i) producer.publish(alloc(i, i, i));
  });
  std::thread emptying([&] {
    while (!over.load()) {
      const std::lock_guard guard(lock);
      reader.take();
    }
  });
  uint64_t next = 0;
  while (next < kCount) {
    {
      const std::lock_guard guard(lock);
      reader.collect(losses);
    }
    reader.hand_on(losses);
    RecordQueue& queue = reader.queue();
    for (size_t at = queue.begin(); at < queue.end(); at += queue.at(at).bytes) {
      if (queue.at(at).type != wire::RecordType::kHeapAlloc) continue;
      EXPECT_EQ(record_as<wire::HeapAlloc>(queue.at(at)).address, next);
      ++next;
    }
    queue.consume_to(queue.end());
  }
  over.store(true);
  writing.join();
  emptying.join();
  EXPECT_TRUE(losses.all().empty());
}

TEST_F(RingTest, records_that_were_held_back_come_before_new_ones) {
  FakeProducer producer(memory_of(arena), 1, 1, 1);
  RingReader reader(producer.header(), arena.ring_data(producer.slot()), wire::kRingDataBytes);
  for (uint64_t i = 0; i < 3; ++i) producer.publish(alloc(i, i, 1));
  reader.drain(losses);
  reader.queue().consume_to(sizeof(wire::HeapAlloc));
  producer.publish(alloc(3, 3, 1));
  reader.drain(losses);
  const RecordQueue& queue = reader.queue();
  std::vector<uint64_t> seen;
  for (size_t at = queue.begin(); at < queue.end(); at += queue.at(at).bytes) {
    seen.push_back(queue.at(at).time_ns);
  }
  EXPECT_EQ(seen, (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_EQ(queue.fresh(), 2 * sizeof(wire::HeapAlloc));
}

TEST_F(RingTest, a_head_that_runs_away_is_counted_and_reading_goes_on_behind_it) {
  FakeProducer producer(memory_of(arena), 1, 1, 1);
  RingReader reader(producer.header(), arena.ring_data(producer.slot()), wire::kRingDataBytes);
  producer.header().head.store(uint64_t{1} << 60);
  EXPECT_EQ(reader.drain(losses), 0U);
  EXPECT_EQ(losses.count("invalid_records"), 1U);
  producer.publish(alloc(7, 7, 7));
  EXPECT_GT(reader.drain(losses), 0U);
  EXPECT_EQ(reader.queue().at(reader.queue().begin()).time_ns, 7U);
}

TEST_F(RingTest, after_garbage_the_rest_is_dropped_and_the_next_publication_is_read) {
  FakeProducer producer(memory_of(arena), 1, 1, 1);
  RingReader reader(producer.header(), arena.ring_data(producer.slot()), wire::kRingDataBytes);
  producer.publish(alloc(1, 1, 1));
  auto bad = alloc(2, 2, 2);
  bad.header.bytes = 44;
  producer.publish(bad);
  producer.publish(alloc(3, 3, 3));
  reader.drain(losses);
  EXPECT_EQ(reader.queue().end() - reader.queue().begin(), sizeof(wire::HeapAlloc));
  EXPECT_EQ(losses.count("invalid_records"), 1U);
  EXPECT_EQ(losses.count("invalid_record_bytes"), 2 * sizeof(wire::HeapAlloc));
  producer.publish(alloc(4, 4, 4));
  reader.queue().consume_to(reader.queue().end());
  reader.drain(losses);
  EXPECT_EQ(reader.queue().at(reader.queue().begin()).time_ns, 4U);
}

TEST_F(RingTest, a_closed_arena_wakes_a_producer_that_waits_for_room) {
  FakeProducer producer(memory_of(arena), 1, 1, 1);
  const uint32_t before = producer.header().released.load();
  arena.close_to_targets();
  EXPECT_NE(producer.header().released.load(), before);
  EXPECT_EQ(arena.header().collector_pid, 0);
}

// Every length field lies, one at a time: the check must refuse or stay inside the bytes (ASan).
TEST(CheckRecord, no_lie_about_a_length_is_believed) {
  std::vector<std::vector<std::byte>> records = {stack_record(1, {1, 2, 3}), name_record(1, "name"),
                                                 process_start(1, 1, 1),
                                                 module_record(1, "/lib/a.so", 0, 1, 2, "abcd")};
  auto meta = make<wire::Meta>(wire::RecordType::kMeta, 1);
  meta.key_bytes = 3;
  meta.value_bytes = 4;
  records.push_back(with_tail(meta, "a.bcdef", 7));
  for (const auto& good : records) {
    ASSERT_EQ(check_record(good.data(), good.size()), Check::kValid);
    for (size_t offset = 16; offset + 4 <= good.size(); offset += 4) {
      for (const uint32_t lie : {0x7fffffffU, 0xffffffffU, 0x10000U, 0xfffffff8U}) {
        auto bad = good;
        std::memcpy(bad.data() + offset, &lie, sizeof lie);
        if (check_record(bad.data(), bad.size()) != Check::kValid) continue;
        const auto& header = *reinterpret_cast<const wire::Header*>(bad.data());
        ASSERT_EQ(header.bytes, bad.size());
      }
    }
    for (size_t cut = 0; cut < good.size(); ++cut) {
      EXPECT_NE(check_record(good.data(), cut), Check::kValid);
    }
  }
}

}  // namespace
}  // namespace tidemark::collector
