#include "protection_map.h"

#include <cstring>

#include "tidemark/stack/syscalls.h"

namespace tidemark::preload {
namespace {

uint64_t hex(const char*& at) {
  uint64_t value = 0;
  for (;; ++at) {
    const char c = *at;
    if (c >= '0' && c <= '9') {
      value = value * 16 + static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value * 16 + static_cast<uint64_t>(c - 'a' + 10);
    } else {
      return value;
    }
  }
}

}  // namespace

void ProtectionMap::add(const char* line) {
  if (count_ == kMostRanges) return;
  Range& range = ranges_[count_];
  range.start = hex(line);
  if (*line++ != '-') return;
  range.end = hex(line);
  if (*line++ != ' ') return;
  range.writable = line[0] != 0 && line[1] == 'w';
  ++count_;
}

bool ProtectionMap::load() {
  const long fd = sys::open_read_only("/proc/self/maps");
  if (fd < 0) return false;
  ranges_ = static_cast<Range*>(sys::map_anonymous(kMostRanges * sizeof(Range)));
  constexpr size_t kBufferBytes = size_t{64} * 1024;
  auto* buffer = static_cast<char*>(sys::map_anonymous(kBufferBytes));
  size_t filled = 0;
  while (ranges_ != nullptr && buffer != nullptr) {
    const long got = sys::read(static_cast<int>(fd), buffer + filled, kBufferBytes - filled);
    if (got <= 0) break;
    filled += static_cast<size_t>(got);
    char* line = buffer;
    while (auto* newline = static_cast<char*>(
               std::memchr(line, '\n', filled - static_cast<size_t>(line - buffer)))) {
      add(line);
      line = newline + 1;
    }
    filled -= static_cast<size_t>(line - buffer);
    std::memmove(buffer, line, filled);
    if (filled == kBufferBytes) break;  // a line longer than any path can be
  }
  if (buffer != nullptr) sys::unmap(buffer, kBufferBytes);
  sys::close(static_cast<int>(fd));
  return count_ != 0;
}

ProtectionMap::~ProtectionMap() {
  if (ranges_ != nullptr) sys::unmap(ranges_, kMostRanges * sizeof(Range));
}

bool ProtectionMap::writable(uint64_t address) const {
  size_t low = 0;
  size_t high = count_;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (ranges_[middle].end <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < count_ && address >= ranges_[low].start && ranges_[low].writable;
}

}  // namespace tidemark::preload
