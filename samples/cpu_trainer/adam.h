// Adam (Kingma and Ba, 2015). The two moments are allocated in the first step.
#pragma once

#include <vector>

#include "layers.h"

namespace cpu_trainer {

class Adam {
 public:
  Adam(std::vector<Parameter*> parameters, float learning_rate);
  void step();

 private:
  struct Moments {
    Tensor first;
    Tensor second;
  };
  std::vector<Parameter*> parameters_;
  std::vector<Moments> moments_;
  float learning_rate_;
  int steps_ = 0;
};

}  // namespace cpu_trainer
