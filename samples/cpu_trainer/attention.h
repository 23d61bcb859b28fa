// Causal self-attention with several heads.
#pragma once

#include <string>
#include <vector>

#include "layers.h"

namespace cpu_trainer {

class Attention {
 public:
  Attention(const std::string& name, size_t width, size_t heads, size_t sequence, Random& random);
  Activation forward(const Activation& input);
  Tensor backward(const Tensor& gradient);
  void collect(std::vector<Parameter*>& parameters);

 private:
  void attend(const Tensor& projected, size_t head, Tensor& mixed);
  void attend_backward(const Tensor& gradient, size_t head, Tensor& projected_gradient) const;

  size_t width_;
  size_t heads_;
  size_t sequence_;
  Linear projection_;  // to query, key and value, side by side in one row
  Linear output_;
  Activation projected_;
  Tensor probability_;  // rows: batch × head × query; columns: key
};

}  // namespace cpu_trainer
