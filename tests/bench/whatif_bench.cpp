// How long `advise` thinks about a step of a million allocations and frees: the target is 10
// seconds. Beside it one replay of that schedule, of which advice is made.
//
//   whatif_bench [EVENTS]    default: 1,000,000 in the last of two steps
//
// CPU time of this process, one run. The schedule is built: layers whose forward makes blocks of a
// few sizes that backward gives back in reverse order, beside parameters, gradients and Adam's
// states.
#include <fmt/format.h>
#include <malloc.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bench_program.h"
#include "tidemark/analyzer/advise.h"
#include "tidemark/analyzer/whatif.h"

namespace {

using namespace tidemark;
using namespace tidemark::analyzer;
using bench::cpu_seconds;
using bench::must;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint32_t kLayers = 96;

class Builder {
 public:
  Schedule take() { return std::move(schedule_); }
  uint32_t add(uint64_t bytes, uint32_t step, Phase phase, Category category) {
    ScheduledBlock block;
    block.bytes = block.recorded_bytes = bytes;
    block.begin = next();
    block.iteration = step;
    block.phase = phase;
    block.category = category;
    block.trained = category == Category::kParameter;
    block.saved = category == Category::kActivation;
    const bool samples = phase == Phase::kForward || category == Category::kTemporary;
    block.law = samples ? BatchLaw::kPerSample : BatchLaw::kFixed;
    block.instance =
        phase == Phase::kForward ? static_cast<uint32_t>(schedule_.instances.size()) : 0;
    schedule_.blocks.push_back(block);
    return static_cast<uint32_t>(schedule_.blocks.size() - 1);
  }
  void free(uint32_t block) { schedule_.blocks[block].end = next(); }
  void work(uint32_t step, Phase phase, std::initializer_list<uint32_t> blocks) {
    DeviceWork work;
    work.start_ns = time_ns_;
    work.end_ns = time_ns_ += 5000;
    work.position = position_;
    work.iteration = step;
    work.phase = phase;
    work.first_block = static_cast<uint32_t>(schedule_.work_blocks.size());
    work.blocks = static_cast<uint32_t>(blocks.size());
    schedule_.work_blocks.insert(schedule_.work_blocks.end(), blocks);
    schedule_.work.push_back(work);
  }
  int64_t next() {
    position_ += Schedule::kStride;
    schedule_.event_ns.push_back(time_ns_);
    return position_ - Schedule::kStride;
  }
  Schedule& schedule() { return schedule_; }

 private:
  Schedule schedule_;
  int64_t position_ = 0;
  int64_t time_ns_ = 0;
};

void add_step(Builder& build, uint32_t number, uint32_t blocks_a_layer,
              const std::vector<uint32_t>& parameters) {
  ScheduledStep step;
  step.begin = build.next();
  std::vector<uint32_t> saved;
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    const int64_t begin =
        static_cast<int64_t>(build.schedule().event_ns.size()) * Schedule::kStride;
    build.schedule().instances.push_back({"Layer", number, begin, begin});
    for (uint32_t i = 0; i < blocks_a_layer; ++i) {
      const uint64_t bytes = (1 + i % 7) * kMiB / 16;
      const bool kept = i % 2 == 0;
      const uint32_t block = build.add(bytes, number, Phase::kForward,
                                       kept ? Category::kActivation : Category::kTemporary);
      build.work(number, Phase::kForward, {parameters[layer], block});
      if (kept) {
        saved.push_back(block);
      } else {
        build.free(block);
      }
      build.schedule().instances.back().end = build.schedule().blocks[block].begin;
    }
  }
  step.backward = build.next();
  std::vector<uint32_t> gradients;
  const size_t each = saved.size() / kLayers;
  for (size_t i = saved.size(); i-- > 0;) {
    const uint32_t gradient = build.add(build.schedule().blocks[saved[i]].bytes, number,
                                        Phase::kBackward, Category::kTemporary);
    build.work(number, Phase::kBackward, {saved[i], gradient});
    build.free(saved[i]);
    build.free(gradient);
    if (i % each == 0) {
      gradients.push_back(build.add(8 * kMiB, number, Phase::kBackward, Category::kGradient));
    }
  }
  step.optimizer = build.next();
  for (uint32_t i = 0; number == 1 && i < 2 * kLayers; ++i) {
    build.add(8 * kMiB, number, Phase::kOptimizer, Category::kOptimizerState);
  }
  for (const uint32_t gradient : gradients) build.free(gradient);
  step.end = build.next();
  step.end_ns = build.schedule().event_ns.back();
  build.schedule().iterations.push_back(step);
}

Schedule schedule_of(uint64_t events) {
  Builder build;
  build.schedule().operations = {""};
  build.schedule().calls.emplace_back();
  std::vector<uint32_t> parameters;
  for (uint32_t i = 0; i < kLayers; ++i) {
    parameters.push_back(build.add(8 * kMiB, 0, Phase::kSetup, Category::kParameter));
  }
  // A kept block and its gradient are four events, one that is not kept two.
  const auto blocks = static_cast<uint32_t>(events / 3 / kLayers);
  add_step(build, 1, blocks / 100 + 2, parameters);
  add_step(build, 2, blocks, parameters);
  return build.take();
}

}  // namespace

int main(int argc, char** argv) {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);  // as the command does
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  const uint64_t events = argc > 1 ? std::stoull(argv[1]) : 1000000;
  const Schedule schedule = schedule_of(events);
  double begin = cpu_seconds();
  const auto peaks = must(replay_peaks(schedule, "torch")).value();
  const double replay = cpu_seconds() - begin;
  fmt::print("schedule     {} blocks, {:.1f} GiB reserved\n", schedule.blocks.size(),
             static_cast<double>(peaks.reserved) / static_cast<double>(1024 * kMiB));
  fmt::print("one replay   {:.3f} s, {:.1f} M events/s with putting them in order\n", replay,
             2e-6 * static_cast<double>(schedule.blocks.size()) / replay);
  begin = cpu_seconds();
  const AdviceList list = must(advise(schedule, peaks.reserved * 3 / 4));
  const double seconds = cpu_seconds() - begin;
  fmt::print("advise       {:.2f} s for {} choices (target: 10 s)\n", seconds, list.choices.size());
  return 0;
}
