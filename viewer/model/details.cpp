#include "tidemark/viewer/details.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "lifetime_ends.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

BlockLink link_of(const trace::Reader& reader, const trace::Allocation& row,
                  const Insight* insight) {
  BlockLink link{row.id,       series_of(row), row.address,
                 row.size,     row.alloc_ns,   LifetimeEnds(reader).end_ns(row),
                 std::string()};
  const analyzer::CategoryBlock* block = insight == nullptr ? nullptr : insight->block(row.id);
  link.what = block != nullptr && block->category != analyzer::Category::kUnknown
                  ? category_text(block->category)
                  : analyzer::printable(reader.text(row.api));
  return link;
}

std::string thread_text(const trace::Reader& reader, trace::ThreadId id) {
  for (const trace::Thread& thread : reader.threads()) {
    if (thread.id != id) continue;
    return fmt::format("{} ({})", analyzer::printable(thread.name), thread.tid);
  }
  return {};
}

std::shared_ptr<const StackText> stack_text(std::span<const trace::Frame> frames) {
  StackText text{{}, {frames.begin(), frames.end()}};
  for (trace::Frame& frame : text.frames) {  // untrusted
    frame.function = analyzer::printable(frame.function);
    frame.file = analyzer::printable(frame.file);
    frame.module = analyzer::printable(frame.module);
  }
  text.caption = stack_caption(text.frames);
  return std::make_shared<const StackText>(std::move(text));
}

void add_place(const Insight& insight, BlockDetails* details) {
  for (const analyzer::SeriesBlocks& series : insight.blocks) {
    const analyzer::CategoryBlock* block = series.find(details->block.id);
    if (block == nullptr) continue;
    details->category = fmt::format("{} ({})", category_text(block->category),
                                    analyzer::to_string(block->sureness));
    details->phase = analyzer::to_string(block->place.phase);
    if (block->place.iteration >= 0) {
      details->phase += fmt::format(" of iteration {}", block->place.iteration + 1);
    }
    const auto layer = static_cast<size_t>(block->place.layer);
    if (block->place.layer >= 0 && layer < series.layers.size()) {
      details->layer = analyzer::printable(series.layers[layer].path);
    }
    return;
  }
}

// Of what PyTorch's backward pass asked for: the operation of forward that it belongs to.
void add_forward(const trace::Reader& reader, const Insight& insight, BlockDetails* details) {
  for (const analyzer::SeriesBlocks& series : insight.blocks) {
    const analyzer::BackwardOrigin* origin = series.backward.find(details->block.id);
    if (origin == nullptr) continue;
    const auto node = static_cast<size_t>(origin->node);
    details->node = fmt::format(
        "{} ({}, by {})",
        origin->node < 0 ? "autograd" : analyzer::printable(series.backward.nodes[node]),
        analyzer::to_string(origin->sureness()), analyzer::to_string(origin->evidence));
    details->forward_at = stack_text(origin->frames(reader));
    return;
  }
}

// One name for all uses of a kind, and for all kernels of a name.
class UseNames {
 public:
  UseNames(const trace::Reader& reader, BlockDetails* details)
      : reader_(reader), details_(details) {}

  // One pass over all kernels, where there are any among the uses.
  Result<void> fill() {
    std::unordered_map<int64_t, size_t> kernels;  // to the first use by it
    for (size_t i = 0; i < details_->uses.size(); ++i) {
      BlockUse& use = details_->uses[i];
      if (use.use.kind == analyzer::UseKind::kKernel) kernels.emplace(use.use.id, i);
      use.name = number(use_word(use.use.kind));
    }
    if (kernels.empty()) return {};
    std::unordered_map<trace::StringId, size_t> known;
    return reader_.kernels([&](std::span<const trace::Kernel> batch) {
      for (const trace::Kernel& kernel : batch) {
        const auto found = kernels.find(kernel.id);
        if (found == kernels.end()) continue;
        const auto [name, fresh] = known.try_emplace(kernel.name, 0);
        if (fresh) {
          name->second = number(short_function(analyzer::printable(reader_.text(kernel.name))));
        }
        details_->uses[found->second].name = name->second;
      }
    });
  }

 private:
  size_t number(const std::string& name) {
    const auto [place, fresh] = numbers_.try_emplace(name, details_->names.size());
    if (fresh) details_->names.push_back(name);
    return place->second;
  }

  const trace::Reader& reader_;
  BlockDetails* details_;
  std::unordered_map<std::string, size_t> numbers_;
};

Result<void> add_uses(const trace::Reader& reader, const analyzer::UseIndex& index,
                      BlockDetails* details) {
  details->use_count = index.count(details->block.id);
  // Without accesses a block that has no use is one of which nothing is known.
  details->uses_known = details->use_count > 0 || reader.meta("cuda.access") == "recording";
  for (size_t i = 0; i < details->use_count; ++i) {
    if (i >= kMostUses / 2 && i + kMostUses / 2 < details->use_count) continue;
    details->uses.push_back({index.use(details->block.id, i), 0});
  }
  return UseNames(reader, details).fill();
}

Result<BlockDetails> block_details(const trace::Reader& reader, const Insight* insight,
                                   const Choice& choice) {
  trace::AllocationFilter filter = filter_for(choice.block_series);
  filter.begin_ns = choice.block_ns;
  filter.end_ns = choice.block_ns < trace::kNever ? choice.block_ns + 1 : choice.block_ns;
  std::vector<trace::Allocation> live;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    live.insert(live.end(), batch.begin(), batch.end());
  });
  if (!read) return tl::unexpected(read.error());
  const auto found = std::find_if(live.begin(), live.end(), [&](const trace::Allocation& row) {
    return row.id == choice.block;
  });
  if (found == live.end()) {
    return fail(fmt::format("block {} does not live at that time: click it again",
                            static_cast<int64_t>(choice.block)));
  }
  const trace::Allocation row = *found;
  BlockDetails details;
  details.block = link_of(reader, row, insight);
  details.api = analyzer::printable(reader.text(row.api));
  details.source = analyzer::printable(reader.text(row.source));
  details.thread = thread_text(reader, row.thread);
  details.allocated_at = read_stack(reader, row.alloc_stack);
  if (row.free_ns != trace::kNever) details.freed_at = read_stack(reader, row.free_stack);
  for (const trace::Allocation& other : live) {
    if (other.process != row.process) continue;
    if (other.address < row.address && (!details.below || other.address > details.below->address)) {
      details.below = link_of(reader, other, insight);
    }
    if (other.address > row.address && (!details.above || other.address < details.above->address)) {
      details.above = link_of(reader, other, insight);
    }
  }
  if (insight != nullptr) {
    add_place(*insight, &details);
    add_forward(reader, *insight, &details);
    if (insight->uses) read = add_uses(reader, *insight->uses, &details);
  }
  if (!read) return tl::unexpected(read.error());
  return details;
}

template <class Row>
void take_operation(const trace::Reader& reader, const Row& row, OperationDetails* details,
                    std::unordered_set<int64_t>* blocks) {
  details->start_ns = row.start_ns;
  details->end_ns = row.end_ns;
  details->stack = read_stack(reader, row.stack);
  const auto add = [&](trace::AllocationId id) {
    if (id != trace::AllocationId{}) blocks->insert(static_cast<int64_t>(id));
  };
  if constexpr (requires { row.src_allocation; }) {
    add(row.src_allocation);
    add(row.dst_allocation);
    details->blocks_known = true;
  } else if constexpr (requires { row.allocation; }) {
    add(row.allocation);
    details->blocks_known = true;
  }
}

Result<OperationDetails> operation_details(const trace::Reader& reader, const Activity* activity,
                                           const Insight* insight, const Choice& choice) {
  OperationDetails details;
  details.kind = choice.operation_kind;
  details.id = choice.operation;
  std::unordered_set<int64_t> blocks;
  const auto visit = [&](const auto& batch) {
    for (const auto& row : batch) {
      if (row.id == choice.operation) take_operation(reader, row, &details, &blocks);
    }
  };
  Result<void> read;
  if (choice.operation_kind == SliceKind::kKernel) {
    read = reader.kernels(visit);
    trace::AccessFilter filter;
    filter.first_kernel = choice.operation;
    filter.last_kernel = choice.operation;
    if (read) {
      read = reader.accesses(filter, [&](std::span<const trace::Access> batch) {
        for (const trace::Access& access : batch) {
          blocks.insert(static_cast<int64_t>(access.allocation));
        }
      });
    }
    details.blocks_known = !blocks.empty() || reader.meta("cuda.access") == "recording";
  } else if (choice.operation_kind == SliceKind::kSet) {
    read = reader.memsets(visit);
  } else {
    read = reader.transfers(visit);
  }
  if (!read) return tl::unexpected(read.error());
  if (activity != nullptr) {
    for (const StreamTrack& stream : activity->streams) {
      const size_t at = stream.lane.at(choice.operation_ns);
      if (at == SliceLane::npos) continue;
      const Slice& slice = stream.lane.slices()[at];
      if (slice.id == details.id && slice.kind == details.kind) {
        details.name = activity->text(slice);
      }
    }
  }
  if (blocks.empty()) return details;
  // What it worked on lived when it ran, or at least when it was launched: look at both ends.
  trace::AllocationFilter filter;
  filter.begin_ns = INT64_MIN;
  filter.end_ns = std::max(details.start_ns, details.start_ns + 1);
  read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (blocks.contains(static_cast<int64_t>(row.id))) {
        details.blocks.push_back(link_of(reader, row, insight));
      }
    }
  });
  if (!read) return tl::unexpected(read.error());
  std::stable_sort(details.blocks.begin(), details.blocks.end(),
                   [](const BlockLink& a, const BlockLink& b) { return a.bytes > b.bytes; });
  return details;
}

}  // namespace

const char* use_word(analyzer::UseKind kind) {
  switch (kind) {
    case analyzer::UseKind::kKernel:
      return "kernel";
    case analyzer::UseKind::kCopyFrom:
      return "copied from";
    case analyzer::UseKind::kCopyTo:
      return "copied to";
    case analyzer::UseKind::kSet:
      return "set";
  }
  return "?";
}

std::shared_ptr<const StackText> read_stack(const trace::Reader& reader, trace::StackId stack) {
  return stack_text(reader.frames(stack));
}

Result<RangeDetails> range_details(const trace::Reader& reader, const Document& document,
                                   const analyzer::Series& series, TimeRange range) {
  RangeDetails details;
  details.series = series;
  details.range = range;
  if (const Track* track = document.find(series)) {
    details.before_bytes = track->pyramid.value_at(range.begin_ns);
    details.after_bytes = track->pyramid.value_at(range.end_ns);
    details.peak_bytes = track->pyramid.over(range.begin_ns, range.end_ns + 1).max;
  }
  const LifetimeEnds ends(reader);
  std::unordered_map<trace::StackId, RangeRow> groups;
  trace::AllocationFilter filter = filter_for(series);
  // Born in (begin, end], died in (begin, end]: then growth is exactly after minus before.
  filter.begin_ns = range.begin_ns;
  filter.end_ns = range.end_ns < trace::kNever ? range.end_ns + 1 : range.end_ns;
  const auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      const int64_t end = ends.end_ns(row);
      if (end <= row.alloc_ns) continue;
      const bool born = row.alloc_ns > range.begin_ns && row.alloc_ns <= range.end_ns;
      const bool died = end > range.begin_ns && end <= range.end_ns;
      if (!born && !died) continue;
      RangeRow& group = groups[row.alloc_stack];
      for (RangeRow* sum : {&group, &details.all}) {
        sum->born_bytes += born ? row.size : 0;
        sum->born_count += born ? 1 : 0;
        sum->died_bytes += died ? row.size : 0;
        sum->died_count += died ? 1 : 0;
        sum->short_lived += born && died ? 1 : 0;
        sum->kept_bytes += born && !died ? row.size : 0;
        sum->kept_count += born && !died ? 1 : 0;
        const bool leaked = born && row.free_ns == trace::kNever;
        sum->leaked_bytes += leaked ? row.size : 0;
        sum->leaked_count += leaked ? 1 : 0;
      }
    }
  });
  if (!read) return tl::unexpected(read.error());
  for (auto& [stack, row] : groups) {
    row.caption = read_stack(reader, stack)->caption;
    details.rows.push_back(std::move(row));
  }
  std::sort(details.rows.begin(), details.rows.end(), [](const RangeRow& a, const RangeRow& b) {
    return a.growth() != b.growth() ? a.growth() > b.growth() : a.born_bytes > b.born_bytes;
  });
  return details;
}

Details find_details(const trace::Reader& reader, const Document& document,
                     const Activity* activity, const Insight* insight,
                     const DetailsQuestion& question) {
  const auto either = [](auto result) -> Details {
    if (!result) return result.error();
    return std::move(*result);
  };
  if (question.range) {
    return either(range_details(reader, document, question.series, *question.range));
  }
  if (question.choice.block != trace::AllocationId{}) {
    return either(block_details(reader, insight, question.choice));
  }
  if (question.choice.operation != 0) {
    return either(operation_details(reader, activity, insight, question.choice));
  }
  return {};
}

}  // namespace tidemark::viewer
