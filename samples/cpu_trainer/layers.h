// The layers of the model. Each keeps what its backward needs during forward and lets go of it in
// backward: one forward, then one backward, on one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor.h"

namespace cpu_trainer {

// The gradient is empty until a backward writes it, and again after zero_gradients().
struct Parameter {
  std::string name;
  Tensor value;
  Tensor gradient;

  void accumulate(Tensor&& part);
};

class Linear {
 public:
  Linear(const std::string& name, size_t inputs, size_t outputs, Random& random);
  Activation forward(const Activation& input);
  Tensor backward(const Tensor& gradient);
  void collect(std::vector<Parameter*>& parameters);

 private:
  Parameter weight_;
  Parameter bias_;
  Activation input_;
};

class LayerNorm {
 public:
  LayerNorm(const std::string& name, size_t width);
  Activation forward(const Activation& input);
  Tensor backward(const Tensor& gradient);
  void collect(std::vector<Parameter*>& parameters);

 private:
  Parameter scale_;
  Parameter shift_;
  Tensor normalized_;
  Tensor inverse_deviation_;
};

class Gelu {
 public:
  Activation forward(const Activation& input);
  Tensor backward(const Tensor& gradient);

 private:
  Activation input_;
};

// Tokens and their positions.
class Embedding {
 public:
  Embedding(size_t vocabulary, size_t sequence, size_t width, Random& random);
  Activation forward(const std::vector<uint16_t>& tokens);
  void backward(const Tensor& gradient);
  void collect(std::vector<Parameter*>& parameters);

 private:
  Parameter token_;
  Parameter position_;
  std::vector<uint16_t> tokens_;
};

}  // namespace cpu_trainer
