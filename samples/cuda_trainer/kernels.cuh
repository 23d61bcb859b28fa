// The trainer's own kernels. Plain and readable rather than fast; every sum has a fixed order, so
// that two runs give the same losses to the last bit.
#pragma once

#include <cuda_runtime.h>

namespace cuda_trainer {

constexpr int kTile = 16;
constexpr int kThreads = 256;  // of every kernel that is not tiled; a power of two

// c[m,n] = Σ_k a(m,k) · b(k,n); a transposed matrix is stored the other way round.
// a_stride: elements from one stored row of a to the next.
template <bool kTransposeA, bool kTransposeB>
__global__ void matrix_product(const float* a, int a_stride, const float* b, float* c, int rows,
                               int columns, int inner) {
  __shared__ float a_tile[kTile][kTile];
  __shared__ float b_tile[kTile][kTile + 1];
  const int row = static_cast<int>(blockIdx.y) * kTile + static_cast<int>(threadIdx.y);
  const int column = static_cast<int>(blockIdx.x) * kTile + static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int first = 0; first < inner; first += kTile) {
    const int a_inner = first + static_cast<int>(threadIdx.x);
    const int b_inner = first + static_cast<int>(threadIdx.y);
    a_tile[threadIdx.y][threadIdx.x] =
        row < rows && a_inner < inner
            ? (kTransposeA ? a[a_inner * a_stride + row] : a[row * a_stride + a_inner])
            : 0.0F;
    b_tile[threadIdx.y][threadIdx.x] =
        column < columns && b_inner < inner
            ? (kTransposeB ? b[column * inner + b_inner] : b[b_inner * columns + column])
            : 0.0F;
    __syncthreads();
    for (int k = 0; k < kTile; ++k) sum += a_tile[threadIdx.y][k] * b_tile[k][threadIdx.x];
    __syncthreads();
  }
  if (row < rows && column < columns) c[row * columns + column] = sum;
}

__global__ void add_bias(float* values, const float* bias, int rows, int columns, bool relu) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= rows * columns) return;
  const float sum = values[i] + bias[i % columns];
  values[i] = relu && sum < 0 ? 0.0F : sum;
}

__global__ void relu_gradient(float* gradient, const float* output, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count && output[i] <= 0) gradient[i] = 0;
}

// One thread a row: its loss, and the gradient of the mean loss by its logits.
__global__ void softmax_loss(const float* logits, const int* labels, float* gradient, float* losses,
                             int rows, int columns) {
  const int row = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (row >= rows) return;
  const float* x = logits + row * columns;
  float top = x[0];
  for (int j = 1; j < columns; ++j) top = fmaxf(top, x[j]);
  float sum = 0;
  for (int j = 0; j < columns; ++j) sum += expf(x[j] - top);
  for (int j = 0; j < columns; ++j) {
    const float probability = expf(x[j] - top) / sum;
    gradient[row * columns + j] =
        (probability - (j == labels[row] ? 1.0F : 0.0F)) / static_cast<float>(rows);
  }
  losses[row] = logf(sum) + top - x[labels[row]];
}

// The sum over a block of kThreads; valid in thread 0.
__device__ inline float block_sum(float value) {
  __shared__ float parts[kThreads];
  parts[threadIdx.x] = value;
  __syncthreads();
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    __syncthreads();
  }
  return parts[0];
}

// One block: *mean = mean of the values.
__global__ void mean_loss(const float* values, int count, float* mean) {
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) sum += values[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *mean = sum / static_cast<float>(count);
}

__global__ void sum_columns(const float* values, float* sums, int rows, int columns) {
  const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (column >= columns) return;
  float sum = 0;
  for (int row = 0; row < rows; ++row) sum += values[row * columns + column];
  sums[column] = sum;
}

// rate already holds Adam's correction for the number of steps.
__global__ void adam_update(float* values, const float* gradient, float* first, float* second,
                            int count, float rate) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= count) return;
  first[i] = 0.9F * first[i] + 0.1F * gradient[i];
  second[i] = 0.999F * second[i] + 0.001F * gradient[i] * gradient[i];
  values[i] -= rate * first[i] / (sqrtf(second[i]) + 1e-8F);
}

__global__ void clear_norm(float* norm) { *norm = 0; }

// One block: *norm += Σ values².
__global__ void add_squares(const float* values, int count, float* norm) {
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    sum += values[i] * values[i];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) *norm += sum;
}

// One block: *correct = rows whose largest logit is the label's.
__global__ void count_correct(const float* logits, const int* labels, int rows, int columns,
                              int* correct) {
  float right = 0;
  for (int row = static_cast<int>(threadIdx.x); row < rows; row += kThreads) {
    const float* x = logits + row * columns;
    int best = 0;
    for (int j = 1; j < columns; ++j) best = x[j] > x[best] ? j : best;
    right += best == labels[row] ? 1.0F : 0.0F;
  }
  right = block_sum(right);
  if (threadIdx.x == 0) *correct = static_cast<int>(right);
}

}  // namespace cuda_trainer
