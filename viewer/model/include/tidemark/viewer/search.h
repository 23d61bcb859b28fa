// Finds blocks and operations by what a user types: words of a function's or kernel's name, a size
// ("393MiB", "> 100 MiB"), an address ("0x7f12…", which may lie inside of a block). Reads through a
// Reader of the calling thread; may take long: call it from a worker.
#pragma once

#include <string>
#include <vector>

#include "tidemark/viewer/activity.h"
#include "tidemark/viewer/insight.h"
#include "tidemark/viewer/view_state.h"

namespace tidemark::viewer {

struct SearchQuery {
  enum class Kind : uint8_t { kNothing, kWords, kSize, kAtLeast, kAtMost, kAddress };
  Kind kind = Kind::kNothing;
  std::string words;   // lower case
  uint64_t value = 0;  // bytes or address
  uint64_t slack = 0;  // of kSize: "393MiB" stands for all sizes that are shown so
};
SearchQuery parse_search(std::string_view text);

struct SearchHit {
  std::string name;   // stack or kernel
  std::string place;  // "pool device:0", "kernel, stream 7"
  uint64_t bytes = 0;
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  Choice choice;
};

struct SearchAnswer {
  std::vector<SearchHit> hits;  // largest first, then operations in order of time
  uint64_t found = 0;           // more than hits when there are more than kMostHits
  uint64_t found_bytes = 0;     // of blocks
  std::string error;
};
inline constexpr size_t kMostHits = 500;

// Kernels by their names in `activity`, null while it is not there.
SearchAnswer search(const trace::Reader& reader, const Activity* activity, const std::string& text);

}  // namespace tidemark::viewer
