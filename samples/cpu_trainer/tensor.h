// A matrix of floats on the heap, and the few products that a transformer needs.
//
// A Tensor owns one aligned buffer and is moved, never copied. It may be read by several threads;
// who writes it is alone. The products spread their rows over the worker pool: each row is computed
// by one thread in a fixed order, so the figures do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "random.h"

namespace cpu_trainer {

class Tensor {
 public:
  Tensor() = default;
  Tensor(size_t rows, size_t columns);  // zero-filled

  [[nodiscard]] size_t rows() const { return rows_; }
  [[nodiscard]] size_t columns() const { return columns_; }
  [[nodiscard]] size_t size() const { return rows_ * columns_; }
  [[nodiscard]] bool empty() const { return buffer_ == nullptr; }
  [[nodiscard]] float* row(size_t index) { return buffer_.get() + index * columns_; }
  [[nodiscard]] const float* row(size_t index) const { return buffer_.get() + index * columns_; }
  [[nodiscard]] float* data() { return buffer_.get(); }
  [[nodiscard]] const float* data() const { return buffer_.get(); }

  void fill_normal(Random& random, float deviation);
  void fill(float value);
  void add(const Tensor& other);
  void release();  // gives the memory back now

 private:
  struct Free {
    void operator()(float* pointer) const { std::free(pointer); }
  };
  size_t rows_ = 0;
  size_t columns_ = 0;
  std::unique_ptr<float[], Free> buffer_;
};

// What one layer hands to the next: alive as long as the next layer, or some backward, needs it.
using Activation = std::shared_ptr<const Tensor>;
inline Activation share(Tensor&& tensor) {
  return std::make_shared<const Tensor>(std::move(tensor));
}

// a[M,K] · b[K,N]
Tensor multiply(const Tensor& a, const Tensor& b);
// a[M,K] · b[N,K]ᵀ
Tensor multiply_by_transposed(const Tensor& a, const Tensor& b);
// a[M,K]ᵀ · b[M,N]
Tensor multiply_transposed(const Tensor& a, const Tensor& b);
Tensor transpose(const Tensor& a);

}  // namespace cpu_trainer
