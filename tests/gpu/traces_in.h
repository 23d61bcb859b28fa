// The traces of a folder, for the programs that hold them against what a run wrote down.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <vector>

namespace tidemark::gpu_tables {

// By name. Empty: there are none, or no folder, which it has said on stderr.
inline std::vector<std::filesystem::path> traces_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> traces;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".db") traces.push_back(entry.path());
  }
  std::sort(traces.begin(), traces.end());
  if (traces.empty()) fmt::print(stderr, "{}: holds no trace\n", folder.string());
  return traces;
}

}  // namespace tidemark::gpu_tables
