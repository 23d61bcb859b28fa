// Which memory of this process could be written to at one moment, from /proc/self/maps. No heap, no
// locks. One thread.
//
// Why it is asked: the loader makes a module's relocated data read-only when it has finished with
// it. As long as it is writable, it is the loader's, and nobody may change its protection.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tidemark::preload {

class ProtectionMap {
 public:
  // False when the system does not tell.
  bool load();
  ~ProtectionMap();
  // Whether `address` is mapped and writable.
  bool writable(uint64_t address) const;

 private:
  struct Range {
    uint64_t start;
    uint64_t end;
    bool writable;
  };
  static constexpr size_t kMostRanges = 65536;
  void add(const char* line);
  Range* ranges_ = nullptr;
  size_t count_ = 0;
};

}  // namespace tidemark::preload
