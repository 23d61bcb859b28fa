// What both CUDA twins compute: a field that is stirred in steps by an input from the host.
// Launches and copies are checked; memory is the twins' own affair.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "planted.h"

// Ends the program where CUDA fails: with 3 where there is no GPU.
#define CHECK(call)                                                                             \
  do {                                                                                          \
    const cudaError_t status = (call);                                                          \
    if (status != cudaSuccess) {                                                                \
      std::fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(status));                      \
      const bool absent = status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver; \
      std::exit(absent ? 3 : 1);                                                                \
    }                                                                                           \
  } while (false)

namespace wasteful {

// A field consists of parts, each of which is stirred by itself.
constexpr size_t kParts = 4;
constexpr size_t kPartBytes[kParts] = {8 * kMiB, 4 * kMiB, 2 * kMiB, 1 * kMiB};
constexpr size_t kFieldBytes = 15 * kMiB;
constexpr size_t kKeptBytes = 1 * kMiB;
constexpr unsigned kThreads = 256;
constexpr size_t kLeastBytes = kThreads * sizeof(float);
constexpr size_t kSteps = 20;
// A table that nobody changes, of which each step asks so many times.
constexpr size_t kTableBytes = 6 * kMiB;
constexpr size_t kLooks = 5;
constexpr int kRounds = 60'000;  // of work for each element: a step takes some milliseconds

inline unsigned blocks_for(size_t bytes) { return static_cast<unsigned>(bytes / kLeastBytes); }

__global__ void fill(float* values, float value) {
  values[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

__global__ void stir(float* field, const float* input, float* scratch) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  float x = field[i];
  for (int round = 0; round < kRounds; ++round) x = x * 0.999F + input[i] * 1e-3F;
  scratch[i] = x;
  field[i] = scratch[i];
}

__global__ void sum_parts(float* to, const float* a, const float* b, const float* c,
                          const float* d) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  to[i] = a[i] + b[i] + c[i] + d[i];
}

__global__ void add(float* sum, const float* values) { *sum += *values; }

inline void fill_field(float* values, size_t bytes, float value) {
  fill<<<blocks_for(bytes), kThreads>>>(values, value);
  CHECK(cudaGetLastError());
}

// In a stirred field lie the parts one after the other.
inline void stir_part(size_t part, float* field, const float* input, float* scratch,
                      cudaStream_t stream = nullptr) {
  size_t first = 0;
  for (size_t before = 0; before < part; ++before) first += kPartBytes[before] / sizeof(float);
  stir<<<blocks_for(kPartBytes[part]), kThreads, 0, stream>>>(field + first, input + first,
                                                              scratch);
  CHECK(cudaGetLastError());
}

inline void keep(float* kept, float* const (&parts)[kParts]) {
  sum_parts<<<blocks_for(kKeptBytes), kThreads>>>(kept, parts[0], parts[1], parts[2], parts[3]);
  CHECK(cudaGetLastError());
}

inline void add_first(float* sum, const float* values, cudaStream_t stream = nullptr) {
  add<<<1, 1, 0, stream>>>(sum, values);
  CHECK(cudaGetLastError());
}

// Waits for the device.
inline void print_first(const float* values) {
  float first = 0;
  CHECK(cudaMemcpy(&first, values, sizeof first, cudaMemcpyDeviceToHost));
  std::printf("%g\n", static_cast<double>(first));
}

}  // namespace wasteful
