#include "layers.h"

#include <cmath>

#include "workers.h"

namespace cpu_trainer {
namespace {

constexpr float kEpsilon = 1e-5F;

Tensor sum_of_rows(const Tensor& a) {
  Tensor sum(1, a.columns());
  for (size_t i = 0; i < a.rows(); ++i) {
    const float* row = a.row(i);
    for (size_t j = 0; j < a.columns(); ++j) sum.data()[j] += row[j];
  }
  return sum;
}

}  // namespace

void Parameter::accumulate(Tensor&& part) {
  if (gradient.empty()) {
    gradient = std::move(part);
  } else {
    gradient.add(part);
  }
}

Linear::Linear(const std::string& name, size_t inputs, size_t outputs, Random& random)
    : weight_{name + ".weight", Tensor(inputs, outputs), {}},
      bias_{name + ".bias", Tensor(1, outputs), {}} {
  weight_.value.fill_normal(random, 1.0F / std::sqrt(static_cast<float>(inputs)));
}

Activation Linear::forward(const Activation& input) {
  input_ = input;
  Tensor out = multiply(*input, weight_.value);
  for (size_t i = 0; i < out.rows(); ++i) {
    for (size_t j = 0; j < out.columns(); ++j) out.row(i)[j] += bias_.value.data()[j];
  }
  return share(std::move(out));
}

Tensor Linear::backward(const Tensor& gradient) {
  weight_.accumulate(multiply_transposed(*input_, gradient));
  bias_.accumulate(sum_of_rows(gradient));
  input_.reset();
  return multiply_by_transposed(gradient, weight_.value);
}

void Linear::collect(std::vector<Parameter*>& parameters) {
  parameters.push_back(&weight_);
  parameters.push_back(&bias_);
}

LayerNorm::LayerNorm(const std::string& name, size_t width)
    : scale_{name + ".scale", Tensor(1, width), {}}, shift_{name + ".shift", Tensor(1, width), {}} {
  scale_.value.fill(1.0F);
}

Activation LayerNorm::forward(const Activation& input) {
  const size_t width = input->columns();
  Tensor out(input->rows(), width);
  normalized_ = Tensor(input->rows(), width);
  inverse_deviation_ = Tensor(input->rows(), 1);
  for (size_t i = 0; i < input->rows(); ++i) {
    const float* x = input->row(i);
    float mean = 0;
    for (size_t j = 0; j < width; ++j) mean += x[j];
    mean /= static_cast<float>(width);
    float variance = 0;
    for (size_t j = 0; j < width; ++j) variance += (x[j] - mean) * (x[j] - mean);
    const float inverse = 1.0F / std::sqrt(variance / static_cast<float>(width) + kEpsilon);
    inverse_deviation_.data()[i] = inverse;
    for (size_t j = 0; j < width; ++j) {
      const float normal = (x[j] - mean) * inverse;
      normalized_.row(i)[j] = normal;
      out.row(i)[j] = normal * scale_.value.data()[j] + shift_.value.data()[j];
    }
  }
  return share(std::move(out));
}

Tensor LayerNorm::backward(const Tensor& gradient) {
  const size_t width = gradient.columns();
  const auto count = static_cast<float>(width);
  Tensor scale_gradient(1, width);
  Tensor out(gradient.rows(), width);
  for (size_t i = 0; i < gradient.rows(); ++i) {
    const float* g = gradient.row(i);
    const float* normal = normalized_.row(i);
    float mean = 0;
    float projection = 0;
    for (size_t j = 0; j < width; ++j) {
      const float scaled = g[j] * scale_.value.data()[j];
      mean += scaled;
      projection += scaled * normal[j];
      scale_gradient.data()[j] += g[j] * normal[j];
    }
    mean /= count;
    projection /= count;
    for (size_t j = 0; j < width; ++j) {
      const float scaled = g[j] * scale_.value.data()[j];
      out.row(i)[j] = (scaled - mean - normal[j] * projection) * inverse_deviation_.data()[i];
    }
  }
  scale_.accumulate(std::move(scale_gradient));
  shift_.accumulate(sum_of_rows(gradient));
  normalized_.release();
  inverse_deviation_.release();
  return out;
}

void LayerNorm::collect(std::vector<Parameter*>& parameters) {
  parameters.push_back(&scale_);
  parameters.push_back(&shift_);
}

// x·σ(1.702·x), the approximation of GELU that needs one exponential.
Activation Gelu::forward(const Activation& input) {
  input_ = input;
  Tensor out(input->rows(), input->columns());
  parallel_for(input->rows(), [&](size_t i) {
    const float* x = input->row(i);
    float* y = out.row(i);
    for (size_t j = 0; j < out.columns(); ++j) y[j] = x[j] / (1.0F + std::exp(-1.702F * x[j]));
  });
  return share(std::move(out));
}

Tensor Gelu::backward(const Tensor& gradient) {
  Tensor out(gradient.rows(), gradient.columns());
  parallel_for(gradient.rows(), [&](size_t i) {
    const float* x = input_->row(i);
    const float* g = gradient.row(i);
    for (size_t j = 0; j < out.columns(); ++j) {
      const float sigmoid = 1.0F / (1.0F + std::exp(-1.702F * x[j]));
      out.row(i)[j] = g[j] * sigmoid * (1.0F + 1.702F * x[j] * (1.0F - sigmoid));
    }
  });
  input_.reset();
  return out;
}

Embedding::Embedding(size_t vocabulary, size_t sequence, size_t width, Random& random)
    : token_{"embedding.token", Tensor(vocabulary, width), {}},
      position_{"embedding.position", Tensor(sequence, width), {}} {
  token_.value.fill_normal(random, 0.5F);
  position_.value.fill_normal(random, 0.1F);
}

Activation Embedding::forward(const std::vector<uint16_t>& tokens) {
  tokens_ = tokens;
  Tensor out(tokens.size(), token_.value.columns());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const float* token = token_.value.row(tokens[i]);
    const float* position = position_.value.row(i % position_.value.rows());
    for (size_t j = 0; j < out.columns(); ++j) out.row(i)[j] = token[j] + position[j];
  }
  return share(std::move(out));
}

void Embedding::backward(const Tensor& gradient) {
  Tensor token(token_.value.rows(), token_.value.columns());
  Tensor position(position_.value.rows(), position_.value.columns());
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const float* g = gradient.row(i);
    float* token_row = token.row(tokens_[i]);
    float* position_row = position.row(i % position.rows());
    for (size_t j = 0; j < gradient.columns(); ++j) {
      token_row[j] += g[j];
      position_row[j] += g[j];
    }
  }
  token_.accumulate(std::move(token));
  position_.accumulate(std::move(position));
  tokens_ = {};
}

void Embedding::collect(std::vector<Parameter*>& parameters) {
  parameters.push_back(&token_);
  parameters.push_back(&position_);
}

}  // namespace cpu_trainer
