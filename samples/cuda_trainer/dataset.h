// Points around a few random centres, with the centre's number as label: made up, the same for the
// same seed. Plain host memory; inputs are pageable, labels page-aligned so that they can be
// pinned.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace cuda_trainer {

struct Dataset {
  static constexpr int kFeatures = 72;
  static constexpr int kClasses = 10;

  Dataset(int points, uint64_t seed);

  struct Free {
    void operator()(int* pointer) const { std::free(pointer); }
  };
  int size;
  std::vector<float> inputs;  // size × kFeatures
  std::unique_ptr<int[], Free> labels;
  size_t label_bytes;  // whole pages
};

// Numbers with mean 0 and the given deviation.
std::vector<float> random_values(size_t count, float deviation, uint64_t seed);

}  // namespace cuda_trainer
