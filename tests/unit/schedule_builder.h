// Schedules as small as a test needs them, built block by block.
#pragma once

#include <vector>

#include "tidemark/analyzer/schedule.h"

namespace tidemark::analyzer::test {

class Builder {
 public:
  // Ends are set later, by index.
  uint32_t add(uint64_t bytes, uint32_t step, Phase phase, Category category, BatchLaw law,
               uint32_t instance = 0) {
    ScheduledBlock block;
    block.bytes = bytes;
    block.recorded_bytes = bytes;
    block.begin = next_;
    block.iteration = step;
    block.phase = phase;
    block.category = category;
    block.trained = category == Category::kParameter;
    block.law = law;
    block.instance = instance;
    next_ += Schedule::kStride;
    schedule.blocks.push_back(block);
    return static_cast<uint32_t>(schedule.blocks.size() - 1);
  }
  void end(uint32_t block) {
    schedule.blocks[block].end = next_;
    next_ += Schedule::kStride;
  }
  void work(Phase phase, uint32_t step, std::vector<uint32_t> blocks, int64_t ns) {
    DeviceWork work;
    work.phase = phase;
    work.iteration = step;
    work.position = next_ - Schedule::kStride;
    work.start_ns = time_;
    work.end_ns = time_ += ns;
    work.first_block = static_cast<uint32_t>(schedule.work_blocks.size());
    work.blocks = static_cast<uint32_t>(blocks.size());
    for (const uint32_t block : blocks) {
      schedule.work_blocks.push_back(block);
      if (phase == Phase::kBackward && schedule.blocks[block].phase == Phase::kForward) {
        schedule.blocks[block].saved = true;
      }
    }
    schedule.work.push_back(work);
  }
  int64_t now() const { return next_; }

  Schedule schedule;

 private:
  int64_t next_ = 0;
  int64_t time_ = 0;
};

// One parameter and two layers, in two steps as drawn in analyzer_whatif_test.cpp.
inline void add_step(Builder& build, uint32_t step, uint32_t parameter) {
  ScheduledStep times;
  times.begin = build.now();
  const auto instance = [&](int64_t begin) {
    build.schedule.instances.push_back({"Layer", step, begin, begin});
    return static_cast<uint32_t>(build.schedule.instances.size());
  };
  const uint32_t x = build.add(10, step, Phase::kForward, Category::kInput, BatchLaw::kPerSample);
  const uint32_t first = instance(build.now());
  const uint32_t a =
      build.add(100, step, Phase::kForward, Category::kActivation, BatchLaw::kPerSample, first);
  build.work(Phase::kForward, step, {x, parameter, a}, 10);
  const uint32_t o =
      build.add(50, step, Phase::kForward, Category::kActivation, BatchLaw::kPerSample, first);
  build.schedule.instances[first - 1].end = build.schedule.blocks[o].begin;
  build.work(Phase::kForward, step, {a, o}, 10);
  const uint32_t second = instance(build.now());
  const uint32_t b =
      build.add(100, step, Phase::kForward, Category::kActivation, BatchLaw::kPerSample, second);
  build.work(Phase::kForward, step, {o, parameter, b}, 10);
  const uint32_t q =
      build.add(50, step, Phase::kForward, Category::kActivation, BatchLaw::kPerSample, second);
  build.schedule.instances[second - 1].end = build.schedule.blocks[q].begin;
  build.work(Phase::kForward, step, {b, q}, 10);
  const uint32_t loss = build.add(1, step, Phase::kForward, Category::kTemporary, BatchLaw::kFixed);
  build.work(Phase::kForward, step, {q, loss}, 10);
  times.backward = build.now();
  const uint32_t g =
      build.add(20, step, Phase::kBackward, Category::kTemporary, BatchLaw::kPerSample);
  build.work(Phase::kBackward, step, {b, q, g}, 30);
  build.end(q);
  build.end(b);
  const uint32_t gradient =
      build.add(1000, step, Phase::kBackward, Category::kGradient, BatchLaw::kFixed);
  build.work(Phase::kBackward, step, {o, a, g, gradient}, 30);
  build.end(o);
  build.end(a);
  build.end(g);
  times.optimizer = build.now();
  if (step == 1) {
    const uint32_t s =
        build.add(2000, step, Phase::kOptimizer, Category::kOptimizerState, BatchLaw::kFixed);
    build.work(Phase::kOptimizer, step, {s}, 5);
  }
  build.work(Phase::kOptimizer, step, {parameter, gradient}, 10);
  build.end(gradient);
  build.end(loss);
  build.end(x);
  times.end = build.now();
  build.schedule.iterations.push_back(times);
}

inline Schedule two_steps() {
  Builder build;
  const uint32_t parameter =
      build.add(1000, 0, Phase::kSetup, Category::kParameter, BatchLaw::kFixed);
  add_step(build, 1, parameter);
  add_step(build, 2, parameter);
  build.schedule.operations = {""};
  build.schedule.calls.emplace_back();
  return build.schedule;
}

// Bytes of lifetimes that are not empty.
inline uint64_t bytes_of(const Schedule& schedule, Category category) {
  uint64_t sum = 0;
  for (const ScheduledBlock& block : schedule.blocks) {
    if (block.category == category && block.end > block.begin) sum += block.bytes;
  }
  return sum;
}

}  // namespace tidemark::analyzer::test
