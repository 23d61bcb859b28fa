#include "module_table.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tidemark::collector {

bool ModuleTable::load(LoadedModule module) {
  const size_t known_count = modules_.size();  // end() may add
  for (size_t i = 0; i < known_count; ++i) {
    LoadedModule& known = modules_[i];
    if (known.start != module.start) continue;
    if (known.loaded_ns > module.loaded_ns) {
      // Another thread's news of what came here later overtook this.
      module.unloaded_ns = std::min(module.unloaded_ns, known.loaded_ns);
      continue;
    }
    if (known.unloaded_ns <= module.loaded_ns) continue;
    if (known.path == module.path && known.end == module.end) {
      known.loaded_again_ns = module.loaded_ns;
      return false;
    }
    end(i, module.loaded_ns);  // its unloading went unseen, or is yet to come
  }
  modules_.push_back(std::move(module));
  by_start_.clear();
  return true;
}

const LoadedModule* ModuleTable::end(size_t index, uint64_t time_ns) {
  LoadedModule& known = modules_[index];
  const uint64_t before = std::exchange(known.unloaded_ns, time_ns);
  ++unload_count_;
  if (known.loaded_again_ns <= time_ns) return nullptr;
  LoadedModule again = known;
  again.loaded_ns = std::exchange(known.loaded_again_ns, 0);
  again.unloaded_ns = before;
  again.loaded_again_ns = 0;
  by_start_.clear();
  return &modules_.emplace_back(std::move(again));
}

ModuleTable::Unloaded ModuleTable::unload(uint64_t start, uint64_t time_ns) {
  for (size_t i = 0; i < modules_.size(); ++i) {
    const LoadedModule& known = modules_[i];
    if (known.start != start || known.loaded_ns > time_ns || known.unloaded_ns <= time_ns) continue;
    const LoadedModule* again = end(i, time_ns);
    return {&modules_[i], again};
  }
  return {};
}

void ModuleTable::index() const {
  by_start_.resize(modules_.size());
  std::iota(by_start_.begin(), by_start_.end(), 0U);
  std::stable_sort(by_start_.begin(), by_start_.end(),
                   [&](uint32_t a, uint32_t b) { return modules_[a].start < modules_[b].start; });
  reach_.resize(modules_.size());
  uint64_t reach = 0;
  for (size_t i = 0; i < by_start_.size(); ++i) {
    reach = std::max(reach, modules_[by_start_[i]].end);
    reach_[i] = reach;
  }
}

const LoadedModule* ModuleTable::find(uint64_t address, uint64_t time_ns) const {
  if (by_start_.size() != modules_.size()) index();
  auto above =
      std::upper_bound(by_start_.begin(), by_start_.end(), address,
                       [&](uint64_t wanted, uint32_t i) { return wanted < modules_[i].start; });
  const LoadedModule* later = nullptr;
  const LoadedModule* gone = nullptr;
  for (auto i = above - by_start_.begin(); i-- > 0 && reach_[static_cast<size_t>(i)] > address;) {
    const LoadedModule& module = modules_[by_start_[static_cast<size_t>(i)]];
    if (module.end <= address) continue;
    if (module.unloaded_ns <= time_ns) {
      if (gone == nullptr || module.unloaded_ns > gone->unloaded_ns) gone = &module;
    } else if (module.loaded_ns <= time_ns) {
      return &module;
    } else if (later == nullptr || module.loaded_ns < later->loaded_ns) {
      later = &module;
    }
  }
  return later != nullptr ? later : gone;
}

std::string_view base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace tidemark::collector
