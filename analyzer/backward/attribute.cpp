#include <algorithm>

#include "matcher.h"
#include "tidemark/analyzer/backward.h"

namespace tidemark::analyzer {
namespace {

size_t explained(const std::vector<Match>& matches) {
  return static_cast<size_t>(std::count_if(matches.begin(), matches.end(),
                                           [](const Match& match) { return match.found(); }));
}

// How many of the innermost frames of `earlier` two stacks do not share, but for the function that
// both are in: `earlier` had been called from a line of it, `later` from the same or a later one.
uint32_t unshared(std::span<const trace::Frame> earlier, std::span<const trace::Frame> later) {
  const auto python = [](const trace::Frame& frame) {
    return frame.kind == trace::FrameKind::kPython;
  };
  auto a = earlier.rbegin();
  auto b = later.rbegin();
  auto last_shared = earlier.rend();
  for (;; ++a, ++b) {
    a = std::find_if(a, earlier.rend(), python);
    b = std::find_if(b, later.rend(), python);
    if (a == earlier.rend() || b == later.rend()) break;
    if (a->function != b->function || a->file != b->file) break;
    last_shared = a;
    if (a->line != b->line) break;
  }
  return last_shared == earlier.rend() ? 0
                                       : static_cast<uint32_t>(earlier.rend() - last_shared - 1);
}

class Attribution {
 public:
  Attribution(const trace::Reader& reader, const Passes& passes, HostOperations& host,
              BackwardOrigins& result)
      : reader_(reader), passes_(passes), matcher_(passes, host), result_(result) {
    const std::vector<std::string>& nodes = passes_.nodes.names();
    first_node_ = static_cast<int32_t>(result_.nodes.size());
    result_.nodes.insert(result_.nodes.end(), nodes.begin(), nodes.end());
  }

  Result<void> run() {
    for (size_t i = 0; i < passes_.passes.size(); ++i) {
      if (auto done = attribute(i); !done) return done;
    }
    return {};
  }

 private:
  // A pass undoes the forward before it. Where that explains little of it (the backward passes of
  // two losses follow each other), what ran before that is looked at too.
  Result<void> attribute(size_t number) {
    constexpr size_t passes_back = 3;
    const BackwardPass& pass = passes_.passes[number];
    size_t from = pass.first_operation;
    auto matches = matcher_.match(pass, from);
    if (!matches) return tl::unexpected(matches.error());
    if (explained(*matches) * 2 < matches->size() && number > 0) {
      const size_t earlier = number > passes_back ? number - passes_back : 0;
      const size_t further = passes_.passes[earlier].first_operation;
      auto found = matcher_.match(pass, further);
      if (!found) return tl::unexpected(found.error());
      if (explained(*found) > explained(*matches)) {
        matches = std::move(found);
        from = further;
      }
    }
    for (size_t i = 0; i < pass.nodes.size(); ++i) note(pass, from, *matches, i);
    return {};
  }

  void note(const BackwardPass& pass, size_t from, const std::vector<Match>& matches, size_t i) {
    const NodeRun& run = pass.nodes[i];
    if (run.made.empty()) return;
    BackwardOrigin origin;
    origin.node = run.name < 0 ? -1 : first_node_ + run.name;
    if (matches[i].found()) {
      belongs_to(operation(from, matches[i]), origin);
      origin.evidence =
          matches[i].shared ? BackwardEvidence::kSavedBlock : BackwardEvidence::kOrder;
    } else if (!between_neighbours(run, from, matches, i, origin)) {
      return unknown(run);
    }
    for (const uint32_t block : run.made) {
      origin.id = passes_.block_ids[block];
      result_.blocks.push_back(origin);
    }
  }

  // Of a node that no operation on the device stands for. Backward runs towards the beginning of
  // forward: what comes next stands for an earlier operation.
  bool between_neighbours(const NodeRun& run, size_t from, const std::vector<Match>& matches,
                          size_t i, BackwardOrigin& origin) const {
    const auto found = [](const Match& match) { return match.found(); };
    const auto at = matches.begin() + static_cast<ptrdiff_t>(i);
    const auto earlier = std::find_if(at, matches.end(), found);
    const auto later = std::find_if(std::make_reverse_iterator(at), matches.rend(), found);
    if (earlier == matches.end() && later == matches.rend()) return false;
    const bool none_earlier = earlier == matches.end();
    const Operation& neighbour = operation(from, none_earlier ? *later : *earlier);
    belongs_to(neighbour, origin);
    origin.evidence = BackwardEvidence::kNeighbours;
    if (matches[i].on_host != trace::StackId{}) {
      origin.forward = matches[i].on_host;
      origin.evidence = BackwardEvidence::kOrder;
    } else if (!none_earlier && later != matches.rend() && !of_same_call(run)) {
      origin.skipped =
          unshared(reader_.frames(origin.forward), reader_.frames(operation(from, *later).stack));
    }
    return true;
  }

  // Made within the same call as what it gives another shape.
  bool of_same_call(const NodeRun& run) const {
    return run.name >= 0 &&
           passes_.nodes.names()[static_cast<size_t>(run.name)].starts_with("UnsafeView");
  }

  const Operation& operation(size_t from, const Match& match) const {
    return passes_.operation_runs[from + static_cast<size_t>(match.operation)];
  }

  void belongs_to(const Operation& operation, BackwardOrigin& origin) const {
    origin.forward = operation.stack;
    if (operation.made >= 0) {
      origin.forward_block = passes_.block_ids[static_cast<size_t>(operation.made)];
    }
  }

  void unknown(const NodeRun& run) {
    result_.unknown_blocks += run.made.size();
    for (const uint32_t block : run.made) result_.unknown_bytes += passes_.block_sizes[block];
  }

  const trace::Reader& reader_;
  const Passes& passes_;
  Matcher matcher_;
  BackwardOrigins& result_;
  int32_t first_node_ = 0;
};

}  // namespace

const char* to_string(BackwardEvidence evidence) {
  switch (evidence) {
    case BackwardEvidence::kNeighbours:
      return "neighbours";
    case BackwardEvidence::kOrder:
      return "order";
    case BackwardEvidence::kSavedBlock:
      return "saved_block";
  }
  return "";
}

Sureness BackwardOrigin::sureness() const {
  switch (evidence) {
    case BackwardEvidence::kNeighbours:
      return Sureness::kGuess;
    case BackwardEvidence::kOrder:
      return Sureness::kLikely;
    case BackwardEvidence::kSavedBlock:
      return Sureness::kSure;
  }
  return Sureness::kGuess;
}

std::span<const trace::Frame> BackwardOrigin::frames(const trace::Reader& reader) const {
  const std::span<const trace::Frame> all = reader.frames(forward);
  return all.subspan(std::min<size_t>(skipped, all.size()));
}

const BackwardOrigin* BackwardOrigins::find(trace::AllocationId id) const {
  const auto found = std::lower_bound(
      blocks.begin(), blocks.end(), id,
      [](const BackwardOrigin& origin, trace::AllocationId wanted) { return origin.id < wanted; });
  return found != blocks.end() && found->id == id ? &*found : nullptr;
}

Result<BackwardOrigins> find_backward_origins(const trace::Reader& reader, const Series& series) {
  const auto processes = read_passes(reader, series);
  if (!processes) return tl::unexpected(processes.error());
  BackwardOrigins origins;
  HostOperations host(reader);
  for (const Passes& passes : *processes) {
    auto done = Attribution(reader, passes, host, origins).run();
    if (!done) return tl::unexpected(done.error());
  }
  std::sort(origins.blocks.begin(), origins.blocks.end(),
            [](const BackwardOrigin& a, const BackwardOrigin& b) { return a.id < b.id; });
  return origins;
}

}  // namespace tidemark::analyzer
