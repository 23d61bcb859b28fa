#include "attention.h"

#include <algorithm>
#include <cmath>

#include "workers.h"

namespace cpu_trainer {
namespace {

float dot(const float* __restrict a, const float* __restrict b, size_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (size_t j = 0; j < count; ++j) sum += a[j] * b[j];
  return sum;
}

void add_scaled(float* __restrict out, const float* __restrict b, float s, size_t count) {
#pragma omp simd
  for (size_t j = 0; j < count; ++j) out[j] += s * b[j];
}

void softmax(float* values, size_t count) {
  const float top = *std::max_element(values, values + count);
  float sum = 0;
  for (size_t j = 0; j < count; ++j) sum += values[j] = std::exp(values[j] - top);
  for (size_t j = 0; j < count; ++j) values[j] /= sum;
}

}  // namespace

Attention::Attention(const std::string& name, size_t width, size_t heads, size_t sequence,
                     Random& random)
    : width_(width),
      heads_(heads),
      sequence_(sequence),
      projection_(name + ".projection", width, 3 * width, random),
      output_(name + ".output", width, width, random) {}

Activation Attention::forward(const Activation& input) {
  projected_ = projection_.forward(input);
  const size_t batch = input->rows() / sequence_;
  probability_ = Tensor(batch * heads_ * sequence_, sequence_);
  Tensor mixed(input->rows(), width_);
  parallel_for(batch * heads_, [&](size_t head) { attend(*projected_, head, mixed); });
  return output_.forward(share(std::move(mixed)));
}

// head counts through batch × heads.
void Attention::attend(const Tensor& projected, size_t head, Tensor& mixed) {
  const size_t size = width_ / heads_;
  const size_t first_row = head / heads_ * sequence_;
  const size_t column = head % heads_ * size;
  const float scale = 1.0F / std::sqrt(static_cast<float>(size));
  for (size_t q = 0; q < sequence_; ++q) {
    float* probability = probability_.row(head * sequence_ + q);
    const float* query = projected.row(first_row + q) + column;
    for (size_t k = 0; k <= q; ++k) {
      probability[k] = scale * dot(query, projected.row(first_row + k) + width_ + column, size);
    }
    softmax(probability, q + 1);
    for (size_t k = 0; k <= q; ++k) {
      add_scaled(mixed.row(first_row + q) + column,
                 projected.row(first_row + k) + 2 * width_ + column, probability[k], size);
    }
  }
}

Tensor Attention::backward(const Tensor& gradient) {
  const Tensor mixed_gradient = output_.backward(gradient);
  const size_t batch = gradient.rows() / sequence_;
  Tensor projected_gradient(gradient.rows(), 3 * width_);
  parallel_for(batch * heads_,
               [&](size_t head) { attend_backward(mixed_gradient, head, projected_gradient); });
  probability_.release();
  projected_.reset();
  return projection_.backward(projected_gradient);
}

void Attention::attend_backward(const Tensor& gradient, size_t head,
                                Tensor& projected_gradient) const {
  const size_t size = width_ / heads_;
  const size_t first_row = head / heads_ * sequence_;
  const size_t column = head % heads_ * size;
  const float scale = 1.0F / std::sqrt(static_cast<float>(size));
  std::vector<float> score_gradient(sequence_);
  for (size_t q = 0; q < sequence_; ++q) {
    const float* probability = probability_.row(head * sequence_ + q);
    const float* g = gradient.row(first_row + q) + column;
    float mean = 0;
    for (size_t k = 0; k <= q; ++k) {
      const float* value = projected_->row(first_row + k) + 2 * width_ + column;
      score_gradient[k] = dot(g, value, size);
      mean += score_gradient[k] * probability[k];
      add_scaled(projected_gradient.row(first_row + k) + 2 * width_ + column, g, probability[k],
                 size);
    }
    const float* query = projected_->row(first_row + q) + column;
    float* query_gradient = projected_gradient.row(first_row + q) + column;
    for (size_t k = 0; k <= q; ++k) {
      const float s = scale * probability[k] * (score_gradient[k] - mean);
      add_scaled(query_gradient, projected_->row(first_row + k) + width_ + column, s, size);
      add_scaled(projected_gradient.row(first_row + k) + width_ + column, query, s, size);
    }
  }
}

void Attention::collect(std::vector<Parameter*>& parameters) {
  projection_.collect(parameters);
  output_.collect(parameters);
}

}  // namespace cpu_trainer
