// A transformer that predicts the next character.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attention.h"
#include "layers.h"

namespace cpu_trainer {

struct ModelShape {
  size_t vocabulary;
  size_t layers;
  size_t width;
  size_t heads;
  size_t sequence;
};

class Mlp {
 public:
  Mlp(const std::string& name, size_t width, Random& random);
  Activation forward(const Activation& input);
  Tensor backward(const Tensor& gradient);
  void collect(std::vector<Parameter*>& parameters);

 private:
  Linear widen_;
  Gelu gelu_;
  Linear narrow_;
};

class Block {
 public:
  Block(const std::string& name, const ModelShape& shape, Random& random);
  Activation forward(const Activation& input);
  Tensor backward(Tensor&& gradient);
  void collect(std::vector<Parameter*>& parameters);

 private:
  LayerNorm attention_norm_;
  Attention attention_;
  LayerNorm mlp_norm_;
  Mlp mlp_;
};

class Transformer {
 public:
  Transformer(const ModelShape& shape, uint64_t seed);
  // tokens and targets: batch × sequence. Returns the mean cross entropy per token, in nats.
  double forward(const std::vector<uint16_t>& tokens, const std::vector<uint16_t>& targets);
  void backward();
  // Stays valid as long as the model does.
  [[nodiscard]] const std::vector<Parameter*>& parameters() const { return parameters_; }
  void zero_gradients();

 private:
  Transformer(const ModelShape& shape, Random random);

  Embedding embedding_;
  std::vector<std::unique_ptr<Block>> blocks_;
  LayerNorm norm_;
  Linear head_;
  Tensor logit_gradient_;
  std::vector<Parameter*> parameters_;
};

}  // namespace cpu_trainer
