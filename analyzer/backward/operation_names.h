// What operations may be called, numbered. A library with symbols tells the one name that matters;
// of one without, every operation on the way from Python to the allocation may be the one that made
// the node ("linear", "addmm"). Private to the analyzer; not shared between threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tidemark::analyzer {

class OperationNames {
 public:
  // `called`: outermost first, not empty.
  int32_t number(const std::vector<std::string>& called) {
    const auto [found, fresh] = numbers_.try_emplace(called, static_cast<int32_t>(all_.size()));
    if (fresh) all_.push_back(called);
    return found->second;
  }
  // Both are seen of one call when the outermost of the two are called alike.
  [[nodiscard]] bool of_one_call(int32_t a, int32_t b) const {
    return a == b || at(a).front() == at(b).front();
  }
  int32_t merged(int32_t a, int32_t b) {
    if (a == b) return a;
    std::vector<std::string> both = at(a);
    for (const std::string& name : at(b)) {
      if (std::find(both.begin(), both.end(), name) == both.end()) both.push_back(name);
    }
    return number(both);
  }
  [[nodiscard]] const std::vector<std::string>& at(int32_t number) const {
    return all_[static_cast<size_t>(number)];
  }
  [[nodiscard]] size_t size() const { return all_.size(); }

 private:
  std::map<std::vector<std::string>, int32_t> numbers_;
  std::vector<std::vector<std::string>> all_;
};

}  // namespace tidemark::analyzer
