// Collects what lived at a peak and sums up what is too small to be shown. Private to the analyzer;
// not shared between threads.
#pragma once

#include <functional>
#include <unordered_map>

#include "code_line.h"
#include "tidemark/analyzer/detail.h"
#include "tidemark/trace/reader.h"

namespace tidemark::analyzer {

class PeakRows {
 public:
  static constexpr trace::StackId kNotToldApart{-1};
  struct Key {
    trace::StackId stack{};
    int64_t line = -1;  // as the caller numbers lines
    int32_t layer = -1;
    Category category = Category::kUnknown;
    bool operator==(const Key&) const = default;
  };

  void add(const Key& key, uint64_t bytes, uint64_t count = 1) {
    Sum& sum = sums_[key];
    sum.bytes += bytes;
    sum.count += count;
  }

  // `line_of`: what a number of the caller's stands for. What the rows lack to `peak_bytes` (of
  // sums that were made while recording) becomes a row of which nothing is known.
  PeakDetail take(const trace::Reader& reader, int64_t peak_bytes, size_t most_rows,
                  const std::function<const CodeLine&(int64_t)>& line_of) const;

 private:
  struct Sum {
    uint64_t bytes = 0;
    uint64_t count = 0;
  };
  struct Hash {
    size_t operator()(const Key& key) const {
      constexpr uint64_t odd = 0x9e3779b97f4a7c15;
      uint64_t mixed = static_cast<uint64_t>(key.stack) * odd;
      mixed = (mixed ^ static_cast<uint64_t>(key.line)) * odd;
      mixed = (mixed ^ static_cast<uint64_t>(key.layer)) * odd;
      return (mixed ^ static_cast<uint64_t>(key.category)) * odd >> 7;
    }
  };
  using Sums = std::unordered_map<Key, Sum, Hash>;
  using Sorted = std::vector<std::pair<Key, Sum>>;
  static Sorted sorted(const Sums& sums);
  static Sorted merged(const Sorted& rows, size_t keep, void (*forget)(Key&));

  Sums sums_;
};

}  // namespace tidemark::analyzer
