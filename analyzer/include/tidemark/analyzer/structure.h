// What a recording does over time: iterations of a training loop, the phases of each, and the
// layers of the model. From call stacks and thread names where they tell, else from repetition and
// from how memory rises and falls; each answer says how sure it is.
//
//   allocations   s s s s | i f f f b b o o o | i f f f b b | i f f f b b | x
//   iterations            |<---- warm-up ---->|<--- 1 ----->|<--- 2 ----->|
//   phases        setup     forward  bw  opt    forward  bw   forward  bw   other
//
// Pure: reads through trace::Reader; keeps nothing of it. Any thread that owns the Reader. Cost: a
// pass over the allocations, and one over their frames for each distinct stack.
//
// Times: ns since the recording began.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tidemark/analyzer/usage.h"

namespace tidemark::analyzer {

enum class Phase : uint8_t {
  kSetup,      // before the first iteration
  kForward,    // the loss and the copying of inputs included
  kBackward,   // what is computed again there (checkpointing) included
  kOptimizer,  // the step of the optimizer
  kOther,      // between them, after the last iteration, or where there are no iterations
};
inline constexpr size_t kPhases = static_cast<size_t>(Phase::kOther) + 1;
const char* to_string(Phase phase);  // setup forward backward optimizer other

enum class Sureness : uint8_t {
  kGuess,   // a rule of thumb: from the shape of the curve, or from what is missing
  kLikely,  // from names of functions, or from lifetimes that fit
  kSure,    // a call stack, a copy or a kernel says so
};
const char* to_string(Sureness sureness);  // guess likely sure

// What the iterations were found in.
enum class Basis : uint8_t { kNone, kPool, kDriver, kHeap, kKernels };
const char* to_string(Basis basis);  // none pool driver heap kernels

struct Iteration {
  int64_t begin_ns = 0;  // its first allocation (kernel)
  int64_t end_ns = 0;    // the next one's begin; of the last: when what it repeats was over
  bool warm_up = false;  // before the first that is just like those after it
  bool regular = false;  // the same allocations in the same order as most
};

struct PhaseSpan {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;  // the begin of the next
  Phase phase{};
  int32_t iteration = -1;
};

struct Structure {
  Basis basis = Basis::kNone;
  trace::ProcessId process{};         // whose loop it is
  std::vector<Iteration> iterations;  // ascending; empty: nothing repeats
  Sureness iterations_sureness{};
  bool by_passes = false;         // their backward passes were counted: no two are alike
  std::vector<PhaseSpan> phases;  // ascending, without gaps, over all time
  Sureness phases_sureness{};
  std::string phases_from;  // "call stacks", "names of functions", …: for people

  // -1: in none.
  [[nodiscard]] int32_t iteration_at(int64_t time_ns) const;
  [[nodiscard]] Phase phase_at(int64_t time_ns) const;
  [[nodiscard]] size_t warm_ups() const;
  // Of the regular iterations the middle one's length; 0: there are none.
  [[nodiscard]] int64_t usual_ns() const;
};

[[nodiscard]] Result<Structure> find_structure(const trace::Reader& reader);

// A module of the model: of each class within its parent in order of their first call.
struct ModelLayer {
  std::string name;      // "GPT2Block[3]"
  std::string path;      // "GPT2LMHeadModel[0].GPT2Model[0].GPT2Block[3]"
  int32_t parent = -1;   // in the same list
  std::string function;  // where its forward stands
  std::string file;
};

// Where one block belongs.
struct BlockPlace {
  trace::AllocationId id{};
  Phase phase{};  // in which it was allocated
  Sureness phase_sureness{};
  Sureness layer_sureness{};
  int32_t iteration = -1;  // into Structure::iterations
  int32_t layer = -1;      // into BlockPlaces::layers, the innermost; -1: unknown or of none
};

struct BlockPlaces {
  std::vector<BlockPlace> blocks;  // ascending by id
  std::vector<ModelLayer> layers;
};

// Of every block of a series, over all processes. Ranks of one job that are not
// Structure::process are placed by its times.
[[nodiscard]] Result<BlockPlaces> place_blocks(const trace::Reader& reader,
                                               const Structure& structure, const Series& series);

}  // namespace tidemark::analyzer
