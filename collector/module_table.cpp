#include "module_table.h"

#include <algorithm>
#include <utility>

namespace tidemark::collector {
namespace {

bool same_file(const LoadedModule& a, const LoadedModule& b) {
  return a.path == b.path && a.build_id == b.build_id && a.base == b.base && a.end == b.end;
}

}  // namespace

ModuleTable::Place& ModuleTable::place_at(uint64_t start) {
  auto at = std::lower_bound(places_.begin(), places_.end(), start,
                             [](const Place& p, uint64_t wanted) { return p.start < wanted; });
  if (at == places_.end() || at->start != start) {
    at = places_.emplace(at);
    at->start = start;
    reach_.clear();
  }
  return *at;
}

bool ModuleTable::load(LoadedModule module) {
  Place& place = place_at(module.start);
  if (module.end > place.end) {
    place.end = module.end;
    reach_.clear();
  }
  const auto known =
      std::find_if(place.files.begin(), place.files.end(),
                   [&](const LoadedModule& file) { return same_file(file, module); });
  const News news{module.loaded_ns, static_cast<uint32_t>(known - place.files.begin())};
  if (known == place.files.end()) place.files.push_back(std::move(module));
  const auto at = std::upper_bound(place.news.begin(), place.news.end(), news);
  const bool repeated = at != place.news.begin() && std::prev(at)->file == news.file;
  const bool first = place.news.empty();
  place.news.insert(at, news);
  if (repeated) return false;
  place.changed = true;
  place.lives.clear();
  return !first;
}

bool ModuleTable::unload(uint64_t start, uint64_t time_ns) {
  Place& place = place_at(start);  // what it ends may be yet to come
  const News news{time_ns, kGone};
  place.news.insert(std::upper_bound(place.news.begin(), place.news.end(), news), news);
  place.changed = true;
  place.lives.clear();
  return true;
}

const std::vector<LoadedModule>& ModuleTable::lives_of(const Place& place) {
  if (!place.lives.empty()) return place.lives;
  uint32_t file = kGone;
  for (const News& news : place.news) {
    if (news.file == file) continue;
    if (file != kGone) place.lives.back().unloaded_ns = news.time_ns;
    file = news.file;
    if (file == kGone) continue;
    LoadedModule& life = place.lives.emplace_back(place.files[file]);
    life.loaded_ns = news.time_ns;
    life.unloaded_ns = kStillLoaded;
  }
  return place.lives;
}

const LoadedModule* ModuleTable::find(uint64_t address, uint64_t time_ns) const {
  if (reach_.size() != places_.size()) {
    reach_.clear();
    uint64_t reach = 0;
    for (const Place& place : places_) reach_.push_back(reach = std::max(reach, place.end));
  }
  const auto above =
      std::upper_bound(places_.begin(), places_.end(), address,
                       [](uint64_t wanted, const Place& p) { return wanted < p.start; });
  const LoadedModule* later = nullptr;
  const LoadedModule* gone = nullptr;
  for (auto i = static_cast<size_t>(above - places_.begin()); i-- > 0 && reach_[i] > address;) {
    const std::vector<LoadedModule>& lives = lives_of(places_[i]);
    const auto next = std::upper_bound(
        lives.begin(), lives.end(), time_ns,
        [](uint64_t wanted, const LoadedModule& life) { return wanted < life.loaded_ns; });
    const auto covers = [&](const LoadedModule& life) { return life.end > address; };
    const auto before = std::find_if(std::make_reverse_iterator(next), lives.rend(), covers);
    if (before != lives.rend()) {
      if (before->unloaded_ns > time_ns) return &*before;
      if (gone == nullptr || before->unloaded_ns > gone->unloaded_ns) gone = &*before;
    }
    const auto after = std::find_if(next, lives.end(), covers);
    if (after != lives.end() && (later == nullptr || after->loaded_ns < later->loaded_ns)) {
      later = &*after;
    }
  }
  return later != nullptr ? later : gone;
}

void ModuleTable::take_changes(const Tell& tell) {
  for (Place& place : places_) {
    if (!std::exchange(place.changed, false)) continue;
    const std::vector<LoadedModule>& lives = lives_of(place);
    if (!lives.empty()) tell(place.start, lives, std::exchange(place.told, true));
  }
}

std::string_view base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace tidemark::collector
