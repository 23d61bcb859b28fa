// Computes what cuda_wasteful.cu does and wastes nothing: each block is there only while it is
// needed, what is kept of a step lies on the host, and the next input is copied from pinned memory
// while the kernels work on this one.
//
// Exit status: 0; 1 when CUDA fails; 3 without a GPU.
#include <algorithm>
#include <vector>

#include "field.cuh"

using namespace wasteful;  // NOLINT: a program of one page

int main() {
  float *field, *scratch;
  CHECK(cudaMalloc(&field, kFieldBytes));
  CHECK(cudaMalloc(&scratch, kPartBytes[0]));
  fill_field(field, kFieldBytes, 1);
  float* first;
  CHECK(cudaMalloc(&first, 9 * kMiB));
  fill_field(first, 9 * kMiB, 2);
  add_first(field, first);
  CHECK(cudaFree(first));

  float *table, *lookup;
  CHECK(cudaMallocHost(&table, kTableBytes));
  std::fill_n(table, kTableBytes / sizeof(float), 1.0F);
  CHECK(cudaMalloc(&lookup, kTableBytes));
  CHECK(cudaMemcpy(lookup, table, kTableBytes, cudaMemcpyHostToDevice));
  CHECK(cudaFreeHost(table));

  cudaStream_t copies, kernels;
  CHECK(cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking));
  CHECK(cudaStreamCreateWithFlags(&kernels, cudaStreamNonBlocking));
  float* inputs[2];
  float* sources[2];
  cudaEvent_t copied[2], used[2];
  for (size_t i = 0; i < 2; ++i) {
    CHECK(cudaMalloc(&inputs[i], kFieldBytes));
    CHECK(cudaMallocHost(&sources[i], kFieldBytes));
    CHECK(cudaEventCreateWithFlags(&copied[i], cudaEventDisableTiming));
    CHECK(cudaEventCreateWithFlags(&used[i], cudaEventDisableTiming));
  }
  CHECK(cudaDeviceSynchronize());
  for (size_t step = 0; step < kSteps; ++step) {
    const size_t i = step % 2;
    if (step >= 2) CHECK(cudaEventSynchronize(used[i]));
    std::fill_n(sources[i], kFieldBytes / sizeof(float), static_cast<float>(step));
    CHECK(cudaMemcpyAsync(inputs[i], sources[i], kFieldBytes, cudaMemcpyHostToDevice, copies));
    CHECK(cudaEventRecord(copied[i], copies));
    CHECK(cudaStreamWaitEvent(kernels, copied[i], 0));
    for (size_t part = 0; part < kParts; ++part) {
      stir_part(part, field, inputs[i], scratch, kernels);
    }
    for (size_t look = 0; look < kLooks + 2; ++look) add_first(field, lookup, kernels);
    CHECK(cudaEventRecord(used[i], kernels));
  }
  CHECK(cudaDeviceSynchronize());
  for (size_t i = 0; i < 2; ++i) {
    CHECK(cudaFree(inputs[i]));
    CHECK(cudaFreeHost(sources[i]));
    CHECK(cudaEventDestroy(copied[i]));
    CHECK(cudaEventDestroy(used[i]));
  }
  CHECK(cudaStreamDestroy(copies));
  CHECK(cudaStreamDestroy(kernels));
  for (float* block : {scratch, lookup}) CHECK(cudaFree(block));

  float *sum, *late;
  CHECK(cudaMalloc(&sum, kLeastBytes));
  fill_field(sum, kLeastBytes, 0);
  add_first(sum, field);
  CHECK(cudaMalloc(&late, 10 * kMiB));
  fill_field(late, 10 * kMiB, 5);
  add_first(sum, late);
  print_first(sum);
  for (float* block : {field, sum, late}) CHECK(cudaFree(block));
  return 0;
}
