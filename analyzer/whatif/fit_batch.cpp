// Two traces of one program with different batches say of each allocation what a batch costs.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "tidemark/analyzer/transforms.h"

namespace tidemark::analyzer {
namespace {

// The n-th allocation of an operator from one place of the model in a step. Stacks are numbered
// anew in each trace; operators' names and the hashes of the lines that call modules are not.
using Key = std::tuple<uint32_t, Phase, std::string, uint64_t, uint32_t>;

class Numbered {
 public:
  explicit Numbered(const Schedule& schedule) : schedule_(schedule) {}
  Key next(const ScheduledBlock& block) {
    uint64_t place = 0;
    for (const ForwardCall& call : schedule_.calls[block.stack]) {
      place = place * 1099511628211U + call.call_site;
    }
    Key key{block.iteration, block.phase, schedule_.operations[block.operation], place, 0};
    std::get<4>(key) = counts_[key]++;
    return key;
  }

 private:
  const Schedule& schedule_;
  std::map<Key, uint32_t> counts_;
};

}  // namespace

Result<BatchFit> fit_batch(Schedule& schedule, const Schedule& other, double ratio) {
  if (ratio <= 0 || ratio == 1) {
    return fail("--second needs a trace with another batch than the first");
  }
  if (schedule.iterations.empty() || other.iterations.empty()) {
    return fail("--second: both traces must show training steps");
  }
  std::map<Key, uint64_t> known;
  Numbered numbered_other(other);
  for (const ScheduledBlock& block : other.blocks) {
    if (block.iteration != 0) known.emplace(numbered_other.next(block), block.bytes);
  }
  BatchFit fit;
  Numbered numbered(schedule);
  for (ScheduledBlock& block : schedule.blocks) {
    if (block.iteration == 0 || block.iteration > other.iterations.size()) continue;
    const auto found = known.find(numbered.next(block));
    if (found == known.end()) {
      ++fit.unmatched;
      continue;
    }
    ++fit.fitted;
    // bytes = fixed + each * batch, the first trace's batch being 1.
    const double one = static_cast<double>(block.bytes);
    const double each = (static_cast<double>(found->second) - one) / (ratio - 1);
    constexpr double kRounding = 512;  // of both
    if (std::abs(each) <= kRounding / std::abs(ratio - 1)) {
      block.law = BatchLaw::kFixed;
      continue;
    }
    block.law = BatchLaw::kPerSample;
    block.fixed_bytes = static_cast<uint64_t>(std::clamp(one - each, 0.0, one));
    if (each > one * (1 + 1e-3) || each < 0) ++fit.not_linear;
  }
  if (fit.fitted == 0) return fail("--second: no allocation of the traces' steps is the same call");
  return fit;
}

}  // namespace tidemark::analyzer
