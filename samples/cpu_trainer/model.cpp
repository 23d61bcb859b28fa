#include "model.h"

#include <algorithm>
#include <cmath>

namespace cpu_trainer {
namespace {

Activation add(const Activation& a, const Activation& b) {
  Tensor sum(a->rows(), a->columns());
  sum.add(*a);
  sum.add(*b);
  return share(std::move(sum));
}

// Mean of −log softmax(logits)[target]; gradient becomes its derivative by the logits.
double cross_entropy(const Tensor& logits, const std::vector<uint16_t>& targets, Tensor& gradient) {
  gradient = Tensor(logits.rows(), logits.columns());
  const auto count = static_cast<float>(logits.rows());
  double loss = 0;
  for (size_t i = 0; i < logits.rows(); ++i) {
    const float* x = logits.row(i);
    float* g = gradient.row(i);
    const float top = *std::max_element(x, x + logits.columns());
    float sum = 0;
    for (size_t j = 0; j < logits.columns(); ++j) sum += g[j] = std::exp(x[j] - top);
    for (size_t j = 0; j < logits.columns(); ++j) g[j] /= sum * count;
    g[targets[i]] -= 1.0F / count;
    loss += std::log(static_cast<double>(sum)) - static_cast<double>(x[targets[i]] - top);
  }
  return loss / static_cast<double>(logits.rows());
}

}  // namespace

Mlp::Mlp(const std::string& name, size_t width, Random& random)
    : widen_(name + ".widen", width, 4 * width, random),
      narrow_(name + ".narrow", 4 * width, width, random) {}

Activation Mlp::forward(const Activation& input) {
  return narrow_.forward(gelu_.forward(widen_.forward(input)));
}

Tensor Mlp::backward(const Tensor& gradient) {
  return widen_.backward(gelu_.backward(narrow_.backward(gradient)));
}

void Mlp::collect(std::vector<Parameter*>& parameters) {
  widen_.collect(parameters);
  narrow_.collect(parameters);
}

Block::Block(const std::string& name, const ModelShape& shape, Random& random)
    : attention_norm_(name + ".attention_norm", shape.width),
      attention_(name + ".attention", shape.width, shape.heads, shape.sequence, random),
      mlp_norm_(name + ".mlp_norm", shape.width),
      mlp_(name + ".mlp", shape.width, random) {}

Activation Block::forward(const Activation& input) {
  const Activation attended = add(input, attention_.forward(attention_norm_.forward(input)));
  return add(attended, mlp_.forward(mlp_norm_.forward(attended)));
}

Tensor Block::backward(Tensor&& gradient) {
  Tensor sum = std::move(gradient);
  sum.add(mlp_norm_.backward(mlp_.backward(sum)));
  sum.add(attention_norm_.backward(attention_.backward(sum)));
  return sum;
}

void Block::collect(std::vector<Parameter*>& parameters) {
  attention_norm_.collect(parameters);
  attention_.collect(parameters);
  mlp_norm_.collect(parameters);
  mlp_.collect(parameters);
}

Transformer::Transformer(const ModelShape& shape, uint64_t seed)
    : Transformer(shape, Random(seed)) {}

Transformer::Transformer(const ModelShape& shape, Random random)
    : embedding_(shape.vocabulary, shape.sequence, shape.width, random),
      norm_("norm", shape.width),
      head_("head", shape.width, shape.vocabulary, random) {
  for (size_t i = 0; i < shape.layers; ++i) {
    blocks_.push_back(std::make_unique<Block>("block" + std::to_string(i), shape, random));
  }
  embedding_.collect(parameters_);
  for (const auto& block : blocks_) block->collect(parameters_);
  norm_.collect(parameters_);
  head_.collect(parameters_);
}

double Transformer::forward(const std::vector<uint16_t>& tokens,
                            const std::vector<uint16_t>& targets) {
  Activation x = embedding_.forward(tokens);
  for (const auto& block : blocks_) x = block->forward(x);
  const Activation logits = head_.forward(norm_.forward(x));
  return cross_entropy(*logits, targets, logit_gradient_);
}

void Transformer::backward() {
  Tensor gradient = norm_.backward(head_.backward(logit_gradient_));
  logit_gradient_.release();
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
    gradient = (*block)->backward(std::move(gradient));
  }
  embedding_.backward(gradient);
}

void Transformer::zero_gradients() {
  for (Parameter* parameter : parameters_) parameter->gradient.release();
}

}  // namespace cpu_trainer
