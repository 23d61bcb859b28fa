// Compares the hand-written backward with finite differences, for every parameter of a tiny model.
#include <cmath>
#include <cstdio>
#include <vector>

#include "model.h"

namespace {

using cpu_trainer::ModelShape;
using cpu_trainer::Parameter;
using cpu_trainer::Random;
using cpu_trainer::Transformer;

constexpr ModelShape kShape = {11, 2, 32, 2, 6};
constexpr float kStep = 1e-2F;
constexpr size_t kElementsPerParameter = 12;

std::vector<uint16_t> random_tokens(Random& random, size_t count) {
  std::vector<uint16_t> tokens(count);
  for (uint16_t& token : tokens) token = static_cast<uint16_t>(random.below(kShape.vocabulary));
  return tokens;
}

}  // namespace

int main() {
  Random random(7);
  const std::vector<uint16_t> tokens = random_tokens(random, 3 * kShape.sequence);
  const std::vector<uint16_t> targets = random_tokens(random, 3 * kShape.sequence);
  Transformer model(kShape, 3);
  (void)model.forward(tokens, targets);
  model.backward();

  int wrong = 0;
  for (Parameter* parameter : model.parameters()) {
    double worst = 0;
    double largest = 0;
    for (size_t i = 0; i < kElementsPerParameter; ++i) {
      float& element = parameter->value.data()[random.below(parameter->value.size())];
      const float analytic = parameter->gradient.data()[&element - parameter->value.data()];
      const float kept = element;
      element = kept + kStep;
      const double above = model.forward(tokens, targets);
      element = kept - kStep;
      const double below = model.forward(tokens, targets);
      element = kept;
      const double numeric = (above - below) / (2.0 * double{kStep});
      worst = std::fmax(worst, std::fabs(numeric - double{analytic}));
      largest = std::fmax(largest, std::fabs(numeric));
    }
    const bool good = largest > 0 && worst < 0.02 * largest + 2e-4;
    if (!good) ++wrong;
    std::printf("%-28s largest %.5f  worst difference %.6f  %s\n", parameter->name.c_str(), largest,
                worst, good ? "ok" : "WRONG");
  }
  return wrong == 0 ? 0 : 1;
}
