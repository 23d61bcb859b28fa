#include "block_facts.h"

#include <algorithm>
#include <array>

#include "lifetimes.h"
#include "tidemark/analyzer/stack_view.h"

namespace tidemark::analyzer {
namespace {

using trace::AllocationId;

// What a program without a framework calls its things. The innermost telling name counts.
std::optional<Category> named_by(std::span<const trace::Frame> frames) {
  struct Word {
    std::string_view text;
    Category category;
  };
  constexpr std::array<Word, 10> words = {{{"gradient", Category::kGradient},
                                           {"Gradient", Category::kGradient},
                                           {"Adam", Category::kOptimizerState},
                                           {"Optimizer", Category::kOptimizerState},
                                           {"optimizer", Category::kOptimizerState},
                                           {"arameter", Category::kParameter},
                                           {"Weight", Category::kParameter},
                                           {"weight", Category::kParameter},
                                           {"Dataset", Category::kInput},
                                           {"dataset", Category::kInput}}};
  for (const trace::Frame& frame : frames) {
    if (role_of(frame) != FrameRole::kUser) continue;
    const std::string_view name =
        std::string_view(frame.function).substr(0, frame.function.find('('));
    for (const Word& word : words) {
      if (name.find(word.text) != std::string_view::npos) return word.category;
    }
  }
  return std::nullopt;
}

void note_copies(const trace::Reader& reader, const Structure& structure, BlockFactsTable& table,
                 Result<void>& read) {
  read = reader.transfers([&](std::span<const trace::Transfer> batch) {
    for (const trace::Transfer& row : batch) {
      if (BlockFacts* from = table.find(row.src_allocation)) {
        ++from->copied_from;
        from->first_use_ns = std::min(from->first_use_ns, row.start_ns);
      }
      BlockFacts* to = table.find(row.dst_allocation);
      if (to == nullptr) continue;
      ++to->copied_to;
      if (row.start_ns < to->first_use_ns) {
        to->first_use_ns = row.start_ns;
        to->copied_first = row.kind == trace::TransferKind::kHtoD;
      }
      const int32_t iteration = structure.iteration_at(row.start_ns);
      if (row.kind == trace::TransferKind::kHtoD && iteration >= 0 &&
          iteration != to->last_copied) {
        to->last_copied = iteration;
        ++to->inputs_copied;
      }
    }
  });
}

struct KernelFact {
  int64_t id;
  bool in_loop;
  int64_t start_ns;
  Phase phase;
};

Result<std::vector<KernelFact>> kernel_facts(const trace::Reader& reader,
                                             const Structure& structure, RoleCache& roles) {
  std::vector<KernelFact> kernels;
  auto read = reader.kernels([&](std::span<const trace::Kernel> batch) {
    for (const trace::Kernel& row : batch) {
      const auto hint = roles.role(row.stack).phase;
      kernels.push_back({row.id, structure.iteration_at(row.start_ns) >= 0, row.start_ns,
                         hint ? *hint : structure.phase_at(row.start_ns)});
    }
  });
  if (!read) return tl::unexpected(read.error());
  return kernels;
}

Result<void> note_accesses(const trace::Reader& reader, const Structure& structure,
                           RoleCache& roles, BlockFactsTable& table) {
  const auto kernels = kernel_facts(reader, structure, roles);
  if (!kernels) return tl::unexpected(kernels.error());
  size_t at = 0;
  return reader.accesses({}, [&](std::span<const trace::Access> batch) {
    for (const trace::Access& row : batch) {
      while (at < kernels->size() && (*kernels)[at].id < row.kernel) ++at;
      if (at == kernels->size()) return;
      table.accesses_known = true;
      BlockFacts* block = table.find(row.allocation);
      if (block == nullptr || (*kernels)[at].id != row.kernel) continue;
      const KernelFact& kernel = (*kernels)[at];
      if (kernel.in_loop || structure.iterations.empty()) {
        block->phases_used |= static_cast<uint8_t>(1U << static_cast<unsigned>(kernel.phase));
      }
      block->used_by_kernel = true;
      if (kernel.start_ns < block->first_use_ns) {
        block->first_use_ns = kernel.start_ns;
        block->copied_first = false;
      }
    }
  });
}

}  // namespace

BlockFacts* BlockFactsTable::find(AllocationId id) {
  const auto found = std::lower_bound(
      blocks.begin(), blocks.end(), id,
      [](const BlockFacts& block, AllocationId wanted) { return block.id < wanted; });
  return found != blocks.end() && found->id == id ? &*found : nullptr;
}

Result<BlockFactsTable> BlockFactsTable::build(const trace::Reader& reader,
                                               const Structure& structure, const Series& series,
                                               const trace::AllocationFilter& filter,
                                               RoleCache& roles) {
  BlockFactsTable table;
  const Lifetimes lifetimes(reader);
  std::unordered_map<int64_t, std::optional<Category>> names;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      BlockFacts block;
      block.id = row.id;
      block.alloc_ns = row.alloc_ns;
      block.end_ns = lifetimes.end_ns(row);
      block.size = row.size;
      block.role = &roles.role(row.alloc_stack);
      block.code = row.layer == trace::Layer::kDriver && reader.text(row.api) == "cuda module";
      const auto [found, fresh] = names.try_emplace(static_cast<int64_t>(row.alloc_stack));
      if (fresh && roles.looks_at(row.alloc_stack)) {
        found->second = named_by(reader.frames(row.alloc_stack));
      }
      block.named = found->second;
      table.blocks.push_back(block);
    }
  });
  if (!read) return tl::unexpected(read.error());
  const bool on_device =
      series.layer == trace::Layer::kDriver || series.layer == trace::Layer::kPool;
  if (!on_device) return table;
  note_copies(reader, structure, table, read);
  if (read) read = note_accesses(reader, structure, roles, table);
  if (!read) return tl::unexpected(read.error());
  return table;
}

}  // namespace tidemark::analyzer
