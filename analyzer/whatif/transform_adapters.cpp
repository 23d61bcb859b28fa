// Weights beside or in place of weights: adapters of low rank, factored weights, fewer bits, masks.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

constexpr int64_t kMoment = Schedule::kStride / 8;

ScheduledBlock lasting(uint64_t bytes, int64_t begin, Category category, uint32_t step = 0) {
  ScheduledBlock block;
  block.bytes = bytes;
  block.begin = begin;
  block.category = category;
  block.iteration = step;
  block.phase = step == 0 ? Phase::kSetup : Phase::kOptimizer;
  return block;
}

uint64_t bytes_of(const Schedule& schedule, double elements) {
  return static_cast<uint64_t>(std::ceil(elements * schedule.float_bytes));
}

Result<std::vector<WeightProduct>> need_products(const Schedule& schedule, const char* what) {
  if (auto known = need_work(schedule, what); !known) return tl::unexpected(known.error());
  auto products = products_of(schedule);
  if (products.empty()) {
    return fail(std::string(what) +
                ": no matrix products with weights within layers that repeat were recorded");
  }
  return products;
}

// Where the product's node of backward runs: it first asks for what came in, or for its weight.
int64_t backward_of(const WeightProduct& product, const std::vector<Uses>& uses) {
  return uses[product.input].first_backward;
}

// No matrix has a higher rank than rows or columns.
Result<void> need_rank(const std::vector<WeightProduct>& products, uint32_t rank,
                       const char* option) {
  double most = 0;
  for (const WeightProduct& product : products) {
    most = std::max(most, std::min(product.inputs, product.outputs));
  }
  if (rank <= std::round(most)) return {};
  return fail(fmt::format("{} {}: none of the layers' weights has more than {:.0f} rows or columns",
                          option, rank, most));
}

// Each weight once, with its first product.
std::vector<WeightProduct> weights_of(const std::vector<WeightProduct>& products) {
  std::vector<WeightProduct> result;
  std::set<uint32_t> seen;
  for (const WeightProduct& product : products) {
    if (seen.insert(product.weight).second) result.push_back(product);
  }
  return result;
}

// Gradients, optimizer states and scratch of all parameters.
void drop_all_state(Schedule& schedule, Changes& changes) {
  const auto makes_gradient = [&](const DeviceWork& work) {
    const auto blocks = schedule.blocks_of(work);
    return work.phase == Phase::kOptimizer ||
           (work.phase == Phase::kBackward && std::ranges::any_of(blocks, [&](uint32_t i) {
              return schedule.blocks[i].category == Category::kGradient;
            }));
  };
  spare(schedule, makes_gradient, 1, changes);
  for (ScheduledBlock& block : schedule.blocks) {
    block.trained = false;
    const bool state = block.category == Category::kOptimizerState ||
                       block.category == Category::kGradient ||
                       (block.phase == Phase::kOptimizer && block.iteration > 0);
    if (state) drop(block);
  }
}

// An adapter's two matrices with all that training them takes.
void add_trained(const Schedule& schedule, double elements, double states,
                 const std::vector<std::pair<uint32_t, int64_t>>& gradients,
                 std::vector<ScheduledBlock>& added) {
  const uint64_t bytes = bytes_of(schedule, elements);
  added.push_back(lasting(bytes, 0, Category::kParameter));
  added.back().trained = true;
  if (states > 0) {
    added.push_back(lasting(scaled(bytes, states), schedule.iterations.front().optimizer,
                            Category::kOptimizerState, 1));
  }
  for (const auto& [step, at] : gradients) {
    ScheduledBlock gradient = lasting(bytes, at, Category::kGradient, step);
    gradient.phase = Phase::kBackward;
    gradient.end = schedule.iterations[step - 1].end - 1;
    added.push_back(gradient);
  }
}

// What backward makes only to sum it up to a parameter's gradient: a norm's weight has one product
// for each row.
std::vector<bool> parts_of_gradients(const Schedule& schedule) {
  const size_t count = schedule.blocks.size();
  std::vector<bool> made(count);    // some work had it
  std::vector<bool> summed(count);  // some work made a gradient of it
  std::vector<bool> others(count);  // some work did something else with it
  for (const DeviceWork& work : schedule.work) {
    const auto blocks = schedule.blocks_of(work);
    const bool gradient = std::ranges::any_of(
        blocks, [&](uint32_t i) { return schedule.blocks[i].category == Category::kGradient; });
    for (const uint32_t i : blocks) {
      if (made[i]) (gradient ? summed : others)[i] = true;
      made[i] = true;
    }
  }
  std::vector<bool> parts(count);
  for (uint32_t i = 0; i < count; ++i) {
    const ScheduledBlock& block = schedule.blocks[i];
    parts[i] = block.phase == Phase::kBackward && block.category == Category::kTemporary &&
               summed[i] && !others[i];
  }
  return parts;
}

// What only frozen weights' gradients needed is not kept: inputs of products without adapters, of
// norms.
void free_unneeded(Schedule& schedule, const std::vector<WeightProduct>& adapted,
                   const std::vector<Uses>& uses) {
  std::set<uint32_t> needed;
  for (const WeightProduct& product : adapted) needed.insert(product.input);
  const auto parts = parts_of_gradients(schedule);
  std::vector<bool> other(schedule.blocks.size());
  for (const DeviceWork& work : schedule.work) {
    if (work.phase != Phase::kBackward) continue;
    const auto blocks = schedule.blocks_of(work);
    const bool gradient = std::ranges::any_of(blocks, [&](uint32_t i) {
      return parts[i] || schedule.blocks[i].category == Category::kGradient;
    });
    if (gradient) continue;
    for (const uint32_t i : blocks) other[i] = true;
  }
  for (uint32_t i = 0; i < uses.size(); ++i) {
    ScheduledBlock& block = schedule.blocks[i];
    if (parts[i]) drop(block);
    if (!block.saved || other[i] || needed.contains(i)) continue;
    block.end = std::min(block.end, std::max(uses[i].last_forward, block.begin) + 2);
    block.saved = false;
  }
}

}  // namespace

Result<void> low_rank_adapters(Schedule& schedule, uint32_t rank, Changes& changes) {
  const auto products = need_products(schedule, "--lora");
  if (!products) return tl::unexpected(products.error());
  if (auto fits = need_rank(*products, rank, "--lora"); !fits) return fits;
  const auto uses = uses_of(schedule);
  const double states = TrainedParameters(schedule).state_ratio();
  std::map<uint32_t, std::vector<std::pair<uint32_t, int64_t>>> gradients;  // of each weight
  std::vector<ScheduledBlock> added;
  for (const WeightProduct& product : *products) {
    const ScheduledBlock output = schedule.blocks[product.output];
    const uint64_t down =
        scaled(output.bytes, static_cast<double>(rank) / std::max(product.outputs, 1.0));
    const int64_t back = backward_of(product, uses);
    const bool returns = back != ScheduledBlock::kForever;
    if (returns) gradients[product.weight].emplace_back(output.iteration, back - kMoment);
    // x @ A is kept; (x @ A) @ B and its multiple are there for a moment, before their sum with
    // what the frozen weight gives becomes the output.
    ScheduledBlock kept = beside(output, down, output.begin + 1, returns ? back + 1 : output.end);
    kept.category = Category::kActivation;
    added.push_back(kept);
    added.push_back(beside(output, output.bytes, output.begin + 2, output.begin + 5));
    added.push_back(beside(output, output.bytes, output.begin + 4, output.begin + 7));
    if (!returns) continue;
    const ScheduledBlock& input = schedule.blocks[product.input];
    added.push_back(beside(output, output.bytes, back - 3, back - 1));
    added.push_back(beside(output, down, back - 2, back - 1));
    added.push_back(beside(output, input.bytes, back - 1, back + 2));
  }
  free_unneeded(schedule, *products, uses);
  drop_all_state(schedule, changes);
  double elements = 0;
  const auto weights = weights_of(*products);
  for (const WeightProduct& weight : weights) {
    const double both = rank * (weight.inputs + weight.outputs);
    elements += both;
    add_trained(schedule, both, states, gradients[weight.weight], added);
  }
  schedule.blocks.insert(schedule.blocks.end(), added.begin(), added.end());
  changes.assumptions.push_back(
      fmt::format("adapters of rank {} beside {} weights of the layers: {:.2f} M elements are "
                  "trained, all else "
                  "is frozen",
                  rank, weights.size(), elements / 1e6));
  changes.unknown.emplace_back("the time of the adapters' own small products");
  return {};
}

Result<void> factor_weights(Schedule& schedule, uint32_t rank, Changes& changes) {
  const auto products = need_products(schedule, "--low-rank");
  if (!products) return tl::unexpected(products.error());
  if (auto fits = need_rank(*products, rank, "--low-rank"); !fits) return fits;
  const auto uses = uses_of(schedule);
  const TrainedParameters trained(schedule);
  std::vector<ScheduledBlock> added;
  for (const WeightProduct& product : *products) {
    const ScheduledBlock output = schedule.blocks[product.output];
    const uint64_t between =
        scaled(output.bytes, static_cast<double>(rank) / std::max(product.outputs, 1.0));
    const int64_t back = backward_of(product, uses);
    const bool returns = back != ScheduledBlock::kForever;
    ScheduledBlock kept =
        beside(output, between, output.begin - 1, returns ? back + 1 : output.end);
    kept.category = Category::kActivation;
    added.push_back(kept);
    if (returns) added.push_back(beside(output, between, back - 2, back + 1));
  }
  const auto weights = weights_of(*products);
  double before = 0;
  double after = 0;
  for (const WeightProduct& weight : weights) {
    const double share = rank * (weight.inputs + weight.outputs) / (weight.inputs * weight.outputs);
    ScheduledBlock& block = schedule.blocks[weight.weight];
    before += static_cast<double>(block.bytes);
    after += static_cast<double>(block.bytes) * share;
    for (const uint32_t kept : trained.kept_for(weight.weight)) {
      schedule.blocks[kept].bytes = scaled(schedule.blocks[kept].bytes, share);
    }
    block.bytes = scaled(block.bytes, share);
  }
  schedule.blocks.insert(schedule.blocks.end(), added.begin(), added.end());
  changes.assumptions.push_back(
      fmt::format("{} weights of the layers as products of two of rank {}: {:.0f} % of their bytes",
                  weights.size(), rank, 100 * after / before));
  changes.unknown.emplace_back("the time of two thin products in place of one");
  return {};
}

Result<void> quantize_weights(Schedule& schedule, const WeightBits& how, Changes& changes) {
  const auto products = need_products(schedule, "--quantize weights");
  if (!products) return tl::unexpected(products.error());
  const auto uses = uses_of(schedule);
  std::vector<ScheduledBlock> added;
  for (const WeightProduct& product : *products) {
    const ScheduledBlock& output = schedule.blocks[product.output];
    const uint64_t whole = schedule.blocks[product.weight].bytes;
    // For each product the weight is made float again: the codes, and the codes times the scales.
    const auto make_float = [&](int64_t at, int64_t until) {
      added.push_back(beside(output, whole, at - 3, at - 1));
      added.back().law = BatchLaw::kFixed;
      added.push_back(beside(output, whole, at - 2, until));
      added.back().law = BatchLaw::kFixed;
    };
    make_float(output.begin, output.begin + 1);
    const int64_t back = backward_of(product, uses);
    if (back != ScheduledBlock::kForever) make_float(back, back + 1);
  }
  const TrainedParameters trained(schedule);
  std::set<uint32_t> quantized;
  uint64_t saved = 0;
  for (const WeightProduct& weight : weights_of(*products)) {
    ScheduledBlock& block = schedule.blocks[weight.weight];
    for (const uint32_t kept : trained.kept_for(weight.weight)) drop(schedule.blocks[kept]);
    const double elements = static_cast<double>(block.bytes) / schedule.float_bytes;
    const auto bytes =
        static_cast<uint64_t>(std::ceil(elements * how.bits / 8)) +
        static_cast<uint64_t>(std::ceil(elements / how.group)) * schedule.float_bytes;
    saved += block.bytes - std::min(bytes, block.bytes);
    block.bytes = bytes;
    block.trained = false;
    quantized.insert(weight.weight);
  }
  schedule.blocks.insert(schedule.blocks.end(), added.begin(), added.end());
  changes.assumptions.push_back(fmt::format(
      "{} weights of the layers are frozen and held in {} bits with a scale for each {} elements "
      "({:.1f} MiB less), made float for each product and again in backward",
      quantized.size(), how.bits, how.group, static_cast<double>(saved) / (1 << 20)));
  changes.unknown.emplace_back("the time of making the weights float");
  return {};
}

Result<void> mask_weights(Schedule& schedule, double share, Changes& changes) {
  const auto products = need_products(schedule, "--prune");
  if (!products) return tl::unexpected(products.error());
  if (share <= 0 || share >= 1) return fail("--prune takes a share between 0 and 1, as 0.5");
  std::vector<ScheduledBlock> added;
  for (const WeightProduct& weight : weights_of(*products)) {
    const uint64_t bytes = schedule.blocks[weight.weight].bytes;
    added.push_back(lasting(bytes, 1, Category::kParameter));  // the mask
    added.push_back(lasting(bytes, 1, Category::kParameter));  // the masked weight
  }
  for (const WeightProduct& product : *products) {
    const ScheduledBlock& output = schedule.blocks[product.output];
    // Each forward makes the masked weight anew before it lets go of the one before.
    added.push_back(
        beside(output, schedule.blocks[product.weight].bytes, output.begin - 2, output.begin - 1));
    added.back().law = BatchLaw::kFixed;
  }
  schedule.blocks.insert(schedule.blocks.end(), added.begin(), added.end());
  changes.assumptions.push_back(fmt::format(
      "{:.0f} % of each weight masked as torch.nn.utils.prune does: a mask and a masked weight "
      "beside each; zeros are stored, so nothing is saved. --prune {}:structured removes them",
      100 * share, share));
  return {};
}

Result<void> prune_widths(Schedule& schedule, double share, Changes& changes) {
  const auto products = need_products(schedule, "--prune");
  if (!products) return tl::unexpected(products.error());
  if (share <= 0 || share >= 1) return fail("--prune takes a share between 0 and 1, as 0.5");
  // The widest that goes through a layer is its inner width.
  double widest = 0;
  for (const WeightProduct& product : *products) widest = std::max(widest, product.outputs);
  const auto is_widest = [&](double width) { return width > 0.97 * widest; };
  double inner = 0;
  for (const WeightProduct& product : *products) {
    // Where another product takes what comes out: queries, keys and values in one do not count.
    if (is_widest(product.inputs)) inner = std::max(inner, product.inputs);
  }
  if (inner == 0) return fail("--prune …:structured: no inner width that goes in and comes out");
  const double kept = 1 - share;
  const TrainedParameters trained(schedule);
  std::set<std::pair<uint32_t, uint64_t>> sizes;  // of a layer's blocks as wide as that
  for (const WeightProduct& product : *products) {
    const ScheduledBlock& out = schedule.blocks[product.output];
    const ScheduledBlock& in = schedule.blocks[product.input];
    if (is_widest(product.outputs)) sizes.insert({out.iteration, out.bytes});
    if (is_widest(product.inputs)) sizes.insert({in.iteration, in.bytes});
  }
  size_t count = 0;
  for (const WeightProduct& weight : weights_of(*products)) {
    if (!is_widest(weight.outputs) && !is_widest(weight.inputs)) continue;
    ++count;
    for (const uint32_t i : trained.kept_for(weight.weight)) {
      schedule.blocks[i].bytes = scaled(schedule.blocks[i].bytes, kept);
    }
    schedule.blocks[weight.weight].bytes = scaled(schedule.blocks[weight.weight].bytes, kept);
  }
  for (ScheduledBlock& block : schedule.blocks) {
    const bool of_step = block.phase == Phase::kForward || block.phase == Phase::kBackward;
    const bool mask = block.element == ElementKind::kOther;
    if (of_step && !mask && block.category != Category::kGradient &&
        block.category != Category::kParameter && sizes.contains({block.iteration, block.bytes})) {
      block.bytes = scaled(block.bytes, kept);
    }
  }
  changes.assumptions.push_back(fmt::format(
      "{:.0f} % of the layers' inner width ({:.0f}) is removed: {} weights and what is as wide as "
      "that between them",
      100 * share, inner, count));
  changes.unknown.emplace_back("how much faster narrower products are");
  return {};
}

}  // namespace tidemark::analyzer
