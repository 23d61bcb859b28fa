// Which file's code lies at an address of one process, and when. Pure; one thread writes.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::collector {

inline constexpr uint64_t kStillLoaded = std::numeric_limits<uint64_t>::max();

struct LoadedModule {
  std::string path;
  std::string build_id;  // raw bytes; empty when unknown
  uint64_t base = 0;     // address in memory - address in the file
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t loaded_ns = 0;
  uint64_t unloaded_ns = kStillLoaded;
  // It was said to be loaded once more at that time, though nobody had said that it was gone.
  uint64_t loaded_again_ns = 0;
};

class ModuleTable {
 public:
  // News of one address may come in the wrong order, from the rings of several threads: times
  // decide what holds.
  // False when it is known already.
  bool load(LoadedModule module);
  // The module that was there at that time and has gone, or null. When it was loaded again later,
  // which had been taken for a repetition, `again` (valid until the next load) is the new one.
  struct Unloaded {
    const LoadedModule* module = nullptr;
    const LoadedModule* again = nullptr;
  };
  Unloaded unload(uint64_t start, uint64_t time_ns);

  // The module at `address` at that time. A module is often announced a moment after its first code
  // has run (constructors run inside dlopen), so one that comes later will do when none fits.
  [[nodiscard]] const LoadedModule* find(uint64_t address, uint64_t time_ns) const;
  [[nodiscard]] const std::vector<LoadedModule>& all() const { return modules_; }
  [[nodiscard]] uint32_t unload_count() const { return unload_count_; }

 private:
  void index() const;
  // Ends what lies at `index`; the module that began there later, if one did.
  const LoadedModule* end(size_t index, uint64_t time_ns);
  std::vector<LoadedModule> modules_;
  uint32_t unload_count_ = 0;
  // By start; `reach_[i]` is the greatest end among by_start_[0..i].
  mutable std::vector<uint32_t> by_start_;
  mutable std::vector<uint64_t> reach_;
};

// "libc10.so" of "/opt/torch/lib/libc10.so".
std::string_view base_name(std::string_view path);

}  // namespace tidemark::collector
