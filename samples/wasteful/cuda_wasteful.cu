// Wastes device memory and time in every way that Tidemark tells apart on a device, each at one
// line that it prints. cuda_clean.cu computes the same and wastes nothing.
//
// Exit status: 0; 1 when CUDA fails; 3 without a GPU.
#include <algorithm>
#include <vector>

#include "field.cuh"

using namespace wasteful;  // NOLINT: a program of one page

int main() {
  float *field, *input, *unused, *dead, *early, *late, *idle, *leak;
  CHECK(cudaMalloc(&field, kFieldBytes));
  CHECK(cudaMalloc(&input, kFieldBytes));
  PLANT(unused, 12 * kMiB, CHECK(cudaMalloc(&unused, 12 * kMiB)));
  PLANT(dead_write, 11 * kMiB, CHECK(cudaMalloc(&dead, 11 * kMiB)));
  PLANT(early_allocation, 10 * kMiB, CHECK(cudaMalloc(&early, 10 * kMiB)));
  PLANT(late_deallocation, 9 * kMiB, CHECK(cudaMalloc(&late, 9 * kMiB)));
  PLANT(temporary_idle, 8 * kMiB, CHECK(cudaMalloc(&idle, 8 * kMiB)));
  PLANT(leak, 7 * kMiB, CHECK(cudaMalloc(&leak, 7 * kMiB)));
  CHECK(cudaMemset(dead, 0, 11 * kMiB));
  fill_field(field, kFieldBytes, 1);
  fill_field(late, 9 * kMiB, 2);
  fill_field(idle, 8 * kMiB, 3);
  fill_field(leak, 7 * kMiB, 4);
  add_first(field, late);

  float *table, *lookup, *twin;
  CHECK(cudaMallocHost(&table, kTableBytes));
  std::fill_n(table, kTableBytes / sizeof(float), 1.0F);
  CHECK(cudaMalloc(&lookup, kTableBytes));
  PLANT(duplicate, kTableBytes, CHECK(cudaMalloc(&twin, kTableBytes)));
  CHECK(cudaMemcpy(lookup, table, kTableBytes, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(twin, table, kTableBytes, cudaMemcpyHostToDevice));
  float* mirror;
  CHECK(cudaMallocHost(&mirror, kTableBytes));

  std::vector<float> source(kFieldBytes / sizeof(float));
  std::vector<float*> history(kSteps);
  for (size_t step = 0; step < kSteps; ++step) {
    source.assign(source.size(), static_cast<float>(step));
    const size_t copied = kSteps * kFieldBytes;
    PLANT(pageable_copies, copied,
          CHECK(cudaMemcpy(input, source.data(), kFieldBytes, cudaMemcpyHostToDevice)));
    float* scratch[kParts];
    for (size_t part = 0; part < kParts; ++part) {
      CHECK(cudaMalloc(&scratch[part], kPartBytes[part]));
      stir_part(part, field, input, scratch[part]);
    }
    add_first(field, leak);
    // The first of a step comes after other work of the host.
    constexpr size_t again = kSteps * (kLooks - 1) * kTableBytes;
    for (size_t look = 0; look < kLooks; ++look) {
      PLANT(repeated_copies, again,
            CHECK(cudaMemcpy(lookup, table, kTableBytes, cudaMemcpyHostToDevice)));
      add_first(field, look % 2 == 0 ? lookup : twin);
    }
    CHECK(cudaMemcpy(mirror, lookup, kTableBytes, cudaMemcpyDeviceToHost));
    PLANT(round_trips, kSteps * kTableBytes,
          CHECK(cudaMemcpy(lookup, mirror, kTableBytes, cudaMemcpyHostToDevice)));
    PLANT(growth, kKeptBytes, CHECK(cudaMalloc(&history[step], kKeptBytes)));
    keep(history[step], scratch);
    for (float* block : scratch) CHECK(cudaFree(block));
    add_first(field, lookup);
    add_first(field, twin);
  }
  for (float* block : {lookup, twin}) CHECK(cudaFree(block));
  for (float* block : {table, mirror}) CHECK(cudaFreeHost(block));

  float* sum;
  CHECK(cudaMalloc(&sum, kLeastBytes));
  fill_field(sum, kLeastBytes, 0);
  for (const float* kept : history) add_first(sum, kept);
  fill_field(early, 10 * kMiB, 5);
  add_first(sum, early);
  add_first(sum, idle);
  print_first(sum);
  for (float* kept : history) CHECK(cudaFree(kept));
  for (float* block : {field, input, unused, dead, early, late, idle, sum}) CHECK(cudaFree(block));
  return 0;
}
