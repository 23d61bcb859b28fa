#include "ledger.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace cuda_trainer {
namespace {

std::string number(uint64_t value) { return std::to_string(value); }
std::string quoted(const std::string& text) { return '"' + text + '"'; }

// "key": value, … with the values as they are.
std::string object(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string text = "{";
  for (const auto& [key, value] : members) {
    if (text.size() > 1) text += ", ";
    text += quoted(key) + ": " + value;
  }
  return text + "}";
}

template <typename Map, typename Format>
std::string object_of(const Map& map, const Format& format) {
  std::vector<std::pair<std::string, std::string>> members;
  members.reserve(map.size());
  for (const auto& [key, value] : map) members.emplace_back(key, format(value));
  return object(members);
}

std::string list(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const std::string& item : items) text += (text.size() > 1 ? ",\n  " : "\n  ") + item;
  return text + "]";
}

bool write_text(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return false;
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  return std::fclose(file) == 0 && written;
}

}  // namespace

const char* space_name(Space space) {
  switch (space) {
    case Space::kDevice:
      return "device";
    case Space::kPinned:
      return "pinned";
    case Space::kManaged:
      return "managed";
  }
  return "unknown";
}

void Ledger::allocation(const std::string& api, Space space, const void* address, uint64_t bytes) {
  Sum& sum = allocations_[api];
  ++sum.count;
  sum.bytes += bytes;
  if (!live_.emplace(address, Live{space, bytes, api, allocation_count_++}).second) {
    throw std::logic_error("ledger: " + api + " returned an address that is still live");
  }
  live_bytes_[space] += bytes;
  peak_bytes_[space] = std::max(peak_bytes_[space], live_bytes_[space]);
}

void Ledger::free(const std::string& api, const void* address) {
  const auto found = live_.find(address);
  if (found == live_.end()) throw std::logic_error("ledger: " + api + " of an unknown address");
  Sum& sum = frees_[found->second.api];
  ++sum.count;
  sum.bytes += found->second.bytes;
  live_bytes_[found->second.space] -= found->second.bytes;
  live_.erase(found);
}

void Ledger::copy(const std::string& kind, const std::string& source_space,
                  const std::string& target_space, uint64_t bytes) {
  Sum& sum = copies_[{kind, source_space, target_space}];
  ++sum.count;
  sum.bytes += bytes;
}

void Ledger::memset(uint64_t bytes) {
  ++memsets_.count;
  memsets_.bytes += bytes;
}

uint64_t Ledger::allocation_at(const void* pointer) const {
  const auto after = live_.upper_bound(pointer);
  if (after != live_.begin()) {
    const auto& [address, live] = *std::prev(after);
    const auto offset = static_cast<uint64_t>(static_cast<const char*>(pointer) -
                                              static_cast<const char*>(address));
    if (offset < live.bytes) return live.number;
  }
  throw std::logic_error("ledger: a kernel is handed memory that is not live");
}

void Ledger::kernel(const std::string& name, const std::vector<const void*>& pointers) {
  ++(capturing_ ? graph_nodes_ : kernels_)[name];
  Launch launch{name, {}};
  for (const void* pointer : pointers) launch.allocations.insert(allocation_at(pointer));
  (capturing_ ? node_launches_ : launches_).push_back(launch);
}

uint64_t Ledger::end_capture() {
  capturing_ = false;
  uint64_t nodes = 0;
  for (const auto& [name, count] : graph_nodes_) nodes += count;
  return nodes;
}

void Ledger::graph_launch() {
  ++graph_launches_;
  for (const auto& [name, count] : graph_nodes_) kernels_[name] += count;
}

bool Ledger::write(const std::string& path) const { return write_text(path, json()); }

bool Ledger::write_accesses(const std::string& path) const {
  std::vector<std::string> apis;
  for (const auto& [api, sum] : allocations_) apis.push_back(quoted(api));
  const auto lines = [](const std::vector<Launch>& launches) {
    std::vector<std::string> items;
    for (const Launch& launch : launches) {
      std::string numbers;
      for (const uint64_t each : launch.allocations) {
        numbers += (numbers.empty() ? "" : ", ") + number(each);
      }
      items.push_back("[" + quoted(launch.name) + ", [" + numbers + "]]");
    }
    return list(items);
  };
  const std::string text = object({{"apis", list(apis)},
                                   {"launches", lines(launches_)},
                                   {"graph_nodes", lines(node_launches_)},
                                   {"graph_launches", number(graph_launches_)}});
  return write_text(path, text + "\n");
}

std::string Ledger::json() const {
  const auto sum = [](const Sum& s) {
    return object({{"count", number(s.count)}, {"bytes", number(s.bytes)}});
  };
  std::vector<std::string> copies;
  for (const auto& [key, s] : copies_) {
    const auto& [kind, source, target] = key;
    copies.push_back(object({{"kind", quoted(kind)},
                             {"src_space", quoted(source)},
                             {"dst_space", quoted(target)},
                             {"count", number(s.count)},
                             {"bytes", number(s.bytes)}}));
  }
  std::vector<std::pair<std::string, std::string>> peaks;
  for (const auto& [space, bytes] : peak_bytes_) {
    peaks.emplace_back(space_name(space), number(bytes));
  }
  std::vector<std::string> losses;
  for (const double value : losses_) {
    char text[40];
    std::snprintf(text, sizeof text, "%.9g", value);
    losses.emplace_back(text);
  }
  uint64_t kernels = 0;
  for (const auto& [name, count] : kernels_) kernels += count;
  uint64_t nodes = 0;
  for (const auto& [name, count] : graph_nodes_) nodes += count;
  std::string text = "{\n";
  const auto member = [&text](const char* key, const std::string& value) {
    text += (text.size() > 2 ? ",\n" : "") + quoted(key) + ": " + value;
  };
  member("device_name", quoted(device_name_));
  member("calls", object_of(calls_, number));
  member("allocations", object_of(allocations_, sum));
  member("frees", object_of(frees_, sum));
  member("peak_bytes", object(peaks));
  member("copies", list(copies));
  member("memsets", sum(memsets_));
  member("kernels", number(kernels));
  member("kernels_by_name", object_of(kernels_, number));
  member("graph_launches", number(graph_launches_));
  member("graph_kernel_nodes", number(nodes));
  member("losses", list(losses));
  return text + "\n}\n";
}

}  // namespace cuda_trainer
