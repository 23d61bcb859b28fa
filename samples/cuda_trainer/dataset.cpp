#include "dataset.h"

#include <new>

#include "../cpu_trainer/random.h"

namespace cuda_trainer {
namespace {

constexpr size_t kPage = 4096;
constexpr float kNoise = 2.5F;  // enough that one layer of weights does not tell the classes apart

}  // namespace

Dataset::Dataset(int points, uint64_t seed) : size(points) {
  cpu_trainer::Random random(seed);
  const std::vector<float> centres = random_values(size_t{kFeatures} * kClasses, 1.0F, seed + 1);
  const auto count = static_cast<size_t>(points);
  label_bytes = (count * sizeof(int) + kPage - 1) / kPage * kPage;
  labels.reset(static_cast<int*>(std::aligned_alloc(kPage, label_bytes)));
  if (labels == nullptr) throw std::bad_alloc();
  inputs.reserve(count * kFeatures);
  for (size_t i = 0; i < count; ++i) {
    labels[i] = static_cast<int>(random.below(kClasses));
    const float* centre = centres.data() + static_cast<size_t>(labels[i]) * kFeatures;
    for (int j = 0; j < kFeatures; ++j) inputs.push_back(centre[j] + kNoise * random.normal());
  }
}

std::vector<float> random_values(size_t count, float deviation, uint64_t seed) {
  cpu_trainer::Random random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = deviation * random.normal();
  return values;
}

}  // namespace cuda_trainer
