// What tests of Pairing share: rings of an arena, with lanes on them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "arena.h"
#include "collector_fakes.h"
#include "merge.h"
#include "pairing.h"

namespace tidemark::collector::fakes {

// Rings with lanes on them, drained when the test says so.
struct Rings : testing::Test {
  struct Thread {
    FakeProducer fake;
    std::unique_ptr<Producer> producer;
    Lane lane;
  };
  Thread& thread(uint64_t key, int32_t pid, int32_t tid) {
    FakeProducer fake(reinterpret_cast<std::byte*>(&arena.header()), key, pid, tid);
    auto producer = pairing.open_ring({key, pid, tid, "t"});
    Lane lane{RingReader(fake.header(), arena.ring_data(fake.slot()), wire::kRingDataBytes),
              producer.get(), 0, 0};
    threads.push_back(std::make_unique<Thread>(Thread{fake, std::move(producer), std::move(lane)}));
    return *threads.back();
  }
  Thread& started(uint64_t key = 1, int32_t pid = 10, uint64_t time_ns = 0) {
    Thread& first = thread(key, pid, pid);
    first.fake.publish(process_start(time_ns, key, pid));
    return first;
  }
  void drain(uint64_t now_ns, uint64_t margin_ns = 0) {
    std::vector<Lane*> lanes;
    for (auto& each : threads) {
      each->lane.reader.drain(losses);
      lanes.push_back(&each->lane);
    }
    merge.pass(lanes, now_ns, margin_ns, pairing, losses);
  }
  const trace::Allocation& row(size_t i) const { return writer.rows.at(i); }

  Arena arena = std::move(*Arena::create({}));
  RecordingWriter writer;
  Losses losses;
  Pairing pairing{writer, losses, 0, nullptr};
  Merge merge;
  std::vector<std::unique_ptr<Thread>> threads;
};

}  // namespace tidemark::collector::fakes
