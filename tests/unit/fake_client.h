// A recorder that keeps what is published in memory, for tests of libraries that record through
// tidemark/wire/client.h. Defines `tidemark_client` in whatever it is compiled into.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tidemark/wire/client.h"

namespace tidemark::test {

struct FakeClient {
  std::vector<std::vector<uint8_t>> records;
  std::map<uint32_t, uint64_t> losses;
  std::map<std::string, std::string> meta;
  std::map<uint64_t, std::string> names;
  uint32_t interned = 0;  // calls
  uint64_t process_key = 42;
  bool recording = true;
  wire::ArenaHeader* arena = nullptr;

  uint64_t loss(wire::Loss which) const {
    const auto found = losses.find(static_cast<uint32_t>(which));
    return found != losses.end() ? found->second : 0;
  }
  // All records of one type, in the order they came.
  template <class Record>
  std::vector<Record> all(wire::RecordType type) const;
  size_t count(wire::RecordType type) const;
};

FakeClient& fake_client();  // never destroyed
int pause_depth();          // of this thread
void lock_fake_client();    // while other threads may publish
void unlock_fake_client();

template <class Record>
std::vector<Record> FakeClient::all(wire::RecordType type) const {
  std::vector<Record> result;
  for (const auto& bytes : records) {
    const auto* header = reinterpret_cast<const wire::Header*>(bytes.data());
    if (header->type == type && header->bytes == sizeof(Record)) {
      result.push_back(*reinterpret_cast<const Record*>(bytes.data()));
    }
  }
  return result;
}

}  // namespace tidemark::test
