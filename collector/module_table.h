// Which file's code lies at an address of one process, and when. Pure; one thread.
//
// Threads tell of what was loaded and unloaded, each in its own ring, and their news may come in
// any order. So all of it is kept, by time, and the lives follow from it: a life goes from a load
// to the next news of the same start. What is said to be loaded there once more, with nothing
// between, is a repetition (a forked child introduces itself).
#pragma once

#include <cstdint>
#include <functional>
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
};

class ModuleTable {
 public:
  // `module.unloaded_ns` does not count. True when what an address there means may have changed.
  bool load(LoadedModule module);
  bool unload(uint64_t start, uint64_t time_ns);

  // The module at `address` at that time. A module is often announced a moment after its first code
  // has run (constructors run inside dlopen), so one that comes later will do when none fits, and
  // then the last that was there. Valid until the next news.
  [[nodiscard]] const LoadedModule* find(uint64_t address, uint64_t time_ns) const;

  // The starts whose lives are others than at the last call, each with all its lives, oldest first;
  // `again`: they had been told before.
  using Tell =
      std::function<void(uint64_t start, const std::vector<LoadedModule>& lives, bool again)>;
  void take_changes(const Tell& tell);

 private:
  static constexpr uint32_t kGone = std::numeric_limits<uint32_t>::max();
  struct News {
    uint64_t time_ns;
    uint32_t file;  // in Place::files, or kGone
    // What goes and what comes at one time: in that order.
    bool operator<(const News& other) const {
      return time_ns != other.time_ns ? time_ns < other.time_ns
                                      : file == kGone && other.file != kGone;
    }
  };
  struct Place {
    uint64_t start = 0;
    uint64_t end = 0;                 // greatest of its files
    std::vector<LoadedModule> files;  // loaded_ns: the first time
    std::vector<News> news;           // by time
    bool changed = false;
    bool told = false;
    mutable std::vector<LoadedModule> lives;  // by time; empty: to be made from the news
  };

  Place& place_at(uint64_t start);
  static const std::vector<LoadedModule>& lives_of(const Place& place);

  std::vector<Place> places_;            // by start
  mutable std::vector<uint64_t> reach_;  // greatest end among places_[0..i]; empty: to be made
};

// "libc10.so" of "/opt/torch/lib/libc10.so".
std::string_view base_name(std::string_view path);

}  // namespace tidemark::collector
