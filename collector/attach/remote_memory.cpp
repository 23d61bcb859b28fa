#include "remote_memory.h"

#include <sys/uio.h>

#include <algorithm>

namespace tidemark::collector {

bool RemoteMemory::read(uint64_t address, void* into, size_t bytes) const {
  const iovec local{into, bytes};
  const iovec remote{reinterpret_cast<void*>(address), bytes};
  return process_vm_readv(pid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

bool RemoteMemory::write(uint64_t address, const void* from, size_t bytes) const {
  const iovec local{const_cast<void*>(from), bytes};
  const iovec remote{reinterpret_cast<void*>(address), bytes};
  return process_vm_writev(pid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

std::string RemoteMemory::text(uint64_t address, size_t limit) const {
  std::string text;
  char c = 0;
  while (text.size() < limit && read(address + text.size(), &c, 1) && c != 0) text += c;
  return text;
}

std::optional<uint64_t> RemoteMemory::find(uint64_t start, uint64_t end,
                                           const std::vector<uint8_t>& bytes) const {
  constexpr size_t kChunk = size_t{1} << 20;
  std::vector<uint8_t> chunk;
  for (uint64_t at = start; at < end; at += kChunk) {
    // With what an occurrence across the edge needs.
    chunk.resize(std::min<uint64_t>(kChunk + bytes.size() - 1, end - at));
    if (!read(at, chunk.data(), chunk.size())) continue;
    const auto found = std::search(chunk.begin(), chunk.end(), bytes.begin(), bytes.end());
    if (found != chunk.end()) return at + static_cast<uint64_t>(found - chunk.begin());
  }
  return std::nullopt;
}

}  // namespace tidemark::collector
