// Another process's memory, by its own addresses. Any thread. Reads and writes are whole or fail:
// the process may change it, or end, at any time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tidemark::collector {

class RemoteMemory {
 public:
  explicit RemoteMemory(int32_t pid) : pid_(pid) {}

  [[nodiscard]] bool read(uint64_t address, void* into, size_t bytes) const;
  [[nodiscard]] bool write(uint64_t address, const void* from, size_t bytes) const;
  // Up to `limit` bytes of terminated text; "" when it cannot be read.
  [[nodiscard]] std::string text(uint64_t address, size_t limit = 1024) const;
  // Where the bytes stand first in [start, end).
  [[nodiscard]] std::optional<uint64_t> find(uint64_t start, uint64_t end,
                                             const std::vector<uint8_t>& bytes) const;

 private:
  int32_t pid_;
};

}  // namespace tidemark::collector
