#include "tensor.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "workers.h"

namespace cpu_trainer {
namespace {

constexpr size_t kAlignment = 64;

float* allocate(size_t floats) {
  const size_t bytes = (floats * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
  void* pointer = std::aligned_alloc(kAlignment, bytes);
  if (pointer == nullptr) throw std::bad_alloc();
  std::memset(pointer, 0, bytes);
  return static_cast<float*>(pointer);
}

// out += s0·b0 + s1·b1 + s2·b2 + s3·b3: four rows at a time spare three passes over out.
void add_scaled4(float* __restrict out, const float* const b[4], const float s[4], size_t count) {
  const float* __restrict b0 = b[0];
  const float* __restrict b1 = b[1];
  const float* __restrict b2 = b[2];
  const float* __restrict b3 = b[3];
#pragma omp simd
  for (size_t j = 0; j < count; ++j) {
    out[j] += s[0] * b0[j] + s[1] * b1[j] + s[2] * b2[j] + s[3] * b3[j];
  }
}

void add_scaled(float* __restrict out, const float* __restrict b, float s, size_t count) {
#pragma omp simd
  for (size_t j = 0; j < count; ++j) out[j] += s * b[j];
}

// out += Σ_k scale[k · stride] · b.row(k)
void accumulate_rows(float* out, const float* scale, size_t stride, const Tensor& b) {
  const size_t count = b.columns();
  size_t k = 0;
  for (; k + 4 <= b.rows(); k += 4) {
    const float* const rows[4] = {b.row(k), b.row(k + 1), b.row(k + 2), b.row(k + 3)};
    const float scales[4] = {scale[k * stride], scale[(k + 1) * stride], scale[(k + 2) * stride],
                             scale[(k + 3) * stride]};
    add_scaled4(out, rows, scales, count);
  }
  for (; k < b.rows(); ++k) add_scaled(out, b.row(k), scale[k * stride], count);
}

}  // namespace

Tensor::Tensor(size_t rows, size_t columns)
    : rows_(rows), columns_(columns), buffer_(allocate(rows * columns)) {}

void Tensor::fill_normal(Random& random, float deviation) {
  std::generate_n(data(), size(), [&] { return deviation * random.normal(); });
}

void Tensor::fill(float value) { std::fill_n(data(), size(), value); }

void Tensor::add(const Tensor& other) { add_scaled(data(), other.data(), 1.0F, size()); }

void Tensor::release() { *this = Tensor(); }

Tensor multiply(const Tensor& a, const Tensor& b) {
  Tensor out(a.rows(), b.columns());
  parallel_for(a.rows(), [&](size_t i) { accumulate_rows(out.row(i), a.row(i), 1, b); });
  return out;
}

Tensor multiply_by_transposed(const Tensor& a, const Tensor& b) {
  return multiply(a, transpose(b));
}

Tensor multiply_transposed(const Tensor& a, const Tensor& b) {
  Tensor out(a.columns(), b.columns());
  parallel_for(a.columns(),
               [&](size_t k) { accumulate_rows(out.row(k), a.data() + k, a.columns(), b); });
  return out;
}

Tensor transpose(const Tensor& a) {
  Tensor out(a.columns(), a.rows());
  for (size_t i = 0; i < a.rows(); ++i) {
    const float* source = a.row(i);
    for (size_t j = 0; j < a.columns(); ++j) out.row(j)[i] = source[j];
  }
  return out;
}

}  // namespace cpu_trainer
