// Frameworks that divide device memory among themselves without telling anybody: what is known of
// such a pool is what it took from the driver. Told by the libraries that a process has loaded.
// Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tidemark::collector {

struct HiddenPool {
  std::string_view library;  // part of its path
  const char* loss;          // how the trace says that it was there
};

inline constexpr std::array<HiddenPool, 3> kHiddenPools = {
    {{"/xla_cuda_plugin.so", "jax_pool_not_split_up"},
     {"/cupy_backends/cuda/", "cupy_pool_not_split_up"},
     {"/tensorflow/libtensorflow_cc.so", "tensorflow_pool_not_split_up"}}};

// Bit i: kHiddenPools[i].
constexpr uint32_t hidden_pools_of(std::string_view module_path) {
  uint32_t pools = 0;
  for (size_t i = 0; i < kHiddenPools.size(); ++i) {
    if (module_path.find(kHiddenPools[i].library) != std::string_view::npos) pools |= 1U << i;
  }
  return pools;
}

}  // namespace tidemark::collector
