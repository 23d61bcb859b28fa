#include "fake_client.h"

#include <ctime>
#include <functional>
#include <mutex>

namespace tidemark::test {

namespace {
std::recursive_mutex& mutex() {
  static auto* the_mutex = new std::recursive_mutex;
  return *the_mutex;
}
thread_local int t_pause_depth = 0;

uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

const wire::Client kClient = {
    wire::kClientVersion,
    0,
    []() { return fake_client().recording; },
    []() -> const wire::ArenaHeader* { return fake_client().arena; },
    []() { return fake_client().process_key; },
    now_ns,
    [](uint32_t skip) -> wire::StackId { return 7000 + skip; },
    [](const char* text) -> wire::NameId {
      const std::lock_guard lock(mutex());
      ++fake_client().interned;
      const uint64_t id = std::hash<std::string>()(text) | 1;
      fake_client().names[id] = text;
      return id;
    },
    [](const void* record) {
      const std::lock_guard lock(mutex());
      const auto* bytes = static_cast<const uint8_t*>(record);
      const auto* header = static_cast<const wire::Header*>(record);
      fake_client().records.emplace_back(bytes, bytes + header->bytes);
    },
    [](wire::Loss loss, uint64_t count) {
      const std::lock_guard lock(mutex());
      fake_client().losses[static_cast<uint32_t>(loss)] += count;
    },
    [](const char* key, const char* value) {
      const std::lock_guard lock(mutex());
      fake_client().meta[key] = value;
    },
    []() { ++t_pause_depth; },
    []() { --t_pause_depth; },
    [](const void* /*address*/) {},
};
}  // namespace

FakeClient& fake_client() {
  static auto* the_client = [] {
    auto* client = new FakeClient;
    client->arena = new wire::ArenaHeader{};
    client->arena->record_device = wire::Device::kAll;
    return client;
  }();
  return *the_client;
}
int pause_depth() { return t_pause_depth; }
void lock_fake_client() { mutex().lock(); }
void unlock_fake_client() { mutex().unlock(); }

size_t FakeClient::count(wire::RecordType type) const {
  size_t result = 0;
  for (const auto& bytes : records) {
    if (reinterpret_cast<const wire::Header*>(bytes.data())->type == type) ++result;
  }
  return result;
}

}  // namespace tidemark::test

extern "C" __attribute__((visibility("default"))) const tidemark::wire::Client* tidemark_client() {
  return &tidemark::test::kClient;
}
