#include "repeats.h"

#include <algorithm>
#include <array>
#include <bit>
#include <unordered_map>
#include <unordered_set>

namespace tidemark::analyzer {
namespace {

constexpr size_t kContext = 4;  // keys that must agree before a distance is looked at
constexpr size_t kCandidates = 48;

// Where each hash stood last. Open addressing in one block of memory: of ten million keys nearly
// all may differ, and a node for each would take longer than all that is done with them.
class LastPlaces {
 public:
  explicit LastPlaces(size_t most) : slots_(std::bit_ceil(most + most / 2 + 1)) {}

  // Its slot is as good as random in some hundred megabytes: asked for before it is used.
  void prefetch(uint64_t hash) const { __builtin_prefetch(&slots_[hash & (slots_.size() - 1)], 1); }
  // The place before, or `place` itself where there was none.
  size_t exchange(uint64_t hash, size_t place) {
    const size_t mask = slots_.size() - 1;
    const auto tag = static_cast<uint32_t>(hash >> 32);
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
      Slot& slot = slots_[at];
      if (slot.place_plus_1 != 0 && slot.tag != tag) continue;
      const size_t before = slot.place_plus_1 == 0 ? place : slot.place_plus_1 - 1;
      slot = {tag, static_cast<uint32_t>(place + 1)};
      return before;
    }
  }

 private:
  struct Slot {
    uint32_t tag = 0;
    uint32_t place_plus_1 = 0;  // 0: free
  };
  std::vector<Slot> slots_;
};

// How far back what stands here stood before, each with how often it is so. Of a key many are
// alike; of several in a row few.
std::vector<size_t> likely_periods(std::span<const uint64_t> keys, size_t shortest) {
  constexpr uint64_t odd = 0x9e3779b97f4a7c15;
  if (keys.size() < kContext) return {};
  LastPlaces last(keys.size());
  std::vector<uint32_t> counts(keys.size());  // of each distance
  const size_t places = keys.size() - kContext + 1;
  constexpr size_t kAhead = 16;
  std::array<uint64_t, kAhead> hashes{};  // of the places from `i` on
  const auto look_ahead = [&](size_t place) {
    if (place >= places) return;
    uint64_t hash = 0;
    for (size_t k = 0; k < kContext; ++k) hash = (hash ^ keys[place + k]) * odd + (hash >> 29);
    hash = (hash ^ hash >> 32) * odd;
    hashes[place % kAhead] = hash;
    last.prefetch(hash);
  };
  for (size_t i = 0; i < kAhead; ++i) look_ahead(i);
  for (size_t i = 0; i < places; ++i) {
    const size_t distance = i - last.exchange(hashes[i % kAhead], i);
    if (distance >= shortest) ++counts[distance];
    look_ahead(i + kAhead);
  }
  std::vector<std::pair<uint64_t, size_t>> ranked;
  for (size_t distance = 1; distance < counts.size(); ++distance) {
    if (counts[distance] > 0) ranked.emplace_back(counts[distance] * distance, distance);
  }
  const size_t kept = std::min(kCandidates, ranked.size());
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<ptrdiff_t>(kept), ranked.end(),
                    [](const auto& a, const auto& b) { return a > b; });
  std::vector<size_t> periods;
  for (size_t i = 0; i < kept; ++i) periods.push_back(ranked[i].second);
  return periods;
}

struct Stretch {
  size_t begin = 0;
  size_t length = 0;  // of keys that equal those a period later
};

Stretch longest_stretch(std::span<const uint64_t> keys, size_t period) {
  Stretch best;
  size_t begin = 0;
  const size_t end = keys.size() - period;
  for (size_t i = 0; i <= end; ++i) {
    if (i < end && keys[i] == keys[i + period]) continue;
    if (i - begin > best.length) best = {begin, i - begin};
    begin = i + 1;
  }
  return best;
}

size_t distinct(std::span<const uint64_t> keys, size_t most) {
  std::unordered_set<uint64_t> seen;
  for (const uint64_t key : keys) {
    if (seen.insert(key).second && seen.size() >= most) break;
  }
  return seen.size();
}

struct Best {
  size_t period = 0;
  Stretch stretch;
};

// A stretch counts by its length and by how varied it is: a loop that fills a list is long, too.
Best best_period(std::span<const uint64_t> keys, size_t shortest, bool partial,
                 const MayRepeat& may_repeat) {
  constexpr size_t varied = 16;
  constexpr size_t some = 16;  // keys, of a repeat that is cut off
  Best best;
  size_t best_worth = 0;
  for (const size_t period : likely_periods(keys, shortest)) {
    if (period > (partial ? keys.size() : keys.size() / 2)) continue;
    const Stretch stretch = longest_stretch(keys, period);
    if (stretch.length < (partial ? std::min(some, period) : period)) continue;
    if (!may_repeat(stretch.begin, period)) continue;
    const size_t kinds = distinct(keys.subspan(stretch.begin, period), varied);
    if (kinds < 2) continue;
    const size_t worth = (stretch.length + period) * kinds;
    if (worth > best_worth || (worth == best_worth && period < best.period)) {
      best = {period, stretch};
      best_worth = worth;
    }
  }
  return best;
}

// Of the reference repeat: where in it each key stands that it holds once.
std::unordered_map<uint64_t, size_t> single_keys(std::span<const uint64_t> cycle) {
  std::unordered_map<uint64_t, size_t> places;
  std::unordered_set<uint64_t> several;
  for (size_t i = 0; i < cycle.size(); ++i) {
    if (!places.try_emplace(cycle[i], i).second) several.insert(cycle[i]);
  }
  for (const uint64_t key : several) places.erase(key);
  return places;
}

// A cycle has no beginning of its own: it begins where the sequence first enters it. A single key
// may also stand in the setup by chance; within the cycle another one follows it soon.
size_t entry(std::span<const uint64_t> keys, std::span<const uint64_t> cycle,
             const std::unordered_map<uint64_t, size_t>& singles) {
  const size_t period = cycle.size();
  constexpr size_t near_share = 8;
  const size_t near = period / near_share + near_share;
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto found = singles.find(keys[i]);
    if (found == singles.end()) continue;
    size_t next = i + 1;
    while (next < keys.size() && !singles.contains(keys[next])) ++next;
    if (next == keys.size()) break;
    const size_t steps = (singles.at(keys[next]) + period - found->second) % period;
    if (steps == 0 || steps > near) continue;
    size_t place = found->second;
    for (size_t back = 1; back <= i && back < period; ++back) {
      const size_t before = (found->second + period - back) % period;
      if (keys[i - back] != cycle[before]) break;
      place = before;
    }
    return place;
  }
  return 0;
}

size_t agreeing(std::span<const uint64_t> keys, size_t begin, std::span<const uint64_t> cycle) {
  size_t count = 0;
  while (count < cycle.size() && begin + count < keys.size() &&
         keys[begin + count] == cycle[count]) {
    ++count;
  }
  return count;
}

}  // namespace

Repeats find_repeats(std::span<const uint64_t> keys, size_t shortest, bool partial,
                     const MayRepeat& may_repeat) {
  Repeats repeats;
  const Best best = best_period(keys, shortest, partial, may_repeat);
  if (best.period == 0) return repeats;
  const size_t period = best.period;
  const std::span<const uint64_t> unturned = keys.subspan(best.stretch.begin, period);
  const size_t turn = entry(keys, unturned, single_keys(unturned));
  repeats.period = period;
  repeats.covered = best.stretch.length + period;
  // A turned repeat may reach beyond the stretch; the one before it does not.
  repeats.reference = best.stretch.begin + turn;
  if (repeats.reference + period > keys.size()) repeats.reference -= period;
  const std::span<const uint64_t> cycle = keys.subspan(repeats.reference, period);

  const auto singles = single_keys(cycle);
  size_t anchor = period;  // the first place whose key stands there alone
  for (const auto& [key, place] : singles) anchor = std::min(anchor, place);
  if (anchor == period) {  // none: count from the stretch on
    size_t at = best.stretch.begin + turn;
    for (; at + period <= best.stretch.begin + best.stretch.length + period; at += period) {
      repeats.begins.push_back(at);
    }
  } else {
    for (size_t i = 0; i < keys.size(); ++i) {
      if (keys[i] != cycle[anchor]) continue;
      size_t begin = i;
      for (size_t back = anchor; back > 0 && begin > 0 && keys[begin - 1] == cycle[back - 1];
           --back) {
        --begin;
      }
      repeats.begins.push_back(begin);
    }
  }
  for (size_t i = 0; i < repeats.begins.size(); ++i) {
    const size_t begin = repeats.begins[i];
    const bool last = i + 1 == repeats.begins.size();
    const size_t next = last ? begin + period : repeats.begins[i + 1];
    repeats.regular.push_back(agreeing(keys, begin, cycle) == period && next - begin == period);
  }
  // The last one may be of its own kind, too: it reaches as far as there are keys of a repeat.
  const std::unordered_set<uint64_t> known(cycle.begin(), cycle.end());
  const size_t last = repeats.begins.back();
  repeats.end = std::min(keys.size(), last + period);
  while (repeats.end > last + 1 && !known.contains(keys[repeats.end - 1])) --repeats.end;
  return repeats;
}

}  // namespace tidemark::analyzer
