#include "adam.h"

#include <cmath>

namespace cpu_trainer {
namespace {

constexpr float kBeta1 = 0.9F;
constexpr float kBeta2 = 0.99F;
constexpr float kEpsilon = 1e-8F;

}  // namespace

Adam::Adam(std::vector<Parameter*> parameters, float learning_rate)
    : parameters_(std::move(parameters)), learning_rate_(learning_rate) {}

void Adam::step() {
  if (moments_.empty()) {
    for (const Parameter* p : parameters_) {
      moments_.push_back({Tensor(p->value.rows(), p->value.columns()),
                          Tensor(p->value.rows(), p->value.columns())});
    }
  }
  ++steps_;
  const auto steps = static_cast<float>(steps_);
  const float rate =
      learning_rate_ * std::sqrt(1.0F - std::pow(kBeta2, steps)) / (1.0F - std::pow(kBeta1, steps));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    float* value = parameters_[i]->value.data();
    const float* gradient = parameters_[i]->gradient.data();
    float* first = moments_[i].first.data();
    float* second = moments_[i].second.data();
    for (size_t j = 0; j < parameters_[i]->value.size(); ++j) {
      first[j] = kBeta1 * first[j] + (1.0F - kBeta1) * gradient[j];
      second[j] = kBeta2 * second[j] + (1.0F - kBeta2) * gradient[j] * gradient[j];
      value[j] -= rate * first[j] / (std::sqrt(second[j]) + kEpsilon);
    }
  }
}

}  // namespace cpu_trainer
